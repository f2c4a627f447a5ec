"""Readers of multiple choice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from internvideo.data.annotations import read_lsmdc_choice, read_msrvtt_choice
from internvideo.errors import AnnotationError

OPTIONS = ["one", "two", "three", "four", "five"]


def _lsmdc(clip="0001_Film_00.01.02.003", options=OPTIONS, answer="5"):
    return "\t".join([clip, *"abcd", *options, answer]) + "\n"


@pytest.fixture
def table(tmp_path) -> Path:
    return tmp_path / "mc_test.jsonl"


def test_msrvtt_answers_count_from_zero(table):
    entry = {"clip_name": "video7", "options": OPTIONS, "answer": 0}
    table.write_text(json.dumps(entry) + "\n")

    (record,) = read_msrvtt_choice(table, root="v").records

    assert record.video == Path("v/video7.mp4")
    assert (record.candidates, record.answer, record.split) == (tuple(OPTIONS), "one", "test")


@pytest.mark.parametrize("answer", [5, -1, "1", None, True])
def test_an_answer_that_is_no_option_is_named(table, answer):
    table.write_text(json.dumps({"clip_name": "a", "options": OPTIONS, "answer": answer}))

    with pytest.raises(AnnotationError, match=r"line 1: the answer is .*, expected 0 to 4"):
        read_msrvtt_choice(table)


def test_options_that_are_no_texts_are_named(table):
    table.write_text(json.dumps({"clip_name": "a", "options": [1, 2], "answer": 0}))

    with pytest.raises(AnnotationError, match=r"line 1: options are \[1, 2\], expected a list of"):
        read_msrvtt_choice(table)


def test_questions_with_an_empty_option_are_counted(table, caplog):
    entries = [
        {"clip_name": "a", "options": ["x", " "], "answer": 0},
        {"clip_name": "b", "options": ["x", "y"], "answer": 1},
    ]
    table.write_text("\n".join(map(json.dumps, entries)))

    assert [r.answer for r in read_msrvtt_choice(table).records] == ["y"]
    assert "left out 1 questions with an empty option" in caplog.text


def test_lsmdc_answers_count_from_one(table):
    table.write_text(_lsmdc() + _lsmdc(answer="1"))

    assert [r.answer for r in read_lsmdc_choice(table).records] == ["five", "one"]


@pytest.mark.parametrize("answer", ["0", "6", "x"])
def test_a_lsmdc_answer_that_is_no_option_is_named(table, answer):
    table.write_text(_lsmdc(answer=answer))

    with pytest.raises(AnnotationError, match=rf"line 1: the answer is '?{answer}'?, expected 1"):
        read_lsmdc_choice(table)


def test_clips_that_the_protocol_skips_are_left_out(table, caplog):
    table.write_text(_lsmdc(clip="0050_INSIDE_MAN_02.02.18.839-02.02.20.000") + _lsmdc())

    assert len(read_lsmdc_choice(table).records) == 1
    assert "left out 1 questions on clips that the protocol skips" in caplog.text
    assert len(read_lsmdc_choice(table, skipped=()).records) == 2


def test_a_line_of_another_width_is_named(table):
    table.write_text("a\tb\n")

    with pytest.raises(AnnotationError, match="line 1: has 2 columns, expected 11"):
        read_lsmdc_choice(table)
