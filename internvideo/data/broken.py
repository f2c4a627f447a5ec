"""Videos that could not be decoded: each named once, in the log and in a file, and counted."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from pathlib import Path

from internvideo.errors import TrainingError
from internvideo.reading import parse_json

_log = logging.getLogger(__name__)


class BrokenVideos:
    """Which of a set's videos turned out broken so far, and whether that is too many.

    The file has one JSON object a line, `{"path": ..., "reason": ...}`. Processes that share it
    see each other's finds, and what a run found before it was cut off stays known.
    """

    def __init__(
        self, sources: Iterable[str], *, max_share: float, file: str | Path | None = None
    ) -> None:
        self._sources = frozenset(sources)
        self._max_share = max_share
        self._file = None if file is None else Path(file)
        self._reasons: dict[str, str] = {}
        self._listed: set[str] = set()
        self._read_bytes = 0

    def __len__(self) -> int:
        return len(self._reasons)

    def add(self, source: str, reason: str) -> None:
        """Take note of a broken video; raises `TrainingError` above the share allowed."""
        if source in self._reasons:
            return
        self._reasons[source] = reason
        self._read_file()
        if source not in self._listed:
            _log.warning("left out a broken video: %s", reason)
            self._append(source, reason)
        count = len(self._listed & self._sources)
        if count > self._max_share * len(self._sources):
            listed = f"; {self._file} lists them" if self._file else ""
            raise TrainingError(
                f"{count} of {len(self._sources)} videos are broken, more than the share of "
                f"{self._max_share:g} that data.max_broken_share allows{listed}; the last: {reason}"
            )

    def state(self) -> list[dict[str, str]]:
        """What this process has met so far, to be kept in a checkpoint."""
        return [{"path": path, "reason": reason} for path, reason in self._reasons.items()]

    def restore(self, state: Iterable[dict[str, str]]) -> None:
        """Go on from an earlier `state`; what its file does not list is added to it."""
        self._reasons = {entry["path"]: entry["reason"] for entry in state}
        self._read_file()
        for path, reason in self._reasons.items():
            if path not in self._listed:
                self._append(path, reason)

    def _read_file(self) -> None:
        if self._file is None or not self._file.exists():
            return
        with self._file.open("rb") as file:
            file.seek(self._read_bytes)
            new = file.read()
        # A line without its end is still being written, or was cut off with its process.
        whole = new[: new.rfind(b"\n") + 1]
        self._read_bytes += len(whole)
        for line in whole.splitlines():
            try:
                self._listed.add(str(parse_json(line)["path"]))
            except (ValueError, LookupError, TypeError):
                continue  # what a killed process wrote of it; the video is listed when met again

    def _append(self, source: str, reason: str) -> None:
        self._listed.add(source)
        if self._file is None:
            return
        cut_off = self._file.exists() and self._file.stat().st_size > self._read_bytes
        line = (
            "\n" * cut_off
            + json.dumps({"path": source, "reason": reason}, ensure_ascii=False)
            + "\n"
        )
        try:
            with self._file.open("ab") as file:
                # What is not UTF-8 in a name becomes an escape of JSON.
                file.write(line.encode("utf-8", "backslashreplace"))
        except OSError as error:
            raise TrainingError(
                f"{self._file}: cannot be written ({error.strerror or error}); it lists the broken "
                "videos"
            ) from None
