from __future__ import annotations

import shutil

import pytest

from internvideo.search import Index, IndexSettings, Searcher, WindowPlan, update_index
from tests.unit.search.toys import COLOURS, GREY, ColourModel, colour_video

PLAN = WindowPlan(window_s=2.0, stride_s=1.0, rate_fps=2.0, frames="all")


def new_index(folder, videos, model, *, plan=PLAN, vectors="float16"):
    settings = IndexSettings(
        folder=str(videos),
        model=model.name,
        model_sha256=model.sha256,
        width=model.width,
        trained_on_generated=model.trained_on_generated,
        plan=plan,
        vectors=vectors,
    )
    return Index.create(folder, settings)


@pytest.fixture(scope="session")
def colour_folder(tmp_path_factory):
    """Videos whose moments of colour are known: see `test_searcher`."""
    folder = tmp_path_factory.mktemp("colours")
    colour_video(folder / "red in the middle.mp4", [(GREY, 6), (COLOURS["red"], 4), (GREY, 6)])
    colour_video(folder / "blue then green.mp4", [(COLOURS["blue"], 5), (COLOURS["green"], 5)])
    colour_video(folder / "grey.mp4", [(GREY, 8)])
    colour_video(folder / "sub" / "red at the end.mp4", [(GREY, 3), (COLOURS["red"], 3)], seed=1)
    (folder / "broken.mp4").write_text("no video")
    return folder


@pytest.fixture
def colour_copy(colour_folder, tmp_path):
    """The same, to be changed."""
    return shutil.copytree(colour_folder, tmp_path / "videos")


@pytest.fixture(scope="session")
def colour_index(colour_folder, tmp_path_factory):
    """A finished index of it; not to be changed."""
    model = ColourModel()
    with new_index(tmp_path_factory.mktemp("index"), colour_folder, model) as index:
        update_index(index, model)
        Searcher(index, lambda: model).calibrate()
        yield index


@pytest.fixture
def searcher(colour_index):
    return Searcher(colour_index, ColourModel)
