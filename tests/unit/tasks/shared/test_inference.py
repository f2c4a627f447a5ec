from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError, TrainingError
from internvideo.tasks import (
    Inference,
    MultipleChoice,
    Retrieval,
    ZeroShotRecognition,
    embed_sentences,
    embed_videos,
    predict_clips,
)
from tests.unit.tasks.toys import Eye


def test_every_clip_is_seen_once_however_many_records_show_it(levels):
    eye = Eye()
    records = (*levels.records, *reversed(levels.records))

    videos = embed_videos(eye, records, Inference(batch_size=2))

    assert len(eye.seen) == len(videos.clips) == 5
    assert videos.of_record.tolist() == [0, 1, 2, 3, 4, 4, 3, 2, 1, 0]


def test_parts_of_one_video_are_different_clips(levels):
    first = levels.records[0]
    parts = [replace(first, start_s=0.0, end_s=0.4), replace(first, start_s=0.4, end_s=0.8)]

    videos = embed_videos(Eye(), [*parts, first], Inference())

    assert videos.of_record.tolist() == [0, 1, 2]


def test_a_part_that_fails_leaves_the_other_parts_of_its_video(levels):
    first = levels.records[1]
    parts = [replace(first, start_s=9.0, end_s=10.0), replace(first, end_s=0.8)]

    videos = embed_videos(Eye(), parts, Inference())

    assert videos.present.tolist() == [False, True]
    assert "no frame from 9.00" in videos.failed[0].reason


@pytest.mark.parametrize("batch_size", [1, 2, 16])
def test_the_batch_size_changes_nothing(with_broken, batch_size):
    small = embed_videos(Eye(), with_broken.records, Inference(batch_size=batch_size))
    whole = embed_videos(Eye(), with_broken.records, Inference(batch_size=6))

    torch.testing.assert_close(small.embeddings, whole.embeddings, equal_nan=True)


def test_a_video_that_cannot_be_decoded_is_named_with_the_reason(with_broken):
    videos = embed_videos(Eye(), with_broken.records, Inference())

    assert videos.present.tolist() == [True] * 5 + [False]
    assert [failed.path for failed in videos.failed] == [str(with_broken.records[5].video)]
    assert "broken.mp4" in videos.failed[0].reason


def test_an_embedding_that_is_not_finite_has_failed(levels):
    videos = embed_videos(Eye(blind_to=3), levels.records, Inference())

    assert videos.present.tolist() == [True, True, True, False, True]
    assert videos.failed[0].reason.endswith("level 3.mp4: its embedding is not finite")


def test_videos_of_which_none_can_be_decoded_stop(with_broken):
    with pytest.raises(TrainingError, match=r"none of 1 videos can be decoded; .*broken"):
        embed_videos(Eye(), with_broken.records[-1:], Inference())


@pytest.mark.parametrize("places", [[5], [3, 1, 3], [5, 0, 4]])
def test_embedded_videos_are_those_of_any_of_their_records(with_broken, places):
    records = [with_broken.records[i] for i in places]
    readable = with_broken.records[:1]

    some = embed_videos(Eye(), with_broken.records, Inference()).of(records)

    expected = embed_videos(Eye(), [*records, *readable], Inference())
    count = len(some.clips)
    assert some.clips == expected.clips[:count]
    assert some.of_record.tolist() == expected.of_record[: len(places)].tolist()
    assert some.failed == expected.failed
    torch.testing.assert_close(some.embeddings, expected.embeddings[:count], equal_nan=True)


def test_tasks_that_share_embedded_videos_decode_none(with_broken):
    eye = Eye()
    videos = embed_videos(eye, with_broken.records, Inference())
    num_seen = len(eye.seen)
    named = replace(with_broken, classes=tuple(f"level {i}" for i in range(6)))

    for task, asked in (
        (Retrieval(), with_broken),
        (MultipleChoice(), with_broken),
        (ZeroShotRecognition(), named),
    ):
        shared = task.evaluate(eye, asked, videos=videos)
        assert len(eye.seen) == num_seen
        own = task.evaluate(Eye(), asked)
        assert (shared.scores, shared.failed) == (own.scores, own.failed)


def test_a_clip_that_was_not_embedded_is_named(levels):
    videos = embed_videos(Eye(), levels.records[:2], Inference())

    with pytest.raises(ConfigError, match=r"level 2\.mp4: is not among the 2 embedded clips"):
        videos.of(levels.records)


def test_no_records_stop():
    with pytest.raises(ConfigError, match="there are no records to evaluate on"):
        embed_videos(Eye(), [], Inference())


def test_frames_are_the_middles_of_equal_segments(levels):
    eye = Eye()

    embed_videos(eye, levels.records[2:3], Inference())

    # Of 8 frames, each 4 brighter than the one before, those numbered 0, 2, 4, 5.
    brightness = eye.seen[0].float().mean((1, 2, 3))
    assert brightness.tolist() == pytest.approx([80, 88, 96, 100], abs=2)


def test_shuffled_frames_are_the_same_in_another_order(levels):
    plain, shuffled = Eye(), Eye()

    embed_videos(plain, levels.records, Inference())
    embed_videos(shuffled, levels.records, Inference(shuffled=True))

    means = [torch.stack(eye.seen).float().mean((2, 3, 4)) for eye in (plain, shuffled)]
    assert torch.equal(means[0].sort(1).values, means[1].sort(1).values)
    assert not torch.equal(*means)


def test_shuffling_does_not_depend_on_the_batch(levels):
    together, alone = Eye(), Eye()

    embed_videos(together, levels.records, Inference(shuffled=True))
    embed_videos(alone, levels.records, Inference(shuffled=True, batch_size=1))

    assert torch.equal(torch.stack(together.seen), torch.stack(alone.seen))


def test_progress_is_told_after_each_batch(levels):
    told = []

    predict_clips(
        Eye().caption,
        levels.records,
        Eye(),
        Inference(batch_size=2),
        progress=lambda done, total: told.append((done, total)),
    )

    assert told == [(2, 5), (4, 5), (5, 5)]


def test_a_sentence_is_read_once_however_often_it_comes():
    eye = Eye()

    embeddings = embed_sentences(eye, ["level 1", "level 2", "level 1"], batch_size=1)

    assert eye.read == ["level 1", "level 2"]
    assert torch.equal(embeddings[0], embeddings[2])


def test_a_sentence_whose_embedding_is_not_finite_stops():
    eye = Eye()
    eye.embed_texts = lambda sentences: torch.full((len(sentences), 2), math.nan)

    with pytest.raises(TrainingError, match=r"embeddings of 1 sentences are not finite.*'level 1'"):
        embed_sentences(eye, ["level 1"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, expected 1 or more"),
        ({"stride_frames": 0}, "stride_frames is 0, expected 1 or more"),
        ({"crop": 2.0}, "crop is 2.0, expected above 0 and at most 1"),
    ],
)
def test_an_impossible_inference_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Inference(**options)
