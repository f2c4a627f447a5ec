"""Questions about videos, as the data sets of video question answering publish them.

Sources: MSRVTT-QA and MSVD-QA (Xu et al. 2017), TGIF-QA (Jang et al. 2017, four tables), NExT-QA
(Xiao et al. 2021), and the json lines that InternVideo's code reads, after all-in-one. A record is
one question. Its kind is what the data set calls it, else the word that it asks by.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.gathering import (
    Gathering,
    objects,
    rows_with,
    split_of,
    tables,
)
from internvideo.data.annotations.retrieval import MSRVTT_FOLDERS
from internvideo.errors import AnnotationError, unknown_name
from internvideo.values import Annotations

TGIF_PARTS = ("frameqa", "count", "action", "transition")
# What the numbers of FrameQA's column `type` stand for.
_FRAME_KINDS = {"0": "object", "1": "number", "2": "colour", "3": "location"}
_ASKING = re.compile(r"\b(how many|which|what|whose|whom|who|when|where|why|how)\b")
_YES_OR_NO = re.compile(r"(is|are|was|were|do|does|did|can|has|have)\b")
_NUM_CHOICES = 5


def question_kind(question: str) -> str:
    """Tell the kind of a question by the first word that asks.

    >>> question_kind("How many dogs run?"), question_kind("in which city is he?")
    ('how many', 'which')
    >>> question_kind("is it a dog?")
    'yes or no'
    """
    text = question.strip().lower()
    if found := _ASKING.search(text):
        return found[0]
    return "yes or no" if _YES_OR_NO.match(text) else "other"


@files.reader
def read_msrvtt_qa(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read `train_qa.json`, `val_qa.json`, `test_qa.json`, or the json lines of all-in-one.

    A folder gives all of them.

    Objects have `video_id` (a number, or a name such as `video7010`), `question`, `answer`, and
    perhaps `id` and `type`, which is then the question's kind.
    """
    path = Path(path)
    gathering = Gathering(path, root)
    for table in tables(path, "*qa*.json*"):
        for item in _open_ended(gathering, table, "video_id"):
            name = str(item["video_id"])
            name = f"video{name}" if name.isdecimal() else name
            item.add([folder + name for folder in MSRVTT_FOLDERS])
    return gathering.done()


@files.reader
def read_msvd_qa(
    path: str | Path, *, root: str | Path | None = None, mapping: str | None = None
) -> Annotations:
    """Read MSVD-QA, a folder or one of its files.

    Args:
        path: `train_qa.json`, `val_qa.json`, `test_qa.json` (or `msvd_train_qa_encode.json` and so
            on), or their folder.
        root: Folder of the videos; that of the annotations without it.
        mapping: File beside them that names the video of each number, `-4wsuPCjDBc_5_15 vid1` on
            each line; without it `youtube_mapping.txt` or `msvd_youtube_mapping.txt`. Where there
            is none, video 1 is `vid1`.
    """
    path = Path(path)
    home = path if path.is_dir() else path.parent
    known = [mapping] if mapping else ["youtube_mapping.txt", "msvd_youtube_mapping.txt"]
    file = next((home / name for name in known if (home / name).exists()), None)
    if mapping and file is None:
        raise AnnotationError(f"{home / mapping}: there is no such mapping of videos")
    names = {} if file is None else _msvd_names(file)
    gathering = Gathering(path, root)
    for table in tables(path, "*qa*.json"):
        for item in _open_ended(gathering, table, "video_id"):
            name = f"vid{item['video_id']}".replace("vidvid", "vid")
            if names and name not in names:
                raise AnnotationError(f"{item.where}: video {name} is not in {file}")
            item.add([names.get(name, name), name])
    return gathering.done()


def _msvd_names(file: Path) -> dict[str, str]:
    names: dict[str, str] = {}
    for line, text in files.lines(file):
        parts = text.split()
        if len(parts) != 2:
            raise files.wrong(file, line, f"is {text!r}, expected the name of a video and its id")
        if names.setdefault(parts[1], parts[0]) != parts[0]:
            raise files.wrong(
                file, line, f"{parts[1]} is {parts[0]}, but was {names[parts[1]]} before"
            )
    return names


@files.reader
def read_tgif_qa(
    path: str | Path, *, root: str | Path | None = None, part: str | None = None
) -> Annotations:
    """Read one of TGIF-QA's four parts: tab-separated tables, or the json lines of all-in-one.

    Args:
        path: A table such as `Test_frameqa_question.csv`, or the folder of them.
        root: Folder of the GIFs; that of the annotations without it.
        part: Of a folder: "frameqa" (questions on a frame, the default), "count" (how often, a
            number), "action" (what is repeated, five choices), "transition" (what comes before or
            after, five choices).
    """
    path = Path(path)
    part = part or "frameqa"
    if part not in TGIF_PARTS:
        raise unknown_name("part of TGIF-QA", part, TGIF_PARTS)
    gathering = Gathering(path, root)
    for table in tables(path, f"*{part}*_question.csv" if _has_tables(path) else f"*{part}*.jsonl"):
        for item in _open_ended(gathering, table, "gif_name", tab_separated=table.suffix == ".csv"):
            name = str(item["gif_name"])
            names = [folder + name.removesuffix(".gif") + ".gif" for folder in ("", "gifs/")]
            kinds = [one for one in TGIF_PARTS if one in table.name.lower()]
            kind = kinds[0] if kinds else None
            if kind == "frameqa":
                kind = _FRAME_KINDS.get(str(item.get("type")))
            item.add(names, kind=kind, first_choice="a1")
    return gathering.done()


