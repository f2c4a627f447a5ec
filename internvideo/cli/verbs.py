"""All verbs in one place; each is a dataclass whose fields are its options."""

from __future__ import annotations

from typing import Annotated, get_args

from tyro.conf import subcommand

from internvideo.cli.data import Init, Kinetics710, Playground, Scan, Shards
from internvideo.cli.demo import Demo
from internvideo.cli.doctor import Doctor
from internvideo.cli.export import Export, Push
from internvideo.cli.extract import Extract
from internvideo.cli.finetune import Finetune
from internvideo.cli.inspect import List, Show
from internvideo.cli.train import Train
from internvideo.cli.use import Evaluate, Predict
from internvideo.cli.weights import Import, ListReleases, ShowRelease

Data = Annotated[
    Annotated[Scan, subcommand("scan")]
    | Annotated[Init, subcommand("init")]
    | Annotated[Shards, subcommand("shards")]
    | Annotated[Kinetics710, subcommand("kinetics710")]
    | Annotated[Playground, subcommand("playground")],
    subcommand("data", description="Check, list, merge, pack or generate videos."),
]

Weights = Annotated[
    Annotated[ListReleases, subcommand("list")]
    | Annotated[ShowRelease, subcommand("show")]
    | Annotated[Import, subcommand("import")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Push, subcommand("push")],
    subcommand("weights", description="Released weights in, ours out."),
]

Verb = (
    Annotated[Demo, subcommand("demo")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Finetune, subcommand("finetune")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Predict, subcommand("predict")]
    | Annotated[Extract, subcommand("extract")]
    | Data
    | Weights
    | Annotated[List, subcommand("list")]
    | Annotated[Show, subcommand("show")]
    | Annotated[Doctor, subcommand("doctor")]
)

VERBS = tuple(get_args(verb)[1].name for verb in get_args(Verb))
