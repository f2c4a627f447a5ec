"""`internvideo evaluate` and `internvideo predict`: what a trained model is good for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from internvideo.tasks import VideoTextModel, Viewing
    from internvideo.values import Annotations


@dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Score a trained model by a task's official protocol; says on how many of how many clips.

    Example: internvideo evaluate runs/b --task retrieval --data test.csv --format webvid
    """

    checkpoint: Positional[Path]
    """A run, or one of its checkpoints."""
    task: str
    """retrieval, multiple-choice, zero-shot-recognition or captioning."""
    data: str
    """Annotation file or folder, looked for below --root first."""
    format: str = "manifest"
    """Its format; `internvideo list formats` names all."""
    root: str | None = None
    """Folder that the paths of videos start from; default that of the annotations."""
    split: str | None = None
    """Only the records of this split; default "test" where the file names one, else all."""
    crop: float | None = None
    """Share of the short side that is seen; default as the model was evaluated in training."""
    shuffled: bool = False
    """Shuffle the frames of every clip: what is lost was read from time."""
    prompts: str = "actionclip"
    """Prompt templates of zero-shot recognition."""
    beams: int = 1
    """Captions considered at a time in captioning."""
    batch_size: int = 16
    """Clips at a time."""
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
        annotations = self._annotations()
        model = _model(self.checkpoint, self.device, beams=self.beams)
        crop = model.crop if self.crop is None else self.crop
        viewing = Viewing(crop=crop, batch_size=self.batch_size, shuffled=self.shuffled)
        task = replace(task, viewing=viewing)
        if self.out is not None:  # what cannot be written should fail now, not after hours
            self.out.parent.mkdir(parents=True, exist_ok=True)
        with progress(self.task) as tell:
            result = task.evaluate(model, annotations, progress=tell)
        if self.out is not None:
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

    def _annotations(self) -> Annotations:
        from internvideo.data import VideoData

        read = VideoData(source=self.data, format=self.format, root=self.root).read()
        splits = sorted({record.split for record in read.records if record.split})
        split = self.split or ("test" if "test" in splits else None)
        if split is None:
            return read
        if split not in splits:
            raise unknown_name(f"split of {self.data}", split, splits or ["(none)"])
        return read.of_split(split)


@dataclass(frozen=True, kw_only=True)
class Predict:
    """Ask a trained model about one video: name it, match it with texts, describe it.

    Example: internvideo predict captioning clip.mp4 --model runs/b
    """

    task: Positional[str]
    """zero-shot-recognition, retrieval, multiple-choice or captioning."""
    video: Positional[Path]
    """A video or image; for retrieval also a folder, of which each text finds the best."""
    model: Path
    """A run, or one of its checkpoints."""
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
        model = _model(self.model, self.device, beams=self.beams)
        crop = model.crop if self.crop is None else self.crop
        task = replace(task, viewing=Viewing(crop=crop))
        if self.task == "captioning":
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
        if self.task == "captioning" and self.text:
            raise ConfigError("captioning writes its own text; leave out --text")
        if self.task != "captioning" and not self.text:
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


def _model(checkpoint: Path, device: str, *, beams: int) -> VideoTextModel:
    from internvideo.recipes import load_video_text
    from internvideo.training import joined

    model = load_video_text(checkpoint)
    model.num_beams = beams
    with joined(device) as process:
        model.model.to(process.device)
    return model


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
        return [f"{row['score']:8.3f}  {row['text']}" for row in answers["answers"]]
    return [
        line
        for text, best in answers["found"].items()
        for line in (text, *(f"{row['score']:8.3f}  {row['video']}" for row in best))
    ]
