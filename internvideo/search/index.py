"""The folder of an index: facts in sqlite, vectors in one file beside it.

    index.sqlite      videos, windows, thumbnails, tracks of names, failed files, settings
    vectors-<n>.bin   row r: float16 (e), or a float32 scale and int8 (e)
    .lock             held by the process that writes

Vectors are appended and flushed first, then the rows that point to them are committed in one
transaction with the facts of their videos. What a kill leaves behind the last committed row is
written over. Rows of videos that have left stay unused until the file is written anew (`compact`).
Readers need no lock: sqlite gives each a state of its own, in which no row is ever rewritten.
Times are in seconds from the first frame; paths are relative to the folder that was indexed.
"""

from __future__ import annotations

import json
import math
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import CheckpointError, ConfigError, InternVideoError
from internvideo.ranges import check_ranges
from internvideo.reading import OTHER_SHAPE, parse_json
from internvideo.search.facts import IndexedVideo, IndexSettings, Name, NewVideo, WindowTable
from internvideo.search.vectors import VectorType, append_rows, encode_rows, row_type
from internvideo.search.windows import Frames, WindowPlan

FORMAT = 1
SUFFIX = ".internvideo"
_DATABASE = "index.sqlite"
_MOST = 1 << 40  # rows, changes, files of vectors
_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE videos (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, sha256 TEXT NOT NULL,
    num_bytes INTEGER NOT NULL, time_ns INTEGER NOT NULL, duration_s REAL NOT NULL,
    rate_fps REAL NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL);
CREATE INDEX videos_by_content ON videos (sha256);
CREATE TABLE windows (
    row INTEGER PRIMARY KEY, video INTEGER NOT NULL REFERENCES videos ON DELETE CASCADE,
    start_s REAL NOT NULL, end_s REAL NOT NULL, shot INTEGER NOT NULL, thumbnail BLOB NOT NULL);
CREATE INDEX windows_of_video ON windows (video);
CREATE TABLE names (
    track TEXT NOT NULL, video INTEGER NOT NULL REFERENCES videos ON DELETE CASCADE,
    start_s REAL NOT NULL, end_s REAL NOT NULL, name TEXT NOT NULL, score REAL NOT NULL);
CREATE INDEX names_of_track ON names (track, video);
CREATE TABLE failed (
    path TEXT PRIMARY KEY, num_bytes INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    reason TEXT NOT NULL);
