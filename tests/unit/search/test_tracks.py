from __future__ import annotations

import pytest

from internvideo.errors import AnnotationError, DecodeError
from internvideo.search import (
    Query,
    Searcher,
    add_track,
    label_windows,
    read_labels,
    update_index,
)
from tests.unit.search.conftest import new_index
from tests.unit.search.toys import ColourModel


@pytest.fixture
def index(colour_folder, tmp_path):
    model = ColourModel()
    with new_index(tmp_path / "index", colour_folder, model) as index:
        update_index(index, model)
        yield index


def test_every_window_has_the_label_whose_words_are_nearest(index):
    label_windows(index, ColourModel(), ["red", "green", "blue"])

    assert index.tracks() == {"labels": len(index.windows())}
    answer = Searcher(index, ColourModel).search(Query(text="GREEN", track="labels"))
    assert answer.moments[0].path == "blue then green.mp4"
    assert answer.moments[0].name == "green"
    assert answer.moments[0].start_s == pytest.approx(5, abs=0.6)
    assert answer.moments[0].end_s == pytest.approx(10, abs=0.1)


def test_a_track_goes_on_where_it_was_and_names_what_failed(index):
    seen = []

    def names_of(path):
        seen.append(path.name)
        if path.name == "grey.mp4":
            raise DecodeError("grey.mp4: cannot be seen")
        return [(0.0, 1.0, f"a film called {path.stem}", 0.9)]

    failed = add_track(index, "captions", names_of, model_sha256="1")
    add_track(index, "captions", names_of, model_sha256="1")

    assert [one.reason for one in failed] == ["grey.mp4: cannot be seen"]
    assert len(seen) == 4
    found = Searcher(index, ColourModel).search(Query(text="end", track="captions"))
    assert [moment.name for moment in found.moments] == ["a film called red at the end"]


def test_other_weights_replace_a_track(index):
    add_track(index, "t", lambda path: [(0.0, 1.0, "old", 0.9)], model_sha256="1")
    add_track(index, "t", lambda path: [(0.0, 1.0, "new", 0.9)], model_sha256="2")

    assert {name.name for name in index.names("t")} == {"new"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("red\n", "holds 1 labels"),
        ("red\nblue\nred\n", r"line 3: 'red' is in line 1 already"),
    ],
)
def test_labels_that_decide_nothing_are_refused(tmp_path, text, message):
    (tmp_path / "labels.txt").write_text(text)

    with pytest.raises(AnnotationError, match=message):
        read_labels(tmp_path / "labels.txt")
