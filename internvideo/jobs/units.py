"""Units of bulk work: one input, one output, one record; and which of them a job does.

Units are a function of the inputs alone, in the order of their names, so that every job of an array
finds the same ones and takes its own part without talking to the others.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from internvideo.errors import ConfigError

_PART = re.compile(r"(\d+)/(\d+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A file to work on and where the result goes; both are paths or addresses.

    `name` is that of the file below its folder, and with it the unit is found again.
    """

    name: str
    source: str
    target: str

    @property
    def key(self) -> str:
        return hashlib.sha256(self.name.encode("utf-8", "surrogateescape")).hexdigest()[:32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """What became of a unit. `facts` are the work's own; `there`: nothing had to be done."""

    name: str
    source: str
    target: str
    status: Literal["done", "there", "failed"]
    attempts: int = 1
    reason: str | None = None
    facts: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """Part `index` of `count`, from 0."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"part {self.index}/{self.count}: parts are numbered from 0 to {self.count - 1}"
            )

    @classmethod
    def of(cls, text: str | None, *, slurm_array: bool = False) -> Part:
        """Read `i/n`, or the variables that SLURM gives each job of an array.

        Raises:
            ConfigError: If it has another form, both are given, or no array is running.
        """
        if slurm_array:
            if text is not None:
                raise ConfigError("--part and --slurm-array both choose a part; give one of them")
            return cls._of_slurm(os.environ)
        if text is None:
            return cls()
        said = _PART.fullmatch(text)
        if said is None:
            raise ConfigError(f"--part {text!r}: write i/n, such as 0/8 for the first of eight")
        return cls(index=int(said[1]), count=int(said[2]))

    @classmethod
    def _of_slurm(cls, environment: Mapping[str, str]) -> Part:
        names = [f"SLURM_ARRAY_TASK_{what}" for what in ("ID", "MIN", "MAX", "COUNT")]
        missing = [name for name in names if not environment.get(name, "").isdecimal()]
        if missing:
            raise ConfigError(
                f"--slurm-array: {', '.join(missing)} not set; run it by sbatch --array=0-N"
            )
        number, first, last, count = (int(environment[name]) for name in names)
        if last - first + 1 != count:
            raise ConfigError(
                f"--slurm-array: the array has {count} jobs from {first} to {last}; give it "
                "consecutive numbers"
            )
        return cls(index=number - first, count=count)

    def inside(self, index: int, count: int) -> Part:
        """The part of this part that one of `count` processes does."""
        return Part(index=self.index + self.count * index, count=self.count * count)

    def of_units(self, units: Sequence[Unit]) -> list[Unit]:
        """This part's units: every n-th, so that parts are equally long."""
        return list(units[self.index :: self.count])

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def target_of(out: str | Path, name: str, suffix: str) -> str:
    """Where the result of a named unit goes below `out`, a path or an address."""
    return f"{str(out).rstrip('/')}/{name}{suffix}"
