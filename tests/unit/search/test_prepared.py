"""Videos that other processes or jobs made ready give the index that one process makes alone."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from internvideo.errors import ConfigError
from internvideo.jobs import Engine, Ledger, Part
from internvideo.search import PrepareWork, WindowPlan, pending_units, update_index
from tests.unit.search.conftest import PLAN, new_index
from tests.unit.search.test_interruptions import everything
from tests.unit.search.toys import COLOURS, ColourModel, colour_video


@pytest.fixture
def alone(colour_copy, tmp_path):
    with new_index(tmp_path / "alone", colour_copy, ColourModel()) as index:
        update_index(index, ColourModel())
    return everything(tmp_path / "alone")


@pytest.fixture
def index(colour_copy, tmp_path):
    with new_index(tmp_path / "index", colour_copy, ColourModel()) as index:
        yield index


def make_ready(index, units, *, num_workers=0, plan=PLAN):
    work = PrepareWork(
        root=index.root, settings=replace(index.settings, plan=plan), open_model=ColourModel
    )
    ledger = Ledger(out=str(index.folder.absolute()))
    return Engine(num_workers=num_workers).run(units, work, ledger)


def test_parts_are_taken_in_without_embedding_again(index, alone, colour_copy):
    for number in range(2):
        part = Part(index=number, count=2)
        make_ready(index, part.of_units(pending_units(index)))
    model = ColourModel()

    update = update_index(index, model)

    assert model.num_embedded == 0
    assert (update.num_new, [one.path for one in update.failed]) == (4, ["broken.mp4"])
    assert update.hours > 0
    assert everything(index.folder) == alone
    assert sorted(path.name for path in index.folder.iterdir() if path.is_dir()) == []


@pytest.mark.slow
def test_processes_of_one_update_make_the_same_index(index, alone):
    update_index(
        index, ColourModel(), prepare=lambda units: make_ready(index, units, num_workers=1)
    )

    assert everything(index.folder) == alone


def test_a_part_that_is_missing_is_embedded_by_the_update(index, alone):
    make_ready(index, pending_units(index)[::2])

    update_index(index, ColourModel())

    assert everything(index.folder) == alone


def test_what_is_ready_is_not_made_again(index):
    make_ready(index, pending_units(index))

    statuses = [record.status for record in make_ready(index, pending_units(index))]

    assert statuses == ["there", "failed", "there", "there", "there"]


def test_what_no_longer_fits_is_not_taken(index, colour_copy):
    units = pending_units(index)
    make_ready(index, units[:1], plan=WindowPlan(window_s=1.0, stride_s=1.0, rate_fps=2.0))
    make_ready(index, units[2:])
    colour_video(colour_copy / "grey.mp4", [(COLOURS["blue"], 3)])
    damaged = next(unit for unit in units if unit.name == "red in the middle.mp4")
    os.truncate(damaged.target, 100)
    model = ColourModel()

    update_index(index, model)

    changed = {video.path: video.duration_s for video in index.videos()}
    assert changed["grey.mp4"] == pytest.approx(3)
    windows = index.windows()
    assert float((windows.end_s - windows.start_s).max()) == pytest.approx(2)
    assert model.num_embedded > 0


def test_a_video_that_ended_its_process_is_left_out(index):
    unit = pending_units(index)[0]
    ledger = Ledger(out=str(index.folder.absolute()))
    for _ in range(3):
        ledger.claim(unit)
        ledger.abandon(unit)
    make_ready(index, [unit])

    update = update_index(index, ColourModel())

    assert "ended its process 3 times" in update.failed[0].reason
    assert update.num_videos == 3


def test_another_model_than_that_of_the_index_is_refused(index):
    work = PrepareWork(
        root=index.root, settings=index.settings, open_model=lambda: ColourModel(name="other")
    )

    with pytest.raises(ConfigError, match="same model"):
        work(pending_units(index)[0], None)
