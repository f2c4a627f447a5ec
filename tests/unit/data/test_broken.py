"""The list of broken videos."""

from __future__ import annotations

import json
import logging

import pytest

from internvideo.data import BrokenVideos
from internvideo.errors import TrainingError

SOURCES = [f"{i}.mp4" for i in range(10)]


def _listed(path):
    return [json.loads(line)["path"] for line in path.read_text().splitlines()]


def test_a_video_is_named_once_in_log_and_file(tmp_path, caplog):
    broken = BrokenVideos(SOURCES, max_share=0.5, file=tmp_path / "broken.jsonl")

    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            broken.add("1.mp4", "1.mp4: the file is empty")

    assert len(broken) == 1
    assert [r.getMessage() for r in caplog.records] == [
        "left out a broken video: 1.mp4: the file is empty"
    ]
    assert (tmp_path / "broken.jsonl").read_text() == (
        '{"path": "1.mp4", "reason": "1.mp4: the file is empty"}\n'
    )


def test_more_than_the_share_allowed_stops(tmp_path):
    broken = BrokenVideos(SOURCES, max_share=0.2, file=tmp_path / "broken.jsonl")
    broken.add("1.mp4", "empty")
    broken.add("2.mp4", "empty")

    with pytest.raises(
        TrainingError, match=r"3 of 10 videos are broken.* 0.2 .*the last: 3 is cut"
    ):
        broken.add("3.mp4", "3 is cut")


def test_a_resumed_run_neither_forgets_nor_doubles(tmp_path):
    before = BrokenVideos(SOURCES, max_share=0.5, file=tmp_path / "broken.jsonl")
    before.add("1.mp4", "empty")
    state = json.loads(json.dumps(before.state()))
    before.add("2.mp4", "empty")  # found after the checkpoint, then killed

    after = BrokenVideos(SOURCES, max_share=0.5, file=tmp_path / "broken.jsonl")
    after.restore(state)
    for source in ("1.mp4", "2.mp4", "3.mp4"):
        after.add(source, "empty")

    assert _listed(tmp_path / "broken.jsonl") == ["1.mp4", "2.mp4", "3.mp4"]
    assert len(after) == 3


def test_a_run_resumed_into_another_folder_lists_all(tmp_path):
    before = BrokenVideos(SOURCES, max_share=0.5)
    before.add("1.mp4", "empty")

    BrokenVideos(SOURCES, max_share=0.5, file=tmp_path / "new.jsonl").restore(before.state())

    assert _listed(tmp_path / "new.jsonl") == ["1.mp4"]


def test_ranks_that_share_a_file_see_each_others_finds(tmp_path):
    ranks = [BrokenVideos(SOURCES, max_share=0.2, file=tmp_path / "broken.jsonl") for _ in range(2)]
    ranks[0].add("1.mp4", "empty")
    ranks[1].add("1.mp4", "empty")
    ranks[1].add("2.mp4", "empty")

    with pytest.raises(TrainingError, match="3 of 10"):
        ranks[0].add("3.mp4", "empty")
    assert _listed(tmp_path / "broken.jsonl") == ["1.mp4", "2.mp4", "3.mp4"]


def test_videos_of_another_split_do_not_count(tmp_path):
    train = BrokenVideos(SOURCES[:5], max_share=0.2, file=tmp_path / "broken.jsonl")
    evaluation = BrokenVideos(SOURCES[5:], max_share=0.2, file=tmp_path / "broken.jsonl")
    train.add("1.mp4", "empty")

    evaluation.add("6.mp4", "empty")

    assert len(evaluation) == 1


def test_a_line_cut_off_by_a_kill_is_not_read(tmp_path):
    file = tmp_path / "broken.jsonl"
    file.write_text('{"path": "1.mp4", "reason": "empty"}\n{"path": "2.m')

    broken = BrokenVideos(SOURCES, max_share=0.5, file=file)
    broken.add("2.mp4", "empty")
    broken.add("1.mp4", "empty")

    assert '{"path": "2.mp4", "reason": "empty"}' in file.read_text().splitlines()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    broken = BrokenVideos(SOURCES, max_share=0.5, file=tmp_path / "nowhere" / "broken.jsonl")

    with pytest.raises(TrainingError, match=r"broken.jsonl: cannot be written \(No such file"):
        broken.add("1.mp4", "empty")
