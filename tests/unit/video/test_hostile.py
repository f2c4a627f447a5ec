"""One odd or hostile video: named, in bounded time, and nothing but its own bytes is read."""

from __future__ import annotations

import ctypes
import json
import os
import socket
import threading
import time
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from internvideo.errors import DecodeError
from internvideo.video import (
    ImageFile,
    VideoReader,
    find_videos,
    open_video,
    scan,
    write_clean_manifest,
    write_health_report,
)
from internvideo.video.health import examine
from internvideo.video.storage import address_scheme
from tests.unit.video.conftest import decode_from_start, dot_frames, encode

# What `ffmpeg -protocols` of a full build lists for reading.
PROTOCOLS = (
    *("async", "bluray", "cache", "concat", "concatf", "crypto", "data", "dtls", "fd", "ftp"),
    *("gopher", "gophers", "hls", "http", "httpproxy", "https", "icecast", "ipfs_gateway"),
    *("ipns_gateway", "md5", "mmsh", "mmst", "pipe", "prompeg", "rist", "rtmp", "rtmpe", "rtmps"),
    *("rtmpt", "rtmpte", "rtmpts", "rtp", "rtsp", "sctp", "sftp", "smb", "srt", "srtp", "subfile"),
    *("tcp", "tee", "tls", "udp", "udplite", "unix"),
)


def listed_protocols() -> tuple[str, ...]:
    """Those that the FFmpeg of this PyAV has, for reading and for writing."""
    folder = Path(av.__file__).parents[1] / "av.libs"
    found: list[str] = []
    for file in folder.glob("libavformat*"):
        listing = ctypes.CDLL(str(file)).avio_enum_protocols
        listing.restype = ctypes.c_char_p
        for output in (0, 1):
            place = ctypes.c_void_p()
            while name := listing(ctypes.byref(place), output):
                found.append(name.decode())
    return tuple(found)


class Listener:
    """A port of this machine, TCP and UDP, that notes who comes."""

    def __init__(self) -> None:
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.visits: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._receive, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                visitor, _ = self.tcp.accept()
            except OSError:
                return
            self.visits.append("tcp")
            visitor.close()

    def _receive(self) -> None:
        while True:
            try:
                self.udp.recv(1 << 16)
            except OSError:
                return
            self.visits.append("udp")

    def close(self) -> None:
        # `shutdown` wakes the thread that waits.
        self.tcp.shutdown(socket.SHUT_RDWR)
        self.tcp.close()
        self.udp.sendto(b"", ("127.0.0.1", self.port))
        self.udp.close()


@pytest.fixture
def listener():
    open_port = Listener()
    yield open_port
    open_port.close()


def contents(port: int, neighbour: Path) -> dict[str, bytes]:
    """Files that ask their reader to open something else."""
    url = f"http://127.0.0.1:{port}/a.ts"
    return {
        "sdp": (
            f"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=video {port} RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
        ).encode(),
        "hls": f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{url}\n".encode(),
        "live hls": f"#EXTM3U\n#EXTINF:2,\n{neighbour}\n".encode(),
        "concat": f"ffconcat version 1.0\nfile '{url}'\n".encode(),
        "concat of a neighbour": f"ffconcat version 1.0\nfile '{neighbour.name}'\n".encode(),
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT2S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation>'
            "</AdaptationSet></Period></MPD>"
        ).encode(),
        "rtsp redirect": f"RTSPtextrtsp://127.0.0.1:{port}/x".encode(),
        "asx": f'<asx version="3.0"><entry><ref href="{url}"/></entry></asx>'.encode(),
        "imf": f'<?xml version="1.0"?><CompositionPlaylist><Id>{url}</Id>'.encode(),
        "smil": f'<smil><body><video src="{url}"/></body></smil>'.encode(),
        "vobsub": b"# VobSub index file, v7\nid: en, index: 0\n",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{url}"/></svg>'.encode(),
    }


