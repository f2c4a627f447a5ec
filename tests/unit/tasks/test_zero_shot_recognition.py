from __future__ import annotations

from dataclasses import replace

import pytest

from internvideo.errors import ConfigError
from internvideo.tasks import TextRequest, ZeroShotRecognition
from tests.unit.tasks.toys import NUM_VIDEOS, Eye

CLASSES = tuple(f"level {i}" for i in range(NUM_VIDEOS + 1))


def test_a_model_that_understands_names_everything(levels):
    result = ZeroShotRecognition().evaluate(Eye(), replace(levels, classes=CLASSES))

    assert result.scores == {"top1": 1.0, "top5": 1.0, "mean_class": 1.0}
    assert (result.num_evaluated, result.num_total) == (5, 5)


def test_a_video_that_cannot_be_decoded_is_wrong(with_broken):
    result = ZeroShotRecognition().evaluate(Eye(), replace(with_broken, classes=CLASSES))

    assert result.scores["top1"] == result.scores["top5"] == pytest.approx(5 / 6)
    assert (result.num_evaluated, result.num_total, len(result.failed)) == (5, 6, 1)


def test_classes_are_read_in_the_words_given_or_their_own(levels):
    eye = Eye()
    task = ZeroShotRecognition(prompts="name", words={"zero": "level 0"})

    task.evaluate(eye, replace(levels, classes=("zero", "level_1", "l2", "l3", "l4")))

    assert eye.read[:2] == ["level 0", "level 1"]


def test_all_templates_are_read(levels):
    eye = Eye()

    ZeroShotRecognition().evaluate(eye, replace(levels, classes=CLASSES))

    assert len(eye.read) == 16 * len(CLASSES)


def test_one_video_gets_its_classes_in_order(level_videos):
    request = TextRequest(video=level_videos[2], text=CLASSES, top=len(CLASSES))

    answer = ZeroShotRecognition().predict(Eye(), request)

    assert answer.ranked[0][0] == "level 2"
    assert sum(share for _, share in answer.ranked) == pytest.approx(1)


def test_a_video_without_a_label_is_named(levels):
    records = (replace(levels.records[0], labels=()),)

    with pytest.raises(ConfigError, match=r"level 0.mp4: has no label"):
        ZeroShotRecognition().evaluate(Eye(), replace(levels, records=records, classes=CLASSES))


def test_no_classes_stop(levels):
    with pytest.raises(ConfigError, match="no class names to choose from"):
        ZeroShotRecognition().evaluate(Eye(), levels)


def test_an_unknown_list_of_prompts_names_the_known():
    with pytest.raises(ConfigError, match=r"unknown list of prompts 'actioncilp'; did you mean"):
        ZeroShotRecognition(prompts="actioncilp")
