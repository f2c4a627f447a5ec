"""Every reader of files that others wrote, on damaged copies: an answer or an error in one line."""

from __future__ import annotations

import pytest

from internvideo.data import ANNOTATIONS
from tests.properties.annotated import ANNOTATED, OTHERS
from tests.properties.mutating import HOSTILE, NUM_MUTATIONS, faults
from tests.properties.readers import READERS


def test_every_format_has_files_to_damage():
    assert ANNOTATED.keys() | OTHERS == ANNOTATIONS.keys()


@pytest.fixture
def case(request, tmp_path):
    (tmp_path / "made").mkdir()
    return READERS[request.param](tmp_path / "made")


@pytest.mark.slow
@pytest.mark.parametrize("case", READERS, indirect=True)
def test_damaged_files_are_read_or_refused_in_one_line(case, tmp_path):
    count = NUM_MUTATIONS // case.cost
    assert faults(case.read, case.files, tmp_path, count=count) == []


@pytest.mark.slow
@pytest.mark.parametrize("case", READERS, indirect=True)
def test_other_contents_are_refused_in_one_line(case, tmp_path):
    assert faults(case.read, case.files, tmp_path, contents=HOSTILE) == []
