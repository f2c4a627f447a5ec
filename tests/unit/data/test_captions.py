"""Readers of sentences: what they make of each published format, and of damaged files."""

from __future__ import annotations

import json
import os
import pickle
from collections import Counter
from pathlib import Path

import pytest

from internvideo.data.annotations import (
    ANNOTATIONS,
    read_activitynet_captions,
    read_didemo,
    read_image_text_folder,
    read_image_text_list,
    read_lsmdc,
    read_msrvtt,
    read_msvd,
    read_vatex,
    read_webvid,
)
from internvideo.errors import AnnotationError, ConfigError

WEBVID = "videoid,contentUrl,duration,page_dir,name\n"
# A tab in an f-string or a long line reads badly, so that columns are parted by bars here.
LSMDC = '0001_Film_00.01.02.003-00.01.04.005|00:01|00:04|00:01|00:04|SOMEONE says "no.'


def said(annotations):
    return {r.video.as_posix(): (r.captions, r.split) for r in annotations.records}


def names(annotations):
    return [r.video.name for r in annotations.records]


@pytest.fixture
def write(tmp_path):
    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            text = content if isinstance(content, str) else json.dumps(content)
            path.write_text(text, encoding="utf-8", newline="")
        return path

    return write_file


def test_webvid_videos_lie_in_their_page_folder(write):
    path = write("results_2M_train.csv", WEBVID + '7,u,PT1S,001_050,"A cat, asleep"\n')

    assert said(read_webvid(path, root="videos")) == {
        "videos/001_050/7.mp4": (("A cat, asleep",), "train")
    }


def test_webvid_rows_of_one_video_are_one_record(write):
    path = write("train.csv", WEBVID + "7,u,1,a,one\n8,u,1,a,two\n7,u,1,a,three\n")

    assert [r.captions for r in read_webvid(path).records] == [("one", "three"), ("two",)]


def test_a_folder_of_webvid_gives_its_splits(write):
    write("train.csv", WEBVID + "7,u,1,a,one\n")
    folder = write("val.csv", WEBVID + "8,u,1,a,two\n").parent

    assert [r.split for r in read_webvid(folder).records] == ["train", "val"]


def test_byte_order_marks_and_windows_line_ends_are_no_part_of_a_caption(write):
    path = write("train.csv", b"\xef\xbb\xbf" + WEBVID.encode() + b"7,u,1,a,one\r\n8,u,1,a,two\r\n")

    assert [r.captions for r in read_webvid(path).records] == [("one",), ("two",)]


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\x1c"])
def test_unusual_line_marks_stay_inside_a_caption(write, mark):
    table = write("train.csv", WEBVID + f"7,u,1,a,one{mark}two\n")
    entry = {"caption": f"one{mark}two", "image_root": "a", "filename": "b.jpg"}
    listed = write("train.jsonl", json.dumps(entry, ensure_ascii=False) + "\n")

    if mark in "\u2028\x85":  # JSON holds control characters only as escapes
        assert read_image_text_list(listed).records[0].captions == (f"one{mark}two",)
    assert read_webvid(table).records[0].captions == (f"one{mark}two",)


def test_empty_captions_are_counted_and_named(write, caplog):
    path = write("train.csv", WEBVID + "7,u,1,a,\n8,u,1,a,two\n9,u,1,a,  \n")

    assert names(read_webvid(path)) == ["8.mp4"]
    assert "left out 2 empty captions, first" in caplog.text
    assert "train.csv, line 2" in caplog.text
    assert "left out 2 items without a caption" in caplog.text


def test_a_file_without_captions_is_refused(write):
    with pytest.raises(AnnotationError, match=r"train\.csv: holds no video with a caption"):
        read_webvid(write("train.csv", WEBVID + "7,u,1,a,\n"))


def test_a_missing_column_is_named_with_the_nearest(write):
    path = write("train.csv", "videoid,page_dirs,name\n7,a,one\n")

    with pytest.raises(AnnotationError, match=r"line 1: no column 'page_dir'.*mean 'page_dirs'"):
        read_webvid(path)


def test_a_short_row_is_named_with_its_line(write):
    with pytest.raises(AnnotationError, match=r"line 3: has 2 fields, the header has 5"):
        read_webvid(write("train.csv", WEBVID + "7,u,1,a,one\n8,u\n"))


def test_a_row_without_a_video_is_named(write):
    with pytest.raises(AnnotationError, match=r"line 2: videoid is empty"):
        read_webvid(write("train.csv", WEBVID + ",u,1,a,one\n"))