def _has_tables(path: Path) -> bool:
    return not path.is_dir() or any(path.glob("*_question.csv"))


@files.reader
def read_nextqa(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read NExT-QA's multiple choice: `train.csv`, `val.csv`, `test.csv`, or a folder of them.

    With `map_vid_vidorID.json` beside them a video may also lie in the folder that it names. Kinds
    are the data set's: CW and CH (why, how), TC, TN and TP (while, next, before), DC, DL and DO
    (how many, where, other).
    """
    path = Path(path)
    gathering = Gathering(path, root)
    home = path if path.is_dir() else path.parent
    places = home / "map_vid_vidorID.json"
    mapped = files.read_json(places) if places.exists() else {}
    for table in tables(path, "*.csv"):
        for item in _open_ended(gathering, table, "video", id_field=None):
            name = str(item["video"])
            names = [name, str(mapped[name])] if name in mapped else [name]
            item.add(names, kind=str(item["type"]), first_choice="a0")
    return gathering.done()


class _Question:
    """One entry of a table, on its way into the gathering."""

    def __init__(
        self, gathering: Gathering, table: Path, where: str, entry: dict[str, Any]
    ) -> None:
        self.where, self._entry = where, entry
        self._gathering, self._table = gathering, table
        self.get = entry.get

    def __getitem__(self, name: str) -> Any:
        if name not in self._entry:
            raise AnnotationError(f"{self.where}: has no field {name!r}")
        return self._entry[name]

    def add(
        self, names: list[str], *, kind: str | None = None, first_choice: str | None = None
    ) -> None:
        """Add the question about the video of these names; the choices begin in a column."""
        question, answer = (_text(self.where, self._entry, key) for key in ("question", "answer"))
        if not question or not answer:
            empty = "questions" if not question else "answers"
            self._gathering.leave_out(f"empty {empty}", self.where)
            return
        candidates: tuple[str, ...] = ()
        if first_choice in self._entry:
            letter, first = first_choice[0], int(first_choice[1:])
            columns = [f"{letter}{first + i}" for i in range(_NUM_CHOICES)]
            candidates = tuple(str(self[column]).strip() for column in columns)
            if not answer.isdecimal() or int(answer) >= _NUM_CHOICES:
                raise AnnotationError(f"{self.where}: the answer is {answer!r}, expected 0 to 4")
            answer = candidates[int(answer)]
        self._gathering.add(
            self.where,
            names,
            (),
            question=question,
            question_kind=kind or str(self._entry.get("type") or question_kind(question)),
            answer=answer,
            candidates=candidates,
            split=split_of(self._table) or "test",
        )


def _open_ended(
    gathering: Gathering,
    table: Path,
    video: str,
    *,
    tab_separated: bool = False,
    id_field: str | None = "id",
) -> Iterator[_Question]:
    """Yield the questions of a table; no id may be of two videos."""
    fields = (video, "question", "answer")
    if tab_separated:
        entries, id_field = _tab_table(table, *fields), "vid_id"
    elif table.suffix == ".csv":
        entries = rows_with(table, *fields)
    else:
        entries = objects(table, *fields)
    video_of: dict[object, object] = {}
    for where, entry in entries:
        own = entry.get(id_field) if id_field else None
        if own is not None and video_of.setdefault(own, entry[video]) != entry[video]:
            raise AnnotationError(
                f"{where}: question {own} is about video {entry[video]}, but an earlier one of the "
                f"same id is about {video_of[own]}; give each its own id"
            )
        yield _Question(gathering, table, where, entry)


def _tab_table(path: Path, *columns: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield place and cells of a tab-separated table with a header; quotes mean nothing in it."""
    rows = csv.reader(files.read_text(path).split("\n"), delimiter="\t", quoting=csv.QUOTE_NONE)
    header: list[str] = []
    for line, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if not header:
            header = cells
            if missing := [name for name in columns if name not in header]:
                raise files.wrong(
                    path, line, f"no column {missing[0]!r}, found: {', '.join(header)}"
                )
            continue
        if len(cells) != len(header):
            raise files.wrong(path, line, f"has {len(cells)} cells, the header has {len(header)}")
        yield f"{path}, line {line}", dict(zip(header, cells, strict=True))


def _text(where: str, entry: dict[str, Any], name: str) -> str:
    value = entry[name]
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise AnnotationError(f"{where}: {name} is {value!r:.80}, expected a text")
    return str(value).strip()
