"""Write a playground to disk: videos, images, their facts, and all annotation files they give.

Stills are images beside the videos, each of facts of its own. Each video and each still depends on
the seed and its number only, so it is the same whoever makes it and whatever else is made. A file
takes its name when it is complete; what an interruption left is found by its name and not made
again, and `playground.json` says whether all is there.
"""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np
import torch
from jaxtyping import UInt8

from internvideo.errors import ConfigError, InternVideoError, unknown_name
from internvideo.playground.actions import ACTIONS
from internvideo.playground.annotations import annotation_files
from internvideo.playground.check import SingleFrameCheck, check_single_frame
from internvideo.playground.compose import World, draw_facts, draw_still
from internvideo.playground.facts import facts_line, read_facts
from internvideo.playground.images import IMAGE_SPLITS, image_path, write_image
from internvideo.playground.render import render
from internvideo.processes import LOCK_NAME, end_with_parent, sole_use
from internvideo.reading import read_json_document
from internvideo.video import write_video

NUM_VIDEOS = {"small": 200, "demo": 2_000, "full": 50_000}

# Changes whenever the same seed gives other videos or stills, so that two versions never mix in
# one folder.
WORLD_VERSION = 3

_STATE_FILE = "playground.json"
_UNFINISHED = ".unfinished"
_VIDEOS, _STILLS = "facts.jsonl", "stills.jsonl"
# How the lines of each are drawn, and how many a process makes at a time.
_DRAWN = {_VIDEOS: draw_facts, _STILLS: draw_still}
_CHUNKS = {_VIDEOS: 8, _STILLS: 64}

