from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.tasks import Classifier, Inference, RecognitionModel
from internvideo.tasks.shared import classify_videos, labels_among
from internvideo.values import Annotations
from internvideo.video.transforms import normalise
from tests.unit.tasks.toys import NUM_VIDEOS, Namer

FRAMES = torch.randint(0, 256, (2, 4, 8, 8, 3), generator=torch.Generator().manual_seed(0))
FRAMES = FRAMES.to(torch.uint8)


class Colours(nn.Module):
    """Mean red, green and blue as logits."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, clip):
        return self.scale * clip.mean((2, 3, 4))


def model(classes=("red", "green", "blue"), **options):
    return RecognitionModel(Colours(), classes, num_frames=4, side_px=8, **options)


def test_any_network_of_logits_is_a_recogniser():
    assert isinstance(model(), Classifier)


def test_frames_are_normalised_as_in_training():
    mean, std = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)

    logits = model(mean=mean, std=std).classify_clips(FRAMES)

    expected = normalise(FRAMES, mean=mean, std=std).mean((2, 3, 4))
    torch.testing.assert_close(logits, expected)


def test_scores_for_other_classes_than_named_stop():
    with pytest.raises(ConfigError, match="the network gives 3 scores for 2 classes"):
        model(("red", "green")).classify_clips(FRAMES)


def test_classes_are_matched_by_name_whatever_their_order(levels):
    annotations = replace(levels, classes=tuple(f"level {i}" for i in range(NUM_VIDEOS)))
    turned = tuple(reversed([*annotations.classes, "more"]))

    labels = labels_among(turned, annotations)

    assert [turned[i] for i in labels.tolist()] == list(annotations.classes)


def test_a_class_that_no_video_has_need_not_be_known(levels):
    annotations = replace(levels, classes=(*(f"level {i}" for i in range(NUM_VIDEOS)), "unheard"))

    assert labels_among(annotations.classes[:-1], annotations).tolist() == [0, 1, 2, 3, 4]


def test_classes_that_the_model_does_not_know_are_named_with_the_nearest(levels):
    annotations = replace(levels, classes=("level 0", "levle 1", "ä,b", "level 3", "level 4"))

    with pytest.raises(ConfigError) as caught:
        labels_among(tuple(f"level {i}" for i in range(NUM_VIDEOS)), annotations)

    assert "no class 'levle 1' (did you mean 'level 1'?), 'ä,b'" in str(caught.value)
    assert "(2 of the 5 classes of the data)" in str(caught.value)


def test_many_unknown_classes_are_counted_not_listed(levels):
    annotations = Annotations(
        records=tuple(replace(levels.records[0], labels=(i,)) for i in range(20)),
        classes=tuple(f"odd {i}" for i in range(20)),
    )

    with pytest.raises(ConfigError, match="and 15 more"):
        labels_among(("level 0",), annotations)


def test_labels_without_names_are_places(levels):
    assert labels_among(tuple("abcde"), levels).tolist() == [0, 1, 2, 3, 4]


def test_a_record_without_a_label_is_named(levels):
    records = (replace(levels.records[0], labels=()),)

    with pytest.raises(ConfigError, match=r"level 0.mp4: has no label"):
        labels_among(("a",), replace(levels, records=records))


def test_more_views_than_a_batch_holds_are_scored_in_parts(levels):
    namer, plan = Namer(), ViewPlan(num_clips=2, num_crops=3)

    def mean(logits):
        return logits.mean(1)

    classify_videos(namer, levels.records, Inference(batch_size=4), plan, mean)

    assert namer.batch_sizes == [4, 2] * NUM_VIDEOS
