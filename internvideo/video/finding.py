"""Which files below a folder are videos: one list of endings and one finder for every reader."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from internvideo.errors import DecodeError
from internvideo.video.container import choose_stream, open_container
from internvideo.video.storage import files_below

_log = logging.getLogger(__name__)

VIDEO_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *("3g2", "3gp", "3gpp", "asf", "avi", "divx", "f4v", "flv", "gif", "h264", "h265", "hevc"),
        *("ivf", "m1v", "m2t", "m2ts", "m2v", "m4v", "mjpeg", "mjpg", "mkv", "mov", "mp4", "mpe"),
        *("mpeg", "mpg", "mts", "mxf", "obu", "ogm", "ogv", "qt", "rm", "rmvb", "ts", "vob"),
        *("webm", "wmv", "y4m"),
    )
)
# Files with other names are offered to the decoder, unless they are plainly something else.
_OTHER_NAME = re.compile(
    r"^\.|\.(csv|jsonl?|txt|md|html|xml|ya?ml|toml|py|sh|log|pdf|zip|tar|gz|bz2|xz|7z|np[yz]|pth?"
    r"|safetensors|pkl|jpe?g|png|bmp|tiff?|webp|srt|vtt|mp3|wav|flac|aac|m4a|ogg|db|bin|part|tmp)$",
    re.IGNORECASE,
)


def has_video_name(file: str | Path) -> bool:
    """Whether a name ends like a video's."""
    return Path(file).suffix.lower() in VIDEO_SUFFIXES


def find_videos(path: str | Path) -> list[Path]:
    """List the files below a folder, sorted, that are videos by name or, with odd names, content.

    What unpacking on a Mac leaves behind (`__MACOSX`, `._name`) is skipped and counted in the log.
    """
    return [file for file, is_sure in candidates(path) if is_sure or _opens(file)]


def candidates(path: str | Path) -> list[tuple[Path, bool]]:
    """List files that are videos by name (True), or may be one for all that their name says."""
    path = Path(path)
    if path.is_file():
        return [(path, True)]
    if not path.is_dir():
        raise DecodeError(f"{path}: no such file or folder; check the path")
    folders: list[Path] = []
    named = sorted(without_mac_files(path, on_folder=folders.append))
    found = [
        (file, has_video_name(file))
        for file in named
        if file.is_file() and (has_video_name(file) or not _OTHER_NAME.search(file.name))
    ]
    _name_others(path, "are folders", folders)
    _name_others(path, "are links to nothing", (p for p in named if not p.exists()))
    _name_others(path, "are pipes or devices", (p for p in named if p.exists() and not p.is_file()))
    return found


def _name_others(home: Path, what: str, paths: Iterable[Path]) -> None:
    """Say what has a video's name and is no file."""
    odd = [path for path in paths if has_video_name(path)]
    if odd:
        shown = min(odd).relative_to(home)
        _log.warning("%s: %d with names of videos %s, such as %s", home, len(odd), what, shown)


def without_mac_files(
    folder: Path, *, on_folder: Callable[[Path], object] | None = None
) -> Iterator[Path]:
    """Go through the files below a folder but for what unpacking on a Mac leaves behind."""
    num_skipped = 0
    for file in files_below(folder, on_folder=on_folder):
        if is_mac_file(file.relative_to(folder).as_posix()):
            num_skipped += 1
        else:
            yield file
    if num_skipped:
        _log.info("%s: skipped %d files of a Mac (__MACOSX, ._*)", folder, num_skipped)


def is_mac_file(name: str) -> bool:
    """Whether a relative path is one that archives made on a Mac hold beside the real files."""
    *folders, last = name.split("/")
    return last.startswith("._") or "__MACOSX" in folders


def _opens(file: Path) -> bool:
    try:
        with open_container(file, None) as container:
            choose_stream(container, file)
    except DecodeError:
        return False
    return True
