"""Weights that others have published: where they are, what they are, what they reached.

`registry.toml` beside this file has one line for each; its head says what the columns are and where
the facts come from.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from internvideo.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """One published file, or a folder of the hub (then `file` is None).

    It lies in a repository of the Hugging Face hub (`repo`), at an address (`url`), or is given to
    those who ask for it (`page`). `num_frames` and `side_px` are of the clips that it was trained
    on; `result` is what its authors report.
    """

    family: str
    size: str
    task: Literal[
        "pretraining", "recognition", "video-text", "image-text", "retrieval", "question-answering"
    ]
    repo: str | None = None
    file: str | None = None
    url: str | None = None
    page: str | None = None
    labels: str | None = None
    num_frames: int | None = None
    side_px: int | None = None
    sampling: Literal["dense", "segments"] | None = None
    num_bytes: int | None = None
    sha256: str | None = None
    license: str | None = None
    result: str | None = None

    @property
    def source(self) -> str:
        """Where a person finds it."""
        if self.repo is not None:
            where = f"https://huggingface.co/{self.repo}"
            return where if self.file is None else f"{where}/resolve/main/{self.file}"
        return self.url or f"{self.file}, on request: {self.page}"

    @property
    def file_name(self) -> str:
        """What it is called when it has been downloaded."""
        return (self.file or self.url or str(self.repo)).rsplit("/", 1)[-1]


def _read_table(text: str) -> Iterator[tuple[str, Release]]:
    """Turn every row of every group into a `Release`; its name comes with it."""
    for group in tomllib.loads(text)["group"]:
        shared = {name: value for name, value in group.items() if name != "weights"}
        for name, row in group["weights"].items():
            yield name, _release({**shared, **row})


def _release(row: Mapping[str, Any]) -> Release:
    known = dict(row)
    base_url, path = known.pop("base_url", None), known.pop("path", None)
    if path is not None:
        known["url"] = f"{base_url}{path}"
    return Release(**known)


RELEASES: dict[str, Release] = dict(
    _read_table(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
)


def release(name: str) -> Release:
    """The release of a name; an unknown one is answered with the nearest known one."""
    if name not in RELEASES:
        near = difflib.get_close_matches(name, RELEASES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise ConfigError(
            f"there is no file or folder {name!r} and no released weights of this name; {hint}"
            "`internvideo weights list` names them all"
        )
    return RELEASES[name]
