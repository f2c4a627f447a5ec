"""Turning decoded pictures upright, as the file asks its player to do."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from jaxtyping import UInt8
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Turn:
    """How a decoded picture has to be turned to stand upright; from FFmpeg's display matrix."""

    transposed: bool = False
    flips_x: bool = False
    flips_y: bool = False

    @classmethod
    def of(cls, frame: av.VideoFrame) -> Turn:
        data = frame.side_data.get("DISPLAYMATRIX")
        if data is None:
            return cls()
        # Column x, row y of the stored picture go to (a x + c y, b x + d y).
        a, b, _, c, d = np.frombuffer(data, np.int32)[:5].tolist()
        transposed = abs(b) > abs(a)
        x, y = (c, b) if transposed else (a, d)
        return cls(transposed=transposed, flips_x=x < 0, flips_y=y < 0)

    @property
    def degrees(self) -> int:
        """Clockwise rotation, leaving mirrors aside."""
        if self.transposed:
            return 90 if self.flips_x else 270
        return 180 if self.flips_x and self.flips_y else 0

    def upright(self, frames: UInt8[Tensor, "t h w 3"]) -> UInt8[Tensor, "t h2 w2 3"]:
        if self.transposed:
            frames = frames.transpose(1, 2)
        axes = [axis for axis, flips in ((1, self.flips_y), (2, self.flips_x)) if flips]
        return frames.flip(axes) if axes else frames.contiguous()
