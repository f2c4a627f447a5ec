"""Questions of the playground: true, of six kinds, and read back from the published formats."""

from __future__ import annotations

from collections import Counter

import pytest

from internvideo.data.annotations import read_msrvtt_qa, read_msvd_qa, read_tgif_qa
from internvideo.playground import ACTIONS, QUESTION_KINDS, World, draw_facts, questions
from internvideo.playground.questions import QuestionFiles

NUM_VIDEOS = 5 * len(ACTIONS)


@pytest.fixture(scope="module")
def facts():
    return [draw_facts(index, World(seed=1, side_px=32)) for index in range(NUM_VIDEOS)]


@pytest.fixture(scope="module")
def folder(facts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("questions")
    files = QuestionFiles()
    for one in facts:
        files.add(one)
    for name, text in files.files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_same_video_is_asked_the_same(facts):
    assert [questions(one) for one in facts[:30]] == [questions(one) for one in facts[:30]]


def test_every_kind_is_asked_and_no_answer_is_the_usual_one_of_all(facts):
    asked = [one for video in facts for one in questions(video)]

    for kind in QUESTION_KINDS:
        answers = Counter(one.answer for one in asked if one.kind == kind)
        assert len(answers) > 1
        assert answers.most_common(1)[0][1] < 0.65 * answers.total(), kind


@pytest.mark.parametrize("kind", ["which direction", "first or last"])
def test_both_of_a_pair_are_asked_alike_and_answer_otherwise(facts, kind):
    """So the question alone tells nothing."""
    answers = {"slide_right": set(), "slide_left": set(), "grow": set(), "shrink": set()}
    for video in facts:
        if video.action in answers:
            answers[video.action] |= {o.answer for o in questions(video) if o.kind == kind}

    if kind == "which direction":
        assert (answers["slide_right"], answers["slide_left"]) == ({"right"}, {"left"})
    else:
        assert (answers["grow"], answers["shrink"]) == ({"last"}, {"first"})


def test_what_is_said_to_be_there_is_there(facts):
    for video in facts:
        looks = {(t.look.colour, t.look.shape) for t in (*video.actors, *video.distractors)}
        for one in questions(video):
            if one.text.startswith("is there"):
                *_, colour, shape = one.text.rstrip("?").split()
                assert ((colour, shape) in looks) == (one.answer == "yes")


def test_the_files_are_read_by_the_readers_of_the_data_sets(folder, facts):
    msrvtt = read_msrvtt_qa(folder / "msrvtt_qa").records
    msvd = read_msvd_qa(folder / "msvd_qa").records

    assert len(msrvtt) == sum(len(questions(video)) for video in facts)
    assert {record.question_kind for record in msrvtt} == set(QUESTION_KINDS)
    assert {record.question_kind for record in msvd} == {"what", "which colour", "how many"}
    assert {r.video.name for r in msvd} == {r.video.name for r in msrvtt}


def test_the_tables_of_tgif_qa_are_read(folder):
    counts = read_tgif_qa(folder / "tgif_qa", part="count").records
    choices = read_tgif_qa(folder / "tgif_qa", part="transition").records

    assert all(3 <= int(record.answer) <= 5 for record in counts)
    assert {record.answer for record in choices} == {"rise", "fall"}
    assert all({"rise", "fall"} <= set(record.candidates) for record in choices)
    assert {record.split for record in counts} == {"train", "test"}
