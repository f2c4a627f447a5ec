"""`internvideo evaluate TASK` and `internvideo predict TASK`: what a trained model is good for.

Each task is a subcommand of both, with the options that its own dataclasses have.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

from tyro.conf import Positional, arg, subcommand

from internvideo.cli import moments
from internvideo.cli.options import as_options
from internvideo.cli.outputs import claim
from internvideo.cli.predictions import check_suffix, write_predictions
from internvideo.cli.terminal import print_json, progress
from internvideo.errors import ConfigError, InternVideoError, unknown_name
from internvideo.report import Page, is_page
from internvideo.tasks import (
    TASKS,
    EvaluationSource,
    Navigating,
    RecognitionModel,
    Task,
    TaskRequest,
    TemporalDetector,
    VideoTextModel,
)

TaskT = TypeVar("TaskT", bound=Task)
DataT = TypeVar("DataT", bound=EvaluationSource)
RequestT = TypeVar("RequestT", bound=TaskRequest)


@dataclass(frozen=True, kw_only=True)
class Evaluate(Generic[TaskT, DataT]):
    """Score a trained model by a task's protocol; see `internvideo evaluate --help`."""

    checkpoint: Positional[Path]
    """A run, one of its checkpoints, a saved model, a name from `internvideo weights list`,
    owner/name on the Hugging Face hub, or a classifier as .onnx or .pt2; for navigation also oracle
    or random."""
    data: Annotated[DataT, arg(name="")]
    task: Annotated[TaskT, arg(name="")]
    ema: bool = False
    """Take the moving average of the weights, where the run kept one."""
    out: Path | None = None
    """Write an HTML report here; a file that is no page of ours is not replaced."""
    overwrite: bool = False
    """Replace whatever file --out names."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        if self.out is not None:  # what cannot be written should fail now, not after hours
            claim(self.out, overwrite=self.overwrite, is_own=is_page(self.out))
        task, data = self.task, self.data.read()
        model = _model(task, self.checkpoint, device=self.device, ema=self.ema)
        with progress(task.name) as tell:
            result = task.evaluate(model, data, progress=tell)
        if self.out is not None:
            counted = f"{result.num_evaluated} of {result.num_total} {task.counted}"
            page = Page(task.name, subtitle=counted)
            page.section(task.name)
            task.report(page, result, model)
            self.out.parent.mkdir(parents=True, exist_ok=True)
            page.write(self.out)
        if self.json:
            print_json(result.to_json())
            return 0
        for line in result.lines():
            print(line)
        if self.out is not None:
            print(f"open {self.out}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Predict(Generic[TaskT, RequestT]):
    """Run a trained model on a video or a folder of them; see `internvideo predict --help`."""

    request: Annotated[RequestT, arg(name="")]
    task: Annotated[TaskT, arg(name="")]
    model: Path
    """A run, one of its checkpoints, a saved model, a name from `internvideo weights list`,
    owner/name on the Hugging Face hub, or a classifier as .onnx or .pt2; for navigation also oracle
    or random."""
    ema: bool = False
    """Take the moving average of the weights, where the run kept one."""
    out: Path | None = None
    """Write the answers here: JSON lines (.jsonl) or a table (.csv)."""
    overwrite: bool = False
    """Replace files that are there already."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object, or a list of them for a folder."""

    def run(self) -> int:
        if self.out is not None:
            check_suffix(self.out)
            claim(self.out, overwrite=self.overwrite)
        for path in self.request.written:
            claim(path, overwrite=self.overwrite, is_own=is_page(path))
        requests = self.request.each()
        task = self.task
        model = _model(task, self.model, device=self.device, ema=self.ema)
        is_one = requests[0] is self.request
        answers = []
        for request in requests:
            about = request.to_json()
            if not is_one and not self.json:
                print(*about.values())
            try:
                with progress(task.name, plain_lines=False) as tell:
                    answer = task.predict(model, request, progress=tell)
            except InternVideoError as error:
                if is_one:
                    raise
                answers.append({**about, "task": task.name, "error": str(error)})
                lines = [f"failed  {error}"]
            else:
                answers.append({**about, "task": task.name, **answer.to_json()})
                lines = answer.lines()
            for line in [] if self.json else lines:
                print(line)
        if self.json:
            print_json(answers[0] if is_one else answers)
        if self.out is not None:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(self.out, answers)
        return 1 if any("error" in answer for answer in answers) else 0


