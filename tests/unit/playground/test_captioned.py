"""Files that hold sentences: what they ask has one true answer, and their videos are there."""

from __future__ import annotations

import csv
import json
from collections import Counter

import pytest

from internvideo.playground import (
    PAIRS,
    World,
    captions,
    draw_facts,
    draw_still,
    image_captions,
    image_path,
    slots,
)
from internvideo.playground.annotations import annotation_files
from internvideo.playground.captioned import MOST_QUERIES
from internvideo.playground.language import meaning, meanings

WORLD = World(seed=1)


@pytest.fixture(scope="module")
def drawn():
    """All of the first 290 videos, then those of unseen combinations only."""
    unseen = [block * 29 + place for block in range(11, 121, 10) for place in range(29)]
    return [draw_facts(index, WORLD) for index in (*range(290), *unseen)]


@pytest.fixture(scope="module")
def facts_of(drawn):
    return {one.path.removeprefix("videos/").removesuffix(".mp4"): one for one in drawn}


@pytest.fixture(scope="module")
def stills():
    return [draw_still(index, WORLD) for index in range(290)]


@pytest.fixture(scope="module")
def files(drawn, stills):
    return dict(annotation_files(drawn, stills))


def table(text, delimiter=","):
    return list(csv.reader(text.splitlines(), delimiter=delimiter))


def questions(files, slot):
    return [json.loads(line) for line in files[f"multiple_choice/{slot}.jsonl"].splitlines()]


def truth(facts):
    return facts.subject.colour, facts.subject.shape, facts.action


@pytest.mark.parametrize("split", ["train", "val"])
def test_questions_to_train_on_change_one_slot_of_a_sentence(files, facts_of, split):
    asked = questions(files, split)

    assert {facts_of[row["clip_name"]].split for row in asked} == {split}
    for row in asked:
        truth_of = truth(facts_of[row["clip_name"]])
        read = [slots(option) for option in row["options"]]
        assert read[row["answer"]] == truth_of
        wrong = [one for one in read if one != truth_of]
        assert len(set(row["options"])) == 5 and len(wrong) == 4
        changed = [sum(a != b for a, b in zip(one, truth_of, strict=True)) for one in wrong]
        assert changed == [1, 1, 1, 1]


def test_questions_on_clips_of_one_thing_are_listed_apart(files, facts_of):
    alone = [
        row
        for row in questions(files, "train")
        if len(facts_of[row["clip_name"]].actors) == 1
        and not facts_of[row["clip_name"]].distractors
    ]

    assert questions(files, "train_alone") == alone
    assert 0 < len(alone) < len(questions(files, "train")) / 2


def test_the_manifest_holds_the_plain_caption(files, drawn):
    rows = list(csv.DictReader(files["manifest.csv"].splitlines()))

    assert [row["caption"] for row in rows] == [captions(one)[0] for one in drawn]


def test_webvid_has_a_row_for_every_caption_of_training_and_validation(files, facts_of):
    for split in ("train", "val"):
        header, *rows = table(files[f"webvid/{split}.csv"])
        said = [(f"{folder}/{name}", text) for text, folder, name in rows]

        assert header == ["name", "page_dir", "videoid"]
        assert said == [
            (name, text)
            for name, one in facts_of.items()
            if one.split == split
            for text in captions(one)
        ]


def test_msrvtt_has_every_sentence_of_every_video(files, facts_of):
    data = json.loads(files["msrvtt/MSRVTT_data.json"])
    train = table(files["msrvtt/MSRVTT_train.csv"])

    assert [(row["video_id"], row["caption"]) for row in data["sentences"]] == [
        (name, text) for name, one in facts_of.items() for text in captions(one)
    ]
    assert {row["split"] for row in data["videos"]} == {"train", "validate", "test"}
    assert train == [["video_id"], *([n] for n, one in facts_of.items() if one.split == "train")]


def test_queries_are_200_unseen_combinations_that_all_mean_something_else(files, facts_of):
    header, *rows = table(files["msrvtt/MSRVTT_JSFUSION_test.csv"])
    asked = [facts_of[name] for name, _ in rows]

    assert header == ["video_id", "sentence"]
    assert len(rows) == len({text for _, text in rows}) == MOST_QUERIES
    assert all(one.split == "test" and one.has_unseen_combination for one in asked)
    assert [text for _, text in rows] == [captions(one)[0] for one in asked]
    assert len({one.action for one in asked}) == 29


def test_every_query_is_true_of_its_own_video_only(files, facts_of):
    asked = [facts_of[name] for name, _ in table(files["msrvtt/MSRVTT_JSFUSION_test.csv"])[1:]]

    for query in asked:
        assert [one for one in asked if meaning(query) in meanings(one)] == [query]


def test_reworded_queries_are_other_single_sentences_on_the_same_videos(files):
    plain = table(files["msrvtt/MSRVTT_JSFUSION_test.csv"])[1:]
    reworded = table(files["msrvtt/MSRVTT_JSFUSION_test_reworded.csv"])[1:]

    assert [name for name, _ in reworded] == [name for name, _ in plain]
    for (_, one), (_, other) in zip(plain, reworded, strict=True):
        assert one != other and ". " not in other and slots(one) == slots(other)


