"""Readers of questions: each published format, real excerpts, damaged files."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
import torch

from internvideo.data import question_target, texts_of
from internvideo.data.annotations import (
    question_kind,
    read_manifest,
    read_msrvtt_qa,
    read_msvd_qa,
    read_nextqa,
    read_tgif_qa,
    write_manifest,
)
from internvideo.data.targets import Targets
from internvideo.errors import AnnotationError, ConfigError
from internvideo.values import View

ENTRY = {"answer": "dog", "id": 3, "question": "What is running?", "video_id": 10}


def written(path: Path, *entries: dict) -> Path:
    path.write_text(json.dumps(list(entries)))
    return path


def test_msrvtt_videos_are_numbers_or_names(tmp_path):
    named = {**ENTRY, "video_id": "video7", "id": 4, "type": "animal"}

    first, second = read_msrvtt_qa(written(tmp_path / "test_qa.json", ENTRY, named)).records

    assert [r.video.name for r in (first, second)] == ["video10.mp4", "video7.mp4"]
    assert (first.question, first.answer, first.split) == ("What is running?", "dog", "test")
    assert [r.question_kind for r in (first, second)] == ["what", "animal"]


def test_json_lines_of_all_in_one_are_read(tmp_path):
    path = tmp_path / "msrvtt_qa_train.jsonl"
    path.write_text("\n".join(json.dumps({**ENTRY, "id": i}) for i in range(2)))

    assert [r.split for r in read_msrvtt_qa(path).records] == ["train", "train"]


def test_msvd_videos_are_named_by_the_mapping(tmp_path):
    written(tmp_path / "val_qa.json", ENTRY)
    (tmp_path / "youtube_mapping.txt").write_text("-4ws_5_15 vid10\n")
    (tmp_path / "-4ws_5_15.avi").touch()

    (record,) = read_msvd_qa(tmp_path).records

    assert record.video == tmp_path / "-4ws_5_15.avi"
    assert record.split == "val"


def test_an_id_of_two_videos_is_named(tmp_path):
    path = written(tmp_path / "test_qa.json", ENTRY, {**ENTRY, "video_id": 11})

    with pytest.raises(AnnotationError, match=r"entry 1: question 3 is about video 11, but .* 10"):
        read_msrvtt_qa(path)


def test_a_video_that_the_mapping_lacks_or_names_twice_is_an_error(tmp_path):
    written(tmp_path / "val_qa.json", ENTRY)
    (tmp_path / "youtube_mapping.txt").write_text("a vid1\nb vid1\n")
    with pytest.raises(AnnotationError, match="line 2: vid1 is b, but was a before"):
        read_msvd_qa(tmp_path)

    (tmp_path / "youtube_mapping.txt").write_text("a vid1\n")
    with pytest.raises(AnnotationError, match="video vid10 is not in"):
        read_msvd_qa(tmp_path)


def test_empty_questions_and_answers_are_counted(tmp_path, caplog):
    path = written(
        tmp_path / "test_qa.json", ENTRY, {**ENTRY, "question": " "}, {**ENTRY, "answer": ""}
    )

    assert len(read_msrvtt_qa(path).records) == 1
    assert "left out 1 empty questions" in caplog.text
    assert "left out 1 empty answers" in caplog.text


def test_the_excerpt_of_msvd_qa_is_read(real_annotations, caplog):
    read = read_msvd_qa(real_annotations / "msvd_qa")

    assert Counter(r.split for r in read.records) == {"train": 1500, "val": 800, "test": 800}
    assert Counter(r.question_kind for r in read.of_split("test").records)["who"] == 311
    assert "3100 of 3100 videos are not there" in caplog.text


@pytest.mark.parametrize(
    ("part", "count", "kinds"),
    [
        ("frameqa", 500, {"object": 197, "colour": 144, "number": 125, "location": 34}),
        ("count", 1000, {"count": 1000}),
        ("action", 1000, {"action": 1000}),
        ("transition", 500, {"transition": 500}),
    ],
)
def test_the_excerpts_of_tgif_qa_are_read(real_annotations, part, count, kinds):
    records = read_tgif_qa(real_annotations / "tgif_qa", part=part).records

    assert len(records) == count
    assert Counter(record.question_kind for record in records) == kinds
    assert all(record.video.suffix == ".gif" for record in records)
    has_choices = part in ("action", "transition")
    assert all((record.answer in record.candidates) == has_choices for record in records)


def test_the_excerpt_of_nextqa_is_read_with_its_choices(real_annotations):
    records = read_nextqa(real_annotations / "nextqa" / "val.csv").records

    assert len(records) == 500
    assert (records[0].answer, records[0].question_kind) == ("roll the handle", "CH")
    question = "how do the two man play the instrument"
    assert records[0].statements[:2] == (
        f"{question} roll the handle",
        f"{question} tap their feet",
    )


def test_an_answer_that_is_no_choice_is_named(tmp_path):
    (tmp_path / "val.csv").write_text(
        "video,question,answer,qid,type,a0,a1,a2,a3,a4\n1,why,5,0,CW,a,b,c,d,e\n"
    )

    with pytest.raises(AnnotationError, match="line 2: the answer is '5', expected 0 to 4"):
        read_nextqa(tmp_path / "val.csv")


def test_a_tab_separated_table_with_a_short_row_is_named(tmp_path):
    (tmp_path / "Test_count_question.csv").write_text(
        "gif_name\tquestion\tanswer\tvid_id\tkey\na\tb\n"
    )

    with pytest.raises(AnnotationError, match="line 2: has 2 cells, the header has 5"):
        read_tgif_qa(tmp_path / "Test_count_question.csv")


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("How many dogs run?", "how many"),
        ("a man is doing what?", "what"),
        ("is it a dog", "yes or no"),
        ("island life?", "other"),
    ],
)
def test_the_kind_of_a_question_is_the_word_that_asks(question, kind):
    assert question_kind(question) == kind


def test_a_manifest_of_questions_comes_back_as_it_was_written(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("path,question,answer\na.mp4,what is it?,a dog\na.mp4,is it big?,no\n")

    read = read_manifest(path)
    write_manifest(read, path)

    assert read_manifest(path) == read
    assert [r.question_kind for r in read.records] == ["what", "yes or no"]


def test_an_empty_question_of_a_manifest_is_named(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("path,ask,answer\na.mp4,what?,x\nb.mp4,,x\n")

    with pytest.raises(AnnotationError, match=r"line 3: ask is empty"):
        read_manifest(path, columns={"question": "ask"})


VIEW = View(timestamps_s=torch.zeros(1), crop_xyxy=(0.0, 0.0, 1.0, 1.0))


def test_texts_travel_through_a_batch_as_bytes(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("path,question,answer\na.mp4,où?,là-bas\nb.mp4,what is it?,ü\n")
    targets = Targets(make=question_target, ragged=("question", "answer"))

    batch = targets.collate([question_target(r, VIEW) for r in read_manifest(path).records])

    assert texts_of(batch, "question") == ["où?", "what is it?"]
    assert texts_of(batch, "answer") == ["là-bas", "ü"]


def test_a_mirrored_view_swaps_left_and_right(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("path,question,answer\na.mp4,does it turn left?,to the left\n")
    (record,) = read_manifest(path).records
    mirrored = View(timestamps_s=torch.zeros(1), crop_xyxy=(0.0, 0.0, 1.0, 1.0), mirrored=True)

    target = question_target(record, mirrored)

    assert bytes(target["answer"].tolist()) == b"to the right"


def test_a_record_without_an_answer_has_no_target(tmp_path):
    path = tmp_path / "qa.csv"
    path.write_text("path,question,answer\na.mp4,what?,\n")

    with pytest.raises(ConfigError, match="has no answer; question answering needs both"):
        question_target(read_manifest(path).records[0], VIEW)
