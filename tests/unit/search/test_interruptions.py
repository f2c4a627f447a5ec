"""An index that was killed, or had no room, and what it is after the next run."""

from __future__ import annotations

import multiprocessing
import random
import resource
import shutil
import signal
import sqlite3
import time
from contextlib import contextmanager

import pytest

from internvideo.errors import CheckpointError
from internvideo.search import Index, update_index
from tests.unit.search.conftest import new_index
from tests.unit.search.toys import COLOURS, GREY, ColourModel, colour_video, index_slowly

pytestmark = pytest.mark.slow


def everything(folder):
    """All that an index holds."""
    with Index(folder) as index:
        vectors = index.vectors().tobytes()
    with sqlite3.connect(folder / "index.sqlite") as database:
        tables = ("videos", "windows", "failed")
        rows = {t: database.execute(f"SELECT * FROM {t} ORDER BY 1").fetchall() for t in tables}
    database.close()
    return vectors, rows


@pytest.fixture
def videos(tmp_path):
    folder = tmp_path / "videos"
    colours = [*COLOURS.values(), GREY]
    for number in range(12):
        parts = [(colours[number % 4], 2 + number % 3), (colours[(number + 1) % 4], 2)]
        colour_video(folder / f"{number:02}.mp4", parts, seed=number)
    (folder / "05 broken.mp4").write_text("no video")
    return folder


def test_killed_at_ten_moments_it_becomes_the_index_that_was_never_stopped(videos, tmp_path):
    with new_index(tmp_path / "whole", videos, ColourModel()) as index:
        update_index(index, ColourModel(), batch_size=4)
    new_index(tmp_path / "killed", videos, ColourModel()).close()
    # Its processes are copies of one that has imported all and runs no threads.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.unit.search.toys"])
    draw, num_killed = random.Random(0), 0

    while True:
        ours, theirs = context.Pipe()
        run = context.Process(target=index_slowly, args=(tmp_path / "killed", theirs))
        run.start()
        assert ours.recv() == "started"
        if num_killed == 10:
            run.join()
            assert run.exitcode == 0
            break
        time.sleep(draw.uniform(0, 0.4))
        run.kill()
        run.join()
        num_killed += run.exitcode == -signal.SIGKILL
        Index(tmp_path / "killed").close()  # can be read at any time
        if run.exitcode == 0:  # it was quicker than we; begin anew with what is left to kill
            shutil.rmtree(tmp_path / "killed")
            new_index(tmp_path / "killed", videos, ColourModel()).close()

    assert num_killed == 10
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")


@contextmanager
def largest_file(num_bytes):
    """No file grows beyond this, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, usual)


def test_without_room_no_index_is_begun(tmp_path):
    with (
        largest_file(8_000),
        pytest.raises(CheckpointError, match=r"full: cannot be written .*room"),
    ):
        new_index(tmp_path / "full", tmp_path, ColourModel())

    assert not [path.name for path in (tmp_path / "full").iterdir() if path.name != ".lock"]


def test_without_room_the_index_stays_as_it_was_and_goes_on_later(videos, tmp_path):
    model = ColourModel()
    with new_index(tmp_path / "whole", videos, model) as index:
        update_index(index, model, batch_size=4)
    index = new_index(tmp_path / "full", videos, model)
    told = "make room and run the command again"
    with largest_file(120_000), pytest.raises(CheckpointError, match=told):
        update_index(index, model, batch_size=4)

    num_before = len(index.videos())
    assert 0 < num_before < 12
    assert len(index.windows()) == len(index.vectors())
    update_index(index, model, batch_size=4)
    index.close()

    assert everything(tmp_path / "full") == everything(tmp_path / "whole")