def test_a_folder_without_tables_is_refused(tmp_path):
    with pytest.raises(AnnotationError, match=r"holds no \*\.csv with train, val or test in its"):
        read_webvid(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(AnnotationError, match="there is no such annotation file"):
        read_webvid(tmp_path / "train.csv")


def test_videos_are_found_whatever_their_name_ends_in(write, caplog):
    write("videos/a/7.webm", "")
    write("videos/a/8.MOV", "")
    write("videos/a/8.txt", "")
    write("videos/a/9.jpg", "")
    write("videos/a/9.mkv", "")
    path = write("train.csv", WEBVID + "".join(f"{i},u,1,a,x\n" for i in (7, 8, 9, 10)))

    read = read_webvid(path, root=path.parent / "videos")

    assert names(read) == ["7.webm", "8.MOV", "9.mkv", "10.mp4"]
    assert "1 of 4 videos are not there, such as" in caplog.text


def test_image_lists_have_one_or_several_captions(write):
    entries = [
        {"caption": ["one", "two"], "image_root": "images/train", "filename": "a.jpg"},
        {"caption": "three", "image_root": "", "filename": "b.png"},
    ]
    path = write("train.jsonl", "\n".join(map(json.dumps, entries)))

    assert said(read_image_text_list(path, root="r")) == {
        "r/images/train/a.jpg": (("one", "two"), "train"),
        "r/b.png": (("three",), "train"),
    }


def test_a_line_that_is_no_json_is_named(write):
    with pytest.raises(AnnotationError, match=r"train\.jsonl, line 2: is not JSON"):
        read_image_text_list(
            write("train.jsonl", '{"caption": "x", "image_root": "", "filename": "a.jpg"}\n{"cap')
        )


def test_a_line_without_the_fields_is_named(write):
    with pytest.raises(AnnotationError, match="line 1: expected an object with caption, image_ro"):
        read_image_text_list(write("train.jsonl", '{"caption": "x"}'))


def test_a_caption_that_is_no_text_is_named(write):
    path = write("train.jsonl", '{"caption": [3], "image_root": "", "filename": "a.jpg"}')

    with pytest.raises(AnnotationError, match="line 1: a caption is 3, expected a text"):
        read_image_text_list(path)


def test_images_take_the_text_beside_them(write, caplog):
    write("train/a.jpg", "")
    write("train/a.txt", "one\r\ntwo\n")
    write("b.png", "")
    write("b.txt", "three")
    write("c.webp", "")
    folder = write("d.jpg", "").parent
    write("d.txt", " \n")

    read = read_image_text_folder(folder)

    assert [(r.video.name, r.captions, r.split) for r in read.records] == [
        ("b.png", ("three",), None),
        ("a.jpg", ("one", "two"), "train"),
    ]
    assert "left out 1 images without a .txt beside them" in caplog.text
    assert "left out 1 items without a caption" in caplog.text


def test_images_take_their_captions_from_a_table(write):
    write("a.jpg", "")
    folder = write("captions.csv", 'image,caption\na.jpg,one\na.jpg,"two, three"\n').parent

    assert [r.captions for r in read_image_text_folder(folder).records] == [("one", "two, three")]


def test_a_table_without_files_is_refused(write):
    folder = write("captions.csv", "picture,caption\na.jpg,one\n").parent

    with pytest.raises(AnnotationError, match="no column with the file, found picture, caption"):
        read_image_text_folder(folder)


MSRVTT = {
    "videos": [
        {"video_id": "video0", "split": "train"},
        {"video_id": "video1", "split": "validate"},
        {"video_id": "video2", "split": "test"},
    ],
    "sentences": [
        {"video_id": "video0", "caption": "one"},
        {"video_id": "video2", "caption": "two"},
        {"video_id": "video0", "caption": "three"},
        {"video_id": "video1", "caption": "four"},
    ],
}


def test_msrvtt_json_has_the_official_split(write):
    read = read_msrvtt(write("MSRVTT_data.json", MSRVTT), root="v")

    assert said(read) == {
        "v/video0.mp4": (("one", "three"), "train"),
        "v/video1.mp4": (("four",), "val"),
        "v/video2.mp4": (("two",), "test"),
    }


def test_a_msrvtt_folder_trains_on_all_sentences_and_tests_on_one(write):
    write("MSRVTT_data.json", MSRVTT)
    write("MSRVTT_train.7k.csv", "video_id\nvideo2\n")
    write("MSRVTT_train.9k.csv", "video_id\nvideo0\nvideo1\n")
    folder = write(
        "MSRVTT_JSFUSION_test.csv", "key,vid_key,video_id,sentence\nret0,msr2,video2,a test\n"
    ).parent
    write("TestVideo/video2.mp4", "")

    read = read_msrvtt(folder)

    assert [(r.captions, r.split) for r in read.records] == [
        (("one", "three"), "train"),
        (("four",), "train"),
        (("a test",), "test"),
    ]
    assert read.records[2].video == folder / "TestVideo/video2.mp4"


def test_a_msrvtt_sentence_of_no_video_is_named(write):
    broken = {**MSRVTT, "sentences": [{"video_id": "video9", "caption": "x"}]}

    with pytest.raises(AnnotationError, match=r"sentence 0: is of 'video9', which is no video"):
        read_msrvtt(write("MSRVTT_data.json", broken))


def test_a_msrvtt_list_without_its_sentences_is_refused(write):
    with pytest.raises(AnnotationError, match=r"MSRVTT_data\.json: there is no such annotation f"):
        read_msrvtt(write("MSRVTT_train.9k.csv", "video_id\nvideo0\n"))


MSVD = {"a_1_2": [["a", "dog"], ["it", "runs"]], "b_1_2": ["a cat"]}


@pytest.mark.parametrize("kind", ["pickle", "json"])
def test_msvd_captions_are_words_or_texts(write, kind):
    write("train_list.txt", "a_1_2\n")
    folder = write("test_list.txt", "b_1_2\n").parent
    if kind == "pickle":
        write("raw-captions.pkl", pickle.dumps(MSVD))
    else:
        write("captions_msvd.json", MSVD)

    read = read_msvd(folder)

    assert [(r.captions, r.split) for r in read.records] == [
        (("a dog", "it runs"), "train"),
        (("a cat",), "test"),
    ]


class Bomb:
    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (self.trace,)


def test_a_pickle_never_runs_code(write, tmp_path):
    write("train_list.txt", "a\n")
    write("raw-captions.pkl", pickle.dumps({"a": [Bomb(str(tmp_path / "trace"))]}))

    with pytest.raises(AnnotationError, match=r"is not a pickle of plain texts .*mkdir.*as JSON"):
        read_msvd(tmp_path)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"garbage", pickle.dumps(MSVD)[:-20]])
