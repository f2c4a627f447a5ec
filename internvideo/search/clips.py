"""A moment as a file of its own: packets copied where a key frame allows, else exact frames.

A copy starts at a key frame at most a quarter of a second before the moment and has the quality of
the source; otherwise the frames of the moment are encoded anew (H.264). Sound is copied with either
where the container can hold it. Files take their names when they are complete.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np

from internvideo.errors import ConfigError, DecodeError
from internvideo.video import VideoReader, write_video
from internvideo.video.container import choose_stream, local_address, open_container
from internvideo.video.guard import named_failures

# A key frame this much before the start, or after it, begins a copy.
_EARLY_S, _LATE_S = 0.25, 0.02
_MP4_SOUND = frozenset(("aac", "mp3", "ac3", "alac", "opus"))
_MP4_NAMES = frozenset((".mp4", ".m4v", ".mov"))


@dataclass(frozen=True, kw_only=True, slots=True)
class CutClip:
    """A written file, and the times of the source that it shows."""

    path: Path
    start_s: float
    end_s: float
    is_copy: bool


def cut_clip(
    source: Path,
    start_s: float | int,
    end_s: float | int,
    stem: Path,
    *,
    overwrite: bool = False,
) -> CutClip:
    """Write seconds `start_s` to `end_s` of a video to `stem` with an ending that fits.

    Raises:
        ConfigError: The file is there already and `overwrite` is not given.
        DecodeError: The source cannot be read there.
        OSError: The file cannot be written.
    """
    with VideoReader(source) as video:
        times = video.timestamps_s
        keys = np.array(video.key_frames, dtype=np.int64)
        keys = keys[times[keys] <= start_s + _LATE_S]
        if len(keys) and start_s - times[keys[-1]] <= _EARLY_S:
            begin_s = float(times[keys[-1]])
            suffix = ".mp4" if source.suffix.lower() in _MP4_NAMES else ".mkv"
            path = _free(stem.with_name(stem.name + suffix), overwrite)
            with _beside(path) as part, named_failures(source):
                _copy(source, source, part, begin_s, end_s)
            return CutClip(path=path, start_s=begin_s, end_s=end_s, is_copy=True)
        first = max(0, int(np.searchsorted(times, start_s + 5e-7, side="right")) - 1)
        last = max(first + 1, int(np.searchsorted(times, end_s - 5e-7)))
        frames = (frame.contiguous().numpy() for _, frame in video.stream(list(range(first, last))))
        path = _free(stem.with_name(f"{stem.name}.mp4"), overwrite)
        begin_s = float(times[first])
        with _beside(path) as part, _beside(path.with_name(f"{stem.name}.silent.mp4")) as silent:
            write_video(silent, frames, video.info.rate_fps)
            with named_failures(source):
                _copy(silent, source, part, begin_s, end_s)
            silent.unlink()
        return CutClip(path=path, start_s=begin_s, end_s=end_s, is_copy=False)


def _free(path: Path, overwrite: bool) -> Path:
    if path.exists() and not overwrite:
        raise ConfigError(f"{path}: is there already; choose another folder or add --overwrite")
    return path


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A hidden file that takes the name `path` when the block ends well and it is still there."""
    part = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        yield part
        if part.exists():
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _copy(pictures: Path, sound: Path, target: Path, start_s: float, end_s: float) -> None:
    """Copy the packets of pictures, and of sound where the target can hold it, between two times.

    Pictures from another file than the sound are copied whole: they are the moment.
    """
    whole = pictures != sound
    with open_container(pictures, None) as shown, open_container(sound, None) as heard:
        picture = choose_stream(shown, pictures)
        with av.open(local_address(target), "w") as out:
            out_picture = out.add_stream_from_template(picture)
            voice = next(iter(heard.streams.audio), None)
            out_voice = _voice(out, voice, target)
            origin_s = _start_s(choose_stream(heard, sound))
            if whole:
                _mux(shown, picture, out, out_picture, _start_s(picture), float("inf"))
            else:
                _mux(shown, picture, out, out_picture, origin_s + start_s, origin_s + end_s)
            if voice is not None and out_voice is not None:
                _mux(heard, voice, out, out_voice, origin_s + start_s, origin_s + end_s)


def _voice(out: Any, voice: Any, target: Path) -> Any:
    if voice is None or voice.codec_context is None:
        return None
    if target.suffix == ".mp4" and voice.codec_context.name not in _MP4_SOUND:
        return None
    return out.add_stream_from_template(voice)


def _start_s(stream: Any) -> float:
    """When the first frame of a stream is on screen, by its container's clock."""
    return float((stream.start_time or 0) * stream.time_base)


def _mux(source: Any, stream: Any, out: Any, target: Any, start_s: float, end_s: float) -> None:
    """Write the packets of one stream between two times of the container's clock."""
    base, is_picture = float(stream.time_base), stream.type == "video"
    source.seek(max(0, round((start_s + 1e-3) / base)), stream=stream)
    shift, begun = round(start_s / base), False
    for packet in source.demux(stream):
        if packet.size == 0 or packet.pts is None:
            continue
        time_s = packet.pts * base
        if (packet.dts if packet.dts is not None else packet.pts) * base >= end_s:
            break
        if not begun and (time_s < start_s - 5e-3 or (is_picture and not packet.is_keyframe)):
            continue
        if time_s >= end_s or time_s < start_s - 5e-3:
            continue
        begun = True
        packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        packet.stream = target
        out.mux(packet)
    if is_picture and not begun:
        raise DecodeError(f"no packet between {start_s:.2f} s and {end_s:.2f} s can be copied")
