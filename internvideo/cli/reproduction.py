"""What reproduces a published result: commands, their cost as planned, and what differs.

The same commands, with small networks and two steps, run on a data set's stand-in.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from internvideo.data.catalogue import DataSet
    from internvideo.runs import Run

_ZERO_SHOT = ("zero-shot-recognition", "multiple-choice")
_GPUS = 8


def is_zero_shot(entry: DataSet) -> bool:
    """Whether nothing is trained on the data set, but encoder B evaluated as it is."""
    return entry.task in _ZERO_SHOT or entry.name.endswith("-zero-shot")


def reproduction(entry: DataSet, root: Path, *, rehearse: bool = False) -> dict[str, Any]:
    """All that `internvideo reproduce` tells of a data set whose files lie in `root`."""
    from internvideo.recipes import recipe

    best = entry.published[0] if entry.published else None
    return {
        "name": entry.name,
        "commands": commands(entry, root, Path("runs"), rehearse=rehearse),
        "cost": _cost(entry, recipe(entry.recipes[0]), rehearse=rehearse),
        "published": "none"
        if best is None
        else f"{best.metric} {best.value:g} ({best.model}; {best.source})",
        "tolerance": "half a point, which is what seeds of runs of this kind differ by; none was "
        "run here at full size"
        if best is not None and entry.metric.endswith(best.metric)
        else f"none can be told: evaluation here gives {entry.metric}",
        "differs": entry.differs or "nothing on purpose",
    }


def commands(entry: DataSet, root: Path, runs: Path, *, rehearse: bool = False) -> list[list[str]]:
    """Words of the commands that check, train and evaluate, the runs being folders of `runs`.

    What `is_zero_shot` evaluates is called ENCODER_B. With `rehearse` they are for a stand-in:
    training is a rehearsal, videos of the set itself stand for unknown ones, and no Habitat server
    is asked.
    """
    from internvideo.recipes import recipe
    from internvideo.tasks import TASKS

    run = recipe(entry.recipes[0])
    said = [["data", "check", entry.name, "--root", str(root)]]
    if not is_zero_shot(entry):
        said.append(["train", run.name, *_data_of(entry, run, root), "--out", str(runs / run.name)])
        said[-1] += ["--rehearse"] if rehearse else []
    if entry.task == "moment-retrieval":
        index = ["--model", str(runs / run.name), "--out", str(runs / f"{run.name}-index")]
        said.append(["index", str(root), *index])
    if entry.task in (*TASKS, "moment-retrieval"):  # pretraining is measured while it trains
        said.append(_evaluation(entry, run, root, runs, rehearse=rehearse))
    return [["internvideo", *words] for words in said]


def _data_of(entry: DataSet, run: Run, root: Path) -> list[str]:
    """Options of `train` that say where the data are, as far as the recipe does not."""
    words = ["--data", str(root)]
    if entry.task == "navigation":  # episodes are found without a root
        return ["--set", f"data.source={root / entry.source}"]
    data = run.data
    if data.eval_source is None and (source := _source(entry, root)) != data.source:
        words += ["--set", f"data.source={source}"]
    if entry.options and entry.options != data.options:
        options = ", ".join(f'{name}="{value}"' for name, value in entry.options.items())
        words += ["--set", f"data.options={{{options}}}"]
    return words


def _evaluation(entry: DataSet, run: Run, root: Path, runs: Path, *, rehearse: bool) -> list[str]:
    if entry.task == "moment-retrieval":
        given = ["--data", str(root / str(run.data.eval_source)), "--format", entry.reader]
        return ["evaluate", entry.task, *given, "--index", str(runs / f"{run.name}-index")]
    model = "ENCODER_B" if is_zero_shot(entry) else str(runs / run.name)
    start = ["evaluate", entry.task, model]
    scored = [name for name in entry.splits if name != "train"] or ["val"]
    if entry.task == "navigation":
        habitat = run.stage.world.habitat  # pyrefly: ignore[missing-attribute]
        where = [] if rehearse else ["--habitat", habitat]
        return [*start, "--data", str(root / entry.source), "--split", scored[-1], *where]
    source = None if is_zero_shot(entry) else run.data.eval_source
    data = ["--data", str(root / (source or _source(entry, root))), "--format", entry.reader]
    words = [*start, *data, "--root", str(root), "--split", scored[-1]]
    if entry.task == "open-set":
        words += ["--unknown", str(root if rehearse else "UNKNOWN")]
    return words


def _source(entry: DataSet, root: Path) -> str:
    """What the reader is given, relative to the root: of a pattern the file that is there."""
    there = sorted(root.glob(entry.source)) if entry.source != "." else []
    return there[0].name if there else entry.source.replace("*", "")


def _cost(entry: DataSet, run: Run, *, rehearse: bool) -> str:
    """What the planner expects of a run on a node of H100s, or on as many as share its batch."""
    if is_zero_shot(entry):
        return f"nothing is trained; ENCODER_B is a run of {run.name}, or imported weights of one"
    if rehearse:
        return "two steps of a tiny network"
    from internvideo.planner import Assumptions, Cluster, make_plan

    count = math.gcd(run.training.batch_size // run.training.accumulation, _GPUS)
    plan = make_plan(run, Cluster(count=count, name="H100"), Assumptions())
    low, high = plan.device_hours.low, plan.device_hours.high
    return (
        f"{run.name}: {plan.num_steps:,} steps of {plan.clips_per_step:,} clips, "
        f"{plan.flops:.2g} FLOP, {low:,.2g} to {high:,.2g} hours of an H100 on {plan.cluster}; "
        f"`internvideo plan {run.name} --gpus {plan.cluster}` says on what that stands"
    )
