from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.report import Page
from internvideo.tasks import (
    ActionRecognition,
    Inference,
    RankingRequest,
    ensemble,
    kept_threshold,
)
from tests.unit.tasks.toys import NUM_VIDEOS, Namer

CLASSES = tuple(f"level {i}" for i in range(NUM_VIDEOS + 1))
INFERENCE = Inference(sampling="segments", crop=1.0)
TASK = ActionRecognition(inference=INFERENCE)


@pytest.fixture
def named(levels):
    return replace(levels, classes=CLASSES)


@pytest.fixture
def named_with_broken(with_broken):
    return replace(with_broken, classes=CLASSES)


def test_a_classifier_that_is_right_has_full_marks(named):
    result = TASK.evaluate(Namer(), named)

    assert result.scores == {"top1": 1.0, "top5": 1.0, "mean_class": 1.0}
    assert (result.num_evaluated, result.num_total, result.failed) == (5, 5, ())


@pytest.mark.parametrize("wrong", ["broken", "blind"])
def test_a_failed_video_counts_and_is_wrong(named, named_with_broken, wrong):
    if wrong == "broken":
        result = TASK.evaluate(Namer(), named_with_broken)
    else:
        result = TASK.evaluate(Namer(blind_to=2), named)

    expected = pytest.approx(1 - 1 / result.num_total)
    assert result.scores == {"top1": expected, "top5": expected, "mean_class": expected}
    assert result.num_evaluated == result.num_total - 1
    assert len(result.failed) == 1


def test_a_failed_video_is_wrong_among_fewer_than_five_classes(named_with_broken):
    few = replace(named_with_broken, records=named_with_broken.records[4:])
    labels = tuple(replace(r, labels=(i,)) for i, r in enumerate(few.records))

    result = TASK.evaluate(
        Namer(("level 4", "level 5")), replace(few, records=labels, classes=("level 4", "level 5"))
    )

    assert result.scores["top5"] == 0.5


def test_classes_in_another_order_are_found_by_name(named):
    result = TASK.evaluate(Namer(tuple(reversed(CLASSES))), named)

    assert result.scores["top1"] == 1
    assert [result.classes[i] for i in result.labels.tolist()] == list(CLASSES[:-1])


def test_an_answer_outside_the_classes_of_the_data_is_wrong(named):
    result = TASK.evaluate(Namer(wrong={1: 5}), replace(named, classes=CLASSES[:-1]))

    assert result.scores["top1"] == 0.8


def test_what_was_confused_stands_in_the_tables(named):
    result = TASK.evaluate(Namer(wrong={1: 3}), named)

    assert result.confusion[1, 3] == 1
    assert result.confusion.sum() == 5
    (row,) = [row for row in result.per_class if row.name == "level 1"]
    assert (row.num_videos, row.num_right) == (1, 0)
    assert (row.mistaken_for, row.num_mistaken) == ("level 3", 1)
    assert len(result.per_class) == NUM_VIDEOS


def test_several_labels_a_video_are_scored_by_average_precision(named, tmp_path):
    first, *others = named.records
    several = replace(named, records=(replace(first, labels=(0, 1)), *others))

    result = TASK.evaluate(Namer(multi_label=True), several)

    # Video 1 is first for its class, video 0 is as far behind as all others: 2 right of 5.
    assert result.scores == {"map": pytest.approx((4 + (1 + 2 / 5) / 2) / 5)}
    assert result.to_json()["average_precision"]["level 1"] == pytest.approx(0.7)
    assert "level 5" not in result.to_json()["average_precision"]  # no video shows it
    result.add_to(page := Page("several"))
    page.write(tmp_path / "page.html")
    assert "mAP" in (tmp_path / "page.html").read_text()


def test_each_of_several_labels_has_a_probability_of_its_own(named):
    answer = TASK.predict(Namer(multi_label=True), RankingRequest(video=named.records[1].video))

    assert dict(answer.ranked)["level 1"] == pytest.approx(torch.tensor(5.0).sigmoid().item())
    assert dict(answer.ranked)["level 0"] == pytest.approx(0.5)


def test_a_video_without_a_likely_class_is_unknown_where_asked(named):
    request = RankingRequest(video=named.records[1].video, top=1)
    likeliest = float(torch.tensor([5.0, 0, 0, 0, 0, 0]).softmax(0)[0])

    known, unknown = (
        replace(TASK, unknown_below=likeliest + by).predict(Namer(), request)
        for by in (-0.01, 0.01)
    )

    assert known.to_json()["unknown"] is False
    assert unknown.to_json()["unknown"] is True
    assert unknown.lines()[0].startswith("unknown: no class reaches 0.97")
    assert unknown.lines()[1:] == known.lines()
    assert TASK.evaluate(Namer(), named).unknown_below == pytest.approx(likeliest)


