"""Health of video files: every file of a folder decoded from end to end, in parallel.

Each file is decoded in a process of its own pool, so that one that crashes or hangs the decoder is
named like any other instead of ending the scan.
"""

from __future__ import annotations

import csv
import io
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import av

from internvideo.errors import DecodeError
from internvideo.video.decode import VideoReader
from internvideo.video.finding import candidates
from internvideo.video.storage import escaped, is_text
from internvideo.video.workers import map_in_processes
from internvideo.writing import replace_text

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """What a scan found out about one file; sizes and times are those of the upright video."""

    path: Path
    status: Literal["ok", "damaged", "unreadable"]
    reason: str | None = None
    facts: tuple[str, ...] = ()
    num_frames: int = 0
    duration_s: float = 0.0
    rate_fps: float = 0.0
    width: int = 0
    height: int = 0
    codec: str = ""


def scan(
    path: str | Path,
    *,
    num_workers: int = 1,
    limit_s: float | int = 600,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Health]:
    """Decode every video below `path`; results are in the order of the paths.

    A file that takes longer than `limit_s`, or ends its process, is unreadable with that reason.
    Files whose names do not say what they are count only where they decode.
    `on_progress` is called with how many files are done and how many there are.
    """
    found = candidates(path)
    health = scan_files(
        [file for file, _ in found],
        num_workers=num_workers,
        limit_s=limit_s,
        on_progress=on_progress,
    )
    pairs = zip(health, found, strict=True)
    return [file for file, (_, is_sure) in pairs if is_sure or file.status != "unreadable"]


def scan_files(
    files: Sequence[Path],
    *,
    num_workers: int = 1,
    limit_s: float | int = 600,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Health]:
    """Decode the files given; see `scan`."""
    return map_in_processes(
        examine,
        files,
        on_failure=lambda file, why: Health(path=file, status="unreadable", reason=why),
        num_workers=num_workers,
        limit_s=limit_s,
        on_progress=on_progress,
    )


def examine(path: Path) -> Health:
    """Decode one file from end to end and say what is wrong with it, if anything."""
    level, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(av.logging.ERROR)
    # What is held back because it repeats would be told of the next file.
    av.logging.set_skip_repeated(False)
    try:
        with av.logging.Capture() as complaints, VideoReader(path) as reader:
            return _examine(reader, complaints)
    except DecodeError as error:
        return Health(path=path, status="unreadable", reason=str(error).removeprefix(f"{path}: "))
    finally:
        av.logging.set_level(level)
        av.logging.set_skip_repeated(skips)


def _examine(reader: VideoReader, complaints: list[tuple[int, str, str]]) -> Health:
    corrupt = [frame.is_corrupt for frame in reader.walk()]
    info, promised = reader.info, reader.num_promised
    said = next((text.strip() for _, _, text in complaints), None) or reader.first_error
    problems = []
    if len(corrupt) < promised:
        problems.append(f"{promised - len(corrupt)} of {promised} frames are missing")
    if any(corrupt):
        problems.append(f"{sum(corrupt)} of {len(corrupt)} frames are corrupt")
    if said is not None:
        problems.append(f"the decoder says: {said}")
    return Health(
        path=reader.path,
        status="unreadable" if not corrupt else "damaged" if problems else "ok",
        reason="; ".join(problems) or None,
        facts=_facts(reader),
        num_frames=len(corrupt),
        duration_s=info.duration_s,
        rate_fps=info.rate_fps,
        width=info.width,
        height=info.height,
        codec=info.codec,
    )


def _facts(reader: VideoReader) -> tuple[str, ...]:
    info = reader.info
    facts = {
        "rotated": info.rotation_degrees != 0,
        "variable-rate": info.variable_rate,
        "no-audio": not info.has_audio,
        "one-frame": info.num_frames == 1,
        "odd-size": bool(info.width % 2 or info.height % 2),
        "grey": info.pixel_format.startswith("gray"),
        "high-bit-depth": info.bit_depth > 8,
        "hdr-not-tone-mapped": info.is_hdr,
        "clock-jumps": info.num_clock_jumps > 0,
    }
    return tuple(name for name, holds in facts.items() if holds)


def health_document(health: Sequence[Health]) -> list[dict[str, Any]]:
    """Turn results into what the JSON report holds, one object for each file."""
    return [
        {
            "path": str(file.path),
            "status": file.status,
            **({"reason": file.reason} if file.reason else {}),
            "facts": list(file.facts),
            "frames": file.num_frames,
            "seconds": round(file.duration_s, 3),
            "rate": round(file.rate_fps, 3),
            "size": [file.width, file.height],
            "codec": file.codec,
        }
        for file in health
    ]


def write_health_report(health: Sequence[Health], path: str | Path) -> None:
    """Write the report as JSON; a report that was there stays whole until the new one is."""
    text = json.dumps(health_document(health), indent=2, ensure_ascii=False)
    replace_text(Path(path), text)


def write_clean_manifest(health: Sequence[Health], path: str | Path) -> None:
    """Write a manifest csv of the files that decode entirely, paths relative to the manifest."""
    home = Path(path).resolve().parent
    good = [file.path.resolve() for file in health if file.status == "ok"]
    for file in good:
        if not is_text(file):
            _log.warning("%s: left out, its name is not UTF-8; rename it", escaped(file))
    good = [file for file in good if is_text(file)]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["path"], *([os.path.relpath(file, home)] for file in good)])
    replace_text(Path(path), text.getvalue())
