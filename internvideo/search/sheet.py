"""A contact sheet: the moments of an answer as one picture, with file, time and confidence."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from internvideo.errors import ConfigError
from internvideo.search.index import Index
from internvideo.search.query import Moment
from internvideo.video.picture import open_picture

_TILE_PX, _CAPTION_PX, _GAP_PX = (240, 160), 40, 8
_PAPER, _INK = (250, 250, 250), (30, 30, 30)
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp"))


def write_sheet(index: Index, moments: Sequence[Moment], path: Path, *, columns: int = 4) -> Path:
    """Draw the middle frame of each moment's best window, in the order given.

    Raises:
        ConfigError: There is no moment, or the file is no picture by its name.
    """
    if not moments:
        raise ConfigError(f"{path}: not written, nothing was found")
    columns = min(columns, len(moments))
    rows = -(-len(moments) // columns)
    wide, tall = _TILE_PX[0] + _GAP_PX, _TILE_PX[1] + _CAPTION_PX + _GAP_PX
    sheet = Image.new("RGB", (columns * wide + _GAP_PX, rows * tall + _GAP_PX), _PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for place, moment in enumerate(moments):
        left = _GAP_PX + place % columns * wide
        top = _GAP_PX + place // columns * tall
        with open_picture(Path(moment.path), index.thumbnail(moment.row)) as picture:
            scale = min(_TILE_PX[0] / picture.width, _TILE_PX[1] / picture.height)
            size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
            tile = picture.resize(size, Image.Resampling.BILINEAR)
        inset = left + (_TILE_PX[0] - size[0]) // 2, top + (_TILE_PX[1] - size[1]) // 2
        sheet.paste(tile, inset)
        name = _fitted(moment.path, font, _TILE_PX[0])
        times = f"{moment.start_s:.1f}-{moment.end_s:.1f} s   {moment.confidence:.2f}"
        draw.text((left, top + _TILE_PX[1] + 3), name, _INK, font)
        draw.text((left, top + _TILE_PX[1] + 20), times, _INK, font)
    beside = path.with_name(f".{path.stem}-writing{path.suffix}")
    try:
        sheet.save(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return path


def check_sheet(path: Path, *, overwrite: bool = False) -> None:
    """Raise `ConfigError` where a sheet cannot or, without `overwrite`, may not be written."""
    if path.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"{path}: a contact sheet is a picture; end its name in .jpg or .png")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: its folder does not exist")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path}: is there already; choose another name or add --overwrite")


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width_px: int) -> str:
    """The end of a path, as much as fits."""
    if font.getlength(text) <= width_px:
        return text
    while text and font.getlength(f"…{text}") > width_px:
        text = text[1:]
    return f"…{text}"
