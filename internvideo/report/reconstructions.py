"""What masked pretraining rebuilt, to look at: a strip for each clip and one looping video.

Source of the picture's form: Tong et al. 2022, "VideoMAE", figures of section 4 (input, masked,
rebuilt below each other). Shapes: frames are (t, h, w, 3), bytes or numbers in [0, 1].
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.report.images import enlarge, picture_strip, png_bytes, to_bytes
from internvideo.video import write_video

Frames = Float[Tensor, "_t _h _w 3"] | UInt8[Tensor, "_t _h _w 3"]

_GAP_PX = 8


@runtime_checkable
class Reconstruction(Protocol):
    """One clip as it went in, without its masked tubelets, and as the decoder rebuilt it.

    `error` is the mean squared error on the masked tubelets, `mean_baseline_error` that of
    predicting the clip's mean tubelet. A protocol and not a class, so that a stage can offer it
    without knowing of reports.
    """

    @property
    def shown(self) -> Frames: ...
    @property
    def masked(self) -> Frames: ...
    @property
    def rebuilt(self) -> Frames: ...
    @property
    def source(self) -> str: ...
    @property
    def error(self) -> float: ...
    @property
    def mean_baseline_error(self) -> float: ...


def error_ratio(item: Reconstruction) -> float:
    """Error over the mean baseline's: 1 has learned nothing, 0 is perfect, NaN is a still clip."""
    return item.error / item.mean_baseline_error if item.mean_baseline_error else float("nan")


def reconstruction_strip(item: Reconstruction, *, side_px: int = 96) -> bytes:
    """Draw input, masked and rebuilt frames below each other, as PNG."""
    caption = (
        f"{Path(item.source).name}: error {item.error:.4f}, "
        f"{error_ratio(item):.2f} of predicting the mean tubelet"
    )
    return png_bytes(picture_strip(_rows(item), caption=caption, side_px=side_px))


def reconstruction_video(
    items: Sequence[Reconstruction], *, rate_fps: float = 6.0, side_px: int = 128
) -> bytes:
    """Put input | masked | rebuilt of every clip side by side into one mp4, a clip a row.

    Clips shorter than the longest stay at their last frame.
    """
    if not items:
        raise ConfigError("a video of reconstructions needs at least one clip")
    num_frames = max(len(item.shown) for item in items)
    rows = [_beside([enlarge(f, side_px=side_px) for f in _rows(item).values()]) for item in items]
    rows = [_lasting(row, num_frames) for row in rows]
    width = max(row.shape[2] for row in rows)
    frames = torch.cat([_padded(row, width) for row in rows], dim=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "reconstructions.mp4"
        write_video(path, frames, rate_fps)
        return path.read_bytes()


def _rows(item: Reconstruction) -> dict[str, UInt8[Tensor, "t h w 3"]]:
    rows = {"input": item.shown, "masked": item.masked, "rebuilt": item.rebuilt}
    if len({frames.shape for frames in rows.values()}) > 1:
        shapes = {name: tuple(frames.shape) for name, frames in rows.items()}
        raise ConfigError(f"{item.source}: frames of a reconstruction differ in size: {shapes}")
    return {name: to_bytes(frames) for name, frames in rows.items()}


def _beside(clips: Sequence[UInt8[Tensor, "t h w 3"]]) -> UInt8[Tensor, "t h w2 3"]:
    num_frames, height, *_ = clips[0].shape
    gap = torch.zeros(num_frames, height, _GAP_PX, 3, dtype=torch.uint8)
    parts = [part for clip in clips for part in (gap, clip)][1:]
    return torch.cat(parts, dim=2)


def _lasting(clip: UInt8[Tensor, "t h w 3"], num_frames: int) -> UInt8[Tensor, "t2 h w 3"]:
    return clip[torch.arange(num_frames).clamp(max=len(clip) - 1)]


def _padded(clip: UInt8[Tensor, "t h w 3"], width: int) -> UInt8[Tensor, "t h2 w2 3"]:
    """Add black to the right up to the widest clip, and a gap below."""
    return torch.nn.functional.pad(clip, (0, 0, 0, width - clip.shape[2], 0, _GAP_PX))
