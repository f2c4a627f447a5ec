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
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from internvideo.errors import CheckpointError, ConfigError
from internvideo.search.facts import IndexedVideo, IndexSettings, Name, NewVideo, WindowTable
from internvideo.search.vectors import append_rows, encode_rows, row_type
from internvideo.search.windows import WindowPlan

FORMAT = 1
SUFFIX = ".internvideo"
_DATABASE = "index.sqlite"
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
        self._database = _connect(path)
        try:
            found = self.meta("format")
        except sqlite3.DatabaseError as error:
            raise CheckpointError(
                f"{path}: damaged or no index ({error}); remove the folder and index again"
            ) from error
        if found != FORMAT:
            raise CheckpointError(
                f"{folder}: is an index of format {found}, this version reads {FORMAT}; remove the "
                "folder and index again"
            )
        stored = self.meta("settings")
        self.settings = IndexSettings(**{**stored, "plan": WindowPlan(**stored["plan"])})

    @classmethod
    def create(cls, folder: str | Path, settings: IndexSettings) -> Index:
        """Make an empty index; raises `ConfigError` where there is one or the folder has files."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        if any(path.name != ".lock" and path.suffix != ".new" for path in folder.iterdir()):
            raise ConfigError(f"{folder}: holds other files; choose a new or empty folder")
        beside = folder / f"{_DATABASE}.new"
        beside.unlink(missing_ok=True)
        database = sqlite3.connect(beside)
        with database:
            database.executescript(_SCHEMA)
            values = {"format": FORMAT, "settings": asdict(settings), "generation": 0}
            values |= {"next_row": 0, "revision": 0}
            database.executemany(
                "INSERT INTO meta VALUES (?, ?)", [(k, json.dumps(v)) for k, v in values.items()]
            )
        database.close()
        beside.replace(folder / _DATABASE)
        return cls(folder)

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Reading

    @property
    def root(self) -> Path:
        """The folder of the videos."""
        return Path(os.path.normpath(self.folder.absolute() / self.settings.folder))

    @property
    def revision(self) -> int:
        """Grows with every change; a reader that kept another number should read again."""
        return self.meta("revision")

    def meta(self, key: str) -> Any:
        found = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if found is None else json.loads(found[0])

    def videos(self) -> list[IndexedVideo]:
        """All videos, by path."""
        return [_video(row) for row in self._database.execute("SELECT * FROM videos ORDER BY path")]

    def video(self, number: int) -> IndexedVideo:
        """One video by its id; raises `ConfigError` where the index has none of it."""
        row = self._database.execute("SELECT * FROM videos WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise ConfigError(f"{self.folder}: has no video {number}")
        return _video(row)

    def file_of(self, number: int) -> Path:
        """Where the video of an id lies, inside the folder that was indexed."""
        return self.root / self.video(number).path

    def failed(self) -> list[tuple[str, str]]:
        """Paths and reasons of the files that were left out."""
        query = "SELECT path, reason FROM failed ORDER BY path"
        return [(row[0], row[1]) for row in self._database.execute(query)]

    def failed_files(self) -> list[tuple[str, int, int]]:
        """Paths, sizes and times of change of the files that were left out."""
        return self._database.execute("SELECT path, num_bytes, time_ns FROM failed").fetchall()

    def windows(self) -> WindowTable:
        query = "SELECT row, video, start_s, end_s, shot FROM windows ORDER BY row"
        rows = self._database.execute(query).fetchall()
        columns = list(zip(*rows, strict=True)) if rows else [()] * 5
        kinds = (np.int64, np.int64, np.float64, np.float64, np.int64)
        row, video, start_s, end_s, shot = (
            np.array(column, dtype=kind) for column, kind in zip(columns, kinds, strict=True)
        )
        return WindowTable(row=row, video=video, start_s=start_s, end_s=end_s, shot=shot)

    def thumbnail(self, row: int) -> bytes:
        """JPEG of the middle of the window in this row."""
        found = self._database.execute(
            "SELECT thumbnail FROM windows WHERE row = ?", (int(row),)
        ).fetchone()
        if found is None:
            raise ConfigError(f"{self.folder}: has no window {row}")
        return found[0]

    def tracks(self) -> dict[str, int]:
        """Names of tracks, and how many parts of videos each has named."""
        query = "SELECT track, COUNT(*) FROM names GROUP BY track ORDER BY track"
        return dict(self._database.execute(query).fetchall())

    def names(self, track: str | None = None, video: int | None = None) -> list[Name]:
        """What tracks say, best first."""
        clauses = [("track = ?", track), ("video = ?", video)]
        asked = [(clause, value) for clause, value in clauses if value is not None]
        where = f"WHERE {' AND '.join(clause for clause, _ in asked)}" if asked else ""
        query = f"SELECT * FROM names {where} ORDER BY score DESC, video, start_s"
        rows = self._database.execute(query, [value for _, value in asked])
        return [
            Name(track=t, video=v, start_s=a, end_s=b, name=n, score=s) for t, v, a, b, n, s in rows
        ]

    @property
    def vector_file(self) -> Path:
        return self.folder / f"vectors-{self.meta('generation')}.bin"

    def vectors(self) -> NDArray[Any]:
        """The stored rows as a memory map, also those out of use; see `row_type`."""
        count = self.meta("next_row")
        kind = row_type(self.settings.vectors, self.settings.width)
        if not count:
            return np.zeros(0, kind)
        if self.vector_file.stat().st_size < count * kind.itemsize:
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
            self.set_meta("revision", self.meta("revision") + 1)

    def set_meta(self, key: str, value: Any) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value))
        )

    def add(
        self, videos: Sequence[NewVideo], failed: Iterable[tuple[str, int, int, str]] = ()
    ) -> None:
        """Put videos in, in place of those of the same path, and note failed files, all or none."""
        first = self.meta("next_row")
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
        rows, total = self.windows().row, self.meta("next_row")
        if not total or (total - len(rows)) * 4 < total:
            return False
        old, generation = self.vector_file, self.meta("generation") + 1
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


def _video(row: tuple[Any, ...]) -> IndexedVideo:
    names = IndexedVideo.__dataclass_fields__
    return IndexedVideo(**dict(zip(names, row, strict=True)))
