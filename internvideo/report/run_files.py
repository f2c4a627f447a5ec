"""What a run wrote into its folder, read in whatever state the run is.

`run.json`, `metrics.jsonl`, `log.txt` and `broken.jsonl` may each be missing, still growing or cut
off in the last line; nothing of that is an error here, and what else cannot be read is named.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from internvideo.reading import parse_json, read_bytes

# Not curves of their own: where a line belongs, not what it measures.
_PLACES = {"step", "epoch", "elapsed_s"}


@dataclass(frozen=True, kw_only=True, slots=True)
class RunFiles:
    """What a run's folder holds, as far as it can be read."""

    document: Mapping[str, Any]
    metrics: Sequence[Mapping[str, Any]]
    broken: Sequence[Mapping[str, Any]]
    log: Sequence[str]
    problems: Sequence[str]

    @classmethod
    def read(cls, folder: Path) -> RunFiles:
        """Read what is there; what is there and unreadable is named in `problems`."""
        problems: list[str] = []
        document: Any = {}
        try:
            document = parse_json(_text(folder / "run.json", problems) or "{}")
        except ValueError as error:
            problems.append(f"run.json cannot be read: {error}")
        return cls(
            document=document if isinstance(document, dict) else {},
            metrics=[
                row
                for row in _json_lines(folder / "metrics.jsonl", problems)
                if math.isfinite(_number(row.get("step")))
            ],
            broken=_json_lines(folder / "broken.jsonl", problems),
            log=_text(folder / "log.txt", problems).splitlines(),
            problems=problems,
        )

    def curve(self, key: str) -> tuple[list[float], list[float]]:
        """Steps and values of one metric; of a step logged twice the later value counts."""
        points = {float(row["step"]): _number(row[key]) for row in self.metrics if key in row}
        steps = sorted(points)
        return steps, [points[step] for step in steps]

    @property
    def num_steps(self) -> int:
        """Last step that was logged."""
        return max((int(row["step"]) for row in self.metrics), default=0)

    @property
    def elapsed_s(self) -> float | None:
        """Seconds of work: as logged, or by the clock of a log that was never interrupted."""
        logged = [v for v in self.curve("elapsed_s")[1] if math.isfinite(v)]
        if logged:
            return logged[-1]
        times = [time for line in self.log if (time := _time_of(line)) is not None]
        was_resumed = len(self.document.get("starts") or []) > 1
        return (times[-1] - times[0]).total_seconds() if times and not was_resumed else None

    @property
    def keys(self) -> list[str]:
        """Names of all metrics with numbers, in order of appearance."""
        seen = {k: None for row in self.metrics for k, v in row.items() if _is_number(v)}
        return [key for key in seen if key not in _PLACES]


def _text(path: Path, problems: list[str]) -> str:
    if not path.exists():
        return ""
    try:
        return read_bytes(path).decode("utf-8", "replace")
    except ValueError as error:
        problems.append(f"{path.name} cannot be read: {error}")
        return ""


def _json_lines(path: Path, problems: list[str]) -> list[Mapping[str, Any]]:
    """Objects of a file with one on each line; only the last line may be half written."""
    lines = _text(path, problems).split("\n")
    rows, wrong = [], []
    for number, line in enumerate(lines, 1):
        try:
            row = parse_json(line)
        except ValueError:
            row = None
        if isinstance(row, dict):
            rows.append(row)
        elif line.strip() and number < len(lines):
            wrong.append(number)
    if wrong:
        problems.append(f"{path.name}: {len(wrong)} lines are no objects, first line {wrong[0]}")
    return rows


def _time_of(line: str) -> datetime | None:
    """When a line of the log was written, or None for what follows on from a line."""
    try:
        return datetime.strptime(line[:19], "%Y-%m-%d %H:%M:%S")
    except ValueError:
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _number(value: Any) -> float:
    return float(value) if _is_number(value) else math.nan
