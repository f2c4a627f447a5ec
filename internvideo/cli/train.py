"""`internvideo train`: one run of a recipe, alone or under torchrun."""

from __future__ import annotations

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.errors import ConfigError

if TYPE_CHECKING:
    import torch

    from internvideo.report import Page, Section
    from internvideo.runs import Run
    from internvideo.stages import CoordinationStage, MultimodalPretrainingStage, RebuiltClip
    from internvideo.training import Outcome

_EXAMPLES = 60  # held-back clips on a run's page


@dataclass(frozen=True, kw_only=True)
class Train:
    """Train a recipe, or a TOML file that changes one; writes weights, metrics and report.html.

    Example: internvideo train mae_tiny_videos --data videos/ --out runs/first
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE.toml")]
    """A name from `internvideo list recipes`, or a TOML file with a line `recipe = "NAME"`."""
    out: Path | None = None
    """Folder of the run; default runs/RECIPE."""
    data: Path | None = None
    """Folder of the data; short for --set data.root=..."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field of the recipe; `internvideo show RECIPE` lists them."""
    resume: bool = False
    """Continue the run in --out from its last checkpoint."""
    rehearse: bool = False
    """Run two steps of a tiny network of the same kind on the data, from scratch: whether files and
    settings fit, before hours are spent."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print the outcome as one JSON object."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.runs import override, rehearsal

        run = named_run(self.recipe)
        if self.data is not None:
            run = rooted(run, str(self.data))
        run = override(run, self.set)
        _check_data_named(run)
        if self.rehearse:
            run = rehearsal(run)
        out = self.out or Path("runs") / run.name
        outcome, rebuilt = train_and_report(run, out, device=self.device, resume=self.resume)
        if self.json:
            print_json({**asdict(outcome), "out": str(out)})
        elif rebuilt is not None:
            print(f"open {out / 'report.html'}")
        return 1 if outcome.interrupted else 0


def named_run(name: str) -> Run:
    """The run of a recipe's name, or of a TOML file that changes one."""
    from internvideo.recipes import RECIPES, recipe
    from internvideo.runs import read_run

    return read_run(Path(name), RECIPES) if name.endswith(".toml") else recipe(name)


def _check_data_named(run: Run) -> None:
    """Refuse a recipe of whatever folder of videos: the current one is nobody's choice."""
    for data in (run.data, *(source.data for source in run.other_sources.values())):
        if data.root is None and Path(data.source) == Path():
            raise ConfigError(
                f"{run.name}: which videos? give --data FOLDER, or --set data.source=FILE with "
                "data.format"
            )


def rooted(run: Run, root: str) -> Run:
    """Look for the data in another folder; sources that lay beside it move along."""
    moved = {
        name: replace(source, data=replace(source.data, root=root))
        if source.data.root == run.data.root
        else source
        for name, source in run.other_sources.items()
    }
    return replace(run, data=replace(run.data, root=root), other_sources=moved)


def train_and_report(
    run: Run, out: Path, *, device: str = "auto", resume: bool = False
) -> tuple[Outcome, list[RebuiltClip] | None]:
    """Execute a run with a progress bar and write its page; None for clips on other ranks."""
    from internvideo.training import choose_device, sharing

    is_on_cpu = choose_device(device).type == "cpu"
    count = run.training.cpu_processes if is_on_cpu else 1
    with sharing(count, _train_and_report, run, out, device, resume):
        return _train_and_report(run, out, device, resume)


def _train_and_report(
    run: Run, out: Path, device: str, resume: bool
) -> tuple[Outcome, list[RebuiltClip] | None]:
    from internvideo.cli.terminal import progress
    from internvideo.report import write_run_report
    from internvideo.runs import execute
    from internvideo.stages import (
        CoordinationStage,
        MaskedPretrainingStage,
        MultimodalPretrainingStage,
    )
    from internvideo.training import joined

    with contextlib.ExitStack() as stack:
        process = stack.enter_context(joined(device))
        tell = lambda done, total: None  # noqa: E731
        if process.is_first:
            tell = stack.enter_context(progress(f"training {run.name}", plain_lines=False))
        outcome, stage = execute(
            run,
            out,
            process=process,
            resume=resume,
            on_progress=lambda p: tell(p.step, p.num_steps),
        )
        if not process.is_first:
            return outcome, None
        if isinstance(stage, MaskedPretrainingStage):
            rebuilt = stage.reconstructions(4)
            write_run_report(out, reconstructions=rebuilt)
            return outcome, rebuilt
        sections: list[Section] = []
        if isinstance(stage, MultimodalPretrainingStage):
            sections = _found_and_described(stage)
        elif isinstance(stage, CoordinationStage):
            sections = _coordinated(stage, out)
        elif not outcome.interrupted:
            sections = _tested(run, out, process.device)
        write_run_report(out, sections=sections)
        return outcome, []


def _found_and_described(stage: MultimodalPretrainingStage) -> list[Section]:
    """Held-back clips found by their captions, and captions written for them."""
    from internvideo.tasks import Captioning, Inference, Retrieval, VideoTextModel

    model = VideoTextModel(stage.model, stage.tokenizer, num_frames=stage.config.num_frames)
    data = stage.data.held_out.dataset.config
    inference = Inference(
        sampling=data.sampling, stride_frames=data.stride_frames, crop=data.eval_crop
    )
    examples = stage.examples(_EXAMPLES)
    if not examples.records:
        return []
    found = Retrieval(inference=inference).evaluate(model, examples)

    def add_found(page: Page) -> None:
        page.section("Held-back clips found by their captions")
        found.add_to(page)

    sections: list[Section] = [add_found]
    if stage.model.captioner is not None and stage.config.captioning_weight:
        described = Captioning(inference=inference).evaluate(model, examples)

        def add_described(page: Page) -> None:
            page.section("Captions written for them")
            described.add_to(page)

        sections.append(add_described)
    return sections


def _tested(run: Run, out: Path, device: torch.device) -> list[Section]:
    """What the checkpoint that was chosen scores on the test split, where there is one."""
    from internvideo.cli.terminal import progress
    from internvideo.runs import final_test

    with progress("testing", plain_lines=False) as tell:
        tested = final_test(run, out, device=device, progress=tell)
    if tested is None or tested.result is None:
        return []
    result, scores = tested.result, tested.scores

    def add_test(page: Page) -> None:
        page.section("Tested once")
        page.text(
            f"The checkpoint of step {scores['step']}, chosen on other videos, on "
            f"{result.num_evaluated} of {result.num_total} to test on."
        )
        result.add_to(page)

    return [add_test]


def _coordinated(stage: CoordinationStage, out: Path) -> list[Section]:
    """Gates over training, classes that gained, and what A reads of B."""
    from internvideo.report import RunFiles, add_class_gains, add_gates, add_reading

    def add_openness(page: Page) -> None:
        page.section("Gates and fusion")
        add_gates(page, RunFiles.read(out))

    def add_gains(page: Page) -> None:
        page.section("Classes that gained")
        right = {answer: stage.right(answer) for answer in ("mean", "coordinated")}
        add_class_gains(page, stage.classes, stage.labels, right)

    def add_read(page: Page) -> None:
        page.section("What encoder A reads of encoder B's frames")
        for reading in stage.readings(4):
            add_reading(
                page,
                source=reading.source,
                block=reading.block,
                asking=reading.asking,
                token=reading.token,
                frames=reading.frames,
                heat=reading.heat,
                slots=reading.slots,
            )

    return [add_openness, add_gains, add_read]