def test_the_threshold_that_a_model_keeps_is_taken_where_asked(named):
    request = RankingRequest(video=named.records[1].video)
    model = Namer()
    task = replace(TASK, unknown_below="auto")

    with pytest.raises(ConfigError, match="the model keeps no threshold of unknown videos"):
        task.predict(model, request)
    model.unknown_below = 0.99
    assert task.predict(model, request).to_json()["unknown"] is True


@pytest.mark.parametrize("said", [None, [], {}, {"unknown_below": "0.5"}, {"unknown_below": 7.0}])
def test_a_threshold_that_is_no_share_is_none(said):
    assert kept_threshold(said) is None


def test_the_threshold_of_unknown_videos_is_reached_by_most(named):
    result = TASK.evaluate(Namer(), named)
    shares = torch.linspace(0.5, 0.99, 100)
    result = replace(
        result,
        probabilities=torch.stack([shares, 1 - shares], 1),
        labels=torch.zeros(100, dtype=torch.int64),
        classes=("a", "b"),
    )

    assert (shares >= result.unknown_below).double().mean() == pytest.approx(0.95, abs=0.011)


def test_several_labels_need_a_model_that_gives_several(named):
    first, *others = named.records
    several = replace(named, records=(replace(first, labels=(0, 1)), *others))

    with pytest.raises(ConfigError, match="has 2 labels, and the model gives each video one"):
        TASK.evaluate(Namer(), several)


@pytest.mark.parametrize("averaging", ["probabilities", "logits"])
def test_views_are_averaged_as_asked(named, averaging):
    class Doubtful(Namer):
        def classify_clips(self, frames):
            logits = super().classify_clips(frames)
            logits[::3] *= -1
            self.given = getattr(self, "given", [])
            self.given.append(logits)
            return logits

    namer = Doubtful()
    task = replace(TASK, views=ViewPlan(num_clips=2, num_crops=2), averaging=averaging)

    result = task.evaluate(namer, named)

    views = torch.cat(namer.given).reshape(NUM_VIDEOS, 4, -1)
    merged = (
        views.softmax(-1).mean(1) if averaging == "probabilities" else views.mean(1).softmax(-1)
    )
    torch.testing.assert_close(result.probabilities, merged)


def test_an_ensemble_pools_the_views_of_all_models(named):
    sure, unsure = Namer(wrong={0: 1}), Namer()
    one = TASK.evaluate(sure, named)
    three = replace(TASK, views=ViewPlan(num_crops=3)).evaluate(unsure, named)

    pooled = ensemble([one, three])

    torch.testing.assert_close(
        pooled.probabilities, (one.probabilities + 3 * three.probabilities) / 4
    )
    assert (pooled.scores["top1"], pooled.num_views) == (1, 4)


def test_what_one_model_failed_on_failed_for_the_ensemble(named):
    pooled = ensemble([TASK.evaluate(Namer(blind_to=2), named), TASK.evaluate(Namer(), named)])

    assert (pooled.num_evaluated, len(pooled.failed), pooled.scores["top1"]) == (4, 1, 0.8)


def test_results_on_other_videos_or_classes_make_no_ensemble(named):
    first = TASK.evaluate(Namer(), named)
    fewer = TASK.evaluate(Namer(), replace(named, records=named.records[:3]))
    turned = TASK.evaluate(Namer(tuple(reversed(CLASSES))), named)

    with pytest.raises(ConfigError, match="the same videos in the same order"):
        ensemble([first, fewer])
    with pytest.raises(ConfigError, match="the same classes in the same order"):
        ensemble([first, turned])


def test_shuffled_frames_reach_the_model_in_another_order(named):
    plain, shuffled = Namer(), Namer()

    TASK.evaluate(plain, named)
    replace(TASK, inference=replace(INFERENCE, shuffled=True)).evaluate(shuffled, named)

    brightness = [torch.stack(eye.seen).float().mean((2, 3, 4)) for eye in (plain, shuffled)]
    assert (brightness[0].diff() >= 0).all()
    assert not (brightness[1].diff() >= 0).all()


def test_one_video_gets_its_classes_in_order(level_videos):
    answer = TASK.predict(Namer(), RankingRequest(video=level_videos[2], top=9))

    assert answer.ranked[0][0] == "level 2"
    assert sum(share for _, share in answer.ranked) == pytest.approx(1)
