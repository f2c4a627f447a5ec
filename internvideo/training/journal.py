"""What a run writes beside its checkpoints: run.json, metrics.jsonl, log.txt.

Only the first rank writes. On resuming, metrics after the checkpoint's step are cut off, so that
the file reads as if the run had never stopped; every start is listed in run.json.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from internvideo.errors import TrainingError
from internvideo.reading import parse_json, read_bytes, read_json_document
from internvideo.writing import naming, replace_text

logger = logging.getLogger(__name__)


class Journal:
    """Writer of one run's files in `folder`."""

    def __init__(self, folder: Path, *, tensorboard: bool = False) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".probe"
            probe.touch()
            probe.unlink()
            self._handler = _LogFile(folder / "log.txt", encoding="utf-8")
        except OSError as error:
            raise TrainingError(
                f"{folder}: cannot be written ({error.strerror}); choose another --out"
            ) from error
        self._handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        self._logger = logging.getLogger("internvideo")
        self._logger.addHandler(self._handler)
        if self._logger.getEffectiveLevel() > logging.INFO:
            self._logger.setLevel(logging.INFO)
        self._board = _board_writer(folder) if tensorboard else None

    def begin(self, run: Mapping[str, Any], *, step: int, facts: Mapping[str, Any]) -> None:
        """Note a start (or a resumption at `step`) and forget metrics after that step."""
        path = self.folder / "run.json"
        earlier = _starts(path) if path.exists() else []
        start = {"step": step, "at": datetime.now(UTC).isoformat(timespec="seconds"), **facts}
        document = {
            "run": run,
            "revision": code_revision(),
            "versions": versions(),
            "starts": [*earlier, start],
        }
        replace_text(path, json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        self._cut_metrics(step)

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Append one line; values are numbers under flat keys such as `loss/reconstruction`."""
        path = self.folder / "metrics.jsonl"
        with naming(path), path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **values}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)

    def close(self) -> None:
        self._logger.removeHandler(self._handler)
        self._handler.close()
        if self._board is not None:
            self._board.close()

    def _cut_metrics(self, step: int) -> None:
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        try:
            text = read_bytes(path).decode("utf-8", "replace")
        except ValueError as error:
            raise TrainingError(f"{path}: cannot be read ({error}); remove it") from error
        kept = []
        for line in text.split("\n"):
            if not line:
                continue
            try:
                if parse_json(line)["step"] <= step:
                    kept.append(line + "\n")
            except (ValueError, KeyError, TypeError):
                logger.warning("%s: dropped a line that was cut off", path)
        replace_text(path, "".join(kept))


def _starts(path: Path) -> list[Any]:
    """When the run was begun and gone on with before."""
    try:
        return list(read_json_document(path)["starts"])
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); it tells of the run") from error


class _LogFile(logging.FileHandler):
    """A log that a full disk ends in one line on stderr; the run itself fails where it must."""

    has_failed = False

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.has_failed:
            self.has_failed = True
            error = sys.exc_info()[1]
            sys.stderr.write(f"{self.baseFilename}: the log cannot be written ({error})\n")


def code_revision() -> str:
    """The package's version and, in a checkout, its commit (`+` marks uncommitted changes)."""
    here = Path(__file__).parent
    try:
        release = version("internvideo")
    except PackageNotFoundError:
        release = "unknown"
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "GIT_CEILING_DIRECTORIES": str(here.parents[2])},
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return release
    return f"{release} {commit}"


def versions() -> dict[str, str]:
    """Versions of what decides a run's numbers."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "av": version("av"),
        "machine": platform.machine(),
    }


def _board_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainingError(
            "tensorboard=true needs TensorBoard: pip install tensorboard"
        ) from error
    return SummaryWriter(str(folder / "tensorboard"))
