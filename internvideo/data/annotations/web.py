"""Pairs from the web as multimodal pretraining reads them: WebVid, and images with texts.

Sources: the csv files of WebVid (Bain et al. 2021); the json lines of image-text pairs that
InternVideo reads (`caption`, `image_root`, `filename`); folders of images with texts beside them.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import split_named
from internvideo.data.annotations.gathering import (
    Gathering,
    objects,
    rows_with,
    split_of,
    tables,
)
from internvideo.errors import AnnotationError
from internvideo.values import Annotations
from internvideo.video import IMAGE_SUFFIXES
from internvideo.video.finding import without_mac_files

_FILE_COLUMNS = ("file", "file_name", "filename", "image", "path")


@files.reader
def read_webvid(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read WebVid's csv, or a folder of them: columns `name` (the caption), `page_dir`, `videoid`.

    Videos are `page_dir/videoid`; rows of the same video become one record with all captions.
    """
    gathering = Gathering(Path(path), root)
    for table in tables(Path(path), "*.csv"):
        split = split_of(table)
        captions: dict[tuple[str, str], list[str]] = defaultdict(list)
        first: dict[tuple[str, str], str] = {}
        for where, row in rows_with(table, "name", "page_dir", "videoid"):
            if not row["videoid"]:
                raise AnnotationError(f"{where}: videoid is empty")
            video = row["page_dir"], row["videoid"]
            captions[video].append(row["name"])
            first.setdefault(video, where)
        for (folder, name), said in captions.items():
            where = first[folder, name]
            gathering.add(where, (f"{folder}/{name}".lstrip("/"),), said, split=split)
    return gathering.done()


@files.reader
def read_image_text_list(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read json lines, or a folder of them, with `caption`, `image_root` and `filename`.

    `caption` is a text or a list of them.
    """
    gathering = Gathering(Path(path), root)
    for table in tables(Path(path), "*.jsonl"):
        split = split_of(table)
        for where, entry in objects(table, "caption", "image_root", "filename"):
            said = entry["caption"]
            gathering.add(
                where,
                (str(Path(str(entry["image_root"])) / str(entry["filename"])),),
                said if isinstance(said, list) else [said],
                split=split,
            )
    return gathering.done()


@files.reader
def read_image_text_folder(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read a folder of images, each with a `.txt` of its name that has a caption a line.

    Or with one `captions.csv` at the top, whose columns are `caption` and the file (called one of
    file, file_name, filename, image, path). Folders `train`, `val`, `test` at the top are splits.
    """
    folder = Path(path) if root is None else Path(root) / path
    if not folder.is_dir():
        raise AnnotationError(f"{folder}: there is no such folder")
    gathering = Gathering(folder, None)
    table = folder / "captions.csv"
    said = _captions_of_table(table) if table.exists() else _captions_beside(folder, gathering)
    for name, (where, captions) in said.items():
        gathering.add(where, (name,), captions, split=split_named(name.partition("/")[0]))
    return gathering.done()


def _captions_of_table(table: Path) -> dict[str, tuple[str, list[str]]]:
    said: dict[str, tuple[str, list[str]]] = {}
    for where, row in rows_with(table, "caption"):
        name = next((row[column] for column in _FILE_COLUMNS if column in row), None)
        if name is None:
            known = ", ".join(_FILE_COLUMNS)
            raise AnnotationError(
                f"{where}: no column with the file, found {', '.join(row)}; call it one of {known}"
            )
        said.setdefault(name, (where, []))[1].append(row["caption"])
    return said


def _captions_beside(folder: Path, gathering: Gathering) -> dict[str, tuple[str, list[str]]]:
    said = {}
    for image in sorted(without_mac_files(folder)):
        if image.suffix.lower() not in IMAGE_SUFFIXES:
            continue
        text = image.with_suffix(".txt")
        if not text.exists():
            gathering.leave_out("images without a .txt beside them", str(image))
            continue
        is_empty = text.is_file() and not text.read_bytes().strip()
        captions = [] if is_empty else [line for _, line in files.lines(text)]
        said[image.relative_to(folder).as_posix()] = str(text), captions
    return said
