"""Opening a container: what is wrong with a file that is none is said here.

A path is never a protocol and a file never a program: FFmpeg is given regular local files or bytes,
may use no protocol but `file` (none for bytes), reads only the formats of `VIDEO_FORMATS`, which
name no other files or hosts (no playlists, SDP, concat scripts, image sequences, devices), and has
a limit of time.
Source: FFmpeg's options `protocol_whitelist`, `format_whitelist` and interrupt callbacks.
"""

from __future__ import annotations

import io
import logging
import os
import stat
from pathlib import Path

import av
from av.stream import Disposition
from av.video.stream import VideoStream

from internvideo.errors import DecodeError
from internvideo.video.storage import address_scheme

_log = logging.getLogger(__name__)

# PyAV 18 stops at metadata that are not UTF-8 unless told otherwise; 19 keeps their bytes itself.
UNDECODABLE_METADATA = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)

# FFmpeg's names of the containers, raw streams and sound files that are read.
VIDEO_FORMATS = (
    *("mov", "mp4", "3gp", "matroska", "webm", "avi", "mpeg", "mpegts", "mpegtsraw", "mpegvideo"),
    *("flv", "live_flv", "kux", "asf", "asf_o", "gif", "apng", "ogg", "rm", "ivr", "mxf", "gxf"),
    *("lxf", "nut", "nuv", "nsv", "dv", "wtv", "swf", "mjpeg", "mjpeg_2000", "smjpeg", "mpjpeg"),
    *("m4v", "h261", "h263", "h264", "hevc", "vvc", "evc", "av1", "obu", "ivf", "vc1", "vc1test"),
    *("avs", "avs2", "avs3", "cavsvideo", "dirac", "dnxhd", "yuv4mpegpipe", "pmp", "ty", "dhav"),
    *("4xm", "bink", "smk", "roq", "flic", "film_cpk", "idcin", "ipmovie", "vmd", "wc3movie"),
    *("png_pipe", "jpeg_pipe", "bmp_pipe", "webp_pipe", "tiff_pipe", "gif_pipe"),
    *("mp3", "aac", "wav", "flac", "aiff", "ac3", "amr"),
)
# Most seconds for opening a file and for each packet; a network drive may be slow.
_OPEN_S, _READ_S = 60.0, 60.0
# Most pixels of a frame or picture: 16384 x 8192.
MAX_PIXELS = 1 << 27


def open_container(path: Path, data: bytes | None) -> av.container.InputContainer:
    """Open a local file, or bytes; raises `DecodeError` where FFmpeg knows no way."""
    if data is None:
        check_is_file(path)
    source = local_address(path) if data is None else io.BytesIO(data)
    options = {
        "protocol_whitelist": "file" if data is None else "none",
        "format_whitelist": ",".join(VIDEO_FORMATS),
    }
    try:
        return av.open(source, options=options, timeout=(_OPEN_S, _READ_S), **UNDECODABLE_METADATA)
    except av.error.FFmpegError as error:
        empty = not (path.stat().st_size if data is None else data)
        if isinstance(error, av.error.ExitError):
            why = f"it did not open within {_OPEN_S:g} s"
        elif isinstance(error, av.error.ArgumentError):
            why = "a format that is not read, such as a playlist or a list of other files"
        else:
            why = f"no video format known here: {error.strerror}"
        why = "the file is empty" if empty else why
        raise DecodeError(f"{path}: cannot be opened ({why}); replace the file") from error


def local_address(path: Path) -> str:
    """What FFmpeg takes for this local file alone: an absolute path behind `file:`, whose name
    cannot be taken for another protocol."""
    return f"file:{path.absolute()}"


def check_is_file(path: Path) -> None:
    """Raise `DecodeError` for what is no regular file: reading a pipe or device may never end."""
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        if scheme := address_scheme(str(path)):
            raise DecodeError(
                f"{path}: is an address ({scheme}:), and videos are read from local files or "
                "shards; download it and give the path of the file"
            ) from error
        raise DecodeError(f"{path}: no such file; check the path") from error
    except OSError as error:
        raise DecodeError(f"{path}: cannot be opened ({error.strerror or error})") from error
    if stat.S_ISDIR(mode):
        raise DecodeError(
            f"{path}: is a folder, not a video file; for a folder of frames give a frame template"
        )
    if not stat.S_ISREG(mode):
        raise DecodeError(f"{path}: is a pipe, socket or device, not a file; leave it out")
    if not os.access(path, os.R_OK):
        raise DecodeError(f"{path}: cannot be opened (Permission denied); change its permissions")


def choose_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """Choose the video stream that players show: the default one, else FFmpeg's best.

    Pictures attached to music are none, nor are streams that nothing here decodes (encrypted, or
    of an unknown codec); a file that has nothing else is named with the reason.
    """
    videos = [s for s in container.streams.video if not is_cover(s)]
    if not videos:
        raise DecodeError(
            f"{path}: holds no video stream (sound or pictures only); leave the file out"
        )
    # PyAV gives streams without a decoder no codec context.
    readable = [s for s in videos if s.codec_context is not None]
    if not readable:
        raise DecodeError(
            f"{path}: nothing here decodes its video (encrypted, or an unknown codec); leave the "
            "file out or convert it"
        )
    defaults = [s for s in readable if s.disposition & Disposition.default]
    best = container.streams.best("video")
    among = defaults or readable
    return best if best in among else max(among, key=_num_pixels)


def _num_pixels(stream: VideoStream) -> int:
    return stream.codec_context.width * stream.codec_context.height


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse pictures that would take gigabytes."""
    if width * height > MAX_PIXELS:
        raise DecodeError(
            f"{path}: frames of {width}x{height} are larger than {MAX_PIXELS} pixels; leave it out"
        )


def is_cover(stream: VideoStream) -> bool:
    """Whether a stream is a picture attached to music."""
    return bool(stream.disposition & Disposition.attached_pic)
