"""Rows of frames become one labelled picture, and pictures become PNG bytes.

Shapes: every row is (t, h, w, 3), uint8; the picture is (h, w, 3), uint8.
A strip is dark in light and dark pages alike, as a strip of film: frames show their own
brightness best against it, and one picture serves both.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from internvideo.errors import ConfigError

_PAPER, _INK, _FAINT, _RIGHT = "#17191d", "#e8eaed", "#9aa0a8", "#3fb950"
_GAP_PX, _MARGIN_PX, _TEXT_PX = 3, 8, 13
_HOT = (255, 96, 0)


def to_bytes(
    frames: Float[Tensor, "*axes c"] | UInt8[Tensor, "*axes c"],
) -> UInt8[Tensor, "*axes c"]:
    """Turn colours in [0, 1] into bytes; bytes pass. What lies outside (or is NaN) is clamped."""
    frames = frames.detach().cpu()
    if frames.dtype == torch.uint8:
        return frames
    return (frames.float().nan_to_num(0.0).clamp(0, 1) * 255).round().to(torch.uint8)


def enlarge(frames: UInt8[Tensor, "t h w c"], *, side_px: int) -> UInt8[Tensor, "t h2 w2 c"]:
    """Repeat pixels until the shorter side has at least `side_px`, so that small ones are seen."""
    factor = max(1, -(-side_px // min(frames.shape[1:3])))
    return frames.repeat_interleave(factor, dim=1).repeat_interleave(factor, dim=2)


def picture_strip(
    rows: Mapping[str, UInt8[Tensor, "_t _h _w 3"]],
    *,
    caption: str = "",
    side_px: int = 96,
    marked: str | None = None,
) -> UInt8[Tensor, "h w 3"]:
    """Draw rows of frames below each other, each with its name on the left.

    Args:
        rows: Frames by the row's name, in order; rows may differ in length and size.
        caption: A line above all rows.
        side_px: Frames whose shorter side is below this are enlarged by whole factors.
        marked: Name of the row to mark with a frame (the right answer, say).

    Raises:
        ConfigError: If there is no row or a row has no frames.
    """
    empty = [name for name, frames in rows.items() if frames.numel() == 0]
    if not rows or empty:
        raise ConfigError(f"a strip needs frames in every row; rows {list(rows)}, empty: {empty}")
    images = {name: _row_image(enlarge(frames, side_px=side_px)) for name, frames in rows.items()}
    widest = max(image.width for image in images.values())
    text_px = max(_TEXT_PX, widest // 80)  # long strips are shown shrunk to the page's width
    font = ImageFont.load_default(size=text_px)
    label_px = max(int(font.getlength(_drawable(name))) for name in rows) + 2 * _MARGIN_PX
    width = max(label_px + widest, int(font.getlength(_drawable(caption))) + _MARGIN_PX)
    caption_px = 2 * text_px if caption else 0
    height = 2 * _MARGIN_PX + caption_px - _GAP_PX
    height += sum(image.height + _GAP_PX for image in images.values())

    canvas = Image.new("RGB", (width + _MARGIN_PX, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_MARGIN_PX, _MARGIN_PX), _drawable(caption), fill=_FAINT, font=font)
    top = _MARGIN_PX + caption_px
    for name, image in images.items():
        ink = _RIGHT if name == marked else _INK
        place = (label_px - _MARGIN_PX, top + image.height // 2)
        draw.text(place, _drawable(name), fill=ink, font=font, anchor="rm")
        canvas.paste(image, (label_px, top))
        if name == marked:
            box = (label_px - 2, top - 2, label_px + image.width + 1, top + image.height + 1)
            draw.rectangle(box, outline=_RIGHT, width=3)
        top += image.height + _GAP_PX
    return torch.from_numpy(np.array(canvas))


def overlaid(
    frames: UInt8[Tensor, "t h w 3"], heat: Float[Tensor, "t h w"]
) -> UInt8[Tensor, "t h w 3"]:
    """Lay the hotter half of the heat over darkened grey frames."""
    usual = heat.median()
    above = ((heat - usual) / (heat.max() - usual).clamp(min=1e-6)).clamp(0, 1)
    grey = 0.7 * frames.float().mean(-1, keepdim=True).expand(-1, -1, -1, 3)
    hot = torch.tensor(_HOT, dtype=torch.float32)
    return torch.lerp(grey, hot, 0.85 * above[..., None]).round().to(torch.uint8)


def png_bytes(image: UInt8[Tensor, "h w 3"]) -> bytes:
    """Encode a picture as PNG."""
    buffer = io.BytesIO()
    Image.fromarray(image.contiguous().numpy()).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def jpeg_bytes(image: UInt8[Tensor, "h w 3"]) -> bytes:
    """Encode a picture as JPEG, for many small photographs."""
    buffer = io.BytesIO()
    Image.fromarray(image.contiguous().numpy()).save(buffer, format="JPEG", quality=80)
    return buffer.getvalue()


def _row_image(frames: UInt8[Tensor, "t h w 3"]) -> Image.Image:
    """Frames beside each other with thin lines of background between them."""
    num_frames, height, width, _ = frames.shape
    row = Image.new("RGB", (num_frames * (width + _GAP_PX) - _GAP_PX, height), _PAPER)
    for i, frame in enumerate(frames):
        row.paste(Image.fromarray(frame.contiguous().numpy()), (i * (width + _GAP_PX), 0))
    return row


def _drawable(text: str) -> str:
    """One line of what Pillow's own font can draw; it has Latin letters only."""
    return " ".join(text.split()).encode("latin-1", errors="replace").decode("latin-1")
