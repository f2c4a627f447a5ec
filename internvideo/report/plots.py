"""Charts as SVG text that needs nothing else: lines over steps, bars, heat maps.

Text and axes take the colour of the page around them (`currentColor`), series take colours that
are readable on white and on black. Whatever is drawn tells its number under the pointer
(`<title>`). A value that is NaN or infinite leaves a gap.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import NewType

from jaxtyping import UInt8
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.report.axes import Axis, Number, Points, short_number, stretches, thin
from internvideo.report.images import png_bytes

Svg = NewType("Svg", str)

COLOURS = ("#3b82f6", "#f0772b", "#22a06b", "#c44fc4", "#d9a400", "#e5484d", "#12a5b8", "#8b7bf0")
_LEFT_PX, _RIGHT_PX, _TOP_PX, _BOTTOM_PX, _LEGEND_PX = 58, 22, 34, 40, 20
_LETTER_PX = 6.4  # a letter at font size 11, on average
_MOST_POINTS, _MANY_CELLS = 240, 2500


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One curve; `x` and `y` are equally long, `dashed` sets evaluation apart from training."""

    name: str
    x: Sequence[Number]
    y: Sequence[Number]
    dashed: bool = False

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ConfigError(
                f"series {self.name!r} has {len(self.x)} places but {len(self.y)} values"
            )


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x_label: str = "step",
    log_y: bool = False,
    width: int = 560,
    height: int = 300,
) -> Svg:
    """Draw curves over a common axis, with a legend where there are several."""
    curves = [(s, stretches(s.x, s.y, positive=log_y)) for s in series]
    points = [point for _, parts in curves for part in parts for point in part]
    if not points:
        return svg(_nothing(width, height), title=title, width=width, height=height)
    legend, top = _legend([(s.name, s.dashed) for s in series], width)
    x_axis = Axis.over([x for x, _ in points], _LEFT_PX, width - _RIGHT_PX)
    y_axis = Axis.over([y for _, y in points], height - _BOTTOM_PX, top, log=log_y)
    body = [*legend, *_grid(x_axis, y_axis, x_label=x_label, height=height)]
    for i, (curve, parts) in enumerate(curves):
        body += _curve(curve, parts, COLOURS[i % len(COLOURS)], x_axis, y_axis)
    return svg(body, title=title, width=width, height=height)


def bar_chart(
    groups: Sequence[str],
    series: Mapping[str, Sequence[Number]],
    *,
    title: str,
    width: int = 560,
) -> Svg:
    """Draw lying bars, one for each series in each group; their names are read without turning."""
    wrong = {name: len(v) for name, v in series.items() if len(v) != len(groups)}
    if wrong:
        raise ConfigError(f"bar chart {title!r}: {len(groups)} groups, but {wrong} values")
    finite = [v for values in series.values() for v in values if math.isfinite(v)]
    if not finite:
        return svg(_nothing(width, 120), title=title, width=width, height=120)
    several = len(series) > 1
    legend, top = _legend([(name, False) for name in series] if several else [], width)
    bar_px, gap_px = (12, 10) if several else (16, 8)
    group_px = bar_px * len(series) + gap_px
    bottom = top + group_px * len(groups)
    left = min(0.4 * width, 16 + _LETTER_PX * max(len(name) for name in groups))
    axis = Axis.over([0.0, *finite], left, width - 60)
    body = [*legend, _line(axis.place(0), top - 4, axis.place(0), bottom - 2)]
    for g, group in enumerate(groups):
        middle = top + g * group_px + (group_px - gap_px) / 2
        shown = shortened(group, int((left - 8) / _LETTER_PX))
        body.append(labelled_text(left - 8, middle + 4, shown, anchor="end", title=group))
        for i, (name, values) in enumerate(series.items()):
            y = top + g * group_px + i * bar_px
            tip = f"{group}, {name}: {short_number(values[g])}" if several else group
            body += _bar(axis, y, bar_px - 2, values[g], COLOURS[i % len(COLOURS)], tip)
    return svg(body, title=title, width=width, height=round(bottom + 8))


