"""Targets of tasks: segments, boxes and questions in batches, without the loader knowing them."""

from __future__ import annotations

import pickle
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from internvideo.data import (
    ClipDataset,
    ClipLoader,
    FrameCache,
    MultiLabelTarget,
    Targets,
    label_target,
)
from internvideo.errors import ConfigError
from internvideo.values import Annotations, Box, Record, Segment, Share, View

WORDS = ("what", "happens", "?", "jump", "sit")


def segment_targets(record, view):
    """Segments in parts of the clip, with their labels."""
    spans = [[s.start_s, s.end_s] for s in record.segments]
    length = view.end_s - view.start_s
    return {
        "segments": (torch.tensor(spans).reshape(-1, 2) - view.start_s) / length,
        "segment_labels": torch.tensor([s.label for s in record.segments], dtype=torch.int64),
    }


def box_targets(record, view):
    """Boxes in the view, each with its label."""
    xyxy = torch.tensor([box.xyxy for box in record.boxes]).reshape(-1, 4)
    labels = torch.tensor([box.labels[0] for box in record.boxes], dtype=torch.int64)
    return {"boxes": view.boxes(xyxy), "box_labels": labels}


def question_targets(record, view):
    """Word numbers of a question, and which of its candidates is the answer."""
    ids = [WORDS.index(word) for word in record.question.split()]
    answer = record.candidates.index(record.answer)
    return {"question": torch.tensor(ids), "answer": torch.tensor(answer)}


SEGMENTS = Targets(make=segment_targets, ragged=("segments", "segment_labels"))
BOXES = Targets(make=box_targets, ragged=("boxes", "box_labels"))
QUESTIONS = Targets(make=question_targets, ragged=("question",))


def annotated(folder: Path, count: int = 6) -> Annotations:
    """Videos of 12 frames at 10 a second; number i has i % 3 segments and boxes."""
    records = []
    for i in range(count):
        some = range(i % 3)
        records.append(
            Record(
                video=folder / f"video {i}.mp4",
                labels=tuple(range(i % 3)),
                segments=tuple(
                    Segment(start_s=k / 10, end_s=k / 10 + 0.3, label=10 * i + k) for k in some
                ),
                boxes=tuple(
                    Box(time_s=0.5, xyxy=(0.1 * k, 0.25, 0.1 * k + 0.5, 0.75), labels=(10 * i + k,))
                    for k in some
                ),
                question=" ".join(["what", *["happens"] * (i % 3), "?"]),
                candidates=("jump", "sit"),
                answer=("jump", "sit")[i % 2],
            )
        )
    return Annotations(records=tuple(records))


def dataset(tiny_videos, tiny_data, targets, *, training=True, cache=None, **changes):
    return ClipDataset(
        annotated(tiny_videos),
        replace(tiny_data, **changes),
        num_frames=4,
        side_px=16,
        training=training,
        targets=targets,
        cache=cache,
    )


def number(source: str) -> int:
    return int(Path(source).stem.split()[1])


def test_segments_reach_a_batch_in_the_time_of_the_clip(tiny_videos, tiny_data):
    data = dataset(tiny_videos, tiny_data, SEGMENTS, training=False)

    [batch] = ClipLoader(data, batch_size=6).once()

    got = batch.targets
    assert got["segments"].shape == (6, 2, 2)
    assert got["segments_padded"].tolist() == [[i % 3 <= k for k in range(2)] for i in range(6)]
    # The middle window: frames 4 to 7, shown from 0.4 to 0.7 s.
    expected = torch.tensor([[-4 / 3, -1 / 3], [-1.0, 0.0]])
    torch.testing.assert_close(got["segments"][5], expected)
    assert got["segment_labels"][5].tolist() == [50, 51]
    assert got["segments"][3].eq(0).all()


@pytest.mark.parametrize("mirrored", [False, True])
def test_boxes_are_moved_into_the_crop_and_mirrored_with_it(mirrored):
    view = View(timestamps_s=torch.zeros(1), crop_xyxy=(0.25, 0.0, 0.75, 0.5), mirrored=mirrored)

    inside, across, outside = view.boxes(
        torch.tensor([[0.25, 0.1, 0.5, 0.2], [0.5, 0.25, 1.0, 1.0], [0.8, 0.6, 0.9, 0.7]])
    )

    left, right = ([0.0, 0.5], [0.5, 1.0])
    x = (right, left) if mirrored else (left, right)
    torch.testing.assert_close(inside, torch.tensor([x[0][0], 0.2, x[0][1], 0.4]))
    torch.testing.assert_close(across, torch.tensor([x[1][0], 0.5, x[1][1], 1.0]))
    assert outside[0] == outside[2] and outside[1] == outside[3]


class Marked(ClipDataset):
    """Every frame is black but for one white rectangle, which is the record's box."""

    box = (8 / 40, 8 / 32, 24 / 40, 16 / 32)

    def _window(self, index, rng):
        frames = torch.zeros(4, 32, 40, 3, dtype=torch.uint8)
        frames[:, 8:16, 8:24] = 255
        return frames, torch.arange(4).double()


