"""Tar shards: written, indexed, read, cut, and read as a training set."""

from __future__ import annotations

import io
import json
import logging
import tarfile
from dataclasses import replace
from itertools import islice
from pathlib import Path

import fsspec
import pytest
import torch
from PIL import Image

from internvideo.data import ClipDataset, ClipLoader, Targets, VideoData, label_target
from internvideo.data.annotations import read_manifest, read_shards
from internvideo.data.shard_writer import write_shards
from internvideo.data.shards import index_shards
from internvideo.errors import AnnotationError, ConfigError, DecodeError
from internvideo.values import Annotations, Box, Record, Segment
from internvideo.video import open_video
from tests.unit.data.numbered import keys


@pytest.fixture
def annotations(tiny_videos):
    return read_manifest(tiny_videos / "videos.csv")


@pytest.fixture
def shards(annotations, tmp_path):
    """The ten tiny videos in their order, in shards of one or two."""
    size = annotations.records[0].video.stat().st_size
    write_shards(
        enlarged(annotations, tmp_path, 400_000 - size), tmp_path / "set", max_shard_mb=1, seed=None
    )
    return tmp_path / "set"


def enlarged(annotations, folder, num_bytes):
    """The same videos with room behind them, so that a megabyte holds two."""
    records = []
    for record in annotations.records:
        free = b"\0\0\0\0free"  # an mp4 box that reaches to the end of the file
        video = folder / "large" / record.video.name
        video.parent.mkdir(exist_ok=True)
        video.write_bytes(record.video.read_bytes() + free + bytes(num_bytes))
        records.append(replace(record, video=video))
    return replace(annotations, records=tuple(records))


LABELS = Targets(make=label_target)


def clips(source, num_steps=6, first_step=0, targets=None, **options):
    data = VideoData(source=str(source), format="shards", stride_frames=1, **options)
    part = data.select(data.read(), training=True)
    dataset = ClipDataset(
        part, data, num_frames=4, side_px=16, training=True, seed=1, targets=targets
    )
    loader = ClipLoader(dataset, batch_size=4)
    batches = [batch for step in islice(loader.batches(first_step), num_steps) for batch in step]
    return batches, loader


