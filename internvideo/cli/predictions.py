"""Answers about many videos as a file: JSON lines, or a csv with a row for each ranked answer."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from internvideo.errors import ConfigError
from internvideo.writing import replace_text

SUFFIXES = (".jsonl", ".csv")


def check_suffix(path: Path) -> None:
    """Raise `ConfigError` for a file that ends otherwise."""
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path}: answers are written as {' or '.join(SUFFIXES)}; end it so")


def write_predictions(path: Path, answers: Sequence[dict[str, Any]]) -> None:
    """Write one object a line, or a table."""
    if path.suffix == ".jsonl":
        lines = (json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        replace_text(path, "".join(lines))
        return
    rows = [row for answer in answers for row in _rows(answer)]
    text = io.StringIO()
    columns = dict.fromkeys(name for row in rows for name in row)
    writer = csv.DictWriter(text, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    replace_text(path, text.getvalue())


def _rows(answer: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for each item of the answer's list, numbered by rank; one row where it has none."""
    plain = {k: v for k, v in answer.items() if not isinstance(v, list | dict)}
    items = [v for v in answer.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    if not items:
        return [plain]
    return [{**plain, "rank": rank, **item} for rank, item in enumerate(items[0], 1)]
