"""`internvideo weights list`, `show` and `import`: released weights, and how they get in."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from internvideo.hub import Imported
    from internvideo.weights import TensorReport


@dataclass(frozen=True, kw_only=True)
class ListReleases:
    """List released weights that are known by name.

    Example: internvideo weights list --task recognition --license apache-2.0
    """

    task: str | None = None
    """pretraining, recognition, video-text, image-text, retrieval or question-answering."""
    license: str | None = None
    """Only those with this license; "unknown" for those without one that we could read."""
    json: bool = False
    """Print a JSON list."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.errors import unknown_name
        from internvideo.weights import RELEASES

        tasks = {found.task for found in RELEASES.values()}
        licenses = {(found.license or "unknown").lower() for found in RELEASES.values()}
        for what, asked, known in (("task", self.task, tasks), ("license", self.license, licenses)):
            if asked is not None and asked.lower() not in known:
                raise unknown_name(what, asked, known)
        rows = {
            name: found
            for name, found in RELEASES.items()
            if self.task in (None, found.task)
            and (self.license or found.license or "unknown").lower()
            == (found.license or "unknown").lower()
        }
        if self.json:
            print_json([_fields(name) for name in rows])
            return 0
        width = max(map(len, rows), default=0)
        for name, found in rows.items():
            license = found.license or "license unknown"
            line = f"{name:<{width}}  {found.task:<18} {license:<16} {found.result or ''}"
            print(line.rstrip())
        return 0


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Make one file of the weights of a sharded checkpoint.

    Example: internvideo weights merge runs/base/checkpoints/step-500
    """

    checkpoint: Positional[Path]
    """A checkpoint with a folder shards/; model.safetensors is written beside it."""

    def run(self) -> int:
        from internvideo.training import merge_shards

        print(merge_shards(self.checkpoint))
        return 0


@dataclass(frozen=True, kw_only=True)
class ShowRelease:
    """Show what is known about released weights, and where to get them; nothing is fetched.

    Example: internvideo weights show videomae-base-hybrid-k400
    """

    name: Positional[str]
    """A name from `internvideo weights list`, or owner/name on the Hugging Face hub."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.hub import is_hub_id

        fields = _hub_fields(self.name) if is_hub_id(self.name) else _fields(self.name)
        if self.json:
            print_json(fields)
            return 0
        for field, value in fields.items():
            print(f"{field:<12} {'unknown' if value is None else value}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Import:
    """Import released weights as a saved model, with a loading report for every tensor.

    Example: internvideo weights import vit_b_hybrid_pt_800e_k400_ft.pth --out models/mae
    """

    source: Positional[str]
    """A file, a folder of transformers or DeepSpeed, a name from `weights list`, or owner/name on
    the Hugging Face hub."""
    out: Path
    """Folder to write; it must not exist."""
    explain: bool = False
    """Print a table of all tensors."""
    like: str | None = None
    """The release that the file is a copy of; it is checked to be that."""
    family: str | None = None
    """Insist on this family of weights; by default it is recognised."""
    size: str | None = None
    """Insist on this size, such as base or large."""
    sha256: str | None = None
    """Insist on this hash of the file."""
    num_frames: int | None = None
    """Frames per clip; the position table is interpolated."""
    side_px: int | None = None
    """Side of the frames, in pixels; the position table is interpolated."""
    labels: Path | None = None
    """Class names or answers in the order of the head's rows: a JSON list, an object of their rows
    (ans2label), or one a line."""
    rows: Path | None = None
    """Rows of the head to keep, as a JSON list; the first becomes class 0."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """A field of the configuration that shapes do not tell, such as encoder.num_heads=6."""
    new: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATTERN")] = ()
    """Regular expression for parameters that may stay randomly initialised."""
    drop: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATTERN")] = ()
    """Names of ours that may be left out, as a regular expression."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.errors import CheckpointError
        from internvideo.hub import save_pretrained
        from internvideo.weights import count_tensors

        if self.out.exists():
            raise CheckpointError(f"{self.out}: exists already; choose another --out or remove it")
        imported = self._import()
        save_pretrained(imported.pretrained, self.out)
        if self.json:
            kind, tensors = imported.pretrained.kind, [_row(one) for one in imported.tensors]
            print_json({"steps": imported.steps, "kind": kind, "tensors": tensors})
            return 0
        for step in imported.steps:
            print(step)
        if self.explain:
            _print_table(imported)
        print(f"{count_tensors(imported.tensors)}; wrote {self.out}")
        return 0

    def _import(self) -> Imported:
        from internvideo.config import nested
        from internvideo.errors import ConfigError
        from internvideo.hub import (
            ImportOptions,
            fetch_from_hub,
            import_release,
            import_weights,
            is_hub_id,
        )

        asked: dict[str, Any] = {
            "family": self.family,
            "size": self.size,
            "sha256": self.sha256,
            "num_frames": self.num_frames,
            "side_px": self.side_px,
            "classes": None if self.labels is None else _names(self.labels),
            "rows": None if self.rows is None else _rows(self.rows),
            "config": nested(self.set) or None,
            "may_be_new": "|".join(self.new) or None,
            "may_be_dropped": "|".join(self.drop) or None,
        }
        asked = {name: value for name, value in asked.items() if value is not None}
        there = Path(self.source).exists()
        if self.like is not None and not there:
            raise ConfigError(f"--like goes with a file, and {self.source} is not there")
        if self.like is not None:
            return import_release(self.like, Path(self.source), **asked)
        if is_hub_id(self.source):
            return import_weights(fetch_from_hub(self.source), replace(ImportOptions(), **asked))
        if there or len(Path(self.source).parts) > 1:
            return import_weights(self.source, replace(ImportOptions(), **asked))
        return import_release(self.source, **asked)


def _fields(name: str) -> dict[str, Any]:
    from dataclasses import asdict

    from internvideo.weights import release

    found = release(name)
    rest = {k: v for k, v in asdict(found).items() if k not in ("repo", "file", "url", "page")}
    return {"name": name, "source": found.source, **rest}


def _hub_fields(name: str) -> dict[str, Any]:
    from internvideo.hub import about_hub_model

    found = about_hub_model(name)
    return {
        "name": name,
        "source": f"https://huggingface.co/{name}",
        "license": found.license,
        "files": found.files,
        "size_mb": round(sum(found.files.values()) / 1e6, 1),
    }


def _names(path: Path) -> list[str]:
    text = _text_of(path)
    if text.lstrip().startswith("{"):
        from internvideo.tasks.question_answering import read_answers

        return list(read_answers(path))
    found = _json_of(path, text) if text.lstrip().startswith("[") else text.splitlines()
    return [str(name).strip() for name in found if str(name).strip()]


def _rows(path: Path) -> list[int]:
    from internvideo.errors import ConfigError

    found = _json_of(path, _text_of(path))
    if not isinstance(found, list) or not all(type(row) is int for row in found):
        raise ConfigError(f"{path}: is no list of row numbers; write it as [3, 0, 7]")
    return found


def _text_of(path: Path) -> str:
    from internvideo.errors import ConfigError
    from internvideo.reading import read_document_text

    try:
        return read_document_text(path)
    except ValueError as error:
        raise ConfigError(f"{path}: cannot be read as text ({error})") from error


def _json_of(path: Path, text: str) -> Any:
    from internvideo.errors import ConfigError
    from internvideo.reading import parse_json

    try:
        return parse_json(text)
    except ValueError as error:
        raise ConfigError(f"{path}: is no JSON ({error})") from error


def _row(entry: TensorReport) -> dict[str, Any]:
    return {
        "how": entry.how,
        "name": entry.name,
        "shape": entry.shape,
        "from": entry.sources,
        "from_shape": entry.source_shape,
        "reason": entry.reason,
    }


def _print_table(imported: Imported) -> None:
    """One line a tensor: what happened, its name and shape here, and those in the file."""
    width = max(len(entry.name or "-") for entry in imported.tensors)
    for entry in imported.tensors:
        shape = "" if entry.shape is None else "x".join(map(str, entry.shape)) or "scalar"
        was = ""
        if entry.source_shape not in (None, entry.shape):
            was = f" ({'x'.join(map(str, entry.source_shape or ()))})"
        source = " + ".join(entry.sources) + was if entry.sources else ""
        reason = f": {entry.reason}" if entry.reason else ""
        print(f"{entry.how:<9} {entry.name or '-':<{width}}  {shape:<18} {source}{reason}".rstrip())