def text_of(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_tar(path, members):
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def picture(colour=(200, 10, 10)):
    file = io.BytesIO()
    Image.new("RGB", (24, 20), colour).save(file, "png")
    return file.getvalue()


def test_a_set_says_what_its_annotations_said(annotations, shards):
    read = read_shards(shards)

    assert read.classes == annotations.classes
    assert [(r.labels, r.split) for r in read.records] == [
        (r.labels, r.split) for r in annotations.records
    ]
    with open_video(read.records[3]) as inside, open_video(annotations.records[3]) as file:
        assert torch.equal(inside.frames([0, 5]).frames, file.frames([0, 5]).frames)


def test_every_kind_of_fact_survives(tiny_videos, tmp_path):
    video = tiny_videos / "video 1.mp4"
    told = Record(
        video=video,
        start_s=0.25,
        end_s=1.0,
        labels=(1, 0),
        captions=("ein Hündchen 🐕", "二つ目"),
        segments=(Segment(start_s=0.0, end_s=0.5, label=1, caption="läuft"),),
        boxes=(Box(time_s=0.5, xyxy=(0.0, 0.1, 0.2, 0.3), labels=(0,), actor=7),),
        question="wer?",
        answer="es",
        candidates=("es", "sie"),
        split="train",
    )

    write_shards(Annotations(records=(told,), classes=("ä", "b")), tmp_path / "set")
    (read,) = read_shards(tmp_path / "set").records

    assert replace(read, video=video, member=None) == told


def test_an_index_made_anew_says_the_same(shards):
    before = read_shards(shards)
    (shards / "index.jsonl").unlink()

    index_shards(shards)

    assert read_shards(shards) == before


def test_several_records_of_one_video_store_it_once(tiny_videos, tmp_path):
    video = tiny_videos / "video 1.mp4"
    records = tuple(Record(video=video, start_s=s / 2, end_s=s / 2 + 0.5) for s in range(2))

    summary = write_shards(Annotations(records=records), tmp_path / "set")

    assert (summary.num_samples, summary.num_records) == (1, 2)
    assert [r.start_s for r in read_shards(tmp_path / "set").records] == [0.0, 0.5]


def test_same_annotations_give_the_same_bytes(annotations, tmp_path):
    for name in ("one", "two"):
        write_shards(annotations, tmp_path / name)

    assert text_of(tmp_path / "one") == text_of(tmp_path / "two")


def test_shards_keep_to_their_size(shards):
    sizes = [path.stat().st_size for path in sorted(shards.glob("*.tar"))]

    assert len(sizes) == 5
    assert max(sizes) < 1_010_000


def test_an_interrupted_writer_goes_on_where_it_was(annotations, shards, tmp_path):
    whole = text_of(shards)

    class Interrupted(Exception):
        pass

    def interrupt(done, total):
        if done >= 4:
            raise Interrupted

    large = read_large(annotations, tmp_path)
    options = {"max_shard_mb": 1, "seed": None}
    with pytest.raises(Interrupted):
        write_shards(large, tmp_path / "again", on_progress=interrupt, **options)
    first = (tmp_path / "again" / "shard-000000.tar").stat().st_mtime_ns
    journal = tmp_path / "again" / "index.jsonl.part"
    journal.write_text(journal.read_text() + '{"name": "shard-0000')  # cut off in a line
    done = []
    write_shards(large, tmp_path / "again", on_progress=lambda *now: done.append(now), **options)

    assert text_of(tmp_path / "again") == whole
    assert (tmp_path / "again" / "shard-000000.tar").stat().st_mtime_ns == first
    assert done == [(6, 10), (8, 10), (10, 10)]


def read_large(annotations, folder):
    return replace(
        annotations,
        records=tuple(
            replace(r, video=folder / "large" / r.video.name) for r in annotations.records
        ),
    )


def test_a_finished_set_is_left_as_it_is(annotations, tmp_path):
    first = write_shards(annotations, tmp_path / "set")
    done = []

    assert write_shards(annotations, tmp_path / "set", on_progress=done.append) == first
    assert not done


def test_a_folder_with_another_set_is_refused(annotations, tmp_path):
    write_shards(annotations, tmp_path / "set")

    with pytest.raises(ConfigError, match="holds shards of other annotations"):
        write_shards(annotations, tmp_path / "set", seed=3)


def test_a_folder_with_tar_files_of_others_is_refused(annotations, tmp_path):
    (tmp_path / "theirs.tar").touch()

    with pytest.raises(ConfigError, match="holds tar files of another origin"):
        write_shards(annotations, tmp_path)


def test_files_that_cannot_be_opened_are_named(corrupted_videos, tmp_path):
    annotations = read_manifest(corrupted_videos / "videos.csv")
    (corrupted_videos / "video 7.mp4").unlink()

    summary = write_shards(annotations, tmp_path / "set", seed=None)

    assert [name for name, _ in summary.left_out] == [f"video {n}.mp4" for n in (2, 5, 7)]
    assert "no such file" in summary.left_out[2][1]
    assert str(summary).endswith("7 videos or pictures, 7 records; 3 left out")
    assert len(read_shards(tmp_path / "set").records) == 7


def test_a_set_of_which_nothing_can_be_opened_is_an_error(tmp_path):
    records = (Record(video=tmp_path / "missing.mp4"),)

    with pytest.raises(AnnotationError, match=r"none of 1 files can be stored; .*missing\.mp4"):
        write_shards(Annotations(records=records), tmp_path / "set")


def test_folders_of_frames_are_refused(tmp_path):
    records = (Record(video=tmp_path, frame_template="img_{:05}.jpg"),)

    with pytest.raises(ConfigError, match="is a folder of frames; shards hold files"):
        write_shards(Annotations(records=records), tmp_path / "set")


def test_training_from_shards_shows_the_clips_of_the_files(annotations, tiny_videos, shards):
    data = VideoData(source=str(tiny_videos / "videos.csv"), stride_frames=1)
    part = data.select(data.read(), training=True)
    dataset = ClipDataset(
        part, data, num_frames=4, side_px=16, training=True, seed=1, targets=LABELS
    )
    of_files = [b for step in islice(ClipLoader(dataset, batch_size=4).batches(), 6) for b in step]

    of_shards, _ = clips(shards, targets=LABELS)

    for one, other in zip(of_files, of_shards, strict=True):
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.targets["label"], other.targets["label"])


def test_a_resumed_run_sees_what_it_would_have_seen(shards):
    unstopped, _ = clips(shards, num_steps=6)
    resumed, _ = clips(shards, num_steps=3, first_step=3)

    assert keys(unstopped[3:]) == keys(resumed)


