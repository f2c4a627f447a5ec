"""Episodes: the published format in and out, real files of it, and files that are damaged."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace

import pytest

from internvideo.errors import AnnotationError, ConfigError
from internvideo.navigation import make_episodes, read_episodes, write_episodes


@pytest.fixture(scope="module")
def episodes():
    return make_episodes("val_unseen", 6, seed=1, episodes_per_house=4)


def test_the_same_seed_gives_the_same_episodes_and_files(episodes, tmp_path):
    again = make_episodes("val_unseen", 6, seed=1, episodes_per_house=4)
    for name, made in (("a", episodes), ("b", again)):
        write_episodes(made, tmp_path / name / "val_unseen.json.gz")

    assert again == episodes
    for file in ("val_unseen.json.gz", "val_unseen_gt.json.gz"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_what_is_written_is_read(episodes, tmp_path):
    write_episodes(episodes, tmp_path / "val_unseen.json.gz")

    read = read_episodes(tmp_path / "val_unseen.json.gz")

    assert [replace(e, heading=0.0) for e in read] == [replace(e, heading=0.0) for e in episodes]
    for ours, theirs in zip(read, episodes, strict=True):
        assert math.remainder(ours.heading - theirs.heading, math.tau) == pytest.approx(0, abs=1e-6)


def test_splits_are_other_houses_or_other_ways():
    train, seen, unseen = (
        make_episodes(split, 4, episodes_per_house=4)
        for split in ("train", "val_seen", "val_unseen")
    )

    assert {e.scene for e in train} == {e.scene for e in seen}
    assert not {e.scene for e in train} & {e.scene for e in unseen}
    assert {e.start for e in train} != {e.start for e in seen}
    with pytest.raises(ConfigError, match="split 'test'"):
        make_episodes("test", 1)


def test_instructions_name_the_rooms_and_the_goal(episodes):
    for episode in episodes:
        words = episode.instruction.lower()
        assert words.endswith(".")
        assert any(w in words for w in ("stop", "wait", "stand"))
        assert sum(k in words for k in ("kitchen", "bedroom", "bathroom", "office", "lounge")) >= 1


def test_real_episodes_are_read_with_their_ground_truth(real_annotations):
    folder = real_annotations / "r2r_vlnce/R2R_VLNCE_v1-3_preprocessed"

    read = read_episodes(folder / "val_seen/val_seen.json.gz")

    assert len(read) == 778
    first = read[0]
    assert first.scene == "mp3d/s8pcmisQ38h/s8pcmisQ38h.glb"
    assert first.instruction.startswith("Walk down the stairs, turn right")
    assert (first.distance_m, first.radius_m) == (pytest.approx(10.39185905456543), 3.0)
    assert sum(bool(e.locations) for e in read) == 778
    assert len(read_episodes(folder / "train/train.json.gz")) == 600


def _written(tmp_path, change):
    path = tmp_path / "train.json.gz"
    document = {
        "episodes": [
            {
                "episode_id": 7,
                "scene_id": "house-1",
                "start_position": [1.0, 0.0, 1.0],
                "start_rotation": [0, 0, 0, 1],
                "info": {"geodesic_distance": 4.0},
                "goals": [{"position": [3.0, 0.0, 1.0]}],
                "instruction": {"instruction_text": "Go."},
            }
        ]
    }
    change(document)
    path.write_bytes(gzip.compress(json.dumps(document).encode()))
    return path


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.pop("episodes"), "has no list 'episodes'"),
        (lambda d: d["episodes"][0].pop("goals"), "episode 7: KeyError: 'goals'"),
        (lambda d: d["episodes"][0].update(goals=[]), "episode 7: IndexError"),
        (lambda d: d["episodes"][0].update(start_position=[1, 2]), "episode 7: ValueError"),
        (
            lambda d: d["episodes"][0].update(start_position=[1, math.nan, 2]),
            "episode 7: ValueError: position .* is not finite",
        ),
        (
            lambda d: d["episodes"][0]["instruction"].update(instruction_text=" "),
            "episode 7: ValueError: its instruction is empty",
        ),
    ],
)
def test_a_damaged_episode_is_named(tmp_path, change, said):
    with pytest.raises(AnnotationError, match=said):
        read_episodes(_written(tmp_path, change))


def test_a_cut_file_is_named(tmp_path):
    path = _written(tmp_path, lambda d: None)
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(AnnotationError, match=r"train\.json\.gz: cut off or not gzip"):
        read_episodes(path)
    with pytest.raises(AnnotationError, match="no such file"):
        read_episodes(tmp_path / "other.json.gz")