def test_a_damaged_pickle_is_named(write, content):
    write("train_list.txt", "a\n")
    folder = write("raw-captions.pkl", content).parent

    with pytest.raises(AnnotationError, match=r"raw-captions\.pkl: is not a pickle of plain texts"):
        read_msvd(folder)


def test_msvd_without_captions_or_lists_is_refused(write, tmp_path):
    with pytest.raises(AnnotationError, match=r"holds none of raw-captions\.pkl, raw-captions\.js"):
        read_msvd(tmp_path)
    write("raw-captions.json", MSVD)
    with pytest.raises(AnnotationError, match=r"holds none of train_list\.txt"):
        read_msvd(tmp_path)


DIDEMO = [
    {"video": "x.mov", "description": "first ", "times": [[0, 0], [0, 1]]},
    {"video": "y.avi", "description": "alone", "times": [[5, 5]]},
    {"video": "x.mov", "description": "then", "times": [[2, 3]]},
]


def test_didemo_descriptions_are_joined(write):
    write("videos/x.mp4", "")
    path = write("val_data.json", DIDEMO)

    read = read_didemo(path, root=path.parent / "videos")

    assert [(r.video.name, r.captions) for r in read.records] == [
        ("x.mp4", ("first then",)),
        ("y.avi", ("alone",)),
    ]
    first, then = read.records[0].segments
    assert (first.start_s, first.end_s, first.caption) == (0.0, 7.5, "first")
    assert (then.start_s, then.end_s) == (10.0, 20.0)


def test_didemo_keeps_to_its_lists(write, caplog):
    write("test_data.json", DIDEMO)
    folder = write("test_list.txt", "x.mov\n").parent

    assert names(read_didemo(folder)) == ["x.mov"]
    assert "left out 1 videos that are in no list" in caplog.text


def test_didemo_times_of_another_kind_are_named(write):
    path = write("val_data.json", [{"video": "x.mov", "description": "a", "times": []}])

    with pytest.raises(AnnotationError, match=r"entry 0: times are \[\], expected pairs"):
        read_didemo(path)


ACTIVITYNET = {
    "v_a": {"duration": 9, "timestamps": [[0, 4], [4, 9]], "sentences": ["One.", "  Two. "]},
    "v_b": {"duration": 9, "timestamps": [[5, 5], [1, 2]], "sentences": ["Never.", "Once."]},
}


def test_activitynet_sentences_are_one_paragraph(write):
    read = read_activitynet_captions(write("val_1.json", ACTIVITYNET), root="v")

    assert said(read) == {
        "v/v_a.mp4": (("One. Two.",), "val"),
        "v/v_b.mp4": (("Once.",), "val"),
    }


def test_activitynet_can_give_each_segment(write, caplog):
    read = read_activitynet_captions(write("val_2.json", ACTIVITYNET), per_segment=True)

    assert [(r.start_s, r.end_s, r.captions, r.split) for r in read.records] == [
        (0.0, 4.0, ("One.",), "val_2"),
        (4.0, 9.0, ("Two.",), "val_2"),
        (1.0, 2.0, ("Once.",), "val_2"),
    ]
    assert "left out 1 segments that hold no time" in caplog.text