def test_a_cut_shard_trains_on_and_names_what_is_missing(shards, caplog):
    cut = shards / "shard-000001.tar"
    cut.write_bytes(cut.read_bytes()[:450_000])

    with caplog.at_level(logging.WARNING):
        batches, loader = clips(shards, num_steps=8)

    assert all(len(batch) == 4 for batch in batches)
    assert [entry["path"] for entry in loader.broken.state()] == [f"{cut}/00000003.mp4"]
    assert "1 of 5 shards are cut off or missing, such as shard-000001.tar; 1 of 10" in caplog.text
    assert "00000003.mp4: should be bytes" in caplog.text


def test_a_missing_shard_counts_as_broken_videos(shards, caplog):
    (shards / "shard-000001.tar").unlink()

    _, loader = clips(shards, num_steps=8)

    assert len(loader.broken) == 2
    assert "2 of 10 samples lie in what is not there" in caplog.text


def test_an_index_of_other_shards_is_refused(shards):
    with (shards / "shard-000002.tar").open("ab") as file:
        file.write(b"more")

    with pytest.raises(AnnotationError, match=r"shard-000002\.tar has \d+ bytes and should have"):
        read_shards(shards)


def _with(line, **changes):
    return json.dumps({**json.loads(line), **changes})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: lines[:-1], r"tells of 10 samples, its end of none; it is cut off"),
        (
            lambda lines: [*lines[:2], lines[2][:90]],
            r"index\.jsonl, line 3: is no line of an index",
        ),
        (lambda lines: ['{"a": 1}'], r"line 1: .*misses 'format'"),
        (lambda lines: ['{"format": "x"}'], r"line 1: .*format 'x', expected 'internvideo shards"),
        (lambda lines: [lines[0], '{"name": "a"}'], r"line 2: .*\(size: Field required\)"),
        (lambda lines: [_with(lines[0], classes="ab"), *lines[1:]], r"line 1: .*valid list"),
        (
            lambda lines: [lines[0], _with(lines[1], name="../elsewhere.tar"), *lines[2:]],
            r"line 2: .*'\.\./elsewhere\.tar' leads out of the folder",
        ),
        (
            lambda lines: [lines[0], _with(lines[1], size=1000), *lines[2:]],
            r"line 2: .*lies at bytes \d+ to \d+ of 1000",
        ),
        (
            lambda lines: [_with(lines[0], classes=["only one"]), *lines[1:]],
            r"label \d is outside 0 to 0, as the set has 1 classes",
        ),
    ],
)
def test_a_damaged_index_names_its_line(shards, change, message):
    index = shards / "index.jsonl"
    index.write_text("\n".join(change(index.read_text().splitlines())))

    with pytest.raises(AnnotationError, match=message):
        read_shards(shards)


def test_a_folder_without_shards_is_said_to_be(tmp_path):
    with pytest.raises(AnnotationError, match=r"holds no file NAME\.tar; expected shards"):
        read_shards(tmp_path)
    with pytest.raises(AnnotationError, match="there is no such folder of shards"):
        read_shards(tmp_path / "nowhere")


