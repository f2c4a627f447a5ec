"""An index that was killed, or had no room, and what it is after the next run."""

from __future__ import annotations

import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from internvideo.errors import CheckpointError
from internvideo.search import Index, update_index
from tests.unit.search.conftest import new_index
from tests.unit.search.toys import COLOURS, GREY, ColourModel, colour_video

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[3]
# A run that takes its time over every video, so that kills fall in between.
_SLOW_RUN = """
import sys, time
from internvideo.search import Index, update_index
from tests.unit.search.toys import ColourModel

class Slow(ColourModel):
    def embed(self, prepared):
        time.sleep(0.05)
        return super().embed(prepared)

print("started", flush=True)
update_index(Index(sys.argv[1]), Slow(), batch_size=4)
"""


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
    draw, num_killed = random.Random(0), 0

    for attempt in range(40):
        run = subprocess.Popen(
            [sys.executable, "-c", _SLOW_RUN, str(tmp_path / "killed")],
            cwd=_ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert run.stdout is not None
        assert run.stdout.readline() == "started\n"
        if num_killed == 10:
            assert run.wait() == 0
            break
        time.sleep(draw.uniform(0, 0.4))
        run.send_signal(signal.SIGKILL)
        num_killed += run.wait() == -signal.SIGKILL
        Index(tmp_path / "killed").close()  # can be read at any time
        assert attempt < 39

    assert num_killed == 10
    assert everything(tmp_path / "killed") == everything(tmp_path / "whole")


def test_without_room_the_index_stays_as_it_was_and_goes_on_later(videos, tmp_path):
    model = ColourModel()
    with new_index(tmp_path / "whole", videos, model) as index:
        update_index(index, model, batch_size=4)
    index = new_index(tmp_path / "full", videos, model)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    usual = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match="make room and run the command again"):
            update_index(index, model, batch_size=4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, usual)

    num_before = len(index.videos())
    assert 0 < num_before < 12
    assert len(index.windows()) == len(index.vectors())
    update_index(index, model, batch_size=4)
    index.close()

    assert everything(tmp_path / "full") == everything(tmp_path / "whole")
