"""Going on with a run: it has to be the same run, and the same folder is used by one at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from internvideo.errors import TrainingError
from internvideo.reading import read_json_document

# Fields that say how the work is done and not what is computed, by their own names.
_FREE = frozenset(
    (
        *("cache_mb", "checkpoint_every", "compile", "cpu_processes", "evaluate_every"),
        *("keep_best", "keep_checkpoints", "log_every", "max_broken_share", "max_skipped_steps"),
        *("num_workers", "parallel", "root", "shard_size", "sharded_checkpoints"),
        *("skip_above_median", "tensorboard"),
    )
)
_MISSING = object()


def check_same_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Compare a run with the one that `folder/run.json` tells of, if there is one.

    Raises:
        TrainingError: If they differ in what is computed; the message names the fields.
    """
    path = folder / "run.json"
    if not path.exists():
        return
    try:
        before = read_json_document(path)["run"]
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"{path}: cannot be read ({error}); it tells what run to resume"
        ) from error
    differing = list(_differences(before, json.loads(json.dumps(run)), ""))
    if differing:
        shown = "; ".join(differing[:5]) + f"; {len(differing) - 5} more" * (len(differing) > 5)
        raise TrainingError(
            f"{folder}: holds a run with other settings: {shown}; resume it as it was begun, or "
            "choose another --out"
        )


def _differences(before: Any, now: Any, name: str) -> Iterator[str]:
    if name.rpartition(".")[2] in _FREE or before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(before.get(key, _MISSING), now.get(key, _MISSING), inner)
    else:
        yield f"{name} is {_shown(now)}, was {_shown(before)}"


def _shown(value: Any) -> str:
    return "not there" if value is _MISSING else f"{value!r:.60}"