def test_a_file_is_no_folder_of_shards(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(AnnotationError, match=r"cannot be listed .*; expected shards"):
        read_shards(tmp_path / "file")


def test_shards_behind_an_address_are_read_like_local_ones(shards):
    system = fsspec.filesystem("memory")
    for path in shards.iterdir():
        system.pipe_file(f"/set/{path.name}", path.read_bytes())

    local, _ = clips(shards)
    far, _ = clips("memory://set")
    system.rm("/set/index.jsonl")
    scanned, _ = clips("memory://set")
    system.rm("/set", recursive=True)

    for one, other, third in zip(local, far, scanned, strict=True):
        assert torch.equal(one.frames, other.frames)
        assert torch.equal(one.frames, third.frames)


def test_videos_and_pictures_lie_in_one_set(tiny_videos, tmp_path):
    (tmp_path / "red.png").write_bytes(picture())
    records = tuple(
        Record(video=path, captions=(path.name,))
        for path in (tmp_path / "red.png", tiny_videos / "video 4.mp4")
    )

    write_shards(Annotations(records=records), tmp_path / "set", seed=None)
    red, grey = read_shards(tmp_path / "set").records

    with open_video(red) as image, open_video(grey) as video:
        assert image.frames([0]).frames[0, 0, 0].tolist() == [200, 10, 10]
        assert video.num_frames == 12
    assert red.captions == ("red.png",)


def test_shards_of_other_tools_are_read(tmp_path):
    write_tar(
        tmp_path / "a.tar",
        [
            ("x/0.png", picture()),
            ("x/0.json", json.dumps({"caption": "ein Fuß", "width": 3}).encode()),
            ("x/0.cls", b"2"),
            ("x/1.png", picture()),
            ("x/1.txt", "🐕 läuft\n".encode()),
            ("x/1.cls", b"0"),
        ],
    )

    read = read_shards(tmp_path / "a.tar")

    assert [record.captions for record in read.records] == [("ein Fuß",), ("🐕 läuft",)]
    assert [record.labels for record in read.records] == [(2,), (0,)]
    assert read.classes == ("0", "1", "2")


def test_a_shard_rewritten_in_another_order_gives_no_video_its_neighbours_label(tmp_path):
    members = []
    for number in range(4):
        members += [(f"{number}.png", picture((number, 2, 3))), (f"{number}.cls", b"%d" % number)]
    assert len({len(data) for _, data in members[::2]}) == 1
    write_tar(tmp_path / "a.tar", members)
    index_shards(str(tmp_path))
    write_tar(tmp_path / "a.tar", [members[place] for place in (0, 1, 4, 5, 2, 3, 6, 7)])

    _, second, _, last = read_shards(tmp_path).records

    with pytest.raises(DecodeError, match=r"1\.png: at bytes .* lies 2\.png; the shard was"):
        open_video(second)
    with open_video(last) as video:
        assert video.frames([0]).frames[0, 0, 0].tolist() == [3, 2, 3]


@pytest.mark.parametrize(
    ("before", "after"),
    [("cls", (b"1", b"0")), ("txt", (b"a dog", b"a cat"))],
    ids=["label", "text"],
)
def test_shards_written_anew_with_the_old_names_are_noticed(before, after, tmp_path):
    def write(texts):
        members = []
        for number, text in enumerate(texts):
            members += [(f"{number}.png", picture()), (f"{number}.{before}", text)]
        write_tar(tmp_path / "a.tar", members)

    write(after)
    index_shards(str(tmp_path))
    assert len(read_shards(tmp_path).records) == 2
    write(after[::-1])

    with pytest.raises(AnnotationError, match=r"a\.tar: says other things of 0 than the index; th"):
        read_shards(tmp_path)


def test_shards_of_ours_with_other_labels_are_noticed(shards):
    index = shards / "index.jsonl"
    index.write_text(index.read_text().replace('"labels":[0]', '"labels":[1]'))

    with pytest.raises(AnnotationError, match=r"says other things of 0+ than the index"):
        read_shards(shards)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize(
    "name", ["./a", "ä/ö", "x" * 150, "f" * 90 + "/" + "g" * 80, "ü" * 80, "./" + "é" * 99]
)
def test_a_member_is_recognised_whatever_its_name(form, name, tmp_path):
    info = tarfile.TarInfo(f"{name}.png")
    info.size = len(picture())
    with tarfile.open(tmp_path / "a.tar", "w", format=form) as tar:
        try:
            tar.addfile(info, io.BytesIO(picture()))
        except ValueError as error:
            pytest.skip(f"this format holds no such name: {error}")
    (record,) = read_shards(tmp_path).records

    with open_video(record) as video:
        assert video.frames([0]).frames.shape[0] == 1


def test_dotted_keys_and_any_text_are_read(tmp_path):
    write_tar(
        tmp_path / "a.tar",
        [
            *(("s0.input.png", picture()), ("s0.outputs.txt", b"a dog runs")),
            *(("s1.png", picture()), ("s1.caption", b"a cat")),
            *(("s2.png", picture()), ("s2.TEXT", b"a cow")),
            *(("__MACOSX/._s2.png", b"x"), ("._s2.png", b"x")),
        ],
    )

    read = read_shards(tmp_path)

    assert [r.captions for r in read.records] == [("a dog runs",), ("a cat",), ("a cow",)]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("t-{000000..000001}.tar", [0, 1]),
        ("t-{000001..000005}.tar", [1, 2]),
        ("t-00000{0,2}.tar", [0, 2]),
        ("*.tar", [0, 1, 2]),
        ("t-00000[01].tar", [0, 1]),
        ("t-000002.tar", [2]),
    ],
)
@pytest.mark.parametrize("has_index", [False, True])
def test_patterns_of_shards_are_sources(pattern, found, has_index, tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"t-{number:06}.tar", [(f"{number}.png", picture())])
    if has_index:
        index_shards(str(tmp_path))

    read = read_shards(tmp_path / pattern)

    assert [int(record.video.stem) for record in read.records] == found


