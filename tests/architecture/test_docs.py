"""What the documents name exists, and so does every document that the code names."""

from __future__ import annotations

import re

import pytest

from tests.architecture.arrows import PACKAGE

ROOT = PACKAGE.parent
NAMED_PATH = re.compile(r"`((?:internvideo|tests|docs|benchmarks)/[\w./-]+)`")
NAMED_WITH = re.compile(r"`(internvideo/[\w/]+\.py)`, `(\w+)`")
NAMED_DOCUMENT = re.compile(r"(?<![\w/])(?:docs|benchmarks)/[\w/*-]+\.(?:md|png|py)")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([\w-]+))?\)")


def _documents():
    folders = [*(ROOT / "docs").rglob("*.md"), *(ROOT / "benchmarks").glob("*.md")]
    return sorted(folders) + sorted(ROOT.glob("*.md"))


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


@pytest.mark.parametrize("path", _documents(), ids=lambda path: path.name)
def test_every_link_between_documents_leads_somewhere(path):
    broken = [
        (name, heading)
        for name, heading in LINK.findall(path.read_text())
        if not _leads_somewhere(path.parent / name if name else path, heading)
    ]

    assert not broken


def _leads_somewhere(target, heading):
    if not target.exists() or not heading:
        return target.exists()
    headings = re.findall(r"^#+ (.*)", target.read_text(), flags=re.MULTILINE)
    return heading in {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in headings}


def test_every_document_that_the_code_names_exists():
    missing = [
        (path.relative_to(ROOT).as_posix(), name)
        for path in sorted([*PACKAGE.rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")])
        for name in NAMED_DOCUMENT.findall(path.read_text())
        if "github.com" not in name and not list(ROOT.glob(name))
    ]

    assert not missing