def heat_map(
    matrix: Sequence[Sequence[Number]],
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    title: str,
    x_label: str = "",
    y_label: str = "",
    width: int = 560,
) -> Svg:
    """Draw a matrix as shaded cells; cells that are large enough carry their number."""
    if len(matrix) != len(rows) or any(len(row) != len(columns) for row in matrix):
        sizes = f"{len(matrix)} x {sorted({len(row) for row in matrix})}"
        raise ConfigError(f"heat map {title!r}: values {sizes}, names {len(rows)} x {len(columns)}")
    finite = [v for row in matrix for v in row if math.isfinite(v)]
    if not finite:
        return svg(_nothing(width, 120), title=title, width=width, height=120)
    low, high = min(finite), max(finite)
    left = min(0.35 * width, 16 + _LETTER_PX * max(map(len, rows))) + (16 if y_label else 0)
    slope = 0.71 * _LETTER_PX * min(20, max(map(len, columns)))  # names of columns stand at 45°
    cell = min(56.0, (width - left - max(_RIGHT_PX, slope)) / len(columns))
    top = _TOP_PX + (16 if x_label else 0) + slope + 10
    body = []
    for j, name in list(enumerate(columns))[:: math.ceil(16 / cell)]:
        x, shown = left + (j + 0.5) * cell, shortened(name, 20)
        body.append(labelled_text(x, top - 6, shown, title=name, turn=-45))
    for i, name in list(enumerate(rows))[:: math.ceil(11 / cell)]:
        shown = shortened(name, int(0.35 * width / _LETTER_PX))
        body.append(
            labelled_text(left - 6, top + (i + 0.5) * cell + 4, shown, anchor="end", title=name)
        )
    # The many empty cells of a large confusion matrix would make the page megabytes longer.
    is_large = len(rows) * len(columns) > _MANY_CELLS
    for i, row in enumerate(matrix):
        for j, value in enumerate(row):
            if is_large and value == low < high:
                continue
            tip = f"{rows[i]}, {columns[j]}: {short_number(value)}"
            share = (value - low) / (high - low) if high > low else 1.0
            body.append(_cell(left + j * cell, top + i * cell, cell, value, share, tip))
    bottom = top + len(rows) * cell
    if x_label:
        body.append(
            labelled_text(left + len(columns) * cell / 2, _TOP_PX + 8, x_label, anchor="middle")
        )
    if y_label:
        middle = (top + bottom) / 2
        body.append(labelled_text(12, middle, y_label, anchor="middle", turn=-90))
    return svg(body, title=title, width=width, height=round(bottom + 10))


def picture_chart(
    picture: UInt8[Tensor, "h w 3"], *, title: str, width: int = 560, height: int = 480
) -> Svg:
    """Draw a picture as a chart, its pixels as sharp squares (a large matrix, say)."""
    rows, columns, _ = picture.shape
    side = min((width - 16) / columns, (height - _TOP_PX - 8) / rows)
    png = base64.b64encode(png_bytes(picture)).decode("ascii")
    image = (
        f'<image x="8" y="{_TOP_PX}" width="{side * columns:.1f}" height="{side * rows:.1f}" '
        f'href="data:image/png;base64,{png}" style="image-rendering:pixelated" '
        'preserveAspectRatio="none"/>'
    )
    return svg([image], title=title, width=width, height=round(_TOP_PX + side * rows + 8))


def svg(body: Sequence[str], *, title: str, width: int, height: int) -> Svg:
    heading = f'<text x="8" y="18" font-size="13" font-weight="600">{escape(title)}</text>'
    return Svg(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="11" '
        f'fill="currentColor">{heading}{"".join(body)}</svg>'
    )


def _nothing(width: int, height: int) -> list[str]:
    return [labelled_text(width / 2, height / 2, "no data", anchor="middle")]