def test_a_pattern_that_means_nothing_is_said_to(tmp_path):
    write_tar(tmp_path / "a.tar", [("0.png", picture())])

    with pytest.raises(AnnotationError, match=r"holds no b-0\.tar or b-1\.tar; expected shards"):
        read_shards(tmp_path / "b-{0..1}.tar")
    with pytest.raises(AnnotationError, match="names no or too many shards"):
        read_shards(tmp_path / "b-{0..99999999999}.tar")


def test_class_ids_of_absurd_size_build_nothing(tmp_path):
    said = {"records": [{"labels": [0]}], "classes": {"20240101123456": "run"}}
    write_tar(tmp_path / "a.tar", [("0.png", picture()), ("0.json", json.dumps(said).encode())])

    with pytest.raises(AnnotationError, match="class '20240101123456' is 'run'; expected an id"):
        read_shards(tmp_path)


def test_members_whose_names_are_not_utf8_are_named_and_left_out(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [("b\udce4d.png", picture()), ("good.png", picture())])

    found = index_shards(str(tmp_path))

    assert found.num_samples == 1
    assert r"b\xe4d.png" in caplog.text


def test_labels_of_other_tools_may_be_names(tmp_path):
    labels = [{"label": "run"}, {"label": "jump"}]
    write_tar(
        tmp_path / "a.tar",
        [
            member
            for number, told in enumerate(labels)
            for member in (
                (f"{number}.png", picture()),
                (f"{number}.json", json.dumps(told).encode()),
            )
        ],
    )

    read = read_shards(tmp_path)

    assert read.classes == ("jump", "run")
    assert [record.labels for record in read.records] == [(1,), (0,)]


def test_samples_of_one_key_are_both_kept_and_told_of(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [("0.png", picture((1, 2, 3))), ("0.png", picture((4, 5, 6)))])

    first, second = read_shards(tmp_path).records

    with open_video(first) as one, open_video(second) as other:
        assert one.frames([0]).frames[0, 0, 0].tolist() == [1, 2, 3]
        assert other.frames([0]).frames[0, 0, 0].tolist() == [4, 5, 6]
    assert "1 samples have the key of another; all are kept" in caplog.text


@pytest.mark.parametrize("name", ["../../escaped.png", "/escaped.png", "a/../../escaped.png"])
def test_a_name_that_leads_out_of_its_shard_is_harmless(tmp_path, name):
    write_tar(tmp_path / "a.tar", [(name, picture())])

    (record,) = read_shards(tmp_path).records

    assert record.video.is_relative_to(tmp_path / "a.tar")
    assert ".." not in record.video.parts
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_samples_without_anything_to_see_are_told_of(tmp_path, caplog):
    write_tar(tmp_path / "a.tar", [("0.png", picture()), ("1.txt", b"alone")])

    assert len(read_shards(tmp_path).records) == 1
    assert "1 of 2 samples hold neither video nor picture, such as 1" in caplog.text


