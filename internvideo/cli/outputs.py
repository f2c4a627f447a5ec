"""Files that verbs write: seen to be free before any work begins, never replaced in silence."""

from __future__ import annotations

import os
from pathlib import Path

from internvideo.errors import ConfigError


def claim(path: Path, *, overwrite: bool, is_own: bool = False) -> None:
    """See that a file can be written; nothing is made yet.

    Args:
        path: The file that a verb is to write.
        overwrite: Whether a file that is there may be replaced.
        is_own: Whether the file that is there is known to be one of ours.

    Raises:
        ConfigError: It is there and may not be replaced, is a folder, or cannot be written.
    """
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; give the name of a file")
    if path.exists() and not (overwrite or is_own):
        raise ConfigError(
            f"{path}: exists already and stays as it is; choose another name, or pass --overwrite"
        )
    around = next(folder for folder in path.absolute().parents if folder.exists())
    if not around.is_dir():
        raise ConfigError(f"{path}: cannot be written, {around} is a file; choose another folder")
    if not os.access(around, os.W_OK):
        raise ConfigError(f"{path}: cannot be written (Permission denied); choose another folder")
