"""Key frames: found by presentation time in odd files, with their boxes in every view."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from internvideo.data import VideoData
from internvideo.data.cache import FrameCache
from internvideo.data.key_frames import BoxTargets, KeyFrameDataset, jitter_boxes
from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Annotations, Box, Record, View
from internvideo.video import open_video
from internvideo.video.augment import AugmentConfig
from internvideo.video.sampling import frames_on_screen, key_frame_clip

LEVELS = 12  # grey levels between neighbouring frames


def write_odd_video(path: Path, times_ms: list[int], *, bframes: int = 0) -> None:
    """Frame i is grey at level 12 * i and shown from times_ms[i] on, whatever the first is."""
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0", "preset": "fast"})
        stream.width = stream.height = 64
        stream.pix_fmt, stream.time_base = "yuv444p", Fraction(1, 1000)
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.max_b_frames = bframes
        for index, time_ms in enumerate(times_ms):
            grey = np.full((64, 64, 3), LEVELS * index, dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def frames_of(clip: torch.Tensor) -> list[int]:
    """Which frames of `write_odd_video` a clip shows."""
    return (clip.float().mean((1, 2, 3)) / LEVELS).round().int().tolist()


# Uneven gaps, a first frame that is shown 7.3 s after zero, and frames that refer to later ones.
TIMES_MS = [7300, 7340, 7500, 7510, 7600, 7900, 7920, 8000, 8100, 8140, 8300, 8420, 8600, 8900]


@pytest.mark.parametrize("bframes", [0, 3])
@pytest.mark.parametrize("key_s", [0.0, 0.2, 0.6, 0.63, 1.0, 1.55])
def test_key_frames_are_taken_by_presentation_time_in_an_odd_video(tmp_path, bframes, key_s):
    path = tmp_path / "odd.mkv"
    write_odd_video(path, TIMES_MS, bframes=bframes)
    record = Record(video=path, key_s=key_s, boxes=(Box(time_s=key_s, xyxy=(0.0, 0.0, 1.0, 1.0)),))
    data = VideoData(source="", stride_frames=2, clip_rate_fps=10.0)

    dataset = KeyFrameDataset(
        Annotations(records=(record,)), data, num_frames=4, side_px=64, training=False
    )
    shown = frames_of(dataset.sample(0).views[0])

    times = [(time - TIMES_MS[0]) / 1000 for time in TIMES_MS]
    # Of eight frames at 10 a second about the key frame numbers 0, 2, 4 and 6.
    moments = [key_s + (number - 4) / 10 for number in (0, 2, 4, 6)]
    assert shown == [max(i for i, t in enumerate(times) if t <= max(m, 0) + 1e-9) for m in moments]


def test_the_middle_of_a_released_clip_lies_beside_the_key_frame():
    times = np.arange(100) / 25

    numbers = key_frame_clip(times, 2.0, clip_frames=16, stride_frames=4, rate_fps=25.0)

    assert numbers.tolist() == [50 - 31 + 4 * i for i in range(16)]


def test_a_frame_is_on_screen_until_the_next_one_begins():
    times = np.array([0.0, 0.04, 0.5])

    assert frames_on_screen(times, np.array([-1, 0, 0.03, 0.04, 0.49, 0.5, 9])).tolist() == (
        [0, 0, 0, 1, 1, 2, 2]
    )


def test_a_key_frame_beyond_the_end_is_named(tmp_path):
    path = tmp_path / "odd.mkv"
    write_odd_video(path, TIMES_MS)
    record = Record(video=path, key_s=95.0)

    sample = KeyFrameDataset(
        Annotations(records=(record,)),
        VideoData(source=""),
        num_frames=4,
        side_px=64,
        training=False,
    ).sample(0)

    ((name, reason),) = sample.broken
    assert name == f"{path} at 95 s"  # the other key frames of the video still count
    assert "no frame at 95 s, the video runs from 0 to 1." in reason


def test_clips_of_kept_videos_are_the_same(tmp_path):
    path = tmp_path / "odd.mkv"
    write_odd_video(path, TIMES_MS)
    records = tuple(Record(video=path, key_s=key_s) for key_s in (0.0, 0.3, 0.8, 95.0))
    cache = FrameCache.fill(records, short_side_px=64, budget_mb=8, shared=False)
    assert cache is not None and cache.timestamps_s(0) is cache.timestamps_s(2)

    decoded, kept = (
        KeyFrameDataset(
            Annotations(records=records),
            VideoData(source=""),
            num_frames=4,
            side_px=64,
            training=False,
            cache=one,
        )
        for one in (None, cache)
    )

    for index in range(4):
        assert torch.equal(decoded.sample(index).views, kept.sample(index).views)
        assert decoded.sample(index).broken == kept.sample(index).broken


def test_what_would_part_boxes_from_frames_is_refused():
    with pytest.raises(ConfigError, match=r"set data\.augment\.num_ops=0"):
        KeyFrameDataset(
            Annotations(records=(Record(video=Path("a.mp4"), key_s=1.0),)),
            VideoData(source="", augment=AugmentConfig()),
            num_frames=4,
            side_px=64,
            training=True,
        )


def test_a_marked_box_follows_crop_and_flip(tmp_path):
    """A bright square is where its box says it is, however the view was cut and mirrored."""
    path, box = tmp_path / "square.mkv", (0.25, 0.375, 0.5, 0.625)
    with av.open(str(path), "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "0"})
        stream.width, stream.height, stream.pix_fmt = 160, 128, "yuv444p"
        pixels = np.zeros((128, 160, 3), dtype=np.uint8)
        pixels[48:80, 40:80] = 255
        for _ in range(30):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    record = Record(video=path, key_s=0.5, boxes=(Box(time_s=0.5, xyxy=box, labels=(2,)),))
    dataset = KeyFrameDataset(
        Annotations(records=(record,) * 12),
        VideoData(source="", flip=True, crop="random", stride_frames=1),
        num_frames=2,
        side_px=112,
        training=True,
        targets=BoxTargets(num_classes=4).targets(),
    )

    seen = [dataset.sample(index) for index in range(12)]

    assert len({tuple(s.targets[0]["boxes"][0].tolist()) for s in seen}) > 6
    for sample in seen:
        lit = (sample.views[0, 0, :, :, 0] > 128).nonzero()
        (top, left), (bottom, right) = lit.min(0).values, lit.max(0).values + 1
        found = torch.tensor([left, top, right, bottom]) / 112
        torch.testing.assert_close(sample.targets[0]["boxes"][0], found, atol=0.02, rtol=0)
        assert sample.targets[0]["labels"].tolist() == [[0, 0, 1, 0]]


def test_a_box_outside_of_the_crop_is_left_out():
    boxes = tuple(
        Box(time_s=1.0, xyxy=xyxy, labels=(label,))
        for label, xyxy in enumerate([(0.0, 0.0, 0.1, 1.0), (0.4, 0.4, 0.6, 0.6)])
    )
    view = View(timestamps_s=torch.zeros(1).double(), crop_xyxy=(0.2, 0.2, 1.0, 1.0))

    made = BoxTargets(num_classes=2)(Record(video=Path("a.mp4"), key_s=1.0, boxes=boxes), view)

    assert made["labels"].tolist() == [[0, 1]]
    torch.testing.assert_close(made["boxes"], torch.tensor([[0.25, 0.25, 0.5, 0.5]]))


def test_clips_without_and_with_boxes_make_one_batch():
    targets = BoxTargets(num_classes=2).targets()
    view = View(timestamps_s=torch.zeros(1).double(), crop_xyxy=(0.0, 0.0, 1.0, 1.0))
    record = Record(video=Path("a.mp4"), key_s=1.0)
    full = replace(record, boxes=(Box(time_s=1.0, xyxy=(0.0, 0.0, 1.0, 1.0), labels=(0,)),))

    batch = targets.collate([targets.make(record, view), targets.make(full, view)])

    assert batch["boxes"].shape == (2, 1, 4)
    assert batch["boxes_padded"].tolist() == [[True], [False]]


def test_jitter_moves_each_side_within_its_share():
    boxes = torch.tensor([[0.4, 0.3, 0.6, 0.7]]).repeat(500, 1)

    moved = jitter_boxes(boxes, torch.Generator().manual_seed(0)) - boxes

    outwards = moved * torch.tensor([-1.0, -1, 1, 1]) / torch.tensor([0.2, 0.4, 0.2, 0.4])
    assert (outwards.min(0).values >= -torch.tensor([0.05, 0.025, 0.05, 0.025]) - 1e-5).all()
    assert (outwards.max(0).values <= torch.tensor([0.1, 0.05, 0.1, 0.05]) + 1e-5).all()
    assert (outwards.std(0) > 0.01).all()


def test_the_frames_of_a_video_are_asked_for_by_time_alone(tmp_path):
    path = tmp_path / "odd.mkv"
    write_odd_video(path, TIMES_MS, bframes=2)

    with open_video(path) as video:
        np.testing.assert_allclose(
            video.timestamps_s, [(time - TIMES_MS[0]) / 1000 for time in TIMES_MS], atol=1e-6
        )
        with pytest.raises(DecodeError, match="no frame at 9"):
            from internvideo.video import check_moment

            check_moment(video, 9.0)
