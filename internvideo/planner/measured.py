"""What a plan assumes, and the file of measurements that takes its place.

The file is what `internvideo bench` writes: a JSON object with `decode`, `data` and `step`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from internvideo.errors import ConfigError
from internvideo.reading import read_json_document


@dataclass(frozen=True, kw_only=True, slots=True)
class Assumptions:
    """Ranges that no configuration tells.

    Utilisation is that of the dense peak: 0.05 was usual in 2022, 0.5 is seldom passed. Decoding is
    that of 16 frames, by one core: long videos and short clips of 340 x 256 as measured in
    benchmarks/decode-2026-11-22-2cores.md. A video of ten seconds takes 0.5 MB at 340 x 256 and
    1.5 MB as Kinetics comes.
    """

    utilisation_low: float = 0.2
    utilisation_high: float = 0.5
    decodes_per_core_s_low: float = 26.0
    decodes_per_core_s_high: float = 117.0
    video_mb_low: float = 0.5
    video_mb_high: float = 1.5

    def __post_init__(self) -> None:
        if not 0 < self.utilisation_low <= self.utilisation_high <= 1:
            raise ConfigError(
                f"utilisation from {self.utilisation_low} to {self.utilisation_high}; give two "
                "shares of the peak above 0 and up to 1, the lower one first"
            )
        for name in ("decodes_per_core_s", "video_mb"):
            low, high = getattr(self, f"{name}_low"), getattr(self, f"{name}_high")
            if not 0 < low <= high:
                raise ConfigError(f"{name} from {low} to {high}; both are positive, in order")


def with_measured(assumptions: Assumptions, path: Path) -> Assumptions:
    """Replace what a file of `internvideo bench` measured; from a tenth below to a tenth above.

    Raises:
        ConfigError: If the file cannot be read or holds no measurement that a plan can use.
    """
    try:
        document = read_json_document(path)
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read ({error}); `internvideo bench` writes it") from (
            error
        )
    decode = _number(document, "data", "clips_per_core_s") or _number(
        document, "decode", "clips_per_core_s"
    )
    found: dict[str, float] = {}
    for name, value in (
        ("decodes_per_core_s", decode),
        ("utilisation", _number(document, "step", "utilisation")),
        ("video_mb", _number(document, "decode", "video_mb")),
    ):
        if value is not None:
            found |= {f"{name}_low": 0.9 * value, f"{name}_high": 1.1 * value}
    if not found:
        raise ConfigError(
            f"{path}: holds no clips_per_core_s of `data` or `decode` and no utilisation of "
            "`step`; write it with `internvideo bench`"
        )
    return replace(assumptions, **found)


def _number(document: Any, part: str, name: str) -> float | None:
    inner = document.get(part) if isinstance(document, dict) else None
    value = inner.get(name) if isinstance(inner, dict) else None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and 0 < value < 1e12 else None
