"""Sizes to which frames are scaled while they are decoded."""

from __future__ import annotations

from internvideo.errors import ConfigError


def scaled_size(width: int, height: int, short_side_px: int | None) -> tuple[int, int]:
    """Return (width, height) with the short side at most `short_side_px`, never enlarged.

    The long side becomes the nearest even number: colour conversion is twice as slow on odd widths.

    >>> scaled_size(341, 256, 128)
    (170, 128)
    >>> scaled_size(90, 160, 128)
    (90, 160)
    """
    if short_side_px is None or short_side_px >= min(width, height):
        return width, height
    if short_side_px < 1:
        raise ConfigError(f"short_side_px {short_side_px} is below 1; give a size in pixels")

    def scaled(side: int) -> int:
        if side == min(width, height):
            return short_side_px
        return 2 * round(side * short_side_px / min(width, height) / 2)

    return scaled(width), scaled(height)
