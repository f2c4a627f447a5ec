"""What a row of the catalogue of data sets holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from internvideo.errors import ConfigError

# What was run on stand-ins.
STAND_IN_RUNS = "benchmarks/data_sets-2026-11-30-2cores.md"

# The reader of files that hold episodes to walk, and no videos: `navigation.read_episodes`.
EPISODES = "episodes"

State = Literal["case", "excerpt", "run", "paper"]

STATES: dict[State, str] = {
    "case": "its metric or network equals recorded outputs of the official code",
    "excerpt": "excerpts of its real annotation files are read in tests",
    "run": "its recipe, made tiny, trained two steps on a stand-in of the data set and was "
    "evaluated there; the file named says how",
    "paper": "described only: neither its data nor its protocol were run here",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotationFile:
    """An annotation file below the folder of a data set.

    `pattern` is a glob; `sha256` is that of the public file, where it was at hand whole.
    """

    pattern: str
    what: str
    sha256: str | None = None
    required: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """How many items a split has: videos, questions or episodes, as `what` says.

    Where `is_exact` is false the count was published rounded or is quoted from secondary sources.
    """

    count: int
    is_exact: bool = True


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """A published result, in the unit of its source."""

    metric: str
    value: float
    source: str
    model: str = "InternVideo"


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What shows the state: recorded cases, folders of annotation excerpts, a benchmark file."""

    cases: tuple[str, ...] = ()
    excerpts: tuple[str, ...] = ()
    benchmark: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSet:
    """One benchmark: a data set under the protocol of one task.

    Attributes:
        name: As it is called on the command line.
        title: As its authors call it.
        task: A name of `internvideo list tasks`; else the name that its challenge has.
        splits: Items by split, named train, val, test as in `Record.split`.
        what: What is counted: "videos" are different files, everything else is a record each.
        files: Annotation files below the folder of the data set.
        reader: A format of `internvideo list formats`, or `EPISODES`.
        source: What the reader is given, below the folder of the data set: a folder, a file, or a
            glob of files that are read one after the other; of episodes {split} stands for the
            split.
        options: Of the reader.
        num_classes: None where there are no classes.
        class_list: The file with the official order of classes, as `files` has it.
        protocol: How it is trained and scored, and what is special.
        metric: Name of the score that evaluation here gives.
        terms: Licence or terms of use, in words.
        where: Where the videos and annotations come from.
        published: Results, InternVideo's first.
        recipes: Names of `internvideo list recipes`, the closest to the published run first.
        evidence: What was run here.
        differs: What is done otherwise on purpose.
    """

    name: str
    title: str
    task: str
    splits: Mapping[str, Split]
    files: tuple[AnnotationFile, ...]
    reader: str
    protocol: str
    metric: str
    terms: str
    where: str
    published: tuple[Published, ...]
    what: str = "videos"
    source: str = "."
    options: Mapping[str, Any] = field(default_factory=dict)
    num_classes: int | None = None
    class_list: str | None = None
    recipes: tuple[str, ...] = ()
    evidence: Evidence = Evidence()
    differs: str = ""

    def __post_init__(self) -> None:
        if self.class_list is not None and all(f.pattern != self.class_list for f in self.files):
            raise ConfigError(f"{self.name}: class_list {self.class_list!r} is in no row of files")

    @property
    def states(self) -> tuple[State, ...]:
        """What was done with it here, of `STATES`."""
        shown = self.evidence
        found: list[State] = []
        if shown.cases:
            found.append("case")
        if shown.excerpts:
            found.append("excerpt")
        if shown.benchmark:
            found.append("run")
        return tuple(found) or ("paper",)
