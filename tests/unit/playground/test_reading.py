"""The readers of the published formats read the playground's files, and find its videos."""

from __future__ import annotations

import pytest

from internvideo.data.annotations.choices import read_lsmdc_choice, read_msrvtt_choice
from internvideo.data.annotations.retrieval import read_msrvtt
from internvideo.data.annotations.web import read_image_text_list, read_webvid
from internvideo.playground import captions, generate, image_captions, image_path, read_facts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("playground") / "world"
    generate(out, size=60, side_px=32, rate_fps=4, has_check=False)
    return out


@pytest.fixture(scope="module")
def facts(made):
    return list(read_facts(made))


def found(annotations):
    assert all(record.video.is_file() for record in annotations.records)
    return [(record.video, record.captions) for record in annotations.records]


def test_webvid(made, facts):
    read = read_webvid(made / "webvid/train.csv", root=made / "videos")

    expected = [(made / one.path, captions(one)) for one in facts if one.split == "train"]
    assert sorted(found(read)) == sorted(expected)


def test_msrvtt_for_training(made, facts):
    read = read_msrvtt(made / "msrvtt/MSRVTT_train.csv", root=made / "videos")

    assert found(read) == [
        (made / one.path, captions(one)) for one in facts if one.split == "train"
    ]


@pytest.mark.parametrize("name", ["", "_reworded"])
def test_msrvtt_queries(made, facts, name):
    read = read_msrvtt(made / f"msrvtt/MSRVTT_JSFUSION_test{name}.csv", root=made / "videos")
    said = {made / one.path: captions(one) for one in facts}

    assert len(read.records) > 20
    assert all(len(texts) == 1 and texts[0] in said[video] for video, texts in found(read))


@pytest.mark.parametrize("slot", ["motion", "colour", "shape", "opposite"])
def test_questions(made, facts, slot):
    read = read_msrvtt_choice(made / f"multiple_choice/{slot}.jsonl", root=made / "videos")
    said = {made / one.path: captions(one)[0] for one in facts}

    found(read)
    assert all(record.answer == said[record.video] for record in read.records)
    assert {len(record.candidates) for record in read.records} == {2 if slot == "opposite" else 5}


def test_lsmdc_questions_are_those_of_msrvtt(made):
    read = read_lsmdc_choice(made / "multiple_choice/lsmdc_motion.csv", root=made / "videos")
    same = read_msrvtt_choice(made / "multiple_choice/motion.jsonl", root=made / "videos")

    found(read)
    assert [(r.video, r.candidates, r.answer) for r in read.records] == [
        (r.video, r.candidates, r.answer) for r in same.records
    ]


def test_images(made, facts):
    read = read_image_text_list(made / "image_text/train.jsonl", root=made)

    assert found(read) == [
        (made / image_path(one), image_captions(one)) for one in facts if one.split == "train"
    ]
