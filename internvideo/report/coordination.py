"""Coordination to look at: how far gates opened, which classes gained, where A looks in B's frames.

Shapes: heat (t, h, w) in [0, 1] over frames (t, h, w, 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from internvideo.report.images import overlaid, picture_strip, png_bytes
from internvideo.report.page import Page
from internvideo.report.plots import Series, bar_chart, heat_map, line_chart
from internvideo.report.run_files import RunFiles

_PARTS = {"attn": "attention", "mlp": "feed-forward"}
_MOST_CLASSES = 12  # at each end


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


def add_class_gains(
    page: Page,
    classes: Sequence[str],
    labels: Int64[Tensor, " n"],
    right: Mapping[str, Bool[Tensor, " n"]],
) -> None:
    """Add the classes whose accuracy changed most between two predictions of the same clips.

    Args:
        page: Where to.
        classes: Names of the classes.
        labels: The class of each clip.
        right: Which clips were recognised, by the name of the prediction; the earlier one first.
    """
    before, after = right
    counts = torch.bincount(labels, minlength=len(classes))
    shares = {
        name: torch.bincount(labels[hits], minlength=len(counts)) / counts
        for name, hits in right.items()
    }
    gains = shares[after] - shares[before]
    order = [i for i in gains.argsort(descending=True, stable=True).tolist() if counts[i]]
    if len(order) > 2 * _MOST_CLASSES:
        order = [*order[:_MOST_CLASSES], *order[-_MOST_CLASSES:]]
    better, worse = int((gains > 0).sum()), int((gains < 0).sum())
    page.text(
        f"From {before} to {after}, {better} of {int((counts > 0).sum())} classes gained and "
        f"{worse} lost, on {len(labels)} clips."
    )
    page.chart(
        bar_chart(
            [classes[i] for i in order],
            {name: [float(share[i]) for i in order] for name, share in shares.items()},
            title="Accuracy of the classes that changed most",
        )
    )


def add_reading(
    page: Page,
    *,
    source: str,
    block: int,
    asking: UInt8[Tensor, "ta h w 3"],
    token: Float[Tensor, "ta h w"],
    frames: UInt8[Tensor, "tb h w 3"],
    heat: Float[Tensor, "tb h w"],
    slots: Float[Tensor, "sa sb"],
) -> None:
    """Add what one token of A read of B's frames, before one of A's blocks.

    Args:
        page: Where to.
        source: The video.
        block: Number of A's block.
        asking: Frames as A sees them.
        token: The place of the token in them.
        frames: Frames as B sees them.
        heat: The shares that they got.
        slots: The mean share by slot of A (rows) and of B (columns).
    """
    strips = {"token of A": overlaid(asking, token), "reads of B": overlaid(frames, heat)}
    page.picture(
        png_bytes(picture_strip(strips, side_px=72)),
        alt=f"frames of {source} and what a token of encoder A reads of them",
        caption=f"{source}, before block {block}",
    )
    page.chart(
        heat_map(
            slots.tolist(),
            _numbered(len(slots)),
            _numbered(slots.shape[1]),
            title=f"Shares before block {block}: slots of A by slots of B",
            x_label="slot of B",
            y_label="slot of A",
        )
    )


def _numbered(count: int) -> Sequence[str]:
    return [str(i) for i in range(count)]
