"""Loading report: what became of every tensor of a file and of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from internvideo.weights.families import ReadWeights
from internvideo.weights.loading import LoadReport

How = Literal["loaded", "renamed", "inflated", "resized", "mapped", "dropped", "new"]


@dataclass(frozen=True, kw_only=True, slots=True)
class TensorReport:
    """One tensor: our name and shape, where the model has it, and those in the file, if it came
    from there; `reason` says why a tensor was dropped."""

    how: How
    name: str | None = None
    shape: tuple[int, ...] | None = None
    sources: tuple[str, ...] = ()
    source_shape: tuple[int, ...] | None = None
    reason: str = ""


def report_tensors(
    report: LoadReport,
    read: ReadWeights,
    filled: Mapping[str, Tensor],
    changed: Mapping[str, How],
) -> tuple[TensorReport, ...]:
    """Report on every tensor of the model, then on those of the file that were dropped.

    Args:
        report: From `load_weights`.
        read: The weights of the file.
        filled: State dict of the model.
        changed: Tensors that were resized or mapped before they were loaded.
    """
    hows: dict[str, How] = {
        **dict.fromkeys(report.loaded, "loaded"),
        **dict.fromkeys(report.inflated, "inflated"),
        **dict.fromkeys(report.resized, "resized"),
        **dict.fromkeys(report.new, "new"),
        **changed,
    }
    reports = []
    for name, value in filled.items():
        how, sources = hows[name], read.sources.get(name, ())
        if how == "loaded" and sources != (name,):
            how = "renamed"
        was = tuple(read.tensors[name].shape) if name in read.tensors else None
        shape = tuple(value.shape)
        reports.append(
            TensorReport(how=how, name=name, shape=shape, sources=sources, source_shape=was)
        )
    reports += [
        TensorReport(how="dropped", sources=(name,), reason=reason)
        for name, reason in read.dropped.items()
    ]
    return tuple(reports)


def count_tensors(tensors: Collection[TensorReport]) -> str:
    """Count tensors by what became of them: "148 renamed, 2 resized, 4 dropped"."""
    return ", ".join(f"{count} {how}" for how, count in Counter(one.how for one in tensors).items())
