"""What became of every tensor of a file and of a model, so that nothing happens in silence."""

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
class Fate:
    """One tensor: our name and shape, where the model has it, and those in the file, if it came
    from there; `reason` says why a tensor was dropped."""

    how: How
    name: str | None = None
    shape: tuple[int, ...] | None = None
    sources: tuple[str, ...] = ()
    source_shape: tuple[int, ...] | None = None
    reason: str = ""


def fates_of(
    report: LoadReport,
    read: ReadWeights,
    filled: Mapping[str, Tensor],
    changed: Mapping[str, How],
) -> tuple[Fate, ...]:
    """Tell the fate of every tensor.

    Args:
        report: What `load_weights` said.
        read: What came from the file.
        filled: The model's state.
        changed: What happened to tensors before they were loaded.
    """
    hows: dict[str, How] = {
        **dict.fromkeys(report.loaded, "loaded"),
        **dict.fromkeys(report.inflated, "inflated"),
        **dict.fromkeys(report.resized, "resized"),
        **dict.fromkeys(report.new, "new"),
        **changed,
    }
    fates = []
    for name, value in filled.items():
        how, sources = hows[name], read.sources.get(name, ())
        if how == "loaded" and sources != (name,):
            how = "renamed"
        was = tuple(read.tensors[name].shape) if name in read.tensors else None
        shape = tuple(value.shape)
        fates.append(Fate(how=how, name=name, shape=shape, sources=sources, source_shape=was))
    fates += [
        Fate(how="dropped", sources=(name,), reason=reason) for name, reason in read.dropped.items()
    ]
    return tuple(fates)


def count_fates(fates: Collection[Fate]) -> str:
    """Count fates: "148 renamed, 2 resized, 4 dropped"."""
    return ", ".join(f"{count} {how}" for how, count in Counter(f.how for f in fates).items())
