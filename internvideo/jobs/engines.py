"""Doing units: here, in processes of this machine, or on a Ray cluster. The results are the same.

An engine only decides where `do_unit` runs; claims, records and retries are its own.
Ray is used through its tasks and actors, and only names travel through it: no frames, no features.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, runtime_checkable

from internvideo.errors import ConfigError, DecodeError
from internvideo.jobs.ledger import Ledger
from internvideo.jobs.units import Record, Unit
from internvideo.video.workers import map_in_processes

_log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]


@runtime_checkable
class Work(Protocol):
    """What is done with a unit; picklable, and opens what it needs at its first call."""

    def __call__(self, unit: Unit, before: Record | None) -> tuple[Mapping[str, Any], bool]:
        """Do a unit, given its last record; facts for the new one, and whether all was there.

        Raises:
            DecodeError: If the input cannot be used, now or later.
            OSError: If its storage failed; it is tried again.
        """
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """Where units are done: `ray` is an address or "local"; else in `num_workers` processes, 0
    for this one. A unit that fails for want of storage or ends its process is tried `attempts`
    times."""

    ray: str | None = None
    num_workers: int = 0
    attempts: int = 3
    limit_s: float | int = 3600

    def __post_init__(self) -> None:
        if self.num_workers < 0 or self.attempts < 1:
            raise ConfigError(
                f"{self.num_workers} workers and {self.attempts} attempts; give 0 or more workers "
                "and at least one attempt"
            )

    def run(
        self, units: Sequence[Unit], work: Work, ledger: Ledger, on_progress: Progress | None = None
    ) -> list[Record | None]:
        """Do all units; None stands for those that another job is working on."""
        one = partial(do_unit, work=work, ledger=ledger, attempts=self.attempts)
        if self.ray is not None:
            return _run_on_ray(self.ray, units, one, ledger, self.num_workers, on_progress)
        if self.num_workers:
            return map_in_processes(
                one,
                units,
                on_failure=partial(_lost, ledger=ledger),
                num_workers=self.num_workers,
                limit_s=self.limit_s,
                on_progress=on_progress,
            )
        records = []
        for done, unit in enumerate(units, 1):
            records.append(one(unit))
            if on_progress is not None:
                on_progress(done, len(units))
        return records


def do_unit(unit: Unit, *, work: Work, ledger: Ledger, attempts: int) -> Record | None:
    """Claim a unit, do it, write its record; None where another process has it."""
    attempt = ledger.claim(unit)
    if attempt is None:
        return None
    common = {"name": unit.name, "source": unit.source, "target": unit.target}
    record = Record(
        **common,
        status="failed",
        attempts=attempt - 1,
        reason=f"{unit.source}: ended its process {attempt - 1} times; given up",
    )
    while attempt <= attempts:
        try:
            facts, was_there = work(unit, ledger.read(unit))
        except DecodeError as error:
            record = Record(**common, status="failed", attempts=attempt, reason=str(error))
            break
        except OSError as error:
            record = Record(**common, status="failed", attempts=attempt, reason=str(error))
            attempt += 1
            continue
        status = "there" if was_there else "done"
        record = Record(**common, status=status, attempts=attempt, facts=facts)
        break
    if record.status == "failed":
        _log.warning("failed: %s", record.reason)
    ledger.write(unit, record)
    ledger.release(unit)
    return record


def _lost(unit: Unit, why: str, *, ledger: Ledger) -> Record:
    """The record of a unit whose process ended or hung."""
    record = Record(
        name=unit.name,
        source=unit.source,
        target=unit.target,
        status="failed",
        reason=f"{unit.source}: {why}",
    )
    ledger.write(unit, record)
    ledger.release(unit)
    return record


def _run_on_ray(
    address: str,
    units: Sequence[Unit],
    one: Callable[[Unit], Record | None],
    ledger: Ledger,
    num_workers: int,
    on_progress: Progress | None,
) -> list[Record | None]:
    """One actor a worker, each with one unit at a time; a dead actor is replaced."""
    try:
        import ray
    except ImportError as error:
        raise ConfigError("--ray needs ray; install it with: pip install 'internvideo[ray]'") from (
            error
        )
    # Workers inherit the environment; Ray's own reports go nowhere.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    options: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    if address == "local" and num_workers:
        options["num_cpus"] = num_workers
    try:
        ray.init(address, log_to_driver=False, logging_level="warning", **options)
    except (ConnectionError, ValueError) as error:
        raise ConfigError(f"--ray {address}: {error}") from error
    try:
        count = num_workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        return _Crew(ray, one, ledger, min(count, len(units))).do(units, on_progress)
    finally:
        ray.shutdown()


class _Worker:
    """Keeps the work, with the model it has opened, between units."""

    def __init__(self, one: Callable[[Unit], Record | None]) -> None:
        self._one = one

    def do(self, unit: Unit) -> Record | None:
        return self._one(unit)


class _Crew:
    """Actors of Ray and what each one is doing."""

    def __init__(
        self, ray: Any, one: Callable[[Unit], Record | None], ledger: Ledger, count: int
    ) -> None:
        self._ray, self._one, self._ledger = ray, one, ledger
        self._make = ray.remote(_Worker)
        self._free = [self._make.remote(one) for _ in range(count)]

    def do(self, units: Sequence[Unit], on_progress: Progress | None) -> list[Record | None]:
        waiting = list(enumerate(units))[::-1]
        working: dict[Any, tuple[int, Any]] = {}
        records: dict[int, Record | None] = {}
        while len(records) < len(units):
            while waiting and self._free:
                index, unit = waiting.pop()
                actor = self._free.pop()
                working[actor.do.remote(unit)] = (index, actor)
            (ready, *_), _ = self._ray.wait(list(working))
            index, actor = working.pop(ready)
            try:
                records[index] = self._ray.get(ready)
                self._free.append(actor)
            except self._ray.exceptions.RayActorError as error:
                _log.warning("%s: its worker ended (%s)", units[index].source, _first_line(error))
                self._ledger.abandon(units[index])
                self._free.append(self._make.remote(self._one))
                waiting.append((index, units[index]))
            if on_progress is not None:
                on_progress(len(records), len(units))
        return [records[index] for index in range(len(units))]


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
