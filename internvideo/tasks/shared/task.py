"""What every task is: its options, how it scores and asks a model, and how it shows what it found.

A task is one frozen dataclass. Its fields are its options in Python, on the command line and in a
file; its class attributes say what it needs and what it is measured by. The command line, the list
of tasks and the pages are made from these alone, so nothing else names a task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

from torch import nn

from internvideo.report import Page
from internvideo.tasks.shared.evaluation_data import EvaluationData, EvaluationSource
from internvideo.tasks.shared.requests import TaskRequest, VideoRequest
from internvideo.text import Tokenizer
from internvideo.values import Sampling

Progress = Callable[[int, int], None]  # how many clips are done, and of how many
_SHOWN = 3  # failed videos of a result on the terminal


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedVideo:
    """A video that has no answer, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Result:
    """What a task measured: `scores` by metric, on `num_evaluated` of `num_total` items.

    A task adds what its scores were counted from, and draws it in `add_to`.
    """

    scores: dict[str, float]
    num_evaluated: int
    num_total: int
    failed: tuple[FailedVideo, ...]

    def lines(self) -> list[str]:
        """The result as lines for the terminal."""
        rest = len(self.failed) - _SHOWN
        counts = {"num_evaluated": self.num_evaluated, "num_total": self.num_total}
        return [
            *(f"{name:<24} {value:.4g}" for name, value in {**self.scores, **counts}.items()),
            *(f"not seen  {failed.path}: {failed.reason}" for failed in self.failed[:_SHOWN]),
            *([f"not seen  {rest} more; --json lists all"] if rest > 0 else []),
        ]

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object."""
        return {
            **self.scores,
            "num_evaluated": self.num_evaluated,
            "num_total": self.num_total,
            "failed": [{"path": f.path, "reason": f.reason} for f in self.failed],
        }

    def add_to(self, page: Page) -> None:
        """Add the result to a page; here the scores alone."""
        page.facts({name: f"{value:.4g}" for name, value in self.scores.items()})


@runtime_checkable
class Answer(Protocol):
    """What a task says of one video."""

    def lines(self) -> list[str]:
        """The answer as lines for the terminal."""
        ...

    def to_json(self) -> dict[str, Any]:
        """The answer as a JSON object."""
        ...


@runtime_checkable
class Preprocessing(Protocol):
    """What clips a model was made for; `crop` is the share of the short side that it sees."""

    @property
    def num_frames(self) -> int: ...
    @property
    def side_px(self) -> int: ...
    @property
    def mean(self) -> tuple[float, float, float]: ...
    @property
    def std(self) -> tuple[float, float, float]: ...
    @property
    def crop(self) -> float: ...
    @property
    def sampling(self) -> Sampling: ...
    @property
    def stride_frames(self) -> int: ...


@runtime_checkable
class Pretrained(Protocol):
    """A model as it is read from its files: the network with all that they tell of it."""

    @property
    def model(self) -> nn.Module: ...
    @property
    def kind(self) -> str: ...
    @property
    def preprocessing(self) -> Preprocessing: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def tokenizer(self) -> Tokenizer | None: ...
    @property
    def provenance(self) -> Mapping[str, Any]: ...


@runtime_checkable
class TaskModel(Protocol):
    """The form in which a task asks a network, such as a classifier with named classes."""

    kind: ClassVar[str]

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> TaskModel:
        """Take up a model that was read from `source`.

        Raises:
            CheckpointError: It is of another kind, or lacks its class names or its tokenizer.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """One downstream task; a subclass is a frozen dataclass whose fields are its options.

    Attributes:
        name: As it is called on the command line.
        summary: What it asks of a model, in one clause.
        counted: What its `num_evaluated` counts, in the plural.
        model_type: The form in which it asks a network.
        without_weights: What can stand in place of a trained model, by name: baselines, oracles.
        metrics: Names of its scores, as in `Result.scores`; `*` stands for any part of a name.
        datasets: Published data sets that it covers.
        formats: Their annotation formats, among `internvideo.data.ANNOTATIONS`.
        data_type: Options that say what is evaluated on; its `read` gives what `evaluate` takes.
        request_type: Options that say what a prediction is about.
        training: Configuration of its fine-tuning; None where it is not trained.
        finetuning: A `FinetuningGuide`, where `internvideo finetune` can train it.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    counted: ClassVar[str] = "videos"
    model_type: ClassVar[type[TaskModel]]
    without_weights: ClassVar[Mapping[str, Callable[[], Any]]] = {}
    metrics: ClassVar[tuple[str, ...]]
    datasets: ClassVar[tuple[str, ...]] = ()
    formats: ClassVar[tuple[str, ...]] = ("manifest",)
    data_type: ClassVar[type[EvaluationSource]] = EvaluationData
    request_type: ClassVar[type[TaskRequest]] = VideoRequest
    training: ClassVar[type | None] = None
    finetuning: ClassVar[Any] = None

    @abstractmethod
    def evaluate(self, model: Any, data: Any, *, progress: Progress | None = None) -> Result:
        """Score a model on what `data_type.read` gave.

        Raises:
            ConfigError: The data lack what the task needs; before anything is decoded.
            TrainingError: Not a single video can be decoded.
        """

    @abstractmethod
    def predict(self, model: Any, request: Any, *, progress: Progress | None = None) -> Answer:
        """Ask a model about one video."""

    def report(self, page: Page, result: Any, model: Any) -> None:
        """Add a result to a page, with what only the model can show where there is any."""
        result.add_to(page)
