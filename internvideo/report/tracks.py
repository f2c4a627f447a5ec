"""Who does what over time: a row for each track, its classes as bars whose shade is their score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from internvideo.report.axes import Axis
from internvideo.report.plots import COLOURS, Svg, labelled_text, shortened, svg

_LEFT_PX, _ROW_PX, _BAR_PX, _TOP_PX, _LEGEND_PX, _LETTER_PX = 76, 8, 9, 34, 20, 6.4
_MOST_COLOURS = len(COLOURS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What one track does at one key frame."""

    time_s: float
    labels: tuple[str, ...]
    scores: tuple[float, ...]


def track_chart(
    tracks: Sequence[tuple[str, Sequence[Moment]]],
    *,
    duration_s: float,
    span_s: float,
    title: str,
    width: int = 640,
) -> Svg:
    """Draw a row for each track, and in it a lane for each of its classes, named at its start.

    Args:
        tracks: Name of each and its moments, rising in time.
        duration_s: Length of the video.
        span_s: Seconds that a moment stands for.
        title: Above the chart.
        width: In pixels.
    """
    counts: dict[str, float] = {}
    for _, moments in tracks:
        for moment in moments:
            for label, score in zip(moment.labels, moment.scores, strict=True):
                counts[label] = counts.get(label, 0.0) + score
    order = sorted(counts, key=lambda label: -counts[label])
    colours = {label: COLOURS[i % _MOST_COLOURS] for i, label in enumerate(order)}
    axis = Axis(low=0, high=max(duration_s, 1e-6), start_px=_LEFT_PX, end_px=width - 22)
    body, top = _legend(order[:_MOST_COLOURS], colours, width)
    for name, moments in tracks:
        lanes = [label for label in order if any(label in m.labels for m in moments)]
        height = _ROW_PX + _BAR_PX * max(1, len(lanes))
        middle = top + height / 2 + 3
        body.append(
            labelled_text(_LEFT_PX - 6, middle, shortened(name, 11), anchor="end", title=name)
        )
        body.append(
            f'<line x1="{_LEFT_PX}" y1="{top + height - 3}" x2="{width - 22}" '
            f'y2="{top + height - 3}" stroke="currentColor" stroke-opacity="0.15"/>'
        )
        for lane, label in enumerate(lanes):
            for moment in moments:
                if label in moment.labels:
                    score = moment.scores[moment.labels.index(label)]
                    y = top + _BAR_PX * lane
                    body.append(_bar(axis, moment, span_s, label, score, y, colours[label]))
        top += height
    body += [
        labelled_text(axis.place(tick), top + 14, f"{tick:g} s", anchor="middle")
        for tick in axis.ticks()
    ]
    return svg(body, title=shortened(title, 70), width=width, height=round(top + 24))


def _legend(labels: Sequence[str], colours: dict[str, str], width: int) -> tuple[list[str], float]:
    body, x, y = [], float(_LEFT_PX), float(_TOP_PX)
    for label in labels:
        shown = shortened(label, 30)
        needed = 22 + _LETTER_PX * len(shown)
        if x + needed > width - 8 and x > _LEFT_PX:
            x, y = float(_LEFT_PX), y + _LEGEND_PX
        body.append(
            f'<rect x="{x:.1f}" y="{y - 8:.1f}" width="10" height="10" rx="2" '
            f'fill="{colours[label]}"/>'
        )
        body.append(labelled_text(x + 14, y + 1, shown, anchor="start", title=label))
        x += needed
    return body, y + (_LEGEND_PX if labels else 0)


def _bar(
    axis: Axis, moment: Moment, span_s: float, label: str, score: float, y: float, colour: str
) -> str:
    start = axis.place(max(axis.low, moment.time_s - span_s / 2))
    end = axis.place(min(axis.high, moment.time_s + span_s / 2))
    tip = f"{label} at {moment.time_s:.1f} s, score {score:.2f}"
    return (
        f'<rect x="{start:.1f}" y="{y:.1f}" width="{max(1.5, end - start):.1f}" '
        f'height="{_BAR_PX - 2}" fill="{colour}" fill-opacity="{max(0.12, min(1.0, score)):.2f}">'
        f"<title>{escape(tip)}</title></rect>"
    )
