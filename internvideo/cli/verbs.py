"""All verbs in one place; each is a dataclass whose fields are its options.

Those of `evaluate` and `predict` come from the tasks, which need torch: they are imported only for
these two verbs, so that all others and `--help` answer at once.
"""

from __future__ import annotations

import functools
import operator
from dataclasses import dataclass
from typing import Annotated, Any, get_args

from tyro.conf import subcommand

from internvideo.cli.bench import BenchData, BenchDecode, BenchStep
from internvideo.cli.catalogue import Check, Make, Reproduce, Sets
from internvideo.cli.data import (
    Actors,
    Init,
    Joined,
    Kinetics710,
    PlantedFeatures,
    Playground,
    Shards,
    Untrimmed,
)
from internvideo.cli.demo import Demo
from internvideo.cli.doctor import Doctor
from internvideo.cli.export import Export, Push
from internvideo.cli.extract import Extract
from internvideo.cli.finetune import Finetune
from internvideo.cli.index import Index
from internvideo.cli.inspect import List, Show
from internvideo.cli.plan import PlanRun
from internvideo.cli.search import Search
from internvideo.cli.serve import Serve
from internvideo.cli.train import Train
from internvideo.cli.videos import Scan, Transcode
from internvideo.cli.weights import Import, ListReleases, Merge, ShowRelease

Data = Annotated[
    Annotated[Scan, subcommand("scan")]
    | Annotated[Transcode, subcommand("transcode")]
    | Annotated[Init, subcommand("init")]
    | Annotated[Shards, subcommand("shards")]
    | Annotated[Kinetics710, subcommand("kinetics710")]
    | Annotated[Playground, subcommand("playground")]
    | Annotated[Actors, subcommand("actors")]
    | Annotated[PlantedFeatures, subcommand("planted-features")]
    | Annotated[Untrimmed, subcommand("untrimmed")]
    | Annotated[Joined, subcommand("joined")]
    | Annotated[Sets, subcommand("sets")]
    | Annotated[Check, subcommand("check")]
    | Annotated[Make, subcommand("make")],
    subcommand(
        "data", description="Check, list, merge, pack or generate videos; data sets of the paper."
    ),
]

Bench = Annotated[
    Annotated[BenchDecode, subcommand("decode")]
    | Annotated[BenchData, subcommand("data")]
    | Annotated[BenchStep, subcommand("step")],
    subcommand("bench", description="Measure this machine for `plan --measured`."),
]

Weights = Annotated[
    Annotated[ListReleases, subcommand("list")]
    | Annotated[ShowRelease, subcommand("show")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Merge, subcommand("merge")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Push, subcommand("push")],
    subcommand("weights", description="Import released weights; export or upload your own models."),
]


@dataclass(frozen=True)
class _OfTasks:
    """Stands for a verb with a subcommand for each task, until `command_line` replaces it."""


# Verbs with a subcommand for each task.
OF_TASKS = {
    "evaluate": "Evaluate a trained model by a task's official protocol, and report what could not "
    "be scored.\n\nExample: internvideo evaluate retrieval runs/b --data test.csv --format webvid",
    "predict": "Run a trained model on videos: classes, captions, answers, moments, who does "
    "what.\n\n"
    "Example: internvideo predict captioning clip.mp4 --model runs/b",
}

Verb = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Finetune, subcommand("finetune")]
    | Annotated[_OfTasks, subcommand("evaluate", description=OF_TASKS["evaluate"])]
    | Annotated[_OfTasks, subcommand("predict", description=OF_TASKS["predict"])]
    | Annotated[Extract, subcommand("extract")]
    | Annotated[Index, subcommand("index")]
    | Annotated[Search, subcommand("search")]
    | Data
    | Weights
    | Annotated[List, subcommand("list")]
    | Annotated[Show, subcommand("show")]
    | Annotated[PlanRun, subcommand("plan")]
    | Bench
    | Annotated[Serve, subcommand("serve")]
    | Annotated[Reproduce, subcommand("reproduce")]
    | Annotated[Doctor, subcommand("doctor")]
)

VERBS = tuple(get_args(verb)[1].name for verb in get_args(Verb))


def command_line(verb: str) -> Any:
    """The type of all command lines, with the tasks of `verb` where it has them."""
    if verb not in OF_TASKS:
        return Verb
    from internvideo.cli.tasks import commands

    types = [of for of in get_args(Verb) if get_args(of)[1].name != verb]
    return functools.reduce(operator.or_, types, commands(verb, about=OF_TASKS[verb]))
