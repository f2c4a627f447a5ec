from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.processes import sole_use
from internvideo.search import Index, update_index
from tests.unit.search.conftest import new_index
from tests.unit.search.toys import COLOURS, GREY, ColourModel, colour_video


@pytest.fixture
def model():
    return ColourModel()


@pytest.fixture
def index(colour_copy, tmp_path, model):
    with new_index(tmp_path / "index", colour_copy, model) as index:
        update_index(index, model)
        yield index


def test_every_video_has_windows_with_vectors_and_broken_files_are_named(index):
    windows, vectors = index.windows(), index.vectors()["values"]

    assert [video.path for video in index.videos()] == [
        "blue then green.mp4",
        "grey.mp4",
        "red in the middle.mp4",
        "sub/red at the end.mp4",
    ]
    assert len(windows) == len(vectors) > 20
    assert np.allclose(np.linalg.norm(vectors.astype(float), axis=1), 1, atol=1e-3)
    assert [path for path, _ in index.failed()] == ["broken.mp4"]
    assert index.thumbnail(0).startswith(b"\xff\xd8")


def test_a_second_run_reads_nothing_again(index, model):
    model.num_embedded = 0

    update = update_index(index, model)

    assert model.num_embedded == 0
    assert not update.has_changed
    assert update.num_unchanged == 5
    assert [failed.path for failed in update.failed] == ["broken.mp4"]


def test_a_renamed_video_is_recognised_by_its_content(index, model, colour_copy):
    before = {video.path: video.id for video in index.videos()}
    (colour_copy / "new").mkdir()
    (colour_copy / "grey.mp4").rename(colour_copy / "new" / "name.mp4")
    model.num_embedded = 0

    update = update_index(index, model)

    assert update.num_renamed == 1
    assert model.num_embedded == 0
    after = {video.path: video.id for video in index.videos()}
    assert after["new/name.mp4"] == before["grey.mp4"]


def test_two_videos_that_changed_places_keep_their_windows(index, model, colour_copy):
    before = {video.path: video.sha256 for video in index.videos()}
    one, other = colour_copy / "grey.mp4", colour_copy / "red in the middle.mp4"
    one.rename(colour_copy / "x.mp4")
    other.rename(one)
    (colour_copy / "x.mp4").rename(other)

    update_index(index, model)

    after = {video.path: video.sha256 for video in index.videos()}
    assert after["grey.mp4"] == before["red in the middle.mp4"]
    assert after["red in the middle.mp4"] == before["grey.mp4"]


def test_a_touched_video_is_not_embedded_again(index, model, colour_copy):
    os.utime(colour_copy / "grey.mp4", (1e9, 1e9))
    model.num_embedded = 0

    update = update_index(index, model)

    assert model.num_embedded == 0
    assert not update.num_renamed + update.num_changed + update.num_new


def test_changed_new_and_removed_videos_are_followed(index, model, colour_copy):
    colour_video(colour_copy / "grey.mp4", [(COLOURS["blue"], 3)])
    colour_video(colour_copy / "more.mp4", [(GREY, 2)])
    (colour_copy / "red in the middle.mp4").unlink()
    (colour_copy / "broken.mp4").unlink()

    update = update_index(index, model)

    assert (update.num_new, update.num_changed, update.num_removed) == (1, 1, 2)
    assert update.failed == ()
    paths = [video.path for video in index.videos()]
    assert paths == ["blue then green.mp4", "grey.mp4", "more.mp4", "sub/red at the end.mp4"]
    with Index(index.folder) as again:
        assert set(again.windows().video.tolist()) == {video.id for video in again.videos()}


def test_a_broken_video_that_comes_later_costs_the_others_nothing(index, model, colour_copy):
    before = index.vectors()["values"].copy()
    (colour_copy / "later.mp4").write_text("no video")

    update = update_index(index, model)

    assert [failed.path for failed in update.failed] == ["broken.mp4", "later.mp4"]
    assert np.array_equal(index.vectors()["values"], before)


def test_rows_out_of_use_are_dropped_and_the_rest_stay_the_same(index, model, colour_copy):
    table, vectors = index.windows(), index.vectors()["values"].copy()
    (colour_copy / "red in the middle.mp4").unlink()

    update_index(index, model)

    after = index.windows()
    assert index.vector_file.name == "vectors-1.bin"
    assert len(index.vectors()) == len(after)
    kept = np.isin(table.video, after.video)
    assert np.array_equal(index.vectors()["values"], vectors[table.row[kept]])
    assert not (index.folder / "vectors-0.bin").exists()


def test_a_second_process_is_told_who_is_at_work(index, model):
    with sole_use(index.folder), pytest.raises(ConfigError, match=r"process \d+"):
        update_index(index, model)


def test_another_model_is_refused(index):
    with pytest.raises(ConfigError, match="made with other weights"):
        update_index(index, ColourModel(name="other"))


def test_an_empty_folder_does_not_empty_the_index(index, model, colour_copy):
    shutil.rmtree(colour_copy)
    colour_copy.mkdir()

    with pytest.raises(ConfigError, match="is the drive there"):
        update_index(index, model)

    assert len(index.videos()) == 4


def test_clips_are_the_same_in_batches_of_any_kind(colour_copy, tmp_path):
    model = ColourModel(num_frames=4)
    found = []
    for size in (1, 3, 100):
        with new_index(tmp_path / f"index{size}", colour_copy, model) as index:
            update_index(index, model, batch_size=size)
            found.append(index.vectors()["values"].copy())

    assert np.allclose(found[0], found[1], atol=2e-3)
    assert np.allclose(found[0], found[2], atol=2e-3)


def test_a_folder_with_other_files_is_no_place_for_an_index(tmp_path, model):
    (tmp_path / "notes.txt").write_text("mine")

    with pytest.raises(ConfigError, match="holds other files"):
        new_index(tmp_path, tmp_path, model)


def test_a_folder_without_index_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match="internvideo index FOLDER"):
        Index(tmp_path)
