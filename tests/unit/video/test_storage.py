"""Ranges of files and of object stores, and members of tar shards."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace

import fsspec
import pytest
import torch

from internvideo.errors import ConfigError, DecodeError
from internvideo.values import Member, Record
from internvideo.video import VideoReader, open_video, storage
from tests.unit.video.conftest import dot_frames, encode


@pytest.fixture
def in_shard(tmp_path):
    """A record of a small video that lies behind another file in a tar."""
    video = encode(tmp_path / "dot.mp4", dot_frames(5))
    with tarfile.open(tmp_path / "shard.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.add(__file__, "a.txt")
        tar.add(video, "dot.mp4")
    with tarfile.open(tmp_path / "shard.tar") as tar:
        info = tar.getmember("dot.mp4")
    member = Member(shard=str(tmp_path / "shard.tar"), start=info.offset_data, size=info.size)
    return Record(video=tmp_path / "shard.tar" / "dot.mp4", member=member)


def test_a_video_in_a_shard_decodes_like_its_file(in_shard, tmp_path):
    with open_video(in_shard) as inside, VideoReader(tmp_path / "dot.mp4") as file:
        assert torch.equal(inside.frames(range(5)).frames, file.frames(range(5)).frames)
        assert inside.info == file.info


def test_a_shard_that_ends_too_early_is_said_to(in_shard, tmp_path):
    shard = tmp_path / "shard.tar"
    shard.write_bytes(shard.read_bytes()[: in_shard.member.start + in_shard.member.size - 7])

    with pytest.raises(DecodeError, match=r"dot\.mp4: should be bytes .* ends 7 bytes too early"):
        open_video(in_shard)


@pytest.mark.parametrize("change", [{"start": 512}, {"start": 700}, {"size": 100}])
def test_an_index_of_another_shard_is_noticed(in_shard, change):
    wrong = replace(in_shard, member=replace(in_shard.member, **change))

    with pytest.raises(DecodeError, match=r"dot\.mp4: is not at bytes .* the index is of other"):
        open_video(wrong)


def test_a_missing_shard_is_said_to_be(in_shard, tmp_path):
    (tmp_path / "shard.tar").unlink()

    with pytest.raises(DecodeError, match=r"dot\.mp4: cannot read bytes .*No such file"):
        open_video(in_shard)


def test_no_bytes_are_an_empty_file():
    with pytest.raises(DecodeError, match=r"name\.mp4: cannot be opened \(the file is empty\)"):
        VideoReader("name.mp4", data=b"")


@pytest.fixture
def in_memory():
    """Address of a folder with one file in memory."""
    system = fsspec.filesystem("memory")
    system.pipe_file("/folder/letters.txt", b"abcdefgh")
    yield "memory://folder"
    system.rm("/folder", recursive=True)


def test_an_address_is_read_like_a_path(in_memory, tmp_path):
    (tmp_path / "letters.txt").write_bytes(b"abcdefgh")

    for folder in (in_memory, str(tmp_path)):
        assert storage.sizes(folder) == {"letters.txt": 8}
        assert storage.read_range(f"{folder}/letters.txt", 2, 3) == b"cde"
        assert storage.read_range(f"{folder}/letters.txt", 6, 5) == b"gh"
        with storage.opened(f"{folder}/letters.txt") as file:
            assert file.read() == b"abcdefgh"


def test_an_address_of_no_known_kind_is_said_to_be():
    with pytest.raises(ConfigError, match=r"nowhere://x: nothing here can read .*nowhere"):
        storage.read_range("nowhere://x", 0, 1)


class Failing:
    """A file system that fails the first few times."""

    def __init__(self, num_failures, error=None):
        self.left, self.asked = num_failures, 0
        self.error = error or RuntimeError("connection lost")

    def cat_file(self, path, start, end):
        self.asked += 1
        if self.left:
            self.left -= 1
            raise self.error
        return b"abc"


@pytest.fixture
def failing(monkeypatch):
    def install(system):
        monkeypatch.setattr(fsspec.core, "url_to_fs", lambda url: (system, "x"))
        monkeypatch.setattr(storage, "_PAUSES_S", (0.0, 0.0))
        return system

    return install


def test_a_storage_that_fails_is_asked_again(failing):
    failing(Failing(2))

    assert storage.read_range("any://x", 0, 3) == b"abc"


def test_a_storage_that_goes_on_failing_is_an_error(failing):
    failing(Failing(3))

    with pytest.raises(OSError, match="any://x: RuntimeError: connection lost"):
        storage.read_range("any://x", 0, 3)


def test_what_is_not_there_is_not_asked_for_again(failing):
    system = failing(Failing(3, FileNotFoundError("x")))

    with pytest.raises(FileNotFoundError):
        storage.read_range("any://x", 0, 3)

    assert system.asked == 1


@pytest.mark.parametrize("layout", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
@pytest.mark.parametrize(
    "names",
    [
        ("a.avi", "b.avi"),
        ("走路.avi", "跑步.avi"),
        ("kick_é.avi", "kick_ü.avi"),
        ("x" * 120 + "1.avi", "x" * 120 + "2.avi"),
    ],
    ids=["plain", "no latin letters", "accents", "long"],
)
def test_members_are_told_apart_by_their_whole_names(tmp_path, layout, names):
    shard = tmp_path / "shard.tar"
    with tarfile.open(shard, "w", format=layout) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = 700
            tar.addfile(info, io.BytesIO(name[-5:].encode()[:1] * 700))
    with tarfile.open(shard) as tar:
        members = {
            info.name: Member(shard=str(shard), start=info.offset_data, size=700)
            for info in tar.getmembers()
        }

    for name, other in (names, names[::-1]):
        assert len(storage.read_member(members[name], shard / name)) == 700
        with pytest.raises(DecodeError, match="written anew in another order"):
            storage.read_member(members[name], shard / other)
