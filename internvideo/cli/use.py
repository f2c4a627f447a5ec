"""`internvideo evaluate` and `internvideo predict`: what a trained model is good for."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.cli.recognition import load_classifier, prediction, write_recognition_page
from internvideo.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from internvideo.tasks import Task, VideoTextModel, Viewing
    from internvideo.values import Annotations, Record

CLASSIFYING = ("action-recognition", "open-set")  # tasks of a classifier


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score a trained model by a task's official protocol; says on how many of how many clips.

    Example: internvideo evaluate runs/b --task retrieval --data test.csv --format webvid
    """

    checkpoint: Positional[Path]
    """A run, or one of its checkpoints."""
    task: str
    """action-recognition, open-set, zero-shot-recognition, retrieval, multiple-choice or
    captioning."""
    data: str
    """Annotation file or folder, looked for below --root first."""
    format: str = "manifest"
    """Its format; `internvideo list formats` names all."""
    root: str | None = None
    """Folder that the paths of videos start from; default that of the annotations."""
    columns: dict[str, str] = field(default_factory=dict)
    """Other names of a manifest's columns, as in: --columns path file label class."""
    split: str | None = None
    """Only the records of this split; default "test" where the file names one, else all."""
    crop: float | None = None
    """Share of the short side that is seen; default as the model was evaluated in training."""
    clips: int = 1
    """Clips of each video that are looked at (action-recognition, open-set)."""
    crops: int = 1
    """Crops of each clip, along its longer side (action-recognition, open-set)."""
    averaged: bool = False
    """Take the moving average of the weights (action-recognition, open-set)."""
    unknown: str | None = None
    """Videos of no known class: a folder, or annotations of the same format (open-set)."""
    training: str | None = None
    """Training videos, of which a threshold shall accept 95 % (open-set)."""
    shuffled: bool = False
    """Shuffle the frames of every clip: what is lost was read from time."""
    prompts: str = "actionclip"
    """Prompt templates of zero-shot recognition."""
    beams: int = 1
    """Captions considered at a time in captioning."""
    batch_size: int = 16
    """Clips at a time."""
    workers: int = 0
    """Processes that decode; 0 decodes between batches."""
    out: Path | None = None
    """Write a page with pictures here."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json, progress
        from internvideo.tasks import Viewing

        task = _task(self.task, Viewing(), prompts=self.prompts)
        self._check()
        annotations, others = self._read(self.data, split=self.split), self._others()
        model = _model(task, self.checkpoint, self)
        viewing = replace(
            _viewing(model, self.crop),
            batch_size=self.batch_size,
            shuffled=self.shuffled,
            num_workers=self.workers,
        )
        task = replace(task, viewing=viewing)
        if self.task in CLASSIFYING:
            task = replace(task, num_clips=self.clips, num_crops=self.crops)
        if self.out is not None:  # what cannot be written should fail now, not after hours
            self.out.parent.mkdir(parents=True, exist_ok=True)
        with progress(self.task) as tell:
            result = task.evaluate(model, annotations, progress=tell, **others)
        if self.out is not None and self.task == "action-recognition":
            write_recognition_page(self.out, model, result, viewing)
        elif self.out is not None:
            _write_page(self.out, self.task, result)
        scores = {
            **result.scores,
            "num_evaluated": result.num_evaluated,
            "num_total": result.num_total,
        }
        if self.json:
            failed = [{"path": f.path, "reason": f.reason} for f in result.failed]
            print_json({**scores, "failed": failed})
            return 0
        for name, value in scores.items():
            print(f"{name:<24} {value:.4g}")
        for failed in result.failed:
            print(f"not seen  {failed.path}: {failed.reason}")
        if self.out is not None:
            print(f"open {self.out}")
        return 0

    def _check(self) -> None:
        _check_options(self)
        if self.task != "open-set" and (self.unknown or self.training):
            raise ConfigError("--unknown and --training are for open-set; leave them out")
        if self.task == "open-set" and not self.unknown:
            raise ConfigError("open-set needs videos of no known class; name them with --unknown")

    def _others(self) -> dict[str, tuple[Record, ...]]:
        """Further videos that the task wants, by the names of its arguments."""
        from internvideo.data import ANNOTATIONS

        others = {}
        if self.unknown and Path(self.unknown).is_dir():
            others["unknown"] = ANNOTATIONS["videos"](self.unknown).records
        elif self.unknown:
            others["unknown"] = self._read(self.unknown).records
        if self.training:
            others["training"] = self._read(self.training, usual="train").records
        return others

    def _read(self, source: str, *, split: str | None = None, usual: str = "test") -> Annotations:
        """Read the records of the split named, else of the usual one if it is there, else all."""
        from internvideo.data import VideoData

        read = VideoData(
            source=source, format=self.format, root=self.root, columns=self.columns
        ).read()
        splits = sorted({record.split for record in read.records if record.split})
        split = split or (usual if usual in splits else None)
        if split is None:
            return read
        if split not in splits:
            raise unknown_name(f"split of {source}", split, splits or ["(none)"])
        return read.of_split(split)


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Ask a trained model about one video: name it, match it with texts, describe it.

    Example: internvideo predict captioning clip.mp4 --model runs/b
    """

    task: Positional[str]
    """action-recognition, open-set, zero-shot-recognition, retrieval, multiple-choice or
    captioning."""
    video: Positional[Path]
    """A video or image; for retrieval also a folder, of which each text finds the best."""
    model: Path
    """A run, or one of its checkpoints."""
    clips: int = 1
    """Clips that are looked at (action-recognition, open-set)."""
    crops: int = 1
    """Crops of each clip, along its longer side (action-recognition, open-set)."""
    averaged: bool = False
    """Take the moving average of the weights (action-recognition, open-set)."""
    text: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="TEXT")] = ()
    """A class name, sentence or option to choose from; give it once for each."""
    prompts: str = "actionclip"
    """Prompt templates of zero-shot recognition."""
    beams: int = 1
    """Captions considered at a time in captioning."""
    crop: float | None = None
    """Share of the short side that is seen; default as the model was evaluated in training."""
    top: int = 5
    """How many answers to show."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.tasks import Viewing

        task = _task(self.task, Viewing(), prompts=self.prompts)
        self._check()
        model = _model(task, self.model, self)
        task = replace(task, viewing=_viewing(model, self.crop))
        if self.task in CLASSIFYING:
            task = replace(task, num_clips=self.clips, num_crops=self.crops)
            answers = prediction(task, model, self.video, self.top)
        elif self.task == "captioning":
            answers = {"caption": task.predict(model, self.video)}
        elif self.video.is_dir():
            answers = {"found": self._found(model, task)}
        else:
            ranked = task.predict(model, self.video, self.text)[: self.top]
            answers = {"answers": [{"text": text, "score": score} for text, score in ranked]}
        if self.json:
            print_json({"video": str(self.video), "task": self.task, **answers})
            return 0
        for line in _lines(answers):
            print(line)
        return 0

    def _check(self) -> None:
        _check_options(self)
        if self.task == "captioning" and self.text:
            raise ConfigError("captioning writes its own text; leave out --text")
        if self.task in CLASSIFYING and self.text:
            raise ConfigError(f"{self.task} knows its own classes; leave out --text")
        if self.task not in (*CLASSIFYING, "captioning") and not self.text:
            raise ConfigError(f"{self.task} chooses among texts; give them with --text, one each")
        if not all(text.strip() for text in self.text):
            raise ConfigError("one --text is empty; give it words or leave it out")
        if self.top < 1:
            raise ConfigError(f"--top {self.top} shows nothing; give 1 or more")
        if not self.video.exists():
            raise ConfigError(f"{self.video}: no such file or folder")
        if self.video.is_dir() and self.task != "retrieval":
            raise ConfigError(f"{self.video} is a folder; {self.task} looks at one video")

    def _found(self, model: VideoTextModel, task: Any) -> dict[str, list[dict[str, Any]]]:
        """The best videos of a folder for each text."""
        from internvideo.cli.terminal import progress
        from internvideo.data import ANNOTATIONS

        records = ANNOTATIONS["videos"](self.video).records
        with progress("looking") as tell:
            ranked = task.search(model, records, self.text, progress=tell)
        return {
            text: [{"video": str(record.video), "score": score} for record, score in best]
            for text, best in zip(self.text, (r[: self.top] for r in ranked), strict=True)
        }


def _task(name: str, viewing: Viewing, *, prompts: str) -> Any:
    from internvideo.tasks import TASKS, ZeroShotRecognition

    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    task = TASKS[name](viewing=viewing)
    return replace(task, prompts=prompts) if isinstance(task, ZeroShotRecognition) else task


def _check_options(options: Evaluate | Predict) -> None:
    asked = options.clips != 1 or options.crops != 1 or options.averaged
    if asked and options.task not in CLASSIFYING:
        names = " and ".join(CLASSIFYING)
        raise ConfigError(f"--clips, --crops and --averaged are for {names}; leave them out")


def _model(task: Task, checkpoint: Path, options: Evaluate | Predict) -> Any:
    """The model that a task asks: a classifier, or encoder B with its vocabulary."""
    from internvideo.hub import load_video_text
    from internvideo.tasks import ActionRecognition, OpenSetRecognition
    from internvideo.training import joined

    if isinstance(task, ActionRecognition | OpenSetRecognition):
        return load_classifier(checkpoint, options.device, averaged=options.averaged)
    model = load_video_text(checkpoint)
    model.num_beams = options.beams
    with joined(options.device) as process:
        model.model.to(process.device)
    return model


def _viewing(model: Any, crop: float | None) -> Viewing:
    """How the model is used to seeing a video, and how much of it."""
    from internvideo.tasks import RecognitionModel, Viewing

    usual = model.viewing if isinstance(model, RecognitionModel) else Viewing(crop=model.crop)
    return usual if crop is None else replace(usual, crop=crop)


def _write_page(out: Path, task: str, result: Any) -> None:
    from internvideo.report import (
        Page,
        add_captions,
        add_multiple_choice,
        add_retrieval,
    )

    page = Page(task, subtitle=f"{result.num_evaluated} of {result.num_total} clips")
    page.section(task)
    if task == "retrieval":
        add_retrieval(page, result)
    elif task == "captioning":
        add_captions(page, result)
    elif task == "multiple-choice":
        add_multiple_choice(page, {"questions": result})
    else:
        page.facts({name: f"{value:.4g}" for name, value in result.scores.items()})
    page.write(out)


def _lines(answers: dict[str, Any]) -> list[str]:
    if "caption" in answers:
        return [answers["caption"]]
    if "answers" in answers:
        lines = [f"{row['score']:8.3f}  {row['text']}" for row in answers["answers"]]
        uncertainty = answers.get("uncertainty")
        return lines if uncertainty is None else [*lines, f"uncertainty {uncertainty:.3f}"]
    return [
        line
        for text, best in answers["found"].items()
        for line in (text, *(f"{row['score']:8.3f}  {row['video']}" for row in best))
    ]