"""


class Index:
    """One open index. Changing it takes the lock of its folder (`internvideo.processes`)."""

    def __init__(self, folder: str | Path) -> None:
        """Open the index in `folder`; raises `ConfigError` where there is none."""
        self.folder = Path(folder)
        path = self.folder / _DATABASE
        if not path.is_file():
            raise ConfigError(
                f"{folder}: holds no index; make one with: internvideo index FOLDER --out {folder}"
            )
        with self.reading():
            self._database = _connect(path)
            if not self._is_ours():
                raise ValueError("its tables are others")
            found = self.meta("format")
        if found != FORMAT:
            raise CheckpointError(
                f"{folder}: is an index of format {found}, this version reads {FORMAT}; remove the "
                "folder and index again"
            )
        with self.reading():
            self.settings = _settings(self.meta("settings"))

    @classmethod
    def create(cls, folder: str | Path, settings: IndexSettings) -> Index:
        """Make an empty index.

        Raises:
            ConfigError: There is one, or the folder has files.
            CheckpointError: It cannot be written, as on a full disk.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.name != ".lock" and path.suffix != ".new" for path in folder.iterdir()):
            raise ConfigError(f"{folder}: holds other files; choose a new or empty folder")
        beside = folder / f"{_DATABASE}.new"
        values = {"format": FORMAT, "settings": asdict(settings), "generation": 0}
        values |= {"next_row": 0, "revision": 0}
        rows = [(name, json.dumps(value)) for name, value in values.items()]
        try:
            beside.unlink(missing_ok=True)
            with closing(sqlite3.connect(beside)) as database, database:
                database.executescript(_SCHEMA)
                database.executemany("INSERT INTO meta VALUES (?, ?)", rows)
            beside.replace(folder / _DATABASE)
        except (OSError, sqlite3.Error) as error:
            beside.unlink(missing_ok=True)
            raise CheckpointError(
                f"{folder}: cannot be written ({error}); make room or choose another folder"
            ) from error
        return cls(folder)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Reading

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Name the index where its file is damaged, or is one of something else."""
        try:
            yield
        except InternVideoError:
            raise
        except (sqlite3.Error, *OTHER_SHAPE) as error:
            said = " ".join(str(error).split())[:200]  # sqlite quotes what it cannot read
            raise CheckpointError(
                f"{self.folder / _DATABASE}: damaged or no index ({said}); remove the folder and "
                "index again"
            ) from error

    def _is_ours(self) -> bool:
        """Whether the tables are those of an index: others may hold views that never end."""
        found = self._database.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'"
        )
        wanted = {" ".join(text.split()) for text in _SCHEMA.split(";") if text.strip()}
        return {" ".join(text.split()) for (text,) in found} == wanted

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with self.reading():
            return self._database.execute(query, values).fetchall()

    def _count(self, key: str) -> int:
        """A number of rows, changes or files that the index has noted."""
        value = self.meta(key)
        if type(value) is not int or not 0 <= value < _MOST:
            raise CheckpointError(
                f"{self.folder / _DATABASE}: damaged, {key} is {value!r:.40}; remove the folder "
                "and index again"
            )
        return value

    @property
    def root(self) -> Path:
        """The folder of the videos."""
        return Path(os.path.normpath(self.folder.absolute() / self.settings.folder))

    @property
    def revision(self) -> int:
        """Grows with every change; a reader that kept another number should read again."""
        return self._count("revision")

    def meta(self, key: str) -> Any:
        found = self._rows("SELECT value FROM meta WHERE key = ?", (key,))
        with self.reading():
            return parse_json(found[0][0]) if found else None

    def videos(self) -> list[IndexedVideo]:
        """All videos, by path."""
        rows = self._rows("SELECT * FROM videos ORDER BY path")
        with self.reading():
            return [_video(row) for row in rows]

    def video(self, number: int) -> IndexedVideo:
        """One video by its id; raises `ConfigError` where the index has none of it."""
        rows = self._rows("SELECT * FROM videos WHERE id = ?", (number,))
        if not rows:
            raise ConfigError(f"{self.folder}: has no video {number}")
        with self.reading():
            return _video(rows[0])

    def file_of(self, number: int) -> Path:
        """Where the video of an id lies, inside the folder that was indexed."""
        return self.root / self.video(number).path

    def failed(self) -> list[tuple[str, str]]:
        """Paths and reasons of the files that were left out."""
        query = "SELECT path, reason FROM failed ORDER BY path"
        return [(str(path), str(reason)) for path, reason in self._rows(query)]

    def failed_files(self) -> list[tuple[str, int, int]]:
        """Paths, sizes and times of change of the files that were left out."""
        return self._rows("SELECT path, num_bytes, time_ns FROM failed")

    def windows(self) -> WindowTable:
        # In one statement, so that all of it is of the same moment.
        limit = "(SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'next_row')"
        query = f"SELECT row, video, start_s, end_s, shot, {limit} FROM windows ORDER BY row"
        rows = self._rows(query)
        *columns, limits = list(zip(*rows, strict=True)) if rows else [()] * 6
        kinds = (np.int64, np.int64, np.float64, np.float64, np.int64)
        with self.reading():
            row, video, start_s, end_s, shot = (
                np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)
            )
            if len(row) and not 0 <= row[0] <= row[-1] < limits[-1]:
                raise ValueError("windows without vectors")
            if not np.isfinite(start_s).all() or not np.isfinite(end_s).all():
                raise ValueError("windows without times")
        return WindowTable(row=row, video=video, start_s=start_s, end_s=end_s, shot=shot)

    def thumbnail(self, row: int) -> bytes:
        """JPEG of the middle of the window in this row."""
        found = self._rows("SELECT thumbnail FROM windows WHERE row = ?", (int(row),))
        if not found:
            raise ConfigError(f"{self.folder}: has no window {row}")
        with self.reading():
            return bytes(memoryview(found[0][0]))

    def tracks(self) -> dict[str, int]:
        """Names of tracks, and how many parts of videos each has named."""
        query = "SELECT track, COUNT(*) FROM names GROUP BY track ORDER BY track"
        return dict(self._rows(query))

    def names(self, track: str | None = None, video: int | None = None) -> list[Name]:
        """What tracks say, best first."""
        clauses = [("track = ?", track), ("video = ?", video)]
        asked = [(clause, value) for clause, value in clauses if value is not None]
        where = f"WHERE {' AND '.join(clause for clause, _ in asked)}" if asked else ""
        query = f"SELECT * FROM names {where} ORDER BY score DESC, video, start_s"
        rows = self._rows(query, [value for _, value in asked])
        with self.reading():
            return [
                Name(
                    track=str(track),
                    video=int(video),
                    start_s=float(start_s),
                    end_s=float(end_s),
                    name=str(name),
                    score=float(score),
                )
                for track, video, start_s, end_s, name, score in rows
            ]

    @property
    def vector_file(self) -> Path:
        return self.folder / f"vectors-{self._count('generation')}.bin"

    def vectors(self) -> NDArray[Any]:
        """The stored rows as a memory map, also those out of use; see `row_type`."""
        count = self._count("next_row")
        kind = row_type(self.settings.vectors, self.settings.width)
        if not count:
            return np.zeros(0, kind)
        held = self.vector_file.stat().st_size if self.vector_file.is_file() else 0
        if held < count * kind.itemsize:
            raise CheckpointError(
                f"{self.vector_file}: is shorter than its {count} rows; restore it from a copy, or "
                "remove the index and make it again"
            )
        # "c": torch takes no array that cannot be written; nothing of it reaches the file.
        return np.memmap(self.vector_file, kind, "c", shape=(count,))

    # Writing; the caller holds the lock.

    @contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """One transaction, after which the revision has grown."""
        with _told(self.folder), self._database as database:
            database.execute("BEGIN IMMEDIATE")
            yield database
            self.set_meta("revision", self.revision + 1)

    def set_meta(self, key: str, value: Any) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value))
        )

    def add(
        self, videos: Sequence[NewVideo], failed: Iterable[tuple[str, int, int, str]] = ()
    ) -> None:
        """Put videos in, in place of those of the same path, and note failed files, all or none."""
        first = self._count("next_row")
        rows = [encode_rows(video.vectors, self.settings.vectors) for video in videos]
        with _told(self.folder):
            append_rows(self.vector_file, first, rows)
        with self.change() as database:
            for video in videos:
                self._forget(database, [video.path])
                self._insert(database, video, first)
                first += len(video.vectors)
            for path, num_bytes, time_ns, reason in failed:
                self._forget(database, [path])
                database.execute(
                    "INSERT INTO failed VALUES (?, ?, ?, ?)", (path, num_bytes, time_ns, reason)
                )
            self.set_meta("next_row", first)

    def _insert(self, database: sqlite3.Connection, video: NewVideo, first: int) -> None:
        facts = (video.path, video.sha256, video.num_bytes, video.time_ns, video.duration_s)
        number = database.execute(
            "INSERT INTO videos (path, sha256, num_bytes, time_ns, duration_s, rate_fps, width, "
            "height) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*facts, video.rate_fps, video.width, video.height),
        ).lastrowid
        database.executemany(
            "INSERT INTO windows VALUES (?, ?, ?, ?, ?, ?)",
            [(first + i, number, *window) for i, window in enumerate(video.windows)],
        )

    def remove(self, paths: Sequence[str]) -> None:
        """Take out the videos and failed files of these paths."""
        with self.change() as database:
            self._forget(database, paths)

    def _forget(self, database: sqlite3.Connection, paths: Sequence[str]) -> None:
        each = [(path,) for path in paths]
        database.executemany("DELETE FROM videos WHERE path = ?", each)
        database.executemany("DELETE FROM failed WHERE path = ?", each)

    def relocate(self, moves: Sequence[tuple[str, str, int]]) -> None:
        """Rename videos: (old path, new path, time of change); contents are the same."""
        with self.change() as database:
            # By way of names that no file has, for two files may have changed places.
            for i, (old, _, _) in enumerate(moves):
                database.execute("UPDATE videos SET path = ? WHERE path = ?", (f"\0{i}", old))
            for i, (_, new, time_ns) in enumerate(moves):
                self._forget(database, [new])
                database.execute(
                    "UPDATE videos SET path = ?, time_ns = ? WHERE path = ?",
                    (new, time_ns, f"\0{i}"),
                )

    def set_names(self, track: str, names: Sequence[Name], *, videos: Sequence[int]) -> None:
        """Replace what a track says of these videos."""
        with self.change() as database:
            each = [(track, video) for video in videos]
            database.executemany("DELETE FROM names WHERE track = ? AND video = ?", each)
            database.executemany(
                "INSERT INTO names VALUES (?, ?, ?, ?, ?, ?)",
                [(n.track, n.video, n.start_s, n.end_s, n.name, n.score) for n in names],
            )

    def compact(self) -> bool:
        """Write the vectors without rows out of use, where those are a quarter; True if so."""
        rows, total = self.windows().row, self._count("next_row")
        if not total or (total - len(rows)) * 4 < total:
            return False
        old, generation = self.vector_file, self._count("generation") + 1
        with _told(self.folder):
            target = self.folder / f"vectors-{generation}.bin"
            append_rows(target, 0, [np.ascontiguousarray(self.vectors()[rows])])
        with self.change() as database:
            # Rising rows never meet: each moves to a place at or before its own.
            database.executemany(
                "UPDATE windows SET row = ? WHERE row = ?",
                [(new, row) for new, row in enumerate(rows.tolist())],
            )
            self.set_meta("generation", generation)
            self.set_meta("next_row", len(rows))
        old.unlink(missing_ok=True)
        return True


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=30.0, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA trusted_schema = OFF")
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute("PRAGMA foreign_keys = ON")
    except sqlite3.OperationalError:
        pass  # on storage that cannot be written the index can still be read
    return database


@contextmanager
def _told(folder: Path) -> Iterator[None]:
    """Say what a full disk means: the index stays as it was before the videos in hand."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise CheckpointError(
            f"{folder}: cannot be written ({error}); what was indexed before is whole and can be "
            "searched; make room and run the command again"
        ) from error


def _settings(stored: Any) -> IndexSettings:
    """What an index notes of its making, with its types; raises `OTHER_SHAPE`."""
    settings = IndexSettings(**{**stored, "plan": WindowPlan(**stored["plan"])})
    check_ranges(settings)
    texts = (settings.folder, settings.model, settings.model_sha256)
    if type(settings.width) is not int or not all(isinstance(text, str) for text in texts):
        raise TypeError("its settings are of other types")
    for value, known in ((settings.vectors, VectorType), (settings.plan.frames, Frames)):
        if value not in get_args(known):
            raise ValueError(f"its settings have {value!r:.40}")
    return settings


def _video(row: tuple[Any, ...]) -> IndexedVideo:
    """Facts of a row; its path leads nowhere outside of the folder of the videos."""
    names = IndexedVideo.__dataclass_fields__
    video = IndexedVideo(**dict(zip(names, row, strict=True)))
    path = PurePosixPath(video.path)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{video.path!r:.80} is no path inside of its folder")
    if not math.isfinite(video.duration_s) or not math.isfinite(video.rate_fps):
        raise ValueError(f"{video.path!r:.80} has no length or rate")
    return video
