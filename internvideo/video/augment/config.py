"""How training clips are changed beyond crop and flip; the defaults are VideoMAE's fine-tuning."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from internvideo.errors import ConfigError
from internvideo.video.augment.warp import Interpolation

MAX_MAGNITUDE = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """RandAugment, colour jitter and random erasing; each is drawn once for a whole clip.

    RandAugment: `num_ops` operations, drawn with replacement, are each done with
    `op_probability`, at a strength drawn about `magnitude` (of 10) with deviation `magnitude_std`.
    With `increasing` all of them do more at higher magnitudes. It sees whole frames, as published,
    or with `after_crop` the crop alone: fewer pixels, but the colour of what a turn or shift leaves
    open is seen more.

    `jitter` multiplies brightness, contrast and saturation, in any order, by up to 1 plus or minus
    it. A clip is erased in up to `erase_count` boxes with `erase_probability`: by noise of its own
    in each pixel of each frame, or by the mean colour ("const"). Hue, saturation and value
    of all pixels are shifted by up to `hue_degrees`, `saturation_shift` and `value_shift` (shares
    of their range), as for AVA.
    """

    num_ops: int = 4
    magnitude: float = 7.0
    magnitude_std: float = 0.5
    increasing: bool = True
    op_probability: float = 0.5
    interpolation: Interpolation = "bicubic"
    after_crop: bool = False
    jitter: float = 0.0
    erase_probability: float = 0.25
    erase_mode: Literal["pixel", "const"] = "pixel"
    erase_count: int = 1
    hue_degrees: float = 0.0
    saturation_shift: float = 0.0
    value_shift: float = 0.0

    def __post_init__(self) -> None:
        for name, least, most in (
            ("num_ops", 0, 100),
            ("magnitude", 0, MAX_MAGNITUDE),
            ("magnitude_std", 0, MAX_MAGNITUDE),
            ("op_probability", 0, 1),
            ("jitter", 0, 1),
            ("hue_degrees", 0, 180),
            ("saturation_shift", 0, 1),
            ("value_shift", 0, 1),
            ("erase_probability", 0, 1),
            ("erase_count", 1, 100),
        ):
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"augment.{name} is {getattr(self, name)}, expected {least} to {most:g}"
                )

    @classmethod
    def of(cls, text: str) -> AugmentConfig:
        """Read a published name such as `rand-m7-n4-mstd0.5-inc1`; other fields keep defaults.

        What the name leaves out is m10, n2, mstd0, inc0, as where such names come from.
        """
        kind, *parts = text.split("-")
        config = cls(num_ops=2, magnitude=10.0, magnitude_std=0.0, increasing=False)
        for part in parts:
            match re.fullmatch(r"(m|n|mstd|inc)(\d+(?:\.\d+)?)", part):
                case re.Match() as found:
                    field, read = _PARTS[found[1]]
                    config = replace(config, **{field: read(float(found[2]))})
                case None:
                    kind = ""
        if kind != "rand":
            raise ConfigError(
                f"{text!r} names no RandAugment; write it like rand-m7-n4-mstd0.5-inc1, of m "
                "(magnitude), n (operations), mstd (deviation of the magnitude), inc (0 or 1)"
            )
        return config


_PARTS = {
    "m": ("magnitude", float),
    "n": ("num_ops", int),
    "mstd": ("magnitude_std", float),
    "inc": ("increasing", bool),
}
