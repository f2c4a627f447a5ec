"""What a check of a data set found: problems by kind, counts, and what can be used."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from internvideo.values import Annotations

_MOST_NAMED = 20  # problems of one kind; the rest is counted


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that is not as expected: which kind, where, and what to know of it."""

    kind: str
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.where}: {self.what}"


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckReport:
    """Problems found, counts by split, and the records that can be used."""

    name: str
    problems: tuple[Problem, ...]
    counts: Mapping[str, int]
    expected: Mapping[str, int]
    num_decoded: int
    usable: Annotations
    is_stand_in: bool

    def lines(self) -> list[str]:
        """The report as lines for the terminal, most problems of a kind counted only."""
        kinds: dict[str, list[Problem]] = defaultdict(list)
        for problem in self.problems:
            kinds[problem.kind].append(problem)
        shown = []
        for kind, found in kinds.items():
            shown += map(str, found[:_MOST_NAMED])
            if len(found) > _MOST_NAMED:
                shown.append(f"{kind}: {len(found) - _MOST_NAMED} more")
        counted = ", ".join(
            f"{self.counts.get(split, 0)} {split} (expected {self.expected[split]})"
            if split in self.expected
            else f"{count} {split}"
            for split, count in {**dict.fromkeys(self.expected, 0), **self.counts}.items()
        )
        stand_in = "; a stand-in" if self.is_stand_in else ""
        told = f"{len(self.problems)} problems" if self.problems else "no problem found"
        return [
            *shown,
            f"{self.name}: {counted}; {self.num_decoded} videos decoded{stand_in}",
            told,
        ]

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "is_stand_in": self.is_stand_in,
            "counts": dict(self.counts),
            "expected": dict(self.expected),
            "num_decoded": self.num_decoded,
            "num_usable": len(self.usable.records),
            "problems": [{"kind": p.kind, "where": p.where, "what": p.what} for p in self.problems],
        }
