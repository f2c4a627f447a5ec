"""Published annotations of retrieval as the protocols take them; half of the videos missing."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from internvideo.errors import AnnotationError, ConfigError
from internvideo.recipes import recipe
from internvideo.recipes.retrieval import RETRIEVAL_RECIPES
from internvideo.tasks import RetrievalTraining
from internvideo.tasks.retrieval import PROTOCOLS, Retrieval, RetrievalData, protocol
from internvideo.values import Annotations
from tests.unit.tasks.toys import Eye


def lay(folder: Path, source: Path, **renamed: str) -> Path:
    """Copy annotation files under the names that the data sets have."""
    folder.mkdir()
    for path in source.iterdir():
        shutil.copy(path, folder / renamed.get(path.stem, path.name))
    return folder


def arranged(name: str, folder: Path) -> tuple[Annotations, RetrievalTraining]:
    data = replace(protocol(name).data(), root=str(folder))
    config = RetrievalTraining(test_split=protocol(name).test_split)
    # None of the videos is at hand.
    return config.arrange(data.read(with_videos=False), data), config


def counts(annotations: Annotations) -> dict[str | None, int]:
    splits = [record.split for record in annotations.records]
    return {split: splits.count(split) for split in dict.fromkeys(splits)}


@pytest.mark.parametrize(("name", "train"), [("msrvtt-9k-1ka", 9000), ("msrvtt-7k", 7010)])
def test_msrvtt_is_chosen_on_a_part_of_training(name, train, real_annotations, tmp_path):
    folder = lay(tmp_path / "msrvtt", real_annotations / "msrvtt")
    listed = (folder / f"MSRVTT_train.{name[7:9]}.csv").read_text().split()[1:]
    sentences = [{"video_id": video, "caption": f"what {video} shows"} for video in listed]
    videos = [{"video_id": video, "split": "train"} for video in listed]
    (folder / "MSRVTT_data.json").write_text(json.dumps({"videos": videos, "sentences": sentences}))

    found, _ = arranged(name, folder)

    chosen = round(0.05 * train)
    assert counts(found) == {"train": train - chosen, "chosen-on": chosen, "test": 1000}
    assert len(found.of_split("test").records[0].captions) == 1


def test_msvd_has_its_own_split_to_choose_on(real_annotations, tmp_path):
    found, _ = arranged("msvd", lay(tmp_path / "msvd", real_annotations / "msvd"))

    assert {"train", "val", "test"} >= set(counts(found))
    assert max(len(record.captions) for record in found.records) > 30


def test_activitynet_is_tested_on_val_1_alone(real_annotations, tmp_path):
    names = {"anet_entities_val_1": "val_1.json", "anet_entities_val_2": "val_2.json"}
    folder = lay(tmp_path / "anet", real_annotations / "activitynet_captions", **names)

    found, _ = arranged("activitynet-val1", folder)

    assert counts(found) == {"train": 380, "chosen-on": 20, "val": 300}
    assert all(len(record.captions) == 1 for record in found.records)


def test_didemo_lists_are_read(real_annotations, tmp_path):
    folder = lay(tmp_path / "didemo", real_annotations / "didemo")
    for split in ("train", "val", "test"):
        ids = (folder / f"{split}_list.txt").read_text().split("\n")[:20]
        rows = [
            {"video": video.strip(), "description": f"part {n}", "times": [[n, n]]}
            for video in ids
            for n in range(2)
        ]
        (folder / f"{split}_data.json").write_text(json.dumps(rows))

    found, _ = arranged("didemo-paragraph", folder)

    assert counts(found) == {"train": 20, "val": 20, "test": 20}
    assert found.records[0].captions == ("part 0 part 1",)


def test_a_missing_half_of_the_videos_is_counted_and_named(level_videos, tmp_path):
    lines = ["path,caption,split"]
    for number, video in enumerate(level_videos[:-1]):
        lines += [
            f"{video},level {number},test",
            f"{tmp_path}/gone{number}.mp4,level {number},test",
        ]
    (tmp_path / "pairs.csv").write_text("\n".join(lines))

    result = Retrieval().evaluate(Eye(), RetrievalData(data=str(tmp_path / "pairs.csv")).read())

    assert (result.num_evaluated, result.num_total) == (5, 10)
    assert {Path(failed.path).name for failed in result.failed} == {
        f"gone{number}.mp4" for number in range(5)
    }
    assert result.scores["t2v/r1"] == 0.5


def test_rows_of_one_video_are_one_video_with_several_sentences(level_videos, tmp_path):
    rows = [f"{level_videos[1]},level 1", f"{level_videos[1]},one 1", f"{level_videos[2]},level 2"]
    (tmp_path / "pairs.csv").write_text("\n".join(["path,caption", *rows]))

    result = Retrieval().evaluate(Eye(), RetrievalData(data=str(tmp_path / "pairs.csv")).read())

    assert result.similarity.shape == (3, 2)


def test_every_protocol_but_choices_has_a_recipe_that_names_its_steps():
    runs = [recipe(name) for name in RETRIEVAL_RECIPES]

    assert {run.stage.protocol for run in runs} == PROTOCOLS.keys()
    vatex = recipe("retrieval_vatex")
    assert vatex.training.num_steps == 5 * (259_910 // 128)
    assert vatex.training.optimiser.lr == pytest.approx(5e-6)
    assert vatex.training.keep_best == "t2v/r1"


def test_an_unknown_protocol_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="msrvtt-7k"):
        protocol("msrvtt-8k")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.mp4,one,train", "a.mp4,two,test"], r"a.mp4: is in the split 'train' and again in 'te"),
        (["a.mp4,,train", "b.mp4,two,train"], r"a.mp4 has no caption; give captions to all"),
    ],
)
def test_what_would_spoil_a_score_is_named(rows, message, tmp_path):
    (tmp_path / "pairs.csv").write_text("\n".join(["path,caption,split", *rows]))
    data = replace(protocol("msvd").data(), source="pairs.csv", format="manifest")
    data = replace(data, root=str(tmp_path))

    with pytest.raises((ConfigError, AnnotationError), match=message):
        RetrievalTraining().arrange(data.read(with_videos=False), data)


def test_an_id_of_two_videos_is_an_error(tmp_path):
    for ending in ("mp4", "avi"):
        (tmp_path / f"video1.{ending}").write_text("")
    (tmp_path / "vatex_training_v1.0.json").write_text('[{"videoID": "video1", "enCap": ["a"]}]')
    data = replace(protocol("vatex").data(), root=str(tmp_path))

    with pytest.raises(AnnotationError, match=r"'video1' is the name of two videos, video1.avi / "):
        data.read(with_videos=False)


def test_an_id_listed_twice_for_different_videos_is_an_error(tmp_path):
    videos = [{"video_id": "video1", "url": "a"}, {"video_id": "video1", "url": "b"}]
    (tmp_path / "MSRVTT_data.json").write_text(json.dumps({"videos": videos, "sentences": []}))
    data = replace(protocol("msrvtt-7k").data("MSRVTT_data.json"), root=str(tmp_path))

    with pytest.raises(AnnotationError, match=r"video 1: 'video1' is another video before"):
        data.read(with_videos=False)


def test_a_video_in_two_lists_is_an_error(tmp_path, caplog):
    caplog.set_level(logging.ERROR)
    for split in ("train", "test"):
        (tmp_path / f"{split}_list.txt").write_text("video1\n")
    (tmp_path / "raw-captions.json").write_text('{"video1": ["a"]}')
    data = replace(protocol("msvd").data(), root=str(tmp_path))

    with pytest.raises(AnnotationError, match=r"test_list.txt, line 1: 'video1' is in train_list"):
        data.read(with_videos=False)
