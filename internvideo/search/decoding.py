"""Decoding the videos of an index ahead of the model: clips and frames, windows, thumbnails.

A thread decodes while the model works. What it hands over for each video are a `Begin`, then
`Unit`s (a prepared clip or frame each) and the `Window`s that are made of them, and an `End`.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from torch import Tensor

from internvideo.errors import DecodeError
from internvideo.search.changes import VideoFile
from internvideo.search.model import SearchModel
from internvideo.search.windows import CutWindow, WindowPlan, cut_video, is_still, small_picture
from internvideo.video import VideoReader
from internvideo.weights import sha256_of

_THUMBNAIL_PX = 180
# Frames or clips that may wait for the model, decoded.
_AHEAD = 64


@dataclass(frozen=True, slots=True)
class Begin:
    """A video that can be opened; `facts` are seconds, frames a second, width and height."""

    file: VideoFile
    sha256: str
    facts: tuple[float, float, int, int]


@dataclass(frozen=True, slots=True)
class Unit:
    """A clip or frame for the model."""

    prepared: Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A window; `units` are the places of its clip or frames among the units of the video."""

    start_s: float
    end_s: float
    shot: int
    thumbnail: bytes
    units: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class End:
    """The end of a video, or why it cannot be indexed; `decoding_s` is of the thread alone."""

    file: VideoFile
    reason: str | None = None
    decoding_s: float = 0.0


Event = Begin | Unit | Window | End


def decoded_ahead(
    root: Path, plan: WindowPlan, model: SearchModel, pending: Sequence[VideoFile]
) -> Iterator[Event]:
    """Decode videos one after the other, in a thread that is a few clips or frames ahead."""
    return _ahead(_decode(root, plan, model, pending))


def _decode(
    root: Path, plan: WindowPlan, model: SearchModel, pending: Sequence[VideoFile]
) -> Iterator[Event]:
    for file in pending:
        path = root / file.path
        started_s = time.thread_time()
        try:
            sha256 = sha256_of(path)
            with VideoReader(path) as video:
                info = video.info
                facts = (info.duration_s, info.rate_fps, info.width, info.height)
                yield Begin(file, sha256, facts)
                cut = cut_video(
                    video,
                    plan,
                    short_side_px=model.short_side_px,
                    single_frames=model.num_frames == 1,
                )
                yield from _units(cut, model)
        except (DecodeError, OSError) as error:
            yield End(file, str(error))
        else:
            yield End(file, decoding_s=time.thread_time() - started_s)


def _units(cut: Iterator[CutWindow], model: SearchModel) -> Iterator[Unit | Window]:
    """Clips, or frames that several windows share; a still picture counts once."""
    num_units, of_number = 0, {}
    last: tuple[int, Tensor] | None = None
    for window in cut:
        if model.num_frames > 1:
            yield Unit(model.prepare(window.spread(model.num_frames)))
            units: tuple[int, ...] = (num_units,)
            num_units += 1
        else:
            for sample in window.samples:
                if sample.number in of_number:
                    continue
                small = small_picture(sample.frame)
                if last is None or not is_still(small, last[1]):
                    yield Unit(model.prepare(sample.frame[None]))
                    last = (num_units, small)
                    num_units += 1
                of_number[sample.number] = last[0]
            units = tuple(of_number[sample.number] for sample in window.samples)
        thumbnail = jpeg(window.middle.frame)
        yield Window(window.start_s, window.end_s, window.shot, thumbnail, units)


def jpeg(frame: Tensor, *, width_px: int = _THUMBNAIL_PX, quality: int = 70) -> bytes:
    """A frame (h, w, 3) as a small JPEG."""
    image = Image.fromarray(frame.contiguous().numpy())
    height_px = max(1, round(image.height * width_px / image.width))
    out = io.BytesIO()
    image.resize((width_px, height_px), Image.Resampling.BILINEAR).save(
        out, "JPEG", quality=quality
    )
    return out.getvalue()


def _ahead(items: Iterator[Any]) -> Iterator[Any]:
    """Take items from an iterator that runs in a thread of its own, a few ahead."""
    waiting: queue.Queue[Any] = queue.Queue(_AHEAD)
    stopped = threading.Event()
    end = object()

    def put(item: Any) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(item):
                    return
            put(end)
        except BaseException as error:  # raised again by the one who takes the items
            put(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while (item := waiting.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join()
