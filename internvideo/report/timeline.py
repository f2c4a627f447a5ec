"""Timelines of a video: a row for each class, segments as bars whose shade is their score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from internvideo.report.axes import Axis, Number
from internvideo.report.plots import COLOURS, Svg, labelled_text, shortened, svg

_ROW_PX, _BAR_PX, _TOP_PX, _LETTER_PX = 26, 10, 34, 6.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """A segment of a video; `score` in [0, 1] is 1 for what people annotated."""

    start_s: float
    end_s: float
    label: str
    score: float = 1.0


def timeline_chart(
    found: Sequence[Span],
    truth: Sequence[Span],
    *,
    duration_s: float,
    title: str,
    width: int = 480,
) -> Svg:
    """Draw what was found in blue, the darker the surer, and below it in green the annotations."""
    labels = sorted({span.label for span in (*found, *truth)})
    left = min(0.3 * width, 16 + _LETTER_PX * max(map(len, labels), default=0))
    axis = Axis(low=0, high=max(duration_s, 1e-6), start_px=left, end_px=width - 22)
    bottom = _TOP_PX + _ROW_PX * len(labels)
    body = [
        labelled_text(axis.place(tick), bottom + 16, f"{tick:g} s", anchor="middle")
        for tick in axis.ticks()
    ]
    for row, label in enumerate(labels):
        top = _TOP_PX + row * _ROW_PX
        shown = shortened(label, int(0.3 * width / _LETTER_PX))
        body.append(labelled_text(left - 6, top + 15, shown, anchor="end", title=label))
        body.append(
            f'<line x1="{left:.1f}" y1="{top + _ROW_PX - 2}" x2="{width - 22}" '
            f'y2="{top + _ROW_PX - 2}" stroke="currentColor" stroke-opacity="0.15"/>'
        )
        # The best are drawn last, over what they overlap.
        for span in sorted((s for s in found if s.label == label), key=lambda s: s.score):
            tip = f"{label}, {span.start_s:.1f} to {span.end_s:.1f} s, score {span.score:.2f}"
            body.append(_bar(axis, span, top + 1, COLOURS[0], max(0.06, span.score), tip))
        for span in (s for s in truth if s.label == label):
            tip = f"{label}, {span.start_s:.1f} to {span.end_s:.1f} s, annotated"
            body.append(_bar(axis, span, top + 3 + _BAR_PX, COLOURS[2], 0.9, tip))
    return svg(body, title=shortened(title, 60), width=width, height=round(bottom + 26))


def _bar(axis: Axis, span: Span, y: Number, colour: str, opacity: Number, tip: str) -> str:
    start = axis.place(max(axis.low, span.start_s))
    end = axis.place(min(axis.high, max(span.end_s, span.start_s)))
    return (
        f'<rect x="{start:.1f}" y="{y:.1f}" width="{max(1.5, end - start):.1f}" '
        f'height="{_BAR_PX}" rx="2" data-at="{span.start_s:.2f}" fill="{colour}" '
        f'fill-opacity="{min(1.0, opacity):.2f}">'
        f"<title>{escape(tip)}</title></rect>"
    )
