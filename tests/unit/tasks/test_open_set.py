from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.tasks import Inference, OpenSetRecognition, OpenSetVideos
from tests.unit.tasks.toys import NUM_VIDEOS, Namer

CLASSES = tuple(f"level {i}" for i in range(3))
TASK = OpenSetRecognition(inference=Inference(crop=1.0))


@pytest.fixture
def known(levels):
    return replace(levels, records=levels.records[:3], classes=CLASSES)


@pytest.fixture
def unknown(levels):
    return levels.records[3:]


def test_videos_without_evidence_are_told_from_known_ones(known, unknown):
    result = TASK.evaluate(Namer(CLASSES), OpenSetVideos(known=known, unknown=unknown))

    assert result.scores["closed_set_accuracy"] == 1
    for rule in ("", "max_probability/", "energy/"):
        got = [result.scores[f"{rule}{name}"] for name in ("auroc", "aupr", "fpr95")]
        assert got == [1, 1, 0], rule
    assert result.unknown.tolist() == [False] * 3 + [True] * (NUM_VIDEOS - 3)


def test_uncertainty_is_that_of_the_mean_logits(known, unknown):
    videos = OpenSetVideos(known=known, unknown=unknown)

    result = replace(TASK, views=ViewPlan(num_crops=3)).evaluate(Namer(CLASSES), videos)

    of_known = 3 / (torch.tensor([5.0, 0, 0]).exp().sum() + 3)
    assert result.novelty["uncertainty"].tolist() == pytest.approx(
        [float(of_known)] * 3 + [0.5] * 2
    )


def test_the_threshold_accepts_training_videos(known, unknown):
    videos = OpenSetVideos(known=known, unknown=unknown, training=known.records)

    result = TASK.evaluate(Namer(CLASSES), videos)

    assert result.scores["known_accepted"] == 1
    assert result.scores["unknown_rejected"] == 1
    assert result.scores["threshold"] == pytest.approx(float(result.novelty["uncertainty"][0]))


def test_a_video_that_fails_is_judged_wrongly_either_way(known, unknown, level_videos):
    broken = replace(known.records[0], video=level_videos[-1])
    with_known = replace(known, records=(*known.records, broken))

    of_known, of_unknown = (
        TASK.evaluate(Namer(CLASSES), videos)
        for videos in (
            OpenSetVideos(known=with_known, unknown=unknown),
            OpenSetVideos(known=known, unknown=(*unknown, broken)),
        )
    )

    assert of_known.scores["closed_set_accuracy"] == 0.75
    assert of_known.scores["auroc"] == 0.75
    assert of_unknown.scores["auroc"] == pytest.approx(2 / 3)
    for result in (of_known, of_unknown):
        assert (result.num_evaluated, result.num_total, len(result.failed)) == (5, 6, 1)


def test_without_unknown_videos_there_is_nothing_to_tell(known):
    with pytest.raises(ConfigError, match="no unknown videos"):
        OpenSetVideos(known=known, unknown=())


def test_a_share_above_all_is_refused():
    with pytest.raises(ConfigError, match=r"accepted is 1.5, expected above 0"):
        OpenSetRecognition(accepted=1.5)
