"""Every recorded case of a kind that has a check passes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import SHARED
from tests.parity.case import Case
from tests.parity.run import check_for, run_case

_GOLDEN = SHARED / "golden"
_FOLDERS = [path.parent for path in sorted(_GOLDEN.glob("*/case.json"))]
_CHECKED = [folder for folder in _FOLDERS if check_for(Case(folder))]
_OF_MODELS = (
    "videomae_pretrain",
    "videomae_finetune",
    "hf_",
    "clip_towers",
    "uniformerv2_downsample",
    "uniformerv2_no",
    "internvideo_mm_dual_encoder",
    "internvideo_mm_caption",
    "internvideo_mm_vqa",
    "viclip",
)


def test_recorded_cases_are_in_reach(golden):
    assert _CHECKED


@pytest.mark.parametrize("folder", _CHECKED, ids=lambda folder: folder.name)
def test_recorded_case(folder: Path) -> None:
    verdict, text = run_case(folder)

    assert verdict == "PASS", text


@pytest.mark.parametrize(
    "folder", [f for f in _CHECKED if f.name.startswith(_OF_MODELS)], ids=lambda folder: folder.name
)
def test_recorded_case_with_imported_weights(folder: Path) -> None:
    verdict, text = run_case(folder, through_import=True)

    assert verdict == "PASS", text
    assert text.endswith("(imported)")
