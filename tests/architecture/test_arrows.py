"""Imports point one way: from the video file towards the command line."""

from __future__ import annotations

import pytest

from tests.architecture.arrows import (
    ARROWS,
    NAME,
    PACKAGE,
    imported_modules,
    sources,
    wrong_arrows,
)

FORBIDDEN = {"torchvision", "timm", "decord", "mmcv", "sklearn", "transformers"}
# Where models of others are run, which the user names and which are no part of any of ours.
MAY_IMPORT = {
    ("search/transformers_model.py", "transformers"),
    ("tasks/spatiotemporal_localization/detectors.py", "transformers"),
}


def _module(path):
    return (NAME, *path.relative_to(PACKAGE).with_suffix("").parts)


def test_every_import_of_ours_points_the_allowed_way():
    wrong = [w for path in sources() for w in wrong_arrows(path.read_text(), _module(path))]

    assert not wrong, "\n".join(wrong)


def test_no_forbidden_library_is_imported():
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}: {name}"
        for path in sources()
        for line, name in imported_modules(path.read_text(), _module(path))
        if name.split(".")[0] in FORBIDDEN
        and (path.relative_to(PACKAGE).as_posix(), name.split(".")[0]) not in MAY_IMPORT
    ]

    assert not found, "\n".join(found)


def test_no_published_model_imports_the_front_ends_of_tiny_runs():
    found = [
        f"{path.relative_to(PACKAGE)}, line {line}: {name}"
        for folder in ("models", "objectives")
        for path in (PACKAGE / folder).rglob("*.py")
        for line, name in imported_modules(path.read_text(), _module(path))
        if name.split(".")[:2] == [NAME, "tiny"]
    ]

    assert not found, "\n".join(found)
    assert all("tiny" not in ARROWS[folder] for folder in ("models", "objectives"))


def test_the_table_has_no_cycle():
    inner = {k: v - {k} for k, v in ARROWS.items() if k not in {"cli", "web"} and k[0] != "_"}

    while inner:
        free = {folder for folder, targets in inner.items() if not targets & inner.keys()}
        assert free, f"cycle among {sorted(inner)}"
        inner = {k: v for k, v in inner.items() if k not in free}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.tokens", "from internvideo.data import loading"),
        ("models.tokens", "import internvideo.data.loading"),
        ("models.tokens", "from internvideo import data"),
        ("models.tokens", "from .. import data"),
        ("models.tokens", "from ..data.loading import Loader"),
        ("models.tokens", "def late():\n    from internvideo.data import loading"),
        ("models.tokens", "import_module('internvideo.data')"),
        ("models.__init__", "from ..training import loop"),
        ("models.tokens", "import internvideo"),
        ("models.uniformer", "from internvideo.tiny import UniFormerFrontEnd"),
        ("objectives.contrastive", "from internvideo import tiny"),
        ("data.loading", "from internvideo.models import sizes"),
        ("training.loop", "from internvideo.objectives import reconstruction_loss"),
        ("stages.mae", "from internvideo.stages.coordinate import Coordination"),
        ("stages.mae", "from .coordinate import Coordination"),
        ("stages.mae", "from internvideo.tasks import TASKS"),
        ("tasks.retrieval", "from . import recognition"),
        ("tasks.shared.inference", "from internvideo.tasks.retrieval import Retrieval"),
        ("report.page", "from internvideo.tasks import Result"),
        ("report.page", "from internvideo.training import journal"),
        ("values", "from internvideo.geometry import overlap"),
        ("novelty.thing", "import torch"),
    ],
)
def test_a_wrong_arrow_is_noticed(module, source):
    assert len(wrong_arrows(source, (NAME, *module.split(".")))) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("models.tokens", "from internvideo.values import TokenGrid"),
        ("models.tokens", "from internvideo.models.layers import Block"),
        ("models.tokens", "from .layers import Block"),
        ("models.tokens", "import torch\nfrom torch.utils import data"),
        ("data.loading", "from internvideo.video import decode"),
        ("stages.mae", "from internvideo.models import masked_encoder"),
        ("stages.__init__", "from internvideo.stages.mae import MaskedPretraining"),
        ("stages.mae.stage", "from internvideo.stages.mae.rebuild import rebuilt"),
        ("tasks.retrieval", "from internvideo.tasks.shared.inference import Embedder"),
        ("training.journal", "from internvideo import __version__"),
        ("cli.main", "from internvideo.recipes import RECIPES"),
    ],
)
def test_a_right_arrow_passes(module, source):
    assert wrong_arrows(source, (NAME, *module.split("."))) == []
