"""A walk for people: the way on a map from above, the views along it, the words beside it.

Shapes: pictures (h, w, 3) uint8.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from internvideo.metrics import Episode
from internvideo.navigation import Plan
from internvideo.report import enlarge
from internvideo.tasks.navigation.walking import Decision, WalkedEpisode

_WALKED, _WANTED, _GOAL, _OPTION = "#2563c9", "#2e9d4c", "#d0342c", "#e08a00"
_PAPER, _INK, _FAINT = "#17191d", "#e8eaed", "#7d848d"
_DIM, _HOT = (150, 156, 164), (255, 176, 64)  # words with the least and the most attention
_VIEW_PX, _WIDTH_PX, _GAP_PX, _TEXT_PX, _LINE_PX = 160, 1020, 12, 19, 26
_MARGIN_M = 3.5  # around a walk, which is farther than a decision leads
_SHOWN_VIEWS = (2, 1, 0, 11, 10)  # from the left to the right of the heading


def draw_map(
    walked: WalkedEpisode, *, until: int | None = None, decision: Decision | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """The way walked (blue), the reference (green) and the goal (red, success within the circle).

    Of a large scene only what lies around them is shown.

    Args:
        walked: An episode with its record.
        until: Position of the path up to which it is drawn; all of it by default.
        decision: One whose options are drawn too (orange, the thicker the likelier).
    """
    record = walked.record
    assert record is not None
    plan = _around(record, walked.plan or _empty_plan(record))
    image = Image.fromarray(plan.picture)
    draw = ImageDraw.Draw(image)
    path = [_pixel(plan, point) for point in record.path]
    last = len(path) - 1 if until is None else until

    reference = [_pixel(plan, point) for point in record.reference_path]
    draw.line(reference, fill=_WANTED, width=3, joint="curve")
    x, y = _pixel(plan, walked.episode.goal)
    radius = walked.episode.radius_m * plan.px_per_m
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_GOAL, width=2)
    _dot(draw, (x, y), 6, _GOAL)
    if decision is not None:
        _draw_options(draw, plan, walked, decision)
    draw.line(path[: last + 1], fill=_WALKED, width=5, joint="curve")
    _dot(draw, path[0], 5, "white", outline=_WALKED)
    _draw_agent(draw, path[last], walked.headings[last] if walked.headings else 0.0)
    return np.array(image)


def walk_frames(walked: WalkedEpisode) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames of a video: one for each step of 0.25 m, with what was seen at the last decision."""
    record = walked.record
    assert record is not None
    decisions = walked.decisions
    for at in range(len(record.path)):
        made = [decision for decision in decisions if decision.at <= at]
        decision = made[-1] if made else None
        map_of = draw_map(walked, until=at, decision=decision)
        yield _frame(walked, map_of, decision, len(made))


def views_strip(decision: Decision, *, side_px: int = _VIEW_PX) -> UInt8[np.ndarray, "h w 3"]:
    """Five views from left to right; the one in the middle lies ahead."""
    views = torch.from_numpy(decision.colours[list(_SHOWN_VIEWS)])
    large = enlarge(views, side_px=side_px)[:, :, : side_px * 2].numpy()
    gap = np.full((large.shape[1], 3, 3), 23, np.uint8)
    return np.concatenate([part for view in large for part in (view, gap)][:-1], axis=1)