# Some lines of one of the files.
_Job = tuple[str, range]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What a generation did; `num_made` videos are new, the others were there already."""

    out: Path
    num_videos: int
    num_stills: int
    num_made: int
    num_of_split: dict[str, int]
    wall_s: float
    check: SingleFrameCheck | None

    @property
    def clips_per_s(self) -> float:
        """Videos made per second, all else that was made in this time included."""
        return self.num_made / self.wall_s

    def __str__(self) -> str:
        splits = ", ".join(f"{count} {split}" for split, count in self.num_of_split.items())
        lines = [
            f"{self.out}: {self.num_videos} videos of {len(ACTIONS)} actions ({splits}), "
            f"{self.num_stills} stills",
            f"made {self.num_made} in {self.wall_s:.1f} s ({self.clips_per_s:.1f} clips/s)",
        ]
        return "\n".join(lines if self.check is None else [*lines, str(self.check)])


def generate(
    out: str | Path,
    *,
    size: str | int = "demo",
    num_stills: int | None = None,
    seed: int = 0,
    num_workers: int = 1,
    side_px: int = 128,
    rate_fps: int = 16,
    has_check: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> Summary:
    """Make a playground in the folder `out`, or complete the one that is there.

    Args:
        out: An empty or new folder, or one that the same generation was interrupted in.
        size: A name of `NUM_VIDEOS`, or how many videos.
        num_stills: Single images beside the videos; None for three for each video.
        seed: Same seed, same frames and same bytes of annotation.
        num_workers: Processes that draw and encode; the result does not depend on it.
        side_px: Rows and columns of the frames.
        rate_fps: Frames per second.
        has_check: Whether to run the single-frame check afterwards (some seconds).
        on_progress: Called with the number of videos and stills that are there, and of all.

    Raises:
        ConfigError: If an option is impossible or the folder holds something else.
        InternVideoError: If the folder cannot be written.
    """
    out, num_videos = Path(out), _num_videos(size)
    if num_workers < 1:
        raise ConfigError(
            f"num_workers {num_workers} is not a number of processes; give at least 1"
        )
    num_stills = 3 * num_videos if num_stills is None else num_stills
    if num_stills < 0:
        raise ConfigError(f"num_stills {num_stills} is negative; give 0 for none")
    world = World(seed=seed, side_px=side_px, rate_fps=rate_fps)
    started_s = time.monotonic()
    state = {"version": WORLD_VERSION, "num_videos": num_videos, "num_stills": num_stills}
    state |= asdict(world)
    try:
        with sole_use(out):
            _claim(out, state)
            counts = {_VIDEOS: num_videos, _STILLS: num_stills}
            num_made = _write_media(out, world, counts, num_workers, on_progress)
            num_of_split = _write_annotations(out)
            wall_s = time.monotonic() - started_s
            _write(out, _STATE_FILE, _state_text(state, is_complete=True))
            shutil.rmtree(out / _UNFINISHED)
    except (OSError, av.FFmpegError) as error:
        raise _unwritable(out, error) from error
    check = check_single_frame(seed) if has_check else None
    if check is not None and not check.is_passed:
        _log.warning("the single-frame check of the playground failed: %s", check)
    return Summary(
        out=out,
        num_videos=num_videos,
        num_stills=num_stills,
        num_made=num_made,
        num_of_split=num_of_split,
        wall_s=wall_s,
        check=check,
    )


def _num_videos(size: str | int) -> int:
    if isinstance(size, str) and not size.lstrip("+-").isdecimal():
        if size not in NUM_VIDEOS:
            raise unknown_name("playground size", size, (*NUM_VIDEOS, "a number"))
        return NUM_VIDEOS[size]
    if int(size) < 1:
        raise ConfigError(f"playground size {size} is no number of videos; give at least 1")
    return int(size)


def _claim(out: Path, state: dict[str, object]) -> None:
    """Make the folder ours, or see that it is, and made with the same settings."""
    out.mkdir(parents=True, exist_ok=True)
    found = {entry.name for entry in out.iterdir()} - {_UNFINISHED, LOCK_NAME}
    (out / _UNFINISHED).mkdir(exist_ok=True)
    wanted = json.loads(json.dumps(state))
    if _STATE_FILE in found:
        there = _read_state(out / _STATE_FILE)
        for key, value in wanted.items():
            if there.get(key) != value:
                raise ConfigError(
                    f"{out} holds a playground with {key} {there.get(key)}, not {value}; "
                    f"choose another folder or delete this one"
                )
    elif found:
        (out / _UNFINISHED).rmdir()
        raise ConfigError(
            f"{out} is not empty ({min(found)} is there) and not a playground; "
            f"choose an empty or a new folder"
        )
    _write(out, _STATE_FILE, _state_text(state, is_complete=False))


def _read_state(path: Path) -> dict[str, object]:
    try:
        return dict(read_json_document(path))
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"{path} does not describe a playground ({error}); choose another folder or delete it"
        ) from error


def _state_text(state: dict[str, object], *, is_complete: bool) -> str:
    return json.dumps({**state, "is_complete": is_complete}, indent=1) + "\n"


def _write(out: Path, name: str, text: str) -> None:
    """Write a file beside its place and move it there."""
    unfinished = out / _UNFINISHED / name.replace("/", "-")
    unfinished.write_text(text, encoding="utf-8", newline="\n")
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    unfinished.replace(out / name)


def _write_media(
    out: Path,
    world: World,
    counts: dict[str, int],
    num_workers: int,
    on_progress: Callable[[int, int], None] | None,
) -> int:
    """Make what is missing and the files of facts, in order; count the videos that are new."""
    folders = [*(f"videos/{action}" for action in ACTIONS), *(f"images/{s}" for s in IMAGE_SPLITS)]
    for folder in folders:
        (out / folder).mkdir(parents=True, exist_ok=True)
    jobs = [
        (name, range(first, min(first + _CHUNKS[name], count)))
        for name, count in counts.items()
        for first in range(0, count, _CHUNKS[name])
    ]
    num_done = num_made = 0
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(
                (out / _UNFINISHED / name).open("w", encoding="utf-8", newline="\n")
            )
            for name in counts
        }
        made = _in_order(partial(_make, out, world), jobs, num_workers)
        for (name, _), (lines, num_new) in zip(jobs, made, strict=True):
            files[name].writelines(lines)
            num_done, num_made = num_done + len(lines), num_made + num_new
            if on_progress is not None:
                on_progress(num_done, sum(counts.values()))
    for name in counts:
        (out / _UNFINISHED / name).replace(out / name)
    return num_made


def _in_order(
    make: Callable[[_Job], tuple[list[str], int]], jobs: list[_Job], num_workers: int
) -> Iterator[tuple[list[str], int]]:
    num_workers = min(num_workers, math.ceil(len(jobs) / 2))
    if num_workers == 1:
        yield from map(make, jobs)
        return
    # Not forked: a copy of a process with threads, as torch has them, can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(num_workers, mp_context=context, initializer=end_with_parent)
    try:
        yield from pool.map(make, jobs)
    except BrokenExecutor as error:
        raise InternVideoError(
            "a process that made playground videos was killed, perhaps for want of memory; "
            "start again with fewer workers, what is made is kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _make(out: Path, world: World, job: _Job) -> tuple[list[str], int]:
    """Make what is not there of some videos or stills; give the lines of their facts."""
    name, indices = job
    lines, num_made = [], 0
    try:
        for index in indices:
            facts = _DRAWN[name](index, world)
            lines.append(facts_line(facts) + "\n")
            path = out / facts.path
            if name == _VIDEOS and not path.exists():
                unfinished = out / _UNFINISHED / path.name
                write_clip(unfinished, render(facts), facts.rate_fps)
                unfinished.replace(path)
                num_made += 1
            image = out / image_path(facts)
            if facts.split in IMAGE_SPLITS and not image.exists():
                unfinished = out / _UNFINISHED / image.name
                write_image(unfinished, facts)
                unfinished.replace(image)
    except (OSError, av.FFmpegError) as error:
        raise _unwritable(out, error) from error
    return lines, num_made


def write_clip(path: Path, frames: UInt8[np.ndarray, "t h w 3"], rate_fps: int) -> None:
    """Encode frames as the playground stores them, the same bytes every time.

    x264's slower presets weigh blocks by their future (mbtree), which gave other bytes in every
    run. At this quality the sensor noise is smoothed, which makes a clip a third of the size.
    """
    pixels = torch.from_numpy(frames)
    write_video(path, pixels, float(rate_fps), crf=25, preset="superfast")


def _unwritable(out: Path, error: Exception) -> InternVideoError:
    reason = getattr(error, "strerror", None) or str(error)
    return InternVideoError(
        f"{out}: the playground cannot be written there ({reason}); "
        f"free space or choose another folder, what is made is kept"
    )


def _write_annotations(out: Path) -> dict[str, int]:
    """Derive all annotation files from the facts; count the videos of each split."""
    num_of_split: Counter[str] = Counter()

    def counted():
        for facts in read_facts(out / _VIDEOS):
            num_of_split[facts.split] += 1
            yield facts

    for name, text in annotation_files(counted(), read_facts(out / _STILLS)):
        _write(out, name, text)
    return dict(num_of_split)
