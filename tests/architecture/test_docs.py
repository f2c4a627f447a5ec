"""What the documents name exists."""

from __future__ import annotations

import re

import pytest

from tests.architecture.arrows import PACKAGE

ROOT = PACKAGE.parent
NAMED_PATH = re.compile(r"`((?:internvideo|tests|docs|benchmarks)/[\w./-]+)`")
NAMED_WITH = re.compile(r"`(internvideo/[\w/]+\.py)`, `(\w+)`")


def _documents():
    return sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("path", _documents(), ids=lambda path: path.name)
def test_every_path_in_a_document_exists(path):
    missing = [name for name in NAMED_PATH.findall(path.read_text()) if not (ROOT / name).exists()]

    assert not missing


@pytest.mark.parametrize("path", _documents(), ids=lambda path: path.name)
def test_every_name_given_with_its_file_is_in_that_file(path):
    wrong = [
        (file, name)
        for file, name in NAMED_WITH.findall(path.read_text())
        if not re.search(rf"\b{name}\b", (ROOT / file).read_text())
    ]

    assert not wrong
