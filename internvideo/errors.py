"""What can go wrong, as few classes as callers need to tell apart.

Every message says what was wrong with which value, where, and what the reader can do.
All are `ValueError`s: the caller supplied something that cannot be used as it is.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InternVideoError(ValueError):
    """Base of every error that this package raises on purpose.

    `exit_status` is that of a command which it ends: 2 where the caller can put it right.
    """

    exit_status = 2


class ConfigError(InternVideoError):
    """A configuration, an option or a combination of them is impossible."""


class DecodeError(InternVideoError):
    """A video file, or the part of it that was asked for, cannot be decoded."""


class AnnotationError(InternVideoError):
    """An annotation file cannot be read; the message names file and line."""


class CheckpointError(InternVideoError):
    """A checkpoint is missing, incomplete, or of another model."""


class TrainingError(InternVideoError):
    """A run cannot go on: its data broke, its loss is not finite, its folder is taken."""


class NotFiniteError(TrainingError):
    """A loss, weight or score became NaN or infinite on the way."""

    exit_status = 1


class SimulatorError(InternVideoError):
    """A simulator in another process died, fell silent, or answered with nonsense."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    """Build the error for a name that is not in a catalogue, with the nearest known ones.

    >>> str(unknown_name("recipe", "mae_tinny", ["mae_tiny", "mae_base"]))
    "unknown recipe 'mae_tinny'; did you mean 'mae_tiny'? known: mae_base, mae_tiny"
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return ConfigError(f"unknown {kind} {name!r}; {hint}known: {', '.join(names)}")