def test_no_protocol_is_reached_by_a_path(listener, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.mp4", dot_frames(3))
    started = time.monotonic()
    for protocol in {*PROTOCOLS, *listed_protocols()} - {"file"}:
        for rest in (f"//127.0.0.1:{listener.port}/a.mp4", f"{tmp_path}/a.mp4", "a.mp4"):
            name = f"{protocol}:{rest}"
            # As text, as a path that has lost a slash, and by way of a folder of data.
            for path in (name, Path(name), tmp_path / name, Path("file:" + name)):
                with pytest.raises(DecodeError, match=r"is an address|no such file"):
                    VideoReader(path)
    assert not listener.visits
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("name", ["subfile,,start,0,end,9,,:a.mp4", "concat:a.mp4|a.mp4"])
def test_options_before_the_colon_make_no_difference(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.mp4", dot_frames(3))

    with pytest.raises(DecodeError, match="is an address"):
        VideoReader(name)


def test_no_protocol_is_reached_by_content(listener, tmp_path):
    neighbour = encode(tmp_path / "neighbour.ts", dot_frames(3))
    started = time.monotonic()
    for name, data in contents(listener.port, neighbour).items():
        for suffix in (".mp4", ".m3u8", ".sdp", ".avi"):
            path = tmp_path / f"{name.replace(' ', '-')}{suffix}"
            path.write_bytes(data)
            with pytest.raises(DecodeError, match="cannot be opened"):
                VideoReader(path)
            with pytest.raises(DecodeError, match="cannot be opened"):
                VideoReader(path, data=data)
    assert not listener.visits
    assert time.monotonic() - started < 20


def test_image_sequences_are_not_expanded(tmp_path):
    for i in range(3):
        Image.new("RGB", (8, 8)).save(tmp_path / f"a{i}.png")

    for name in ("a%d.png", "a%d.mp4", "a*.mp4"):
        with pytest.raises(DecodeError, match="no such file"):
            open_video(tmp_path / name).info  # noqa: B018


@pytest.mark.parametrize("name", ["10:30 clip.mp4", "a:b.mp4", "50% %03d clip.mp4", "-0 x.mp4"])
def test_a_local_name_with_odd_signs_is_read(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_bytes(encode(tmp_path / "a.mp4", dot_frames(3)).read_bytes())

    for path in (name, tmp_path / name):
        with open_video(path) as video:
            assert video.num_frames == 3
    assert address_scheme(name) is None


def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "zero.mp4").symlink_to("/dev/zero")

    for name in ("pipe.mp4", "pipe.png", "zero.mp4"):
        with pytest.raises(DecodeError, match="is a pipe, socket or device"):
            open_video(tmp_path / name).info  # noqa: B018


def test_postscript_is_no_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
    )

    with pytest.raises(DecodeError, match=r"a\.png: cannot be read .* replace the picture"):
        ImageFile(tmp_path / "a.png").info  # noqa: B018


def test_a_picture_of_absurd_size_is_refused(tmp_path):
    head = bytearray(b"P6 16384 10000 255\n")
    (tmp_path / "a.ppm").write_bytes(head + bytes(64))

    with (
        pytest.warns(Image.DecompressionBombWarning),
        pytest.raises(DecodeError, match="16384x10000 are larger than"),
    ):
        ImageFile(tmp_path / "a.ppm").info  # noqa: B018


def with_sample_entry(path: Path, target: Path, name: bytes) -> Path:
    data = path.read_bytes()
    place = data.rindex(b"avc1")
    target.write_bytes(data[:place] + name + data[place + 4 :])
    return target


@pytest.mark.parametrize("entry", [b"encv", b"drmi", b"zzzz", b"\0\0\0\0"])
def test_a_stream_without_a_decoder_is_named(entry, clip, tmp_path):
    path = with_sample_entry(clip, tmp_path / "odd.mp4", entry)

    with pytest.raises(DecodeError, match=r"odd\.mp4: (nothing here decodes|holds no video|no fr)"):
        VideoReader(path).frames([0])
    assert examine(path).status == "unreadable"


def test_whatever_decoding_raises_is_a_named_broken_file(clip, monkeypatch):
    class Odd(IndexError):
        pass

    def fail(*arguments):
        raise Odd("tuple index out of range")

    with VideoReader(clip) as reader:
        monkeypatch.setattr(reader, "_feed", fail)
        for ask in (
            lambda: reader.frames([3]),
            lambda: reader.frames_at([0.1]),
            lambda: list(reader.stream([3])),
            lambda: list(reader.walk()),
        ):
            with pytest.raises(DecodeError, match=r"dot\.mp4: .*\(Odd: tuple index .*test_hostile"):
                ask()


def test_an_error_of_the_caller_of_a_stream_stays_its_own(clip):
    with VideoReader(clip) as reader, pytest.raises(ZeroDivisionError):
        for _ in reader.stream([0, 1]):
            1 / 0  # noqa: B018


def two_streams(path: Path) -> Path:
    """A preview of two frames first, then the film."""
    with av.open(str(path), "w") as container:
        streams = []
        for width, height, is_default in ((32, 24, False), (64, 48, True)):
            stream = container.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = av.stream.Disposition.default if is_default else 0
            streams.append(stream)
        for stream, count in zip(streams, (2, 20), strict=True):
            for i in range(count):
                frame = av.VideoFrame(stream.width, stream.height, "yuv420p")
                frame.pts = i
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    return path


def test_the_default_stream_is_shown(tmp_path):
    with VideoReader(two_streams(tmp_path / "two.mkv")) as reader:
        assert (reader.num_frames, reader.info.width) == (20, 64)


def check_clock(path: Path, num_frames: int, num_jumps: int) -> None:
    """No frame is lost, none comes twice, all are in the order of the file, time goes on."""
    expected = decode_from_start(path)
    assert len(expected) == num_frames
    with VideoReader(path) as reader:
        assert reader.num_frames == num_frames
        clip = reader.frames(range(num_frames))
        assert all(
            np.array_equal(ours, theirs)
            for ours, theirs in zip(clip.frames.numpy(), expected, strict=True)
        )
        assert reader.info.num_clock_jumps == num_jumps
        assert reader.info.duration_s == pytest.approx(num_frames / 25, abs=0.1)
        assert all(a < b for a, b in pairwise(clip.timestamps_s.tolist()))
    health = examine(path)
    assert ("clock-jumps" in health.facts) == bool(num_jumps)


@pytest.mark.parametrize("bf", ["0", "2"])
def test_a_clock_that_restarts_loses_no_frame(bf, tmp_path):
    first = encode(tmp_path / "a.ts", dot_frames(20), bf=bf).read_bytes()
    second = encode(tmp_path / "b.ts", dot_frames(32)[20:], bf=bf).read_bytes()
    (tmp_path / "both.ts").write_bytes(first + second)

    check_clock(tmp_path / "both.ts", 32, 1)


@pytest.mark.parametrize(("suffix", "days"), [("mkv", 3650), ("mp4", 1)])
def test_a_last_frame_years_later_takes_no_memory(suffix, days, tmp_path):
    times = [*range(11), days * 86400 * 25]
    path = encode(tmp_path / f"late.{suffix}", dot_frames(12), bf="0", times=times)

    check_clock(path, 12, 1)


def test_a_pause_of_minutes_is_none(tmp_path):
    path = encode(tmp_path / "slow.mkv", dot_frames(4), times=[0, 1, 2, 25 * 600])
    with VideoReader(path) as reader:
        assert reader.info.num_clock_jumps == 0
        assert reader.timestamps_s[-1] == pytest.approx(600)


def test_hdr_is_named(tmp_path):
    with av.open(str(tmp_path / "hdr.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        stream.codec_context.color_trc = 16
        for i in range(3):
            frame = av.VideoFrame(64, 48, "yuv420p10le")
            frame.pts = i
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    assert "hdr-not-tone-mapped" in examine(tmp_path / "hdr.mkv").facts


def test_a_scan_goes_on_beside_odd_files(clip, tmp_path, caplog):
    with_sample_entry(clip, tmp_path / "encrypted.mp4", b"encv")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:2,\nhttp://127.0.0.1:1/a.ts\n")
    (tmp_path / "good.mp4").write_bytes(clip.read_bytes())
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "gone.mp4").symlink_to("nowhere.mp4")
    (tmp_path / "folder.mov").mkdir()

    health = {file.path.name: file.status for file in scan(tmp_path)}
    assert health == {"encrypted.mp4": "unreadable", "good.mp4": "ok", "list.mp4": "unreadable"}
    assert "1 with names of videos are folders, such as folder.mov" in caplog.text
    assert "1 with names of videos are links to nothing, such as gone.mp4" in caplog.text
    assert "1 with names of videos are pipes or devices, such as pipe.mp4" in caplog.text


def test_a_file_whose_name_is_not_utf8_is_read_and_reported(clip, tmp_path, caplog):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/b\xe4d.mp4"))
    path.write_bytes(clip.read_bytes())

    health = [examine(path)]
    write_health_report(health, tmp_path / "h.json")
    write_clean_manifest(health, tmp_path / "good.csv")

    (file,) = json.loads((tmp_path / "h.json").read_text())
    assert (os.fsencode(file["path"]), file["status"]) == (os.fsencode(path), "ok")
    assert (tmp_path / "good.csv").read_text().split() == ["path"]
    assert r"b\xe4d.mp4: left out, its name is not UTF-8" in caplog.text


@pytest.fixture(scope="module")
def of_many_formats(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("formats")
    forms = [
        *(("mp4", "libx264"), ("mkv", "libx264"), ("avi", "mpeg4"), ("mov", "mpeg4")),
        *(("ts", "mpeg2video"), ("mpg", "mpeg1video"), ("flv", "flv"), ("webm", "libvpx")),
        *(("wmv", "msmpeg4"), ("ogv", "libtheora")),
    ]
    found = []
    for suffix, codec in forms:
        try:
            found.append(encode(folder / f"a.{suffix}", dot_frames(12), codec))
        except (av.FFmpegError, ValueError):
            continue  # this build has no such encoder
    assert len(found) >= 8
    return found


def mutated(data: bytes, generator: np.random.Generator) -> bytes:
    """Change bytes, of the head more often, or cut a piece out, or the end off."""
    changed = bytearray(data)
    kind = generator.integers(4)
    if kind == 0:
        return bytes(changed[: generator.integers(1, len(data))])
    if kind == 1:
        start = int(generator.integers(len(data)))
        del changed[start : start + int(generator.integers(1, 200))]
        return bytes(changed)
    reach = len(data) if kind == 2 else min(len(data), 1200)
    for place in generator.integers(reach, size=generator.integers(1, 30)):
        changed[place] = generator.integers(256)
    return bytes(changed)


@pytest.mark.parametrize("count", [80, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_mutated_video_is_read_or_named(count, of_many_formats, tmp_path):
    whole = [path.read_bytes() for path in of_many_formats]
    generator = np.random.default_rng(0)
    for number in range(count):
        source = number % len(whole)
        data = mutated(whole[source], generator)
        path = tmp_path / of_many_formats[source].name
        path.write_bytes(data)
        started = time.monotonic()
        for given in (None, data):
            try:
                with VideoReader(path, data=given) as reader:
                    reader.frames([0, reader.num_frames - 1])
                    list(reader.walk())
            except DecodeError as error:
                assert path.name in str(error)
        assert time.monotonic() - started < 10, f"mutation {number} of {path.name}"


def test_the_shared_cases(shared_cases):
    with VideoReader(shared_cases / "05_two_video_streams.mp4") as reader:
        assert (reader.num_frames, reader.info.width, reader.info.height) == (60, 192, 108)
    with open_video(shared_cases / "12_colon_name/10:30 clip.mp4") as video:
        assert video.num_frames == 20
    assert [p.name for p in find_videos(shared_cases / "03_macos_zip")] == [
        *("v1.mp4", "v2.mp4", "v1.mp4", "v2.mp4"),
    ]
    assert len(find_videos(shared_cases / "02_suffixes")) == 6


def test_a_decoder_that_gives_no_frame_is_not_waited_for(tmp_path, monkeypatch):
    from internvideo.video import decode

    path = encode(tmp_path / "a.mp4", dot_frames(30))  # its first packets show nothing yet
    monkeypatch.setattr(decode, "MOST_WITHOUT_FRAME_S", 0.0)

    with (
        pytest.raises(DecodeError, match=r"a\.mp4: no frame in 0 s of decoding; leave"),
        VideoReader(path) as reader,
    ):
        reader.frames([0])
