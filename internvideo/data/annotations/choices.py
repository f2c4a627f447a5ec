"""Multiple choice: a video and several captions, one of which is right.

Sources: the multiple choice of MSR-VTT and of LSMDC (Yu et al. 2018) in the files that
`msrvtt_choice.py` and `lsmdc_choice.py` of InternVideo read. The answer of a record is the text of
the right candidate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.gathering import Gathering, objects, split_of, tab_rows
from internvideo.data.annotations.retrieval import MSRVTT_FOLDERS, lsmdc_names
from internvideo.errors import AnnotationError
from internvideo.values import Annotations

# Film and start of the clips that InternVideo leaves out.
LSMDC_SKIPPED = (
    "PUBLIC_ENEMIES_01.24.29.351",
    "INSIDE_MAN_02.02.18.839",
    "SPARKLE_2012_00.14.12.000",
)


@files.reader
def read_msrvtt_choice(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read json lines with `clip_name`, `options`, `answer`, the place of the right one from 0."""
    gathering = Gathering(Path(path), root)
    for where, entry in objects(Path(path), "clip_name", "options", "answer"):
        names = [folder + str(entry["clip_name"]) for folder in MSRVTT_FOLDERS]
        _add(gathering, where, names, entry["options"], entry["answer"])
    return gathering.done()


@files.reader
def read_lsmdc_choice(
    path: str | Path,
    *,
    root: str | Path | None = None,
    skipped: tuple[str, ...] = LSMDC_SKIPPED,
) -> Annotations:
    """Read LSMDC's tab-separated questions: clip, four columns, five options, the answer from 1.

    Clips whose id holds one of `skipped` are left out, as in the official evaluation.
    """
    gathering = Gathering(Path(path), root)
    for where, (clip, *_, a, b, c, d, e, answer) in tab_rows(Path(path), 11):
        if any(part in clip for part in skipped):
            gathering.leave_out("questions on clips that the protocol skips", where)
            continue
        if not answer.isdecimal():
            raise AnnotationError(f"{where}: the answer is {answer!r}, expected 1 to 5")
        _add(gathering, where, lsmdc_names(clip), [a, b, c, d, e], int(answer) - 1, first=1)
    return gathering.done()


def _add(
    gathering: Gathering, where: str, names: Any, options: Any, answer: Any, *, first: int = 0
) -> None:
    if not isinstance(options, list) or not all(isinstance(o, str) for o in options):
        raise AnnotationError(f"{where}: options are {options!r:.80}, expected a list of texts")
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(options):
        found = answer + first if isinstance(answer, int) else answer
        last = len(options) - 1 + first
        raise AnnotationError(f"{where}: the answer is {found!r}, expected {first} to {last}")
    if any(not option.strip() for option in options):
        gathering.leave_out("questions with an empty option", where)
        return
    candidates = tuple(option.strip() for option in options)
    gathering.add(
        where,
        names,
        (),
        candidates=candidates,
        answer=candidates[answer],
        split=split_of(gathering.path) or "test",
    )
