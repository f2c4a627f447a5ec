"""What the folders of videos mean: which are splits and which are classes.

A folder is a split where its name is one of `SPLITS` with nothing but numbers and words such as
`videos` around it (`Training`, `train_256`, `videos_val`), or where all folders are named alike but
for that word (`kinetics_train`, `kinetics_val`). A class may be called so as well (`train` among
`bus` and `tram`), so where folders contradict each other nothing is guessed: it is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from internvideo.errors import AnnotationError

# As folders (`train/juggling/a.mp4`) and as names of lists; the first spelling of each is ours.
SPLITS = {
    "train": "train",
    "val": "val",
    "test": "test",
    "training": "train",
    "valid": "val",
    "validation": "val",
    "validate": "val",
    "dev": "val",
    "eval": "val",
    "evaluation": "val",
    "testing": "test",
    "trn": "train",
    "tst": "test",
}
# Words that say nothing about what a folder holds.
_NEUTRAL = frozenset(
    (
        *("clip", "clips", "data", "dataset", "files", "folder", "fps", "frames", "full", "list"),
        *("p", "part", "px", "resized", "set", "small", "split", "tiny", "vid", "video", "videos"),
    )
)
_WORDS = re.compile(r"[^\W\d_]+|\d+")

Place = tuple[str | None, str]  # split and class of a video, either may be missing


def splits_and_classes(folder: Path, parents: Sequence[tuple[str, ...]]) -> list[Place]:
    """Tell the split and the class of every video from the folders it lies in.

    Args:
        folder: Where the videos are, for messages.
        parents: The folders between `folder` and each video, outermost first.

    Raises:
        AnnotationError: If some folders look like splits and others contradict that.
    """
    parents = _unwrapped(parents)
    splits = _splits_among(folder, [names[0] for names in parents if names])
    if splits:
        others = sorted({names[0] if names else "." for names in parents} - set(splits))
        if not others:
            return [(splits[top], inner[0] if inner else "") for top, *inner in parents]
        if len(splits) > 1 or len(others) < 2 or any(len(names) > 1 for names in parents):
            raise _unclear(folder, "", splits, others)
        return [(None, names[0] if names else "") for names in parents]
    inner = _splits_among(folder, [names[1] for names in parents if len(names) > 1])
    if not inner:
        return [(None, names[0] if names else "") for names in parents]
    others = sorted(
        {"/".join(names[:2]) or "." for names in parents if not set(names[1:2]) & set(inner)}
    )
    if others:
        raise _unclear(folder, "class ", inner, others)
    return [(inner[names[1]], names[0]) for names in parents]


def doubt(folder: Path, parents: Sequence[tuple[str, ...]]) -> str | None:
    """Say why the outer folders, which no word tells to be splits, may be such all the same.

    They hold folders of the same names, at least as many as there are of them: `a/run`, `a/walk`
    and `b/run`, `b/walk` may be two classes, or two splits.
    """
    inner: dict[str, set[str]] = {}
    for names in _unwrapped(parents):
        inner.setdefault(names[0] if names else "", set()).update(names[1:2])
    if any(split for split, _ in splits_and_classes(folder, parents)) or len(inner) < 2:
        return None
    shared = sorted(set.intersection(*inner.values()))
    if len(shared) < len(inner):
        return None
    tops = sorted(inner)
    return (
        f"{folder}: cannot tell splits from classes: each of {len(tops)} folders ({_some(tops)}) "
        f"has the folders {_some(shared)}; if the outer ones are splits, call them train, val or "
        "test, and if they are classes, put the videos right into them, or list the videos in a "
        "manifest (columns path, label, split)"
    )


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def split_named(name: str) -> str | None:
    """Tell which split a folder of this name is by itself, if any."""
    split, rest = _parsed(name)
    return None if _telling(rest) else split


def _splits_among(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """Map those of the names that are splits to train, val or test."""
    different = sorted(set(names))
    parsed = {name: _parsed(name) for name in different}
    kinds = {split for split, _ in parsed.values()}
    if len(kinds) > 1 and None not in kinds:
        if len({_telling(rest) for _, rest in parsed.values()}) == 1:
            return {name: str(split) for name, (split, _) in parsed.items()}
        raise AnnotationError(
            f"{folder}: cannot tell splits from classes: every folder has a word for a split and "
            f"different ones beside it ({_some(different)}); put the folders of the classes into "
            "train/, val/ and test/, or list the videos in a manifest (columns path, label, split)"
        )
    return {name: split for name in different if (split := split_named(name))}


def _telling(words: Sequence[str]) -> tuple[str, ...]:
    """Without numbers and words that say nothing about what a folder holds."""
    return tuple(word for word in words if not word.isdigit() and word not in _NEUTRAL)


def _parsed(name: str) -> tuple[str | None, tuple[str, ...]]:
    """Take the word for a split out of a name; more than one, or none, is no split."""
    # `trainset` and `TrainSet` are written as one word or as two.
    words = _WORDS.findall(re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    words = [re.sub(r"(?<=.)set$", "", word.lower()) for word in words]
    said = [word for word in words if word in SPLITS]
    if len(said) != 1:
        return None, tuple(words)
    return SPLITS[said[0]], tuple(word for word in words if word not in SPLITS)


def _unwrapped(parents: Sequence[tuple[str, ...]]) -> Sequence[tuple[str, ...]]:
    """Leave out a single folder around all others, as archives have it: it tells nothing apart."""
    tops = {names[:1] for names in parents}
    if len(tops) != 1 or () in tops or split_named(parents[0][0]):
        return parents
    if any(len(names) < 2 for names in parents):
        return parents
    return [names[1:] for names in parents]


def _unclear(
    folder: Path, what: str, splits: dict[str, str], others: Sequence[str]
) -> AnnotationError:
    seen = ", ".join(f"{name}/ ({split})" for name, split in list(splits.items())[:4])
    return AnnotationError(
        f"{folder}: cannot tell splits from classes: {seen} read like splits, {len(others)} other "
        f"{what}folders do not, such as {others[0]}; rename or move them so that all or none are "
        "splits, or list the videos in a manifest (columns path, label, split)"
    )
