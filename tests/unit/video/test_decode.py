"""Frames by number and by time, against a loop that decodes everything from the start."""

from __future__ import annotations

import resource
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Record
from internvideo.video import VideoReader, open_video, packets, read_clip
from tests.unit.video.conftest import decode_from_start, dot_frames, encode, write_sound


def assert_exact(path: Path) -> None:
    expected = decode_from_start(path)
    middle, last = len(expected) // 2, len(expected) - 1
    for indices in ([middle], [last, 0, middle, middle], list(range(last // 3, last, 4))):
        with VideoReader(path) as reader:
            got = reader.frames(indices).frames.numpy()
            assert reader.num_frames == len(expected)
            assert all(np.array_equal(got[i], expected[j]) for i, j in enumerate(indices))


CONTAINERS = [
    ("x.mp4", "libx264", {"bf": "3"}),
    ("x.mkv", "libx264", {"bf": "3", "x264-params": "open-gop=1"}),
    ("x.avi", "libx264", {"bf": "2"}),
    ("x.h264", "libx264", {"bf": "2"}),
    ("x.ts", "libx264", {"bf": "2"}),
    ("x.mp4", "mpeg4", {"bf": "2"}),
    ("x.avi", "mpeg4", {"bf": "2"}),
    ("x.mpg", "mpeg1video", {"bf": "2"}),
    ("x.webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "12"}),
    ("x.webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
    ("x.wmv", "wmv2", {}),
]


@pytest.mark.parametrize(("name", "codec", "options"), CONTAINERS)
def test_frames_equal_those_of_decoding_everything(tmp_path, name, codec, options):
    path = encode(tmp_path / name, dot_frames(37), codec, gop=10, **options)

    assert_exact(path)


def test_frames_of_a_file_too_large_to_keep_are_read_again(clip, monkeypatch):
    monkeypatch.setattr(packets, "_KEPT_BYTES", 0)

    assert_exact(clip)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("odd.mkv", "libx264", "yuv444p"),
        ("grey.mkv", "ffv1", "gray"),
        ("deep.mkv", "libx264", "yuv444p10le"),
        ("alpha.mov", "png", "rgba"),
        ("x.gif", "gif", "rgb8"),
    ],
)
def test_unusual_pixels_and_odd_sizes_decode_like_any_other(tmp_path, name, codec, pix_fmt):
    path = encode(tmp_path / name, dot_frames(12, 47, 61), codec, pix_fmt=pix_fmt)

    assert_exact(path)


def test_decoding_threads_do_not_change_frames(clip):
    indices = [50, 3, 29]

    with VideoReader(clip, num_threads=2) as reader:
        got = reader.frames(indices).frames

    assert torch.equal(got, read_clip(clip, indices).frames)


def test_real_videos_of_many_kinds_decode_exactly(real_videos):
    paths = sorted(p for p in real_videos.iterdir() if p.suffix != ".csv")
    small = [p for p in paths if p.stat().st_size < 500_000]
    odd = [
        p for p in paths if p.name.startswith(("RATRACE", "grid_b", "imageio_n", "full_v_HandS"))
    ]

    for path in [*small[::6], *odd]:
        assert_exact(path)


def test_real_clips_with_packed_pictures_decode_exactly(real_actions):
    for path in sorted((real_actions / "HandstandPushups").glob("*.avi"))[::8]:
        assert_exact(path)


def test_info_tells_size_rate_and_length(clip):
    with VideoReader(clip) as reader:
        info = reader.info

    assert (info.width, info.height, info.num_frames, info.codec) == (64, 48, 60, "h264")
    assert info.rate_fps == pytest.approx(25) and info.duration_s == pytest.approx(2.4)
    assert not info.variable_rate and not info.has_audio


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_rotated_video_is_turned_upright(tmp_path, degrees):
    plain = encode(tmp_path / "plain.mp4", dot_frames(3))
    turned = encode(tmp_path / "turned.mp4", dot_frames(3), rotation=degrees)

    with VideoReader(turned) as reader:
        got, info = reader.frames([0, 2]).frames, reader.info

    # FFmpeg's angle is counter-clockwise, as is that of rot90.
    expected = torch.rot90(read_clip(plain, [0, 2]).frames, degrees // 90, dims=(1, 2))
    assert torch.equal(got, expected)
    assert (info.height, info.width) == got.shape[1:3]
    assert info.rotation_degrees == 360 - degrees


def test_frames_at_a_time_are_those_on_screen_then(tmp_path):
    times = [0, 1, 2, 30, 31, 60]  # in 25ths of a second
    path = encode(tmp_path / "variable.mkv", dot_frames(6), times=times)

    with VideoReader(path) as reader:
        got = reader.frames_at([0.0, 0.05, 1.0, 1.2, 2.4])
        assert reader.info.variable_rate

    assert torch.equal(got.frames, read_clip(path, [0, 1, 2, 3, 5]).frames)
    assert got.timestamps_s.tolist() == pytest.approx([0.0, 0.04, 0.08, 1.2, 2.4], abs=1e-3)


def test_a_time_past_the_end_is_refused_or_repeats_the_last_frame(clip):
    with VideoReader(clip) as reader:
        with pytest.raises(DecodeError, match=r'no frame at 9.00 s.* to 2.40 s.*past_end="repeat"'):
            reader.frames_at([9.0])
        repeated = reader.frames_at([9.0], past_end="repeat")

        assert torch.equal(repeated.frames, reader.frames([59]).frames)


def test_scaling_while_decoding_keeps_the_picture(clip):
    small = read_clip(clip, [5, 30], short_side_px=24).frames

    full = read_clip(clip, [5, 30]).frames.permute(0, 3, 1, 2).float()
    expected = torch.nn.functional.interpolate(full, (24, 32), mode="bilinear", antialias=True)
    assert small.shape == (2, 24, 32, 3)
    assert (small.permute(0, 3, 1, 2) - expected).abs().mean() < 6


def test_no_frame_beyond_the_last(clip):
    with (
        VideoReader(clip) as reader,
        pytest.raises(DecodeError, match=r"no frame 60.*ask for 0 to 59"),
    ):
        reader.frames([60])


def test_the_part_of_a_cut_off_file_that_exists_is_readable(cut_off):
    whole = decode_from_start(cut_off.with_name("whole.mp4"))

    with VideoReader(cut_off) as reader:
        num_frames = reader.num_frames
        got = reader.frames([0, num_frames - 4]).frames.numpy()
        with pytest.raises(DecodeError, match=r"no frame 59.* of 60 that its header promises"):
            reader.frames([59])

    assert 20 < num_frames < 60
    assert np.array_equal(got[0], whole[0]) and np.array_equal(got[1], whole[num_frames - 4])


def bad_file(folder: Path, kind: str) -> Path:
    path = folder / f"{kind}.mp4"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("not a video at all\n" * 500)
    elif kind == "sound":
        write_sound(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "without-index":
        data = encode(path, dot_frames(20)).read_bytes()
        path.write_bytes(data[: data.index(b"moov") - 4])
    return path


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("empty", "cannot be opened .the file is empty.*replace the file"),
        ("text", "cannot be opened|no video stream"),
        ("sound", "holds no video stream"),
        ("folder", "is a folder.*frame template"),
        ("missing", "no such file; check the path"),
        ("without-index", "cannot be opened"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, kind, message):
    path = bad_file(tmp_path, kind)

    with pytest.raises(DecodeError, match=f"(?s){path.name}.*({message})"):
        VideoReader(path)


def test_ffmpeg_does_not_write_to_the_terminal(tmp_path, cut_off):
    paths = [str(cut_off), str(bad_file(tmp_path, "text"))]
    code = (
        "import sys\nfrom internvideo.video import VideoReader\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n        r = VideoReader(path); r.frames([r.num_frames - 1])\n"
        "    except ValueError: pass\n"
    )

    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_threads_below_one_are_refused(clip):
    with pytest.raises(ConfigError, match="num_threads 0 is below 1"):
        VideoReader(clip, num_threads=0)


def test_memory_stays_bounded_over_many_videos(tmp_path):
    path = encode(tmp_path / "x.mp4", dot_frames(8, 360, 640))

    def decode(times: int) -> int:
        for _ in range(times):
            read_clip(path, [7, 0, 3])
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before_kib = decode(10)
    after_kib = decode(60)

    # One clip is 2 MiB of pixels; 50 leaked ones would be 100 MiB.
    assert after_kib - before_kib < 15_000


def test_a_record_opens_its_file(clip):
    with open_video(Record(video=clip)) as reader:
        assert reader.num_frames == 60


def test_readers_in_several_threads_do_not_mix_their_frames(real_actions):
    paths = sorted(real_actions.glob("*/*.avi"))[::20]

    def first_and_last(path):
        with VideoReader(path) as video:
            return video.timestamps_s[[0, -1]].tolist(), video.frames([0, 5]).frames

    alone = [first_and_last(path) for path in paths]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(first_and_last, paths))

    for (times, frames), (times_together, frames_together) in zip(alone, together, strict=True):
        assert times == times_together
        assert torch.equal(frames, frames_together)
