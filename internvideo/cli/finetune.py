"""`internvideo finetune`: from one's own annotated videos to a model, checked on the way.

The flow is the same for every task; what a task brings is its `FinetuningGuide`.
"""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

from internvideo.errors import ConfigError, TrainingError

if TYPE_CHECKING:
    from internvideo.report import Page, Section
    from internvideo.runs import Run
    from internvideo.tasks.shared import CheckedVideos, FinetuningGuide, Validation
    from internvideo.training import Outcome
    from internvideo.values import Annotations, Record

logger = logging.getLogger(__name__)

_SAMPLE = 200  # videos decoded beforehand


@dataclass(frozen=True, kw_only=True)
class Finetune:
    """Fine-tune a model on your own annotations: checks them, chooses settings, trains, reports.

    For action recognition the data are a csv with the columns path and label (and split, if you
    have one), or a folder with one folder of videos for each class. For temporal localization they
    are a csv with the columns path, start_s, end_s and label, or a json as ActivityNet's.

    Example: internvideo finetune --data videos/ --from videomae-base-hybrid --out runs/mine
    """

    out: Path
    """Folder of the run."""
    data: Path | None = None
    """Annotations of the task: a csv, a json, or a folder of class folders."""
    task: str = "action-recognition"
    """Task to fine-tune for: a name from `internvideo list tasks`."""
    from_: Annotated[str | None, arg(name="from", metavar="MODEL")] = None
    """What to start from: a run, a checkpoint, a saved model, a name from `internvideo weights
    list`, or owner/name on the Hugging Face hub; without it a tiny network is trained from
    scratch."""
    preset: str = "auto"
    """probe (frozen encoder), partial (its last blocks are trained too), full, or auto: chosen by
    the number of videos."""
    steps: int | None = None
    """Training steps; by default chosen from the preset and the number of videos."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field of the run, as in train; run.json lists them."""
    root: str | None = None
    """Folder that relative paths of a csv start from; default that of the csv."""
    columns: dict[str, str] = field(default_factory=dict)
    """Other names of columns, as in: --columns path file label class."""
    held_back: float = 0.2
    """Share of each class held out for validation, where the data have no split val."""
    groups: Annotated[str | None, arg(metavar="COLUMN|PATTERN|none")] = None
    """What tells clips of one recording, which are held out together: a column of the csv, or a
    pattern for paths with parentheses around the group; default names as UCF101's, Kinetics'."""
    check: Literal["sample", "all", "none"] = "sample"
    """Which videos to decode before training; a sample is up to 200 of them."""
    skip_memorising: bool = False
    """Skip the overfit check, which first trains a copy of the network on eight clips."""
    workers: Annotated[int, arg(metavar="N")] = os.cpu_count() or 1
    """Worker processes that check videos."""
    seed: int = 0
    """Seed of the held-out split and of training."""
    resume: bool = False
    """Continue the run in --out as it was begun, from its last checkpoint."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        from internvideo.processes import LOCK_NAME, locked

        self._check()
        # Beside the folder, which the loop locks by itself and which may not exist yet.
        lock = self.out.absolute().with_name(f".{self.out.name}{LOCK_NAME}")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with locked(lock, of=self.out):
            return self._run()

    def _run(self) -> int:
        from internvideo.cli.terminal import print_json

        begun = self.resume and (self.out / "run.json").exists()
        run, told = self._begun() if begun else self._planned()
        outcome, told = self._train(run, told, begun=begun)
        if outcome.interrupted:
            resume = _command("finetune", "--out", self.out, "--resume")
            if self.json:
                print_json({**told, "interrupted": True, "step": outcome.step, "next": [resume]})
            else:
                print(f"stopped at step {outcome.step}; resume with: {resume}")
            return 1
        told |= self._finish(run, told)
        if self.json:
            print_json(told)
        return 0

    def _check(self) -> None:
        from internvideo.training import launched_processes

        if launched_processes() > 1:
            raise ConfigError("finetune works in one process; start it without torchrun")
        if self.steps is not None and self.steps < 1:
            raise ConfigError(f"--steps {self.steps} trains nothing; give 1 or more")
        if not 0 < self.held_back < 1:
            raise ConfigError(f"--held-back {self.held_back}: give a share between 0 and 1")
        if self.workers < 1:
            raise ConfigError(f"--workers {self.workers}: give 1 or more")
        if self.data is None and not self.resume:
            raise ConfigError("which videos? give --data FILE_OR_FOLDER")
        if not self.resume and (self.out / "run.json").exists():
            raise TrainingError(
                f"{self.out}: already holds a run; pass --resume or choose another --out"
            )

    def _planned(self) -> tuple[Run, dict[str, Any]]:
        """Look at the videos, choose, and write down what was chosen."""
        from internvideo.cli.terminal import progress
        from internvideo.recipes import recipe
        from internvideo.runs import (
            choose_preset,
            finetuning_guide,
            finetuning_run,
            open_source,
            override,
        )
        from internvideo.tasks.shared import Plan, Request
        from internvideo.training import joined

        guide = finetuning_guide(self.task)
        if self.data is None:
            raise ConfigError(f"{self.out}: holds no run to resume; give --data to begin one")
        manifest = self.out.absolute() / guide.manifest
        if manifest.exists() and not (self.out / "finetune.json").exists():
            raise ConfigError(
                f"{manifest}: is not of a run and stays as it is; choose another --out"
            )
        has_start = self.from_ is not None
        # Fails before anything is decoded.
        choose_preset(guide, self.preset, 0, has_start=has_start)
        annotations = self._annotations(guide, self.data)
        source = None if self.from_ is None else open_source(self.from_, self.out)
        videos, warnings = self._checked(guide, annotations)
        self.out.mkdir(parents=True, exist_ok=True)
        self._write({"task": self.task})  # from here on the folder is that of a run
        videos = guide.save(videos, manifest)
        num_train = videos.num_items("train")
        choice = choose_preset(guide, self.preset, num_train, has_start=has_start)
        request = Request(
            videos=videos,
            folder=self.out.absolute(),
            preset=guide.presets[choice.preset],
            source=source,
            scratch=recipe(guide.scratch_recipe) if guide.scratch_recipe else None,
            num_steps=self.steps,
        )
        with joined(self.device) as process, progress("preparing") as tell:
            guide.prepare(request, device=process.device, progress=tell)
        run = override(finetuning_run(guide, request), (f"seed={self.seed}", *self.set))
        told = {
            "task": self.task,
            "out": str(self.out),
            "data": str(self.data),
            "from": self.from_,
            "preset": choice.preset,
            "why": choice.why,
            "classes": list(videos.annotations.classes),
            "num_train": num_train,
            "num_val": videos.num_items("val"),
            "num_test": videos.num_items("test"),
            "num_decoded": videos.num_decoded,
            "left_out": [{"path": path, "reason": why} for path, why in videos.left_out],
            "warnings": list(warnings),
            "num_parameters": run.stage.num_parameters,
        }
        plan = Plan(stage=run.stage, data=run.data, training=run.training)
        self._say(guide.starting(plan, self.from_))
        self._say(f"preset {choice.preset} ({choice.why}): {guide.presets[choice.preset].what}")
        self._write(told)
        return run, told

    def _annotations(self, guide: FinetuningGuide, data: Path) -> Annotations:
        """Read what was given, with its groups."""
        from internvideo.data import grouped

        return grouped(
            guide.read(data, root=self.root, columns=self.columns),
            self.groups,
            source=data,
            root=self.root,
            columns=self.columns,
        )

    def _checked(
        self, guide: FinetuningGuide, annotations: Annotations
    ) -> tuple[CheckedVideos, tuple[str, ...]]:
        """Decode videos as far as asked and divide them; what is left, and all warnings."""
        from internvideo.cli.terminal import progress

        with progress("checking videos") as tell:
            videos = guide.check(
                annotations,
                held_back_share=self.held_back,
                decoded={"sample": _SAMPLE, "all": None, "none": 0}[self.check],
                num_workers=self.workers,
                seed=self.seed,
                on_progress=tell,
            )
        warnings = (*videos.warnings, *self._about_start())
        for warning in warnings:
            logger.warning("%s", warning)
        self._say(guide.summary(videos))
        for line in _undivided(videos.annotations.records):
            self._say(line)
        return videos, warnings

    def _about_start(self) -> list[str]:
        """Warn where a start that has seen generated videos alone is put on others."""
        from internvideo.hub import is_playground, saw_generated_videos

        assert self.data is not None
        if self.from_ is None or not saw_generated_videos(self.from_) or is_playground(self.data):
            return []
        return [
            f"{self.from_} was trained on generated videos and knows nothing of real ones; start "
            "from released weights (internvideo weights list) where you can"
        ]

    def _write(self, told: dict[str, Any]) -> None:
        from internvideo.writing import replace_text

        replace_text(self.out / "finetune.json", json.dumps(told, indent=2, ensure_ascii=False))

    def _begun(self) -> tuple[Run, dict[str, Any]]:
        """Read what was chosen when the run began."""
        from internvideo.runs import from_document

        ignored = {"--data": self.data, "--from": self.from_, "--steps": self.steps}
        ignored |= {"--set": self.set, "--preset": self.preset != "auto"}
        if any(ignored.values()):
            names = ", ".join(name for name, value in ignored.items() if value)
            logger.warning("the run continues as it was started; ignored: %s", names)
        path = self.out / "run.json"
        document = _document(path)
        told_path = self.out / "finetune.json"
        if not told_path.exists():
            raise ConfigError(f"{self.out}: holds a run, but none of finetune; use train --resume")
        return (
            from_document(document.get("run"), where=str(path)),
            # Runs from before there were other tasks do not name theirs.
            {"task": "action-recognition", **_document(told_path)},
        )

    def _train(
        self, run: Run, told: dict[str, Any], *, begun: bool
    ) -> tuple[Outcome, dict[str, Any]]:
        from internvideo.cli.terminal import progress
        from internvideo.runs import (
            build_stage,
            checkpoint_documents,
            to_document,
        )
        from internvideo.training import joined, train

        with joined(self.device) as process, progress("training", plain_lines=False) as tell:
            run, stage = build_stage(run, self.out, process)
            if not begun:
                self._try_out(stage, run, told)
            outcome = train(
                stage,
                run.training,
                folder=self.out,
                run=to_document(run),
                documents=checkpoint_documents(run),
                seed=run.seed,
                process=process,
                resume=begun,
                on_progress=lambda p: tell(p.step, p.num_steps),
            )
        return outcome, told

    def _try_out(self, stage: Any, run: Run, told: dict[str, Any]) -> None:
        """See whether a few clips can be memorised, and what the run will cost."""
        from internvideo.runs import finetuning_guide, measure_cost

        guide = finetuning_guide(told["task"])
        check = None if self.skip_memorising else guide.overfit(stage, run.training)
        if check is not None:
            told["overfit_check"] = {**asdict(check), "succeeded": check.succeeded}
            if check.succeeded:
                self._say(str(check))
            else:
                logger.warning("%s", check)
        cost = measure_cost(stage, run.training)
        told |= {"num_steps": cost.num_steps, "step_s": cost.step_s}
        times = cost.num_steps * cost.items_per_step / told["num_train"]
        self._say(
            f"cost: {cost.num_steps} steps of {cost.items_per_step} {guide.unit} (each is seen "
            f"{times:.1f} times), about {_duration(cost.total_s)} at {cost.step_s:.2f} s a step, "
            "as just measured"
        )
        self._write(told)

    def _finish(self, run: Run, told: dict[str, Any]) -> dict[str, Any]:
        """Validate what was saved, write the page, tell what comes next."""
        from internvideo.cli.terminal import progress
        from internvideo.hub import add_provenance, checkpoint_of, load_pretrained
        from internvideo.report import write_run_report
        from internvideo.runs import finetuning_guide
        from internvideo.tasks import TASKS
        from internvideo.training import joined

        ema = run.training.ema_decay is not None
        guide = finetuning_guide(told["task"])
        pretrained = load_pretrained(self.out, averaged=ema)
        with joined(self.device) as process:
            pretrained.model.to(process.device)
        held_out = guide.read(self.out / guide.manifest).of_split("val")
        with progress("validating") as tell:
            validation = guide.validate(TASKS[told["task"]], pretrained, held_out, progress=tell)
        if validation.kept:
            add_provenance(checkpoint_of(self.out), validation.kept)
        best = _best(self.out, run.training.keep_best)
        for line in (*validation.lines, *best):
            self._say(line)
        write_run_report(self.out, sections=_sections(told, validation))
        following = guide.next_commands(
            told["task"],
            self.out,
            video=held_out.records[0].video,
            split="test" if told["num_test"] else "val",
            ema=("--ema",) if ema else (),
        )
        commands = [_command(*words) for words in following]
        self._say(f"open {self.out / 'report.html'}")
        self._say("next:\n" + "\n".join(f"  {command}" for command in commands))
        return {
            "validation": validation.scores,
            **validation.details,
            "report": str(self.out / "report.html"),
            "next": commands,
        }

    def _say(self, line: str) -> None:
        print(line, file=sys.stderr if self.json else sys.stdout, flush=True)


def _sections(told: dict[str, Any], validation: Validation) -> list[Section]:
    """What was chosen and why, and how the held-back videos fared."""

    def add_choice(page: Page) -> None:
        page.section("What was chosen")
        shown = ("data", "from", "preset", "why", "num_train", "num_val", "num_test")
        page.facts({name.replace("_", " "): str(told[name]) for name in shown})
        for warning in told["warnings"]:
            page.warning(warning)

    def add_validation(page: Page) -> None:
        page.section("Held-back videos")
        validation.add_to(page)

    return [add_choice, add_validation]


def _document(path: Path) -> dict[str, Any]:
    """What a file of a run tells."""
    from internvideo.reading import read_json_document

    try:
        return dict(read_json_document(path))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); it tells of the run") from error


def _best(out: Path, score: str | None) -> list[str]:
    """Say which checkpoint was validated, where the run keeps that of the highest score."""
    folder = out / "checkpoints" / "best"
    if score is None or not folder.exists():
        return []
    provenance = _document(folder / "provenance.json")
    return [
        f"this is the best checkpoint by these videos, step {provenance['step']} with {score} "
        f"{provenance['metrics'][score]:.3f}; the last one is {folder.with_name('last')}"
    ]


def _undivided(records: Sequence[Record]) -> list[str]:
    """Say how many groups were held out, where there are any."""
    groups = {record.group for record in records if record.group is not None}
    if not groups:
        return []
    held = {record.group for record in records if record.split == "val" and record.group}
    named = f", such as {min(held)}," if held else ""
    return [
        f"clips of one recording stay together: {len(held)} of {len(groups)} groups{named} are "
        "held out (see --groups)"
    ]


def _command(*words: object) -> str:
    return shlex.join(["internvideo", *map(str, words)])


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, seconds):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