def test_activitynet_videos_are_found_without_their_prefix(write):
    write("videos/a.mkv", "")
    path = write("train.json", {"v_a": ACTIVITYNET["v_a"]})

    assert names(read_activitynet_captions(path, root=path.parent / "videos")) == ["a.mkv"]


def test_activitynet_times_without_sentences_are_named(write):
    path = write("train.json", {"v_a": {"timestamps": [[0, 1]], "sentences": []}})

    with pytest.raises(AnnotationError, match=r"train\.json, v_a: timestamps and sentences do not"):
        read_activitynet_captions(path)


def test_lsmdc_clips_lie_in_the_folder_of_their_film(write):
    path = write("LSMDC16_annos_training.csv", LSMDC.replace("|", "\t") + "\r\n")
    write("0001_Film/0001_Film_00.01.02.003-00.01.04.005.avi", "")

    (record,) = read_lsmdc(path).records

    assert record.video.parent.name == "0001_Film"
    assert (record.captions, record.split) == (('SOMEONE says "no.',), "train")


def test_a_lsmdc_folder_tests_on_the_challenge(write):
    row = LSMDC.replace("|", "\t")
    for name in ("annos_training", "annos_val", "annos_test", "annos_blindtest"):
        write(f"LSMDC16_{name}.csv", row)
    folder = write("LSMDC16_challenge_1000_publictect.csv", row.replace("no.", "yes.")).parent

    read = read_lsmdc(folder)

    assert Counter(r.split for r in read.records) == {"train": 1, "val": 1, "test": 1}
    assert read.of_split("test").records[0].captions == ('SOMEONE says "yes.',)


def test_a_lsmdc_line_of_another_width_is_named(write):
    with pytest.raises(AnnotationError, match=r"line 2: has 2 columns, expected 6"):
        read_lsmdc(write("LSMDC16_annos_val.csv", LSMDC.replace("|", "\t") + "\na\tb\n"))


VATEX = [
    {"videoID": "a_0_10", "enCap": ["one", "two"], "chCap": ["一"]},
    {"videoID": "b_0_10", "enCap": ["three"], "chCap": ["二"]},
]


def test_vatex_without_lists_has_the_split_of_its_file(write):
    read = read_vatex(write("vatex_validation_v1.0.json", VATEX), root="v")

    assert said(read)["v/a_0_10.mp4"] == (("one", "two"), "val")


def test_vatex_lists_choose_and_split(write, caplog):
    write("vatex_validation_v1.0.json", VATEX)
    folder = write("test_list.txt", "b_0_10\n").parent

    (record,) = read_vatex(folder, language="ch").records

    assert (record.captions, record.split) == (("二",), "test")
    assert "left out 1 videos that are in no list" in caplog.text


def test_vatex_has_two_languages(tmp_path):
    with pytest.raises(ConfigError, match="language 'fr' of VATEX is neither 'en' nor 'ch'"):
        read_vatex(tmp_path, language="fr")


def test_every_reader_of_captions_is_in_the_catalogue():
    assert {
        *("webvid", "image-text-list", "image-text-folder", "msr-vtt", "msvd", "didemo"),
        *("activitynet-captions", "lsmdc", "vatex", "msr-vtt-choice", "lsmdc-choice"),
    } <= set(ANNOTATIONS)


def test_real_msrvtt_test_has_a_thousand_sentences(real_annotations):
    read = read_msrvtt(real_annotations / "msrvtt/MSRVTT_JSFUSION_test.csv")

    assert len(read.records) == len({r.video for r in read.records}) == 1000
    assert read.records[0].captions == ("a person is connecting something to system",)


def test_real_msvd_has_forty_captions_a_video(real_annotations):
    records = read_msvd(real_annotations / "msvd").records

    assert len(records) == 250
    assert 35 < sum(len(r.captions) for r in records) / 250 < 45


@pytest.mark.parametrize(("per_segment", "expected"), [(False, 300), (True, 1087)])
def test_real_activitynet_reads_whole_and_in_segments(real_annotations, per_segment, expected):
    path = real_annotations / "activitynet_captions/anet_entities_val_1.json"

    assert len(read_activitynet_captions(path, per_segment=per_segment).records) == expected


def test_real_didemo_lists_name_every_kind_of_file(real_annotations, write):
    listed = (real_annotations / "didemo/test_list.txt").read_text().split()
    folder = write("test_list.txt", "\n".join(listed)).parent
    write("test_data.json", [{"video": v, "description": "x", "times": [[0, 0]]} for v in listed])
    for name in listed[:20]:
        write(f"videos/{Path(name).stem.rstrip('.')}.mp4", "")

    read = read_didemo(folder, root=folder / "videos")

    assert len(read.records) == len(listed)
    assert all(record.video.exists() for record in read.records[:20])