@pytest.mark.parametrize("kept", [0.55, 0.75])
def test_a_cut_shard_without_index_loses_its_last_sample_and_says_so(tmp_path, caplog, kept):
    data = picture() + bytes(2000)
    write_tar(tmp_path / "a.tar", [(f"{n}.png", data) for n in range(4)])
    size = tarfile.BLOCKSIZE + -(-len(data) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    whole = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(whole[: int(kept * 4 * size)])

    assert len(read_shards(tmp_path).records) == 2
    assert "a.tar is cut off; left out its last sample, 2" in caplog.text


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b" + bytes(range(200)) * 5])
def test_a_file_that_is_no_tar_is_said_to_be(tmp_path, data):
    (tmp_path / "a.tar").write_bytes(data)

    with pytest.raises(AnnotationError, match=r"a\.tar: is not a tar file that can be read in par"):
        read_shards(tmp_path)


def test_texts_that_are_no_json_name_their_sample(tmp_path):
    write_tar(tmp_path / "a.tar", [("0.png", picture()), ("0.json", b"{")])

    with pytest.raises(AnnotationError, match=r"a\.tar: the texts of 0 cannot be read"):
        read_shards(tmp_path)


def test_wrong_facts_name_their_sample(shards):
    index = shards / "index.jsonl"
    index.write_text(index.read_text().replace('"labels":[0]', '"labels":["zero"]', 1))

    with pytest.raises(AnnotationError, match=r"00000000\.mp4: labels\.0 of its annotations is wr"):
        read_shards(shards)


def test_an_index_may_lie_elsewhere(tmp_path):
    (tmp_path / "theirs").mkdir()
    write_tar(tmp_path / "theirs" / "a.tar", [("0.png", picture())])

    index_shards(tmp_path / "theirs", tmp_path / "mine.jsonl")

    read = read_shards(tmp_path / "theirs", index=tmp_path / "mine.jsonl")
    assert [path.name for path in (tmp_path / "theirs").iterdir()] == ["a.tar"]
    assert Path(read.records[0].member.shard) == tmp_path / "theirs" / "a.tar"


def test_no_index_is_written_to_an_address():
    with pytest.raises(AnnotationError, match="is not a local folder; name a local file"):
        index_shards("memory://set")


def test_shards_can_be_written_from_shards(shards, tmp_path):
    before = read_shards(shards)

    write_shards(before, tmp_path / "one", seed=None)

    after = read_shards(tmp_path / "one")
    assert len(list((tmp_path / "one").glob("*.tar"))) == 1
    assert [r.labels for r in after.records] == [r.labels for r in before.records]


def test_few_shards_at_a_time_are_a_run_of_the_epoch(shards):
    batches, _ = clips(shards, num_steps=4, shards_at_a_time=1)

    row = [Path(source).parent.name for batch in batches for source in batch.sources]

    for epoch in (row[:8], row[8:]):  # four shards of two training videos
        assert epoch[::2] == epoch[1::2]
        assert len(set(epoch)) == 4
    assert row[:8] != row[8:]


def test_a_run_of_few_shards_at_a_time_resumes_exactly(shards):
    unstopped, _ = clips(shards, num_steps=7, shards_at_a_time=2)
    resumed, _ = clips(shards, num_steps=4, first_step=3, shards_at_a_time=2)

    assert keys(unstopped[3:]) == keys(resumed)


def test_shards_at_a_time_need_shards(tiny_videos):
    data = VideoData(source=str(tiny_videos / "videos.csv"), shards_at_a_time=2)

    with pytest.raises(ConfigError, match=r"but .*video 0\.mp4 lies in no shard; leave it out"):
        ClipDataset(data.read(), data, num_frames=4, side_px=16, training=True)
    with pytest.raises(ConfigError, match="shards_at_a_time is 0, expected 1 or more"):
        replace(data, shards_at_a_time=0)


def _header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def _further(fact: str) -> bytes:
    """A header of further facts (PAX) of one line."""
    line = f"{len(fact) + 4} {fact}\n".encode()
    return _header("x", len(line), tarfile.XHDTYPE) + line.ljust(512, b"\0")


_HOSTILE_TARS = {
    "a negative size": (_header("a.jpg", -1024), "has -1024 bytes"),
    "a negative size in a header": (
        _header("b.jpg", 0) + _further("size=-2048") + _header("a.jpg", 0),
        "has -2048 bytes",
    ),
    "a size without end": (
        _further("size=1" + "0" * 40) + _header("a.jpg", 0) + bytes(1024),
        "cannot be read",
    ),
    "header after header": (_further("path=a.jpg") * 2000, "header follows header"),
    "a large header": (_header("x", 1 << 40, tarfile.XHDTYPE), "at most 1048576"),
    "a large text": (_header("a.txt", 100 << 20), "'a.txt' has 104857600 bytes, expected at most"),
    "holes without a map": (
        _header("x", 52, tarfile.XHDTYPE)
        + b"22 GNU.sparse.major=1\n22 GNU.sparse.minor=0\n".ljust(512, b"\0")
        + _header("a.jpg", 512)
        + b"9" * 512,
        "a member has holes",
    ),
}


@pytest.mark.parametrize("what", _HOSTILE_TARS)
def test_what_no_tar_should_claim_is_refused(what, tmp_path):
    content, why = _HOSTILE_TARS[what]
    (tmp_path / "000.tar").write_bytes(_header("good.jpg", 3) + b"abc".ljust(512, b"\0") + content)

    with pytest.raises(AnnotationError, match=why) as raised:
        read_shards(tmp_path)

    assert "000.tar" in str(raised.value)
    assert "\n" not in str(raised.value)
