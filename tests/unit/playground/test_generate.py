"""The folder that a generation leaves, whole or interrupted."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from internvideo.errors import ConfigError, InternVideoError
from internvideo.playground import (
    ACTIONS,
    PAIRS,
    World,
    draw_facts,
    draw_still,
    generate,
    read_facts,
    render,
)
from internvideo.playground.compose import is_reserved
from internvideo.playground.facts import facts_line
from internvideo.video import open_video

NUM_VIDEOS = 32
NUM_STILLS = 70

# The module, which the function of the same name hides in the package.
generate_module = sys.modules[generate.__module__]


def make(out: Path, **options):
    settings = {"size": NUM_VIDEOS, "num_stills": NUM_STILLS, "seed": 7, "side_px": 64}
    return generate(out, **{**settings, "rate_fps": 8, "has_check": False, **options})


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("playground") / "world"
    make(out)
    return out


def test_same_seed_same_bytes_whatever_the_number_of_workers(made, tmp_path):
    make(tmp_path / "again", num_workers=2)

    assert contents(tmp_path / "again") == contents(made)


def test_another_seed_gives_other_videos(made, tmp_path):
    make(tmp_path / "other", seed=8)

    ours, others = contents(made), contents(tmp_path / "other")
    media = [name for name in ours if name.endswith((".mp4", ".jpg")) and name in others]
    assert all(ours[name] != others[name] for name in media)


def test_a_video_can_be_made_without_the_others(made):
    world = World(seed=7, side_px=64, rate_fps=8)

    for name, draw in (("facts", draw_facts), ("stills", draw_still)):
        lines = (made / f"{name}.jsonl").read_text().splitlines()
        assert lines[11] == facts_line(draw(11, world))


def test_the_files_hold_the_rendered_frames(made):
    facts = next(read_facts(made))
    with open_video(made / facts.path) as reader:
        decoded = reader.frames(range(facts.num_frames)).frames.numpy()

    expected = render(facts)
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).mean() < 6


def test_the_summary_counts_and_prints(made, tmp_path):
    summary = make(tmp_path / "world", size=12, num_stills=None)

    assert (summary.num_videos, summary.num_stills, summary.num_made) == (12, 36, 12)
    assert sum(summary.num_of_split.values()) == 12
    assert "12 videos of 29 actions" in str(summary) and "36 stills" in str(summary)
    assert "clips/s" in str(summary)


def test_progress_ends_with_all_videos_and_stills(tmp_path):
    seen = []
    make(tmp_path / "world", size=20, on_progress=lambda done, total: seen.append((done, total)))

    assert seen == [(8, 90), (16, 90), (20, 90), (84, 90), (90, 90)]


@pytest.mark.parametrize("num_done", [16, NUM_VIDEOS + 64])
def test_an_interrupted_generation_is_completed(made, tmp_path, num_done):
    out = tmp_path / "world"

    def stop(done, total):
        if done >= num_done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(out, on_progress=stop)
    assert not json.loads((out / "playground.json").read_text())["is_complete"]
    assert not (out / "facts.jsonl").exists()

    summary = make(out)
    assert summary.num_made == max(NUM_VIDEOS - num_done, 0)
    assert contents(out) == contents(made)


def test_a_playground_whose_images_and_sentences_are_gone_is_completed(made, tmp_path):
    out = tmp_path / "world"
    shutil.copytree(made, out)
    for name in ("images", "image_text", "webvid", "msrvtt", "multiple_choice"):
        shutil.rmtree(out / name)

    assert make(out).num_made == 0
    assert contents(out) == contents(made)


def test_what_is_complete_is_not_made_again(made):
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.mp4")}
    summary = make(made)

    assert summary.num_made == 0
    assert {path: path.stat().st_mtime_ns for path in made.rglob("*.mp4")} == before


def test_a_folder_with_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")

    with pytest.raises(ConfigError, match=r"not empty \(thesis\.txt is there\) and not a playgr"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_playground_of_other_settings_is_refused(made):
    with pytest.raises(ConfigError, match="holds a playground with seed 7, not 8"):
        make(made, seed=8)


def test_a_playground_of_before_there_were_stills_is_refused(made, tmp_path):
    state = json.loads((made / "playground.json").read_text())
    del state["num_stills"]
    (tmp_path / "playground.json").write_text(json.dumps(state))

    with pytest.raises(ConfigError, match="holds a playground with num_stills None, not 70"):
        make(tmp_path)


def test_a_broken_description_is_refused(tmp_path):
    (tmp_path / "playground.json").write_text("{")

    with pytest.raises(ConfigError, match="does not describe a playground"):
        make(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "world").write_text("")

    with pytest.raises(InternVideoError, match=r"world: the playground cannot be written there"):
        make(tmp_path / "world")


def test_a_full_disk_is_one_clear_error(tmp_path, monkeypatch):
    def full(path, *rest, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(generate_module, "write_video", full)
    with pytest.raises(
        InternVideoError, match=r"world: the playground cannot be written there \(No space left"
    ):
        make(tmp_path / "world")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": "dmo"}, "unknown playground size 'dmo'; did you mean 'demo'"),
        ({"size": "0"}, "playground size 0 is no number of videos"),
        ({"size": -3}, "playground size -3 is no number of videos"),
        ({"num_stills": -1}, "num_stills -1 is negative; give 0 for none"),
        ({"num_workers": 0}, "num_workers 0 is not a number of processes"),
        ({"side_px": 31}, "side_px 31 is not an even number of at least 32"),
        ({"rate_fps": 1}, "rate_fps 1 .* too short to show a motion"),
        ({"seed": -1}, "seed -1 is negative"),
    ],
)
def test_an_impossible_option_is_named(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        make(tmp_path / "world", **options)
    assert not (tmp_path / "world").exists()


def test_every_annotation_file_names_videos_that_are_there(made):
    videos = made / "videos"

    def column(name, index, separator):
        with (made / name).open() as lines:
            return [row[index] for row in csv.reader(lines, delimiter=separator)]

    for split in ("train", "test"):
        listed = column(f"list_{split}.txt", 0, " ")
        assert listed == column(f"list_{split}.csv", 0, ",")
        assert listed == column(f"pretrain_{split}.txt", 0, " ")
        assert all((made / name).is_file() for name in listed)
        assert all(
            (videos / name).is_file() for name in column(f"ucf101/{split}list01.txt", 0, " ")
        )
        entries = json.loads((made / f"something_something/{split}.json").read_text())
        assert all((videos / f"{entry['id']}.mp4").is_file() for entry in entries)
    for line in (made / "image_text/train.jsonl").read_text().splitlines():
        entry = json.loads(line)
        assert (made / entry["image_root"] / entry["filename"]).is_file()
    assert sorted(made.rglob("*.mp4")) == sorted(
        made / name for name in column("manifest.csv", 0, ",")[1:]
    )


def test_every_annotation_file_gives_a_video_the_class_of_its_facts(made):
    facts = {one.path: one for one in read_facts(made)}
    classes = (made / "classes.txt").read_text().split()
    labels = json.loads((made / "something_something/labels.json").read_text())
    kinetics = csv.DictReader((made / "kinetics/train.csv").read_text().splitlines())
    trained = [one for one in facts.values() if one.split == "train"]

    assert classes == sorted(ACTIONS)
    assert [row["label"] for row in kinetics] == [one.action for one in trained]
    for line in (made / "list_train.txt").read_text().splitlines():
        path, label = line.split()
        assert classes[int(label)] == facts[path].action
    for line in (made / "ucf101/trainlist01.txt").read_text().splitlines():
        path, label = line.split()
        assert f"{label} {path.split('/')[0]}" in (made / "ucf101/classInd.txt").read_text()
    for entry in json.loads((made / "something_something/train.json").read_text()):
        number = labels[entry["template"].replace("[", "").replace("]", "")]
        one = facts[f"videos/{entry['id']}.mp4"]
        assert classes[int(number)] == one.action
        assert one.subject.shape in entry["placeholders"][0]
        assert all(thing in entry["label"] for thing in entry["placeholders"])


@pytest.fixture(scope="module")
def drawn():
    """The facts of ten videos of every class."""
    return [draw_facts(index, World(seed=1)) for index in range(10 * len(ACTIONS))]


def test_classes_and_splits_are_balanced(drawn):
    of_class = Counter((one.action, one.split) for one in drawn)
    assert set(of_class.values()) == {7, 1, 2}
    assert {of_class[name, "train"] for name in ACTIONS} == {7}


def test_reserved_combinations_occur_only_in_test(drawn):
    for one in drawn:
        who, verb = one.subject, ACTIONS[one.action].verb
        assert is_reserved(who.shape, who.colour, verb) == one.has_unseen_combination
        assert one.split == "test" or not one.has_unseen_combination
    assert sum(one.has_unseen_combination for one in drawn) == len(ACTIONS)


def test_stills_have_no_reserved_combination():
    drawn = [draw_still(index, World(seed=1)) for index in range(10 * len(ACTIONS))]

    assert {one.action for one in drawn} == set(ACTIONS)
    assert Counter(one.split for one in drawn) == {"train": 276, "val": 14}
    for one in drawn:
        who = one.actors[0].look
        assert not is_reserved(who.shape, who.colour, ACTIONS[one.action].verb)
        assert not one.has_unseen_combination


def test_both_of_a_pair_reserve_the_same_combinations():
    assert all(ACTIONS[first].verb == ACTIONS[second].verb for first, second in PAIRS)


def test_no_other_thing_looks_like_the_subject(drawn):
    for facts in drawn:
        looks = [actor.look for actor in (*facts.actors, *facts.distractors)]
        assert len({(look.shape, look.colour) for look in looks}) == len(looks)
