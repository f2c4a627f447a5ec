"""Clips joined to long videos: every segment shows its clip, and splits stay apart."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
import torch

from internvideo.cli import main
from internvideo.data import JoiningConfig, join_clips
from internvideo.data.annotations import read_segment_csv
from internvideo.errors import ConfigError
from internvideo.values import Annotations, Record
from internvideo.video import open_video, write_video

SMALL = JoiningConfig(num_clips=(2, 3), background_s=(0.4, 0.8), height_px=24, width_px=32)
CLASSES = ("dark", "light")
SHADE = {"dark": 20, "light": 220}  # what stands between clips has a shade of 120


def grey(path, shade, *, frames=20, rate_fps=10, size=(48, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, torch.full((frames, *size, 3), shade, dtype=torch.uint8), rate_fps)
    return path


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    home = tmp_path_factory.mktemp("clips")
    records = [
        Record(video=grey(home / f"{split}_{name}.mp4", SHADE[name]), labels=(label,), split=split)
        for split in ("train", "test")
        for label, name in enumerate(CLASSES)
    ]
    others = [grey(home / f"other/{i}.mp4", 120, size=(64, 40), rate_fps=15) for i in range(2)]
    return Annotations(records=tuple(records), classes=CLASSES), others


def test_a_segment_shows_its_clip_and_what_is_between_does_not(clips, tmp_path):
    count = join_clips(*clips, tmp_path / "joined", num_videos=4, config=SMALL)

    read = read_segment_csv(tmp_path / "joined/segments.csv")
    assert read.classes == CLASSES and count == sum(len(r.segments) for r in read.records) == 8
    assert sorted(r.split for r in read.records) == ["test", "test", "train", "train"]
    for record in read.records:
        with open_video(record.video) as opened:
            assert opened.info.duration_s == pytest.approx(record.duration_s, abs=0.01)
            shades = opened.frames(range(opened.num_frames)).frames.float().mean((1, 2, 3))
            assert opened.info.height == 24 and opened.info.width == 32
        between = torch.ones(len(shades), dtype=torch.bool)
        for segment in record.segments:
            inside = slice(round(segment.start_s * 25), round(segment.end_s * 25))
            assert segment.end_s - segment.start_s == pytest.approx(2.0)
            assert (shades[inside] - SHADE[CLASSES[segment.label]]).abs().max() < 8
            between[inside] = False
        assert between.sum() >= 20 and (shades[between] - 120).abs().max() < 8


def test_the_same_seed_gives_the_same_videos(clips, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        join_clips(*clips, tmp_path / name, num_videos=4, seed=seed, config=SMALL)
    tables = [(tmp_path / name / "segments.csv").read_text() for name in "abc"]

    assert tables[0] == tables[1] != tables[2]
    assert len({(tmp_path / n / "videos/test_000.mp4").read_bytes() for n in "ab"}) == 1


def test_what_cannot_be_joined_is_told_before_anything_is_written(clips, tmp_path):
    annotations, others = clips
    out = tmp_path / "out"
    with pytest.raises(ConfigError, match="each split needs some of both"):
        join_clips(annotations, others[:1], out)
    with pytest.raises(ConfigError, match="each split needs some of both"):
        join_clips(replace(annotations, records=()), others, out)
    with pytest.raises(ConfigError, match="rising numbers"):
        JoiningConfig(num_clips=(5, 3))
    assert not out.exists()


def test_the_command_reads_a_manifest_and_complains_in_a_line(clips, tmp_path, capsys):
    annotations, others = clips
    manifest = tmp_path / "clips.csv"
    with manifest.open("w", newline="") as file:
        rows = ((r.video, CLASSES[r.labels[0]], r.split) for r in annotations.records)
        csv.writer(file).writerows([("file", "class", "split"), *rows])
    asked = ["data", "joined", str(manifest), "--columns", "path", "file", "label", "class"]
    background = ["--background", str(others[0].parent)]

    assert main([*asked, *background, "--out", str(tmp_path / "o"), "--videos", "2"]) == 0
    assert "4 segments" in capsys.readouterr().out
    for wrong in (["--background", "nowhere"], background):
        assert main([*asked, *wrong, "--out", str(tmp_path / "o")]) == 2
    told = capsys.readouterr().err
    assert "there is no such video" in told and "exists already" in told