@pytest.mark.parametrize("slot", ["motion", "colour", "shape", "opposite"])
def test_one_option_is_true_and_the_others_differ_in_one_slot(files, facts_of, slot):
    place = {"colour": 0, "shape": 1}.get(slot, 2)
    for question in questions(files, slot):
        facts, options = facts_of[question["clip_name"]], question["options"]
        assert options[question["answer"]] == captions(facts)[0]
        assert len(set(options)) == len(options) == (2 if slot == "opposite" else 5)
        assert question["unseen_combination"] == facts.has_unseen_combination
        for number, text in enumerate(options):
            same = [a == b for a, b in zip(slots(text), truth(facts), strict=True)]
            assert same == [at != place or number == question["answer"] for at in range(3)]


def test_every_test_video_is_asked_and_of_pairs_the_opposite(files, facts_of):
    tested = [name for name, one in facts_of.items() if one.split == "test"]
    paired = {name for pair in PAIRS for name in pair}
    partners = {**dict(PAIRS), **{second: first for first, second in PAIRS}}

    for slot in ("motion", "colour", "shape"):
        assert [question["clip_name"] for question in questions(files, slot)] == tested
    assert [question["clip_name"] for question in questions(files, "opposite")] == [
        name for name in tested if facts_of[name].action in paired
    ]
    for question in questions(files, "motion"):
        action = facts_of[question["clip_name"]].action
        assert partners.get(action, action) in {slots(text)[2] for text in question["options"]}


@pytest.mark.parametrize("slot", ["motion", "colour", "shape", "opposite"])
def test_answers_are_at_every_place_alike(files, slot):
    asked = questions(files, slot)
    counts = Counter(question["answer"] for question in asked)
    expected = len(asked) / len(asked[0]["options"])

    assert all(abs(count - expected) < 4 * expected**0.5 for count in counts.values())


def test_the_lsmdc_table_asks_the_motion_questions_counted_from_one(files):
    rows = table(files["multiple_choice/lsmdc_motion.csv"], "\t")

    assert [(row[0], row[5:10], int(row[10]) - 1) for row in rows] == [
        (question["clip_name"], question["options"], question["answer"])
        for question in questions(files, "motion")
    ]


@pytest.fixture(scope="module")
def pictured(drawn, stills):
    """What images there are, by their paths."""
    return {image_path(one): one for one in (*drawn, *stills) if one.split != "test"}


def test_images_have_captions_of_looks(files, pictured):
    for split in ("train", "val"):
        entries = [json.loads(line) for line in files[f"image_text/{split}.jsonl"].splitlines()]
        assert [
            (f"{entry['image_root']}/{entry['filename']}", tuple(entry["caption"]))
            for entry in entries
        ] == [
            (image_path(one), image_captions(one))
            for one in pictured.values()
            if one.split == split
        ]


@pytest.mark.parametrize(
    ("name", "split", "num_asked"),
    [("images", "train", 2), ("images", "val", 1), ("stills", "train", 1), ("stills", "val", 1)],
)
def test_every_image_is_asked_about(files, drawn, stills, name, split, num_asked):
    asked = questions(files, f"{name}_{split}")

    assert [(row["clip_name"], row["options"][row["answer"]]) for row in asked] == [
        (image_path(one), text)
        for one in {"images": drawn, "stills": stills}[name]
        if one.split == split
        for text in image_captions(one)[:num_asked]
    ]


def named(caption):
    """Colour and shape of each thing that the caption of an image names."""
    return [slots(part)[:2] for part in caption.split(" and ")]


@pytest.mark.parametrize("name", ["images_train", "stills_train"])
def test_options_of_an_image_have_three_other_shapes_and_one_other_colour(files, pictured, name):
    changed = set()
    for row in questions(files, name):
        one = pictured[row["clip_name"]]
        looks = [one.actors[actor].look for actor in one.events[0].actors]
        truth = [(look.colour, look.shape) for look in looks]
        others = [
            [
                (who, slot)
                for who, (found, true) in enumerate(zip(named(option), truth, strict=True))
                for slot in (0, 1)
                if found[slot] != true[slot]
            ]
            for option in row["options"]
        ]
        assert others.pop(row["answer"]) == []
        assert len(set(row["options"])) == 5
        assert sorted(slot for ((_, slot),) in others) == [0, 1, 1, 1]
        changed |= {(len(truth), who, slot) for ((who, slot),) in others}
    assert changed == {(1, 0, 0), (1, 0, 1), *((2, who, slot) for who in (0, 1) for slot in (0, 1))}


def test_no_false_option_of_an_image_is_true_of_a_distractor(files, pictured):
    for row in questions(files, "images_train"):
        there = {(it.look.colour, it.look.shape) for it in pictured[row["clip_name"]].distractors}
        for option in row["options"]:
            assert not there & set(named(option))


def test_stills_of_one_thing_alone_are_listed_by_themselves(files, pictured):
    alone = questions(files, "stills_train_alone")

    assert alone == [
        row
        for row in questions(files, "stills_train")
        if len(pictured[row["clip_name"]].actors) == 1
    ]
    assert 0 < len(alone) < len(questions(files, "stills_train"))


def test_stills_leave_the_rows_of_videos_as_they_are(drawn, stills):
    few, more = dict(annotation_files(drawn[:29])), annotation_files(drawn[:29], stills[:29])

    for name, text in more:
        without = few.get(name, "")
        assert text.startswith(without)
        assert text == without or name.startswith(("image_text/", "multiple_choice/stills_"))


def test_the_same_facts_give_the_same_bytes(files, drawn, stills):
    assert dict(annotation_files(drawn, stills)) == files


def test_a_few_videos_give_whole_files():
    few = dict(annotation_files(draw_facts(index, WORLD) for index in range(3)))

    assert len(table(few["webvid/train.csv"])) == 1 + 3 * 5
    assert "multiple_choice/motion.jsonl" not in few
