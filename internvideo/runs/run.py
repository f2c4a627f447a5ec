"""A complete run: stage, data, training and seed; into JSON and back, with overrides by path.

What comes from outside (TOML files, `--set a.b=c`, run.json) is checked here: every name must
exist, every value must have its field's type, and a wrong one is named with its path.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import Field, TypeAdapter, ValidationError

from internvideo.config import merge, refuse_unknown, split_setting
from internvideo.data import FIRST, Source, VideoData
from internvideo.errors import ConfigError, unknown_name
from internvideo.ranges import check_ranges
from internvideo.reading import read_document_text
from internvideo.stages import (
    CoordinationStage,
    CoordinationTraining,
    EpisodeStage,
    FeatureSequenceStage,
    FinetuneStage,
    MaskedPretraining,
    MaskedPretrainingStage,
    MultimodalPretraining,
    MultimodalPretrainingStage,
)
from internvideo.tasks import TASKS
from internvideo.training import TrainingConfig
from internvideo.values import Preprocessing

# What each configuration of a stage is trained by. Those of tasks come from the catalogue of tasks,
# so that a new task needs no entry here.
_STAGES_OF_TASKS = {
    "clips": FinetuneStage,
    "feature-sequences": FeatureSequenceStage,
    "episodes": EpisodeStage,
}
STAGES: dict[type, Any] = {
    MaskedPretraining: MaskedPretrainingStage,
    MultimodalPretraining: MultimodalPretrainingStage,
    CoordinationTraining: CoordinationStage,
} | {
    task.training: _STAGES_OF_TASKS[getattr(task.training, "trained_on", "clips")]
    for task in TASKS.values()
    if getattr(task, "training", None)
}


class StageConfig(Protocol):
    """What a run knows of the configuration of its stage."""

    @property
    def model_kind(self) -> str:
        """Name of the model's kind among those that can be saved."""
        ...

    @property
    def model_config(self) -> Any:
        """Configuration of the model that is trained."""
        ...

    @property
    def num_parameters(self) -> int: ...
    @property
    def training_flops_per_clip(self) -> float: ...
    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips of these data."""
        ...


if TYPE_CHECKING:
    AnyStage = StageConfig
else:
    AnyStage = Annotated[reduce(or_, STAGES), Field(discriminator="kind")]

_MOST_BYTES = 1 << 20  # of a file that changes a recipe
# Kinds as older runs name them.
_FORMER_KINDS = {"post-pretraining": "action-recognition"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What a recipe returns. `name` says which recipe it came from.

    `other_sources` take turns with `data`, step by step; only of `data` a part is held back.
    """

    name: str
    stage: AnyStage
    data: VideoData
    training: TrainingConfig
    seed: int = 0
    other_sources: dict[str, Source] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise ConfigError(f"seed is {self.seed}; it must not be negative")
        if FIRST in self.other_sources:
            raise ConfigError(f"other_sources: {FIRST!r} is the name of `data`; choose another")
        others = {f"other_sources.{name}.": source for name, source in self.other_sources.items()}
        for where, source in {"": Source(data=self.data), **others}.items():
            batch_size = source.batch_size or self.training.batch_size
            per_micro_batch = self.training.accumulation * source.data.views_per_video
            if batch_size % per_micro_batch:
                raise ConfigError(
                    f"{where}batch_size {batch_size} is not a multiple of accumulation x "
                    f"views_per_video = {per_micro_batch}"
                )


_ADAPTER = TypeAdapter(Run)


def to_document(run: Run) -> dict[str, Any]:
    """The run as a JSON value; `from_document` gives back an equal run."""
    return _ADAPTER.dump_python(run, mode="json")


def from_document(document: Mapping[str, Any], *, where: str = "run") -> Run:
    """Build a run from a JSON value.

    Raises:
        ConfigError: If a name is unknown, a value has the wrong type or the run is impossible.
    """
    if not isinstance(document, Mapping):
        raise ConfigError(f"{where}: expected the fields of a run, found {document!r:.60}")
    document = _with_known_kind(document)
    try:
        check_ranges(document)
        run = _ADAPTER.validate_python(document)
    except ValidationError as error:
        problems = "; ".join(map(_problem, error.errors()))
        raise ConfigError(f"{where}: {problems}") from error
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
    except (RecursionError, OverflowError) as error:
        raise ConfigError(f"{where}: {error}") from error
    refuse_unknown(document, to_document(run), where)
    return run


def _with_known_kind(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document with the kind of its stage as it is called today."""
    stage = document.get("stage")
    if not isinstance(stage, Mapping) or stage.get("kind") not in _FORMER_KINDS:
        return dict(document)
    return {**document, "stage": {**stage, "kind": _FORMER_KINDS[stage["kind"]]}}


def _problem(found: Mapping[str, Any]) -> str:
    place = ".".join(map(str, found["loc"]))  # nothing where the run as a whole is impossible
    said = found["msg"].removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def override(run: Run, settings: Iterable[str]) -> Run:
    """Replace fields given as `path.to.field=value`; values are TOML, or plain text, or `none`.

    Raises:
        ConfigError: If a setting has no `=`, a field is unknown or a value does not fit.
    """
    document = to_document(run)
    for setting in settings:
        (*parents, last), value = split_setting(setting)
        table: Any = document
        for depth, name in enumerate([*parents, last]):
            if not isinstance(table, dict):
                raise ConfigError(f"--set {setting}: {'.'.join(parents[:depth])} has no fields")
            if name not in table:
                inside = ".".join(parents[:depth]) or "a run"
                raise unknown_name(f"field of {inside} in --set:", name, table)
            if depth < len(parents):
                table = table[name]
        table[last] = value
    return from_document(document, where="--set")


def read_run(path: Path, recipes: Mapping[str, Any]) -> Run:
    """Read a TOML file: `recipe = "NAME"` and tables of the fields that differ from it."""
    try:
        text = read_document_text(path, most_bytes=_MOST_BYTES)
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: not valid TOML ({error})") from error
    except ValueError as error:  # it cannot be read at all
        raise ConfigError(f"{path}: {error}") from error
    name = document.pop("recipe", None)
    if not isinstance(name, str):
        raise ConfigError(f'{path}: has no line recipe = "NAME" that says what it starts from')
    if name not in recipes:
        raise unknown_name("recipe", name, recipes)
    try:
        document = merge(to_document(recipes[name]()), document)
    except RecursionError:
        raise ConfigError(f"{path}: its tables are nested too deeply") from None
    return from_document(document, where=str(path))
