"""Numbers become places and labels along an axis: ticks, scales, thinning of long curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from internvideo.errors import ConfigError

# Counts are as welcome as measurements.
Number = int | float
Points = list[tuple[Number, Number]]


def nice_ticks(low: Number, high: Number, *, num: int = 5) -> list[float]:
    """Choose about `num` round numbers (1, 2, 2.5 or 5 times a power of ten) within [low, high].

    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    """
    if not high > low:
        return [low]
    rough = (high - low) / num
    unit = 10.0 ** math.floor(math.log10(rough))
    step = min((m * unit for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(math.log(s / rough)))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    # Rounding to the step's own digits keeps 0.30000000000000004 out of the labels.
    digits = max(0, 2 - math.floor(math.log10(step)))
    return [round(i * step, digits) + 0.0 for i in range(first, last + 1)]


def log_ticks(low: Number, high: Number) -> list[float]:
    """Choose powers of ten within [low, high], with 2 and 5 times them where few fit."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    decades = range(first, last + 1)
    for factors in ((1,), (1, 2, 5), tuple(range(1, 10))):
        marks = [m * 10.0**e for e in decades for m in factors]
        marks = [m for m in marks if low * (1 - 1e-9) <= m <= high * (1 + 1e-9)]
        if len(marks) >= 3:
            return marks[:: -(-len(marks) // 8)]
    return [low, high]


def short_number(value: Number) -> str:
    """Write a number in few characters: 0.25, 1,500, 2.5e-5, 1.2M.

    >>> short_number(1500.0), short_number(0.000025), short_number(2_000_000)
    ('1,500', '2.5e-5', '2M')
    """
    size = abs(value)
    for bound, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if bound <= size < 1e15:
            return f"{value / bound:.4g}{unit}"
    if 1000 <= size < 1e6:
        return f"{value:,.0f}"
    if 0 < size < 1e-4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{float(mantissa):g}e{int(exponent)}"
    return f"{value:.4g}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """A stretch of numbers laid over a stretch of pixels."""

    low: Number
    high: Number
    start_px: Number
    end_px: Number
    log: bool = False

    def __post_init__(self) -> None:
        if self.log and self.low <= 0:
            raise ConfigError(f"a logarithmic axis cannot begin at {self.low}; it must be positive")

    @classmethod
    def over(
        cls, values: Sequence[Number], start_px: Number, end_px: Number, *, log: bool = False
    ) -> Axis:
        """Span all values with a little room; a single value gets an axis around it."""
        low, high = min(values), max(values)
        if log:
            low, high = (low / 1.1, high * 1.1) if high > low else (low / 2, high * 2)
        elif high - low <= 1e-12 * max(abs(low), abs(high)):
            room = abs(low) * 0.1 or 1.0
            low, high = low - room, high + room
        return cls(low=low, high=high, start_px=start_px, end_px=end_px, log=log)

    def place(self, value: Number) -> float:
        """Pixel at which a value lies."""
        low, high = self.low, self.high
        if self.log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start_px + (value - low) / (high - low) * (self.end_px - self.start_px)

    def ticks(self, *, num: int = 5) -> list[float]:
        if self.log:
            return log_ticks(self.low, self.high)
        return nice_ticks(self.low, self.high, num=num)


def stretches(x: Sequence[Number], y: Sequence[Number], *, positive: bool = False) -> list[Points]:
    """Split a curve where a value is missing (NaN, infinite, or not positive if asked)."""
    parts: list[Points] = [[]]
    for left, right in zip(x, y, strict=True):
        if math.isfinite(left) and math.isfinite(right) and (right > 0 or not positive):
            parts[-1].append((left, right))
        elif parts[-1]:
            parts.append([])
    return [part for part in parts if part]


def thin(points: Points, *, most: int) -> Points:
    """Keep at most about `most` points: lowest and highest of equal parts, so that spikes stay."""
    if len(points) <= most:
        return points
    size = -(-2 * len(points) // most)
    kept = []
    for start in range(0, len(points), size):
        part = points[start : start + size]
        ends = {min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])}
        kept += sorted(ends)
    return kept