def commands(verb: str, *, about: str) -> Any:
    """The type of `evaluate` or `predict`: a union with one member for each task."""
    members = [
        _with_types(Evaluate, task, task.data_type)
        if verb == "evaluate"
        else _with_types(Predict, task, task.request_type)
        for task in TASKS.values()
    ]
    if verb == "evaluate":  # of a file of predictions, or of an index, and no model of a task
        members.append(_subcommand(moments.EvaluateMoments, moments.NAME, moments.ABOUT))
    return _subcommand(functools.reduce(operator.or_, members), verb, about)


def _with_types(verb: Any, task: type[Task], others: type) -> Any:
    about = f"{task.summary[0].upper()}{task.summary[1:]}."
    return _subcommand(verb[as_options(task), as_options(others)], task.name, about)


def _subcommand(parsed: Any, name: str, about: str) -> Any:
    return Annotated[parsed, subcommand(name, description=about)]


def _recogniser(name: str, *, device: str) -> RecognitionModel:
    """Open a classifier on a device."""
    from internvideo.hub import load_recogniser
    from internvideo.training import choose_device

    found = load_recogniser(name)
    found.model.to(choose_device(device))
    return found


def task_first(arguments: list[str]) -> list[str]:
    """Bring `evaluate CHECKPOINT --task TASK` into the form `evaluate TASK CHECKPOINT`.

    Raises:
        ConfigError: If no task is named, or none of that name is known.
    """
    verb, *rest = arguments
    for at, word in enumerate(rest):
        name, equals, value = word.partition("=")
        if name == "--task":
            value, after = (value, at + 1) if equals else ("".join(rest[at + 1 : at + 2]), at + 2)
            rest = [value, *rest[:at], *rest[after:]]
            break
    if not rest or rest[0] in ("-h", "--help"):
        return [verb, "--help"]
    if rest[0].startswith("-"):
        raise ConfigError(f"which task? write it behind the verb, as in: internvideo {verb} TASK")
    known = [*TASKS, *([moments.NAME] if verb == "evaluate" else [])]
    if rest[0] not in known:
        raise unknown_name("task", rest[0], known)
    return [verb, *rest]


def _exported(task: Task, file: Path, *, ema: bool) -> RecognitionModel:
    """A classifier that was exported, which runs on the processor."""
    from internvideo.hub import open_exported

    if task.model_type is not RecognitionModel:
        can = [name for name, of in TASKS.items() if of.model_type is RecognitionModel]
        raise ConfigError(
            f"{file}: exported files run for {', '.join(can)}; name the model that it was made of"
        )
    if ema:
        raise ConfigError(f"{file}: holds the weights that were exported; leave --ema out")
    return open_exported(file)


def _model(task: Task, checkpoint: Path, *, device: str, ema: bool) -> Any:
    """Open a model in the form in which a task asks it, on a device."""
    from internvideo.api import load
    from internvideo.hub import load_pretrained
    from internvideo.training import joined

    if str(checkpoint) in task.without_weights and not checkpoint.exists():
        return task.without_weights[str(checkpoint)]()
    if checkpoint.suffix in (".onnx", ".pt2") and checkpoint.is_file():
        return _exported(task, checkpoint, ema=ema)
    pretrained = load_pretrained(checkpoint, averaged=ema)
    with joined(device) as process:
        pretrained.model.to(process.device)
    model = task.model_type.from_pretrained(pretrained, source=str(checkpoint))
    if isinstance(model, TemporalDetector):
        model.open_encoder = lambda name: load(name, device=device).feature_encoder
    if isinstance(model, TemporalDetector | VideoTextModel):
        model.open_recogniser = lambda name: _recogniser(name, device=device)
    if isinstance(model, Navigating):
        model.open_model = load_pretrained
    return model
