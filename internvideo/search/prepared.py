"""Videos made ready for an index by other processes or machines, for its next update to take in.

    INDEX/prepared/<key>.npz   facts, windows, pictures and vectors of one video, or why it has none
    INDEX/.units/              who works on which video, and what became of it

So one process alone writes the index, and none waits for another. What was made with other weights
or another plan, or of a file that has changed since, is not taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from internvideo.errors import ConfigError, DecodeError
from internvideo.jobs import Ledger, Record, Unit, local_input, write_whole
from internvideo.reading import BROKEN_ARRAY, OTHER_SHAPE, parse_json
from internvideo.search.changes import VideoFile
from internvideo.search.embedding import Broken, Embedder
from internvideo.search.facts import IndexSettings, NewVideo
from internvideo.search.model import SearchModel

_FOLDER = "prepared"


class Prepared:
    """What lies ready beside one index."""

    def __init__(self, folder: Path, settings: IndexSettings) -> None:
        self._folder, self._made_with = folder.absolute(), _made_with(settings)
        self._ledger = Ledger(out=str(self._folder))

    def unit(self, root: Path, path: str) -> Unit:
        """The unit of work of a video below the folder that is indexed."""
        unit = Unit(name=path, source=str(root / path), target="")
        return replace(unit, target=str(self._folder / _FOLDER / f"{unit.key}.npz"))

    def find(self, file: VideoFile) -> NewVideo | Broken | None:
        """What is ready of a file as it is now, or None."""
        unit = self.unit(Path(), file.path)
        found = _read(Path(unit.target), file, self._made_with)
        if found is None:
            record = self._ledger.read(unit)
            if record is not None and record.status == "failed":  # it ended its process, or hung
                return (file.path, file.num_bytes, file.time_ns, str(record.reason))
        return found

    def forget(self, files: Iterable[str]) -> None:
        """Remove what has been taken in of these paths."""
        for path in files:
            unit = self.unit(Path(), path)
            Path(unit.target).unlink(missing_ok=True)
            self._ledger.forget(unit)
        for name in (_FOLDER, ".units"):
            with contextlib.suppress(OSError):  # not there, or not empty
                (self._folder / name).rmdir()


@dataclass(kw_only=True)
class PrepareWork:
    """Makes one video ready; the model is opened once in each process, at its first video."""

    root: Path
    settings: IndexSettings
    open_model: Callable[[], SearchModel]
    batch_size: int | None = None
    _model: SearchModel | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}  # each process opens the model itself

    def __call__(self, unit: Unit, before: Record | None) -> tuple[Mapping[str, Any], bool]:
        with local_input(unit.source) as video:
            file = VideoFile(unit.name, video.size_bytes, int(video.time_ns))
        made_with = _made_with(self.settings)
        found = _read(Path(unit.target), file, made_with)
        was_there = found is not None
        if found is None:
            found = self._embedded(file)
            write_whole(unit.target, _bytes_of(found, made_with))
        if not isinstance(found, NewVideo):
            raise DecodeError(found[3])
        return {}, was_there

    def _embedded(self, file: VideoFile) -> NewVideo | Broken:
        if self._model is None:
            self._model = self.open_model()
            if self._model.sha256 != self.settings.model_sha256:
                raise ConfigError(
                    f"{self._model.name}: has other weights here than the index was made with; "
                    "give all jobs the same model"
                )
        found: list[NewVideo | Broken] = []
        Embedder(
            self.root,
            self.settings.plan,
            self._model,
            lambda videos, broken: found.extend([*videos, *broken]),
            batch_size=self.batch_size,
        ).run([file])
        return found[0]


def _made_with(settings: IndexSettings) -> str:
    said = json.dumps([settings.model_sha256, asdict(settings.plan)], sort_keys=True)
    return hashlib.sha256(said.encode()).hexdigest()


def _bytes_of(found: NewVideo | Broken, made_with: str) -> bytes:
    out = io.BytesIO()
    if not isinstance(found, NewVideo):
        np.savez(out, facts=np.array(json.dumps({"broken": found, "made_with": made_with})))
        return out.getvalue()
    facts = {n: getattr(found, n) for n in NewVideo.__dataclass_fields__ if n != "vectors"}
    facts["windows"] = [(*window[:3], len(window[3])) for window in found.windows]
    pictures = np.frombuffer(b"".join(window[3] for window in found.windows), np.uint8)
    text = json.dumps({"video": facts, "made_with": made_with})
    np.savez(out, facts=np.array(text), pictures=pictures, vectors=found.vectors)
    return out.getvalue()


def _read(path: Path, file: VideoFile, made_with: str) -> NewVideo | Broken | None:
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
            said = parse_json(str(stored["facts"]))
            if said["made_with"] != made_with:
                return None
            if "broken" in said:
                name, size, time_ns, reason = said["broken"]
                return (name, size, time_ns, reason) if _is_of(file, size, time_ns) else None
            facts = said["video"]
            if not _is_of(file, facts["num_bytes"], facts["time_ns"]):
                return None
            pictures, windows, at = stored["pictures"].tobytes(), [], 0
            for start_s, end_s, shot, size in facts["windows"]:
                windows.append((start_s, end_s, shot, pictures[at : at + size]))
                at += size
            return NewVideo(**{**facts, "windows": windows}, vectors=stored["vectors"])
    except (*BROKEN_ARRAY, *OTHER_SHAPE):  # not there or damaged
        return None


def _is_of(file: VideoFile, num_bytes: int, time_ns: int) -> bool:
    return (file.num_bytes, file.time_ns) == (num_bytes, time_ns)
