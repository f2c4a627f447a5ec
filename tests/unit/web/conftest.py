"""An index of coloured videos, served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from internvideo.search import Searcher, update_index
from internvideo.web import Access, IndexService, create_app
from tests.unit.search.conftest import new_index
from tests.unit.search.toys import COLOURS, GREY, ColourModel, colour_video


def make_index(home: Path) -> Path:
    """Index four videos, one of whose names is markup, and a broken file."""
    videos, folder = home / "videos", home / "videos.internvideo"
    grey = (GREY, 6)
    for name, parts in {
        "red in the middle.mp4": [grey, (COLOURS["red"], 4), grey],
        "sub/blue.mp4": [grey, (COLOURS["blue"], 4)],
        "<img src=x onerror=alert(1)>.mp4": [grey, (COLOURS["green"], 4)],
        "grey.mp4": [grey, grey],
    }.items():
        colour_video(videos / name, parts, side_px=64)
    (videos / "broken.mp4").write_text("no video")
    model = ColourModel()
    with new_index(folder, videos, model) as index:
        update_index(index, model)
        Searcher(index, lambda: model).calibrate()
    return folder


@pytest.fixture(scope="session")
def index_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_index(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="session")
def client(index_folder: Path) -> Iterator[TestClient]:
    service = IndexService(index_folder, lambda name: ColourModel(name=name))
    app = create_app(service, Access(port=8000))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        yield client
