"""Coordination to look at: how far gates opened, which classes gained, where A looks in B's frames.

Shapes: heat (t, h, w) in [0, 1] over frames (t, h, w, 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from internvideo.report.images import picture_strip, png_bytes
from internvideo.report.page import Page
from internvideo.report.plots import Series, bar_chart, heat_map, line_chart
from internvideo.report.recognition import overlaid
from internvideo.report.run_files import RunFiles

_PARTS = {"attn": "attention", "mlp": "feed-forward"}
_MOST_CLASSES = 12  # at each end


@runtime_checkable
class Compared(Protocol):
    """What several answers got right of the same clips."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def labels(self) -> Int64[Tensor, " n"]: ...
    def right(self, answer: str) -> Bool[Tensor, " n"]: ...


@runtime_checkable
class Reading(Protocol):
    """What one token of A read of a clip, before one of A's blocks.

    `asking` are frames as A sees them, with `token` at its place; `frames` are those of B with the
    shares that they got; `slots` holds the mean share by slot of A (rows) and of B (columns).
    """

    @property
    def source(self) -> str: ...
    @property
    def block(self) -> int: ...
    @property
    def asking(self) -> UInt8[Tensor, "ta h w 3"]: ...
    @property
    def token(self) -> Float[Tensor, "ta h w"]: ...
    @property
    def frames(self) -> UInt8[Tensor, "tb h w 3"]: ...
    @property
    def heat(self) -> Float[Tensor, "tb h w"]: ...
    @property
    def slots(self) -> Float[Tensor, "ta tb"]: ...


def add_gates(page: Page, files: RunFiles) -> None:
    """Add how the gates and the fusion moved in training, a chart for each part of a module."""
    page.text(
        "A module adds tanh(gate) times what it has read: 0 is closed, as all are at the start. "
        "`block8` stands before block 8 of A, `reversed` updates B's query token."
    )
    gates = [key for key in files.keys if key.startswith("gate/")]
    charts = []
    for part, name in _PARTS.items():
        curves = [
            Series(
                name=key.removeprefix("gate/").removesuffix(f"_{part}"),
                x=files.curve(key)[0],
                y=files.curve(key)[1],
            )
            for key in gates
            if key.endswith(f"_{part}")
        ]
        charts.append(line_chart(curves, title=f"Gates of {name}"))
    shares = {"fusion/masked": "A", "fusion/multimodal": "B"}
    curves = [
        Series(name=name, x=files.curve(key)[0], y=files.curve(key)[1])
        for key, name in shares.items()
    ]
    page.charts([*charts, line_chart(curves, title="Share of each branch in the fused score")])


def add_class_gains(page: Page, result: Compared, *, before: str, after: str) -> None:
    """Add the classes that changed most from one answer to another, best and worst."""
    counts = torch.bincount(result.labels, minlength=len(result.classes))
    shares = {
        name: torch.bincount(result.labels[result.right(name)], minlength=len(counts)) / counts
        for name in (before, after)
    }
    gains = shares[after] - shares[before]
    order = [i for i in gains.argsort(descending=True, stable=True).tolist() if counts[i]]
    if len(order) > 2 * _MOST_CLASSES:
        order = [*order[:_MOST_CLASSES], *order[-_MOST_CLASSES:]]
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    page.text(
        f"From {before} to {after}, {better} of {int((counts > 0).sum())} classes gained and "
        f"{worse} lost, on {len(result.labels)} clips."
    )
    page.chart(
        bar_chart(
            [result.classes[i] for i in order],
            {name: [float(share[i]) for i in order] for name, share in shares.items()},
            title="Accuracy of the classes that changed most",
        )
    )


def add_readings(page: Page, readings: Iterable[Reading]) -> None:
    """Add for each clip the token that asks, B's frames under what it read, and slots by slots."""
    for reading in readings:
        strips = {
            "token of A": overlaid(reading.asking, reading.token),
            "reads of B": overlaid(reading.frames, reading.heat),
        }
        page.picture(
            png_bytes(picture_strip(strips, side_px=72)),
            alt=f"frames of {reading.source} and what a token of encoder A reads of them",
            caption=f"{reading.source}, before block {reading.block}",
        )
        page.chart(
            heat_map(
                reading.slots.tolist(),
                _numbered(len(reading.slots)),
                _numbered(reading.slots.shape[1]),
                title=f"Shares before block {reading.block}: slots of A by slots of B",
                x_label="slot of B",
                y_label="slot of A",
            )
        )


def _numbered(count: int) -> Sequence[str]:
    return [str(i) for i in range(count)]
