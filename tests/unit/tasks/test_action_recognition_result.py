from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from internvideo.report import Page
from internvideo.tasks import ActionRecognition, ActionRecognitionResult, RecognitionModel
from internvideo.tasks.action_recognition import confusion_chart
from internvideo.tasks.action_recognition.result import confused_pairs
from internvideo.values import Record


@pytest.fixture
def result():
    """Two runs taken for walks, a walk that is right, and a run that failed."""
    return of([[0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [math.nan] * 2], [0, 0, 1, 0])


def of(probabilities, labels, classes=("<run>", "walk"), videos=None):
    return ActionRecognitionResult(
        scores={"top1": 0.5, "top5": 0.75, "mean_class": 0.4},
        num_evaluated=3,
        num_total=4,
        failed=(),
        probabilities=torch.as_tensor(probabilities),
        labels=torch.tensor(list(labels)),
        classes=classes,
        videos=videos or tuple(Record(video=Path(f"clip {i}.mp4")) for i in range(len(labels))),
        num_views=1,
    )


def shown(result):
    page = Page("t")
    result.add_to(page)
    return page.html()


def test_scores_and_failures_stand_at_the_top(result):
    html = shown(result)

    assert "50.0 %" in html
    assert "3 of 4" in html


def test_names_of_classes_are_escaped(result):
    html = shown(result)

    assert "&lt;run&gt;" in html
    assert "<run>" not in html


def test_a_confused_pair_counts_failed_videos_of_its_class_too(result):
    assert "&lt;run&gt; called walk: 2 of 3 videos" in shown(result)


def test_without_confusion_no_pairs_are_listed(result):
    right = replace(result, probabilities=result.probabilities.flip(1), labels=1 - result.labels)
    right = replace(right, labels=right.probabilities.nan_to_num().argmax(1))

    assert "Confused most often" not in shown(right)


def test_pairs_come_in_order_of_how_often_they_are_confused():
    confusion = torch.tensor([[9, 1, 0], [0, 9, 5], [2, 0, 9]])

    assert confused_pairs(confusion) == [(1, 2, 5), (2, 0, 2), (0, 1, 1)]


def test_cells_are_shares_of_their_class():
    result = of([[0.9, 0.1], *[[0.1, 0.9]] * 3], [0] * 4)

    chart = str(confusion_chart(result))

    assert "&lt;run&gt;, walk: 75" in chart
    assert "walk, walk" not in chart


MANY = tuple(f"class {i}" for i in range(100))


def test_of_very_many_classes_the_confused_ones_are_drawn():
    answers = torch.eye(100)
    result = of(torch.cat([answers, answers[41:42]]), [*range(100), 40], MANY)

    chart = str(confusion_chart(result))

    assert "The 2 classes confused most often" in chart
    assert "class 40, class 41: 50" in chart


def test_very_many_classes_that_are_never_confused_are_drawn_in_part():
    result = of(torch.eye(100), range(100), MANY)

    assert "class 59, class 59: 100" in str(confusion_chart(result))


class Brightness(nn.Module):
    """Scores two classes by the brightness of a clip."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, clip):
        return self.scale * clip.mean((1, 2, 3, 4))[:, None] * torch.tensor([1.0, -1.0])


def test_where_the_model_looks_stands_beside_what_it_answered(level_videos):
    videos = tuple(Record(video=path) for path in level_videos[:2])
    result = of([[0.25, 0.75], [0.9, 0.1]], [0, 0], videos=videos)
    model = RecognitionModel(Brightness(), ("<run>", "walk"), num_frames=2, side_px=16)
    page = Page("t")

    ActionRecognition().report(page, result, model)

    html = page.html()
    assert "walk, 0.75: it is &lt;run&gt;" in html
    assert "&lt;run&gt;, 0.90: right" in html
    assert "frames of level 0.mp4 and where the model looks" in html
