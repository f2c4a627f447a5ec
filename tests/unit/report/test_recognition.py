from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from internvideo.report import (
    Look,
    Page,
    add_looks,
    add_recognition,
    confused_pairs,
    confusion_chart,
)
from internvideo.report.recognition import overlaid
from internvideo.values import Record


@dataclass
class Row:
    name: str
    num_videos: int
    num_right: int
    mistaken_for: str | None = None
    num_mistaken: int = 0


@dataclass
class Result:
    probabilities: torch.Tensor
    labels: torch.Tensor
    classes: tuple[str, ...]
    confusion: torch.Tensor
    per_class: tuple[Row, ...]

    num_evaluated: int = 3
    num_total: int = 4

    @property
    def scores(self):
        return {"top1": 0.5, "top5": 0.75, "mean_class": 0.4}

    @property
    def videos(self):
        return tuple(Record(video=Path(f"clip {i}.mp4")) for i in range(len(self.labels)))


@pytest.fixture
def result():
    return Result(
        probabilities=torch.tensor([[0.2, 0.8], [0.1, 0.9], [0.3, 0.7], [math.nan] * 2]),
        labels=torch.tensor([0, 0, 1, 0]),
        classes=("<run>", "walk"),
        confusion=torch.tensor([[0, 2], [0, 1]]),
        per_class=(Row("<run>", 3, 0, "walk", 2), Row("walk", 1, 1)),
    )


def shown(result):
    page = Page("t")
    add_recognition(page, result)
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
    result.confusion = torch.tensor([[2, 0], [0, 1]])

    assert "Confused most often" not in shown(result)


def test_pairs_come_in_order_of_how_often_they_are_confused():
    confusion = torch.tensor([[9, 1, 0], [0, 9, 5], [2, 0, 9]])

    assert confused_pairs(confusion) == [(1, 2, 5), (2, 0, 2), (0, 1, 1)]


def test_cells_are_shares_of_their_class(result):
    result.confusion = torch.tensor([[1, 3], [0, 0]])

    chart = str(confusion_chart(result))

    assert "&lt;run&gt;, walk: 75" in chart
    assert "walk, walk" not in chart


def test_of_very_many_classes_the_confused_ones_are_drawn(result):
    many = 100
    result.classes = tuple(f"class {i}" for i in range(many))
    result.confusion = torch.eye(many, dtype=torch.int64)
    result.confusion[40, 41] = 1

    chart = str(confusion_chart(result))

    assert "The 2 classes confused most often" in chart
    assert "class 40, class 41: 50" in chart


def test_very_many_classes_that_are_never_confused_are_drawn_in_part(result):
    result.classes = tuple(f"class {i}" for i in range(100))
    result.confusion = torch.eye(100, dtype=torch.int64)

    assert "class 59, class 59: 100" in str(confusion_chart(result))


def test_heat_is_orange_and_the_rest_is_darkened():
    frames = torch.full((1, 1, 2, 3), 100, dtype=torch.uint8)

    (((cold, hot),),) = overlaid(frames, torch.tensor([[[0.0, 1.0]]])).tolist()

    assert cold == [70, 70, 70]
    assert hot[0] > 200 > hot[1] > hot[2]


def test_a_look_stands_with_its_title():
    page = Page("t")
    frames = torch.zeros(2, 8, 8, 3, dtype=torch.uint8)

    add_looks(
        page, [Look(name="a.mp4", title="run & jump", frames=frames, heat=frames[..., 0] / 9)]
    )

    assert "run &amp; jump" in page.html()