def labelled_text(
    x: Number, y: Number, text: str, *, anchor: str = "start", title: str = "", turn: int = 0
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
    tip = f"<title>{escape(title)}</title>" if title and title != text else ""
    return f'<text {place}{turned} opacity="0.8">{escape(text)}{tip}</text>'


def _line(x1: Number, y1: Number, x2: Number, y2: Number, *, opacity: Number = 0.4) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" opacity="{opacity}"/>'


def _legend(entries: Sequence[tuple[str, bool]], width: int) -> tuple[list[str], int]:
    """Names beside short pieces of their curves, in as many lines as needed; and where they end."""
    x, y = _LEFT_PX, _TOP_PX + 4
    body = []
    if len(entries) < 2 and not any(dashed for _, dashed in entries):
        return body, _TOP_PX
    for i, (name, dashed) in enumerate(entries):
        needed = 34 + _LETTER_PX * min(len(name), 40)
        if x > _LEFT_PX and x + needed > width:
            x, y = _LEFT_PX, y + _LEGEND_PX - 4
        dash = ' stroke-dasharray="4 3"' if dashed else ""
        colour = COLOURS[i % len(COLOURS)]
        body.append(
            f'<line x1="{x}" y1="{y - 4}" x2="{x + 16}" y2="{y - 4}" stroke="{colour}" '
            f'stroke-width="2.5"{dash}/>'
        )
        body.append(labelled_text(x + 21, y, shortened(name, 40), title=name))
        x += round(needed)
    return body, y + 12


def _grid(x_axis: Axis, y_axis: Axis, *, x_label: str, height: int) -> list[str]:
    left, right, bottom = x_axis.start_px, x_axis.end_px, y_axis.start_px
    body = []
    for tick in y_axis.ticks():
        y = y_axis.place(tick)
        body.append(_line(left, y, right, y, opacity=0.15))
        body.append(labelled_text(left - 6, y + 4, short_number(tick), anchor="end"))
    for tick in x_axis.ticks(num=6):
        x = x_axis.place(tick)
        body.append(_line(x, bottom, x, bottom + 4))
        body.append(labelled_text(x, bottom + 16, short_number(tick), anchor="middle"))
    body.append(_line(left, bottom, right, bottom))
    body.append(labelled_text((left + right) / 2, height - 6, x_label, anchor="middle"))
    return body


def _curve(
    series: Series, parts: list[Points], colour: str, x_axis: Axis, y_axis: Axis
) -> list[str]:
    dash = ' stroke-dasharray="5 3"' if series.dashed else ""
    total = sum(len(part) for part in parts)
    body = []
    for part in parts:
        points = thin(part, most=max(2, _MOST_POINTS * len(part) // total))
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        body.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8" '
            f'stroke-linejoin="round"{dash}/>'
        )
        # Points far apart are drawn; all others are there for the pointer only.
        near = len(places) > 1 and max(b[0] - a[0] for a, b in pairwise(places)) < 12
        for (x, y), (px, py) in zip(points, places, strict=True):
            tip = escape(f"{series.name}, {short_number(x)}: {short_number(y)}")
            dot = 'r="5" opacity="0"' if near else 'r="2.5"'
            body.append(
                f'<circle cx="{px:.1f}" cy="{py:.1f}" {dot} fill="{colour}">'
                f"<title>{tip}</title></circle>"
            )
    return body


def _bar(
    axis: Axis, y: Number, thickness: Number, value: Number, colour: str, tip: str
) -> list[str]:
    if not math.isfinite(value):
        return [labelled_text(axis.place(0) + 5, y + thickness / 2 + 4, short_number(value))]
    start, end = sorted((axis.place(0), axis.place(value)))
    return [
        f'<rect x="{start:.1f}" y="{y:.1f}" width="{end - start:.1f}" height="{thickness}" '
        f'rx="2" fill="{colour}"><title>{escape(tip)}</title></rect>',
        labelled_text(end + 5, y + thickness / 2 + 4, short_number(value)),
    ]


def _cell(x: Number, y: Number, side: Number, value: Number, share: Number, tip: str) -> str:
    fill = f'fill="{COLOURS[0]}" fill-opacity="{0.06 + 0.94 * share:.2f}"'
    label = ""
    if not math.isfinite(value):
        fill = 'fill="none" stroke="currentColor" stroke-opacity="0.3"'
    elif side >= 8 * len(number := short_number(round(value, 2))):
        # Blue this deep needs white on it; below, the page's own ink is clearer.
        ink = ' fill="#fff"' if share > 0.55 else ""
        label = (
            f'<text x="{x + side / 2:.1f}" y="{y + side / 2 + 4:.1f}" text-anchor="middle"'
            f'{ink} pointer-events="none">{number}</text>'
        )
    size = f'width="{side - 1:.1f}" height="{side - 1:.1f}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} {fill}><title>{escape(tip)}</title></rect>{label}'


def shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(1, most - 1)]}…"