def _frame(
    walked: WalkedEpisode,
    map_of: UInt8[np.ndarray, "h2 w2 3"],
    decision: Decision | None,
    number: int,
) -> UInt8[np.ndarray, "h w 3"]:
    """Map, views below it, and the instruction with the words that the choice attended to."""
    scale = (_WIDTH_PX - 2 * _GAP_PX) / map_of.shape[1]
    scale = min(scale, 560 / map_of.shape[0])
    size = round(map_of.shape[1] * scale), round(map_of.shape[0] * scale)
    has_views = decision is not None and decision.colours.size > 0
    lines = _lines(walked.episode.instruction)
    height = size[1] + 3 * _GAP_PX + (len(lines) + 1) * _LINE_PX
    height += _VIEW_PX + 40 if has_views else 0
    canvas = Image.new("RGB", (_WIDTH_PX, height), _PAPER)
    left = (_WIDTH_PX - size[0]) // 2
    canvas.paste(Image.fromarray(map_of).resize(size), (left, _GAP_PX))
    draw, top = ImageDraw.Draw(canvas), size[1] + 2 * _GAP_PX
    if has_views and decision is not None:
        strip = Image.fromarray(views_strip(decision))
        strip.thumbnail((_WIDTH_PX - 2 * _GAP_PX, _VIEW_PX + 30))
        canvas.paste(strip, ((_WIDTH_PX - strip.width) // 2, top))
        top += strip.height + _GAP_PX
    words = decision.choice.words if decision is not None else ()
    _draw_words(draw, lines, words, top)
    if decision is not None:
        draw.text(
            (_WIDTH_PX - _GAP_PX, height - _GAP_PX),
            f"decision {number}: {decision.choice.told}",
            fill=_FAINT,
            font=ImageFont.load_default(size=_TEXT_PX - 4),
            anchor="rd",
        )
    return np.array(canvas)


def _lines(text: str) -> list[list[str]]:
    """Words of a text, in lines as wide as a frame."""
    font, lines, x = ImageFont.load_default(size=_TEXT_PX), list[list[str]](), math.inf
    for word in text.split():
        drawable = word.encode("latin-1", errors="replace").decode("latin-1") + " "
        if x + font.getlength(drawable) > _WIDTH_PX - _GAP_PX:
            lines.append([])
            x = float(_GAP_PX)
        lines[-1].append(drawable)
        x += font.getlength(drawable)
    return lines


def _draw_words(
    draw: ImageDraw.ImageDraw, lines: Sequence[Sequence[str]], shares: Sequence[float], top: int
) -> None:
    """Words in lines, the brighter the more attention they had."""
    font, highest = ImageFont.load_default(size=_TEXT_PX), max(shares, default=0.0)
    left = iter(shares)
    for row, line in enumerate(lines):
        x = float(_GAP_PX)
        for word in line:
            share = next(left, 0.0) / highest if highest else 0.0
            ink = tuple(round(a + share * (b - a)) for a, b in zip(_DIM, _HOT, strict=True))
            draw.text((x, top + row * _LINE_PX), word, fill=ink if shares else _INK, font=font)
            x += font.getlength(word)


def _draw_options(
    draw: ImageDraw.ImageDraw, plan: Plan, walked: WalkedEpisode, decision: Decision
) -> None:
    assert walked.record is not None
    x, _, z = walked.record.path[decision.at]
    for option, share in zip(decision.choice.options, decision.choice.shares, strict=False):
        heading = decision.heading + option.angle
        end = (
            x - math.sin(heading) * option.distance_m,
            0.0,
            z - math.cos(heading) * option.distance_m,
        )
        ends = _pixel(plan, (x, 0.0, z)), _pixel(plan, end)
        draw.line(ends, fill=_OPTION, width=1 + round(4 * share))
        _dot(draw, ends[1], 3 + round(4 * share), _OPTION)


def _draw_agent(draw: ImageDraw.ImageDraw, at: tuple[float, float], heading: float) -> None:
    """A triangle that points ahead; headings go counterclockwise from the top of the map."""
    corners = []
    for turn, radius in ((0.0, 13), (2.5, 9), (-2.5, 9)):
        angle = heading + turn
        corners.append((at[0] - radius * math.sin(angle), at[1] - radius * math.cos(angle)))
    draw.polygon(corners, fill=_WALKED, outline="white")


def _dot(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    radius: int,
    fill: str,
    *,
    outline: str | None = None,
) -> None:
    box = (at[0] - radius, at[1] - radius, at[0] + radius, at[1] + radius)
    draw.ellipse(box, fill=fill, outline=outline, width=2)


def _pixel(plan: Plan, point: Sequence[float]) -> tuple[float, float]:
    return (
        (point[0] - plan.origin[0]) * plan.px_per_m,
        (point[2] - plan.origin[1]) * plan.px_per_m,
    )


def _bounds(record: Episode) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest (x, z) of what is drawn."""
    points = np.array([*record.path, *record.reference_path])[:, [0, 2]]
    return points.min(0) - _MARGIN_M, points.max(0) + _MARGIN_M


def _around(record: Episode, plan: Plan) -> Plan:
    """The part of a map in which a walk lies."""
    origin, corners = np.array(plan.origin), np.array(_bounds(record))
    size = plan.picture.shape[1::-1]
    (x0, z0), (x1, z1) = np.clip((corners - origin) * plan.px_per_m, 0, size).astype(int)
    low = origin + np.array([x0, z0]) / plan.px_per_m
    return Plan(plan.picture[z0:z1, x0:x1], (float(low[0]), float(low[1])), plan.px_per_m)


def _empty_plan(record: Episode, *, px_per_m: float = 40.0) -> Plan:
    """A blank map around all that is drawn, where the world has none."""
    low, high = _bounds(record)
    width, height = np.ceil((high - low) * px_per_m).astype(int)
    return Plan(
        np.full((height, width, 3), 240, np.uint8), (float(low[0]), float(low[1])), px_per_m
    )
