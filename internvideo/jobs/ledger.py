"""The ledger of a bulk job: who works on which unit, and what became of it.

    OUT/.units/<key>.record   what became of a unit: one JSON object
    OUT/.units/<key>.claim    who works on it now, and for the how manieth time

A claim is a file that only one can create. It is taken over where its process is known to have
ended (on the same machine), or where it is older than an hour. A unit that ended its process each
time is given up after so many attempts.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from internvideo.jobs.places import file_system, write_json
from internvideo.jobs.units import Record, Unit
from internvideo.reading import parse_json

_STALE_S = 3600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ledger:
    """Records and claims below `out`, a path or an address; picklable."""

    out: str

    def read(self, unit: Unit) -> Record | None:
        """What became of a unit before, None where nobody finished it."""
        document = self._document(unit, "record")
        try:
            return None if document is None else Record(**document)
        except TypeError:  # its writer was cut off, or it is of another program
            return None

    def write(self, unit: Unit, record: Record) -> None:
        """Keep what became of a unit."""
        write_json(self._place(unit, "record"), asdict(record))

    def claim(self, unit: Unit) -> int | None:
        """Take a unit; which attempt it is, or None where another process has it."""
        attempt = 1
        for _ in range(2):
            if self._create(unit, attempt):
                return attempt
            held = self._document(unit, "claim") or {}
            if not _has_ended(held):
                return None
            attempt = int(held.get("attempt", 0)) + 1
            self.release(unit)
        return None

    def release(self, unit: Unit) -> None:
        """Give a unit back."""
        self._remove(unit, "claim")

    def forget(self, unit: Unit) -> None:
        """Remove what became of a unit."""
        self._remove(unit, "record")

    def _remove(self, unit: Unit, kind: str) -> None:
        system, path = file_system(self._place(unit, kind))
        if system.exists(path):
            system.rm_file(path)

    def abandon(self, unit: Unit) -> None:
        """Say that the process with this claim has ended, wherever it was; attempts stay."""
        held = self._document(unit, "claim")
        if held is not None:
            write_json(self._place(unit, "claim"), {**held, "ended": True})

    def records(self, units: Sequence[Unit]) -> list[Record] | None:
        """The records of all these units, or None where one has none yet."""
        found = [self.read(unit) for unit in units]
        whole = [record for record in found if record is not None]
        return whole if len(whole) == len(units) else None

    def _create(self, unit: Unit, attempt: int) -> bool:
        system, path = file_system(self._place(unit, "claim"))
        system.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
        held = {"host": socket.gethostname(), "pid": os.getpid(), "at": time.time()}
        try:
            with system.open(path, "xb") as file:
                file.write(json.dumps({**held, "attempt": attempt}).encode())
        except FileExistsError:
            return False
        return True

    def _document(self, unit: Unit, kind: str) -> dict[str, Any] | None:
        system, path = file_system(self._place(unit, kind))
        try:
            return dict(parse_json(system.cat_file(path)))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # its writer was cut off: nothing is known of it
            return {}

    def _place(self, unit: Unit, kind: str) -> str:
        return f"{self.out.rstrip('/')}/.units/{unit.key}.{kind}"


def _has_ended(held: dict[str, Any]) -> bool:
    if held.get("ended") or time.time() - float(held.get("at", time.time())) > _STALE_S:
        return True
    if held.get("host") != socket.gethostname() or held.get("pid") == os.getpid():
        return False
    try:
        os.kill(int(held["pid"]), 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as another user's
        return False
    return False