@pytest.mark.parametrize("crop", ["multi-scale", "random-resized", "centre"])
def test_boxes_of_a_batch_lie_where_the_pixels_are(tiny_videos, tiny_data, crop):
    record = Record(
        video=tiny_videos / "video 0.mp4", boxes=(Box(time_s=0.0, xyxy=Marked.box, labels=(7,)),)
    )
    config = replace(tiny_data, crop=crop, flip=True, views_per_video=2)
    data = Marked(
        Annotations(records=(record,)),
        config,
        num_frames=4,
        side_px=64,
        training=True,
        targets=BOXES,
    )
    batches = [batch for [batch] in islice(ClipLoader(data, batch_size=2).batches(), 8)]

    mirrored = num_seen = 0
    for batch in batches:
        for frames, boxes in zip(batch.frames, batch.targets["boxes"], strict=True):
            white = (frames[0, :, :, 0] > 127).nonzero()
            if not len(white):  # the crop lies beside it
                assert boxes[0, 0] == boxes[0, 2] or boxes[0, 1] == boxes[0, 3]
                continue
            top, left = white.min(0).values / 64
            bottom, right = (white.max(0).values + 1) / 64
            seen = torch.tensor([left, top, right, bottom])
            torch.testing.assert_close(boxes[0], seen, atol=1.6 / 64, rtol=0)
            mirrored += bool(boxes[0, 0] + boxes[0, 2] > 1)
            num_seen += 1
    assert num_seen >= 8
    assert crop != "centre" or 0 < mirrored < 16


def test_questions_reach_a_batch_with_their_answers(tiny_videos, tiny_data):
    data = dataset(tiny_videos, tiny_data, QUESTIONS)

    [[batch]] = islice(ClipLoader(data, batch_size=6).batches(), 1)

    for source, ids, padded, answer in zip(
        batch.sources,
        batch.targets["question"],
        batch.targets["question_padded"],
        batch.targets["answer"],
        strict=True,
    ):
        i = number(source)
        assert ids[~padded].tolist() == [0, *[1] * (i % 3), 2]
        assert int(answer) == i % 2


def test_several_labels_reach_a_batch_as_zeros_and_ones(tiny_videos, tiny_data):
    data = dataset(tiny_videos, tiny_data, Targets(make=MultiLabelTarget(num_classes=2)))

    [[batch]] = islice(ClipLoader(data, batch_size=6).batches(), 1)

    expected = [[[0, 0], [1, 0], [1, 1]][number(s) % 3] for s in batch.sources]
    assert batch.targets["labels"].tolist() == expected


@pytest.mark.parametrize("targets", [SEGMENTS, BOXES], ids=["segments", "boxes"])
def test_ranks_and_resuming_give_the_same_targets(tiny_videos, tiny_data, targets):
    data = dataset(tiny_videos, tiny_data, targets, flip=True)
    name = targets.ragged[0]

    def rows(first_step=0, **options):
        loader = ClipLoader(data, batch_size=4, **options)
        return [
            [
                target[~padded].tolist()
                for batch in step
                for target, padded in zip(
                    batch.targets[name], batch.targets[f"{name}_padded"], strict=True
                )
            ]
            for step in islice(loader.batches(first_step), 4 - first_step)
        ]

    whole = rows()

    assert any(row for step in whole for row in step)
    assert rows(first_step=2) == whole[2:]
    parts = [rows(share=Share(index=rank, count=2), accumulation=2) for rank in range(2)]
    assert [a + b for a, b in zip(*parts, strict=True)] == whole


def test_workers_make_the_same_targets(tiny_videos, tiny_data):
    data = dataset(tiny_videos, tiny_data, SEGMENTS, flip=True)

    alone, shared = (
        [b.targets for [b] in islice(loader.batches(), 3)]
        for loader in (ClipLoader(data, batch_size=4, num_workers=n) for n in (0, 2))
    )

    for one, other in zip(alone, shared, strict=True):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_targets_go_to_other_processes():
    assert pickle.loads(pickle.dumps(SEGMENTS)) == SEGMENTS


def test_a_cached_clip_is_shown_at_the_same_time(tiny_videos, tiny_data):
    plain = dataset(tiny_videos, tiny_data, SEGMENTS)
    cache = FrameCache.fill(plain.records, short_side_px=plain.short_side_px, budget_mb=10)
    assert cache is not None
    cached = dataset(tiny_videos, tiny_data, SEGMENTS, cache=cache)

    for index in range(6):
        (one,), (other,) = (data.sample(index, 1).targets for data in (plain, cached))
        assert torch.equal(one["segments"], other["segments"])


def test_unequal_targets_that_are_not_ragged_are_named(tiny_videos, tiny_data):
    data = dataset(tiny_videos, tiny_data, replace(SEGMENTS, ragged=("segments",)))

    with pytest.raises(ConfigError, match=r"target 'segment_labels' has the shapes .* `ragged`"):
        next(ClipLoader(data, batch_size=6).batches())


def test_every_clip_of_a_batch_has_the_same_targets():
    with pytest.raises(ConfigError, match=r"have the targets \['a'\] and \['b'\]"):
        SEGMENTS.collate([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])


def test_a_record_of_several_labels_has_no_single_one(tiny_videos):
    record = annotated(tiny_videos).records[2]
    view = View(timestamps_s=torch.zeros(1), crop_xyxy=(0.0, 0.0, 1.0, 1.0))

    with pytest.raises(ConfigError, match=r"video 2\.mp4 has 2 labels, expected exactly one"):
        label_target(record, view)
