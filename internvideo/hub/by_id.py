"""Models of the Hugging Face hub by their id, `owner/name`, wherever a model is asked for.

What would be fetched is said first: facts of the model (JSON), and its weights as safetensors, else
as pickles, which are read as any other file of weights. It is imported once and kept.

    <cache>/files/<owner>/<name>/     what was put there by hand, where there is no network
    <cache>/models/<owner>/<name>/    the model, imported
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.errors import CheckpointError
from internvideo.hub.importing import import_weights
from internvideo.hub.pretrained import (
    Pretrained,
    is_saved_model,
    read_saved_model,
    save_pretrained,
)
from internvideo.hub.released import cache_folder

_log = logging.getLogger(__name__)

_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")
# What is not of the hub but a file that is not there.
_OF_FILES = (".bin", ".ckpt", ".json", ".onnx", ".pt", ".pt2", ".pth", ".pyth", ".safetensors")
_WEIGHTS = ((".safetensors",), (".bin", ".pt", ".pth"))


def is_hub_id(source: str | Path) -> bool:
    """Whether this may be `owner/name` on the hub: nothing of that name is here."""
    text, path = str(source), Path(source)
    may_be = _ID.fullmatch(text) is not None and path.suffix.lower() not in _OF_FILES
    return may_be and not path.exists() and not path.parent.exists()


def load_from_hub(name: str) -> Pretrained:
    """Open a model of the hub; the first time it is fetched and imported.

    Raises:
        CheckpointError: It cannot be fetched (it says what to put where), or is none that we know.
    """
    kept = cache_folder() / "models" / name
    if not kept.is_dir():
        folder = fetch_from_hub(name)
        found = (
            read_saved_model(folder)
            if is_saved_model(folder)
            else import_weights(folder).pretrained
        )
        save_pretrained(found, kept)
    return read_saved_model(kept)


@dataclass(frozen=True, kw_only=True, slots=True)
class HubModel:
    """What the hub says of a model: bytes of the files that would be fetched, and its license."""

    files: dict[str, int]
    license: str | None


def about_hub_model(name: str) -> HubModel:
    """Ask the hub what a model is, and fetch nothing.

    Raises:
        CheckpointError: The hub cannot be asked, has no such model, or that has no weights.
    """
    try:
        import huggingface_hub
    except ImportError as error:
        raise CheckpointError(
            f"{name}: is no file or folder; a model of the hub needs the package "
            f"'huggingface_hub': pip install huggingface_hub; or {_by_hand(name)}"
        ) from error
    try:
        said = huggingface_hub.HfApi().model_info(name, files_metadata=True)
    except Exception as error:  # each version raises those of its network library
        raise _unreachable(name, error) from error
    files = _wanted(said.siblings)
    if not files:
        raise CheckpointError(
            f"{name}: on the hub it has no weights ({' or '.join(sum(_WEIGHTS, ()))})"
        )
    return HubModel(files=files, license=getattr(said.card_data, "license", None))


def fetch_from_hub(name: str) -> Path:
    """Give the folder of a model of the hub, or its only file of weights where that has a name of
    its own; what lies in the cache is taken from there."""
    kept = cache_folder() / "files" / name
    if kept.is_dir():
        return _only_weights(kept)
    wanted = about_hub_model(name).files
    import huggingface_hub

    size = f"{sum(wanted.values()) / 1e6:.1f} MB"
    _log.info("fetching %d files, %s, of %s from the hub", len(wanted), size, name)
    try:
        return _only_weights(
            Path(huggingface_hub.snapshot_download(name, allow_patterns=list(wanted)))
        )
    except Exception as error:  # each version raises those of its network library
        raise _unreachable(name, error) from error


def _unreachable(name: str, error: Exception) -> CheckpointError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return CheckpointError(
        f"{name}: is no file or folder, and cannot be had from the Hugging Face hub ({reason})"
        f"; check the path, or {_by_hand(name)}"
    )


def _by_hand(name: str) -> str:
    folder = cache_folder() / "files" / name
    return f"fetch its files from https://huggingface.co/{name} into {folder}"


def _only_weights(folder: Path) -> Path:
    suffixes = tuple(suffix for group in _WEIGHTS for suffix in group)
    files = [file for file in folder.iterdir() if file.name.endswith(suffixes)]
    is_usual = len(files) != 1 or files[0].stem in ("model", "pytorch_model")
    return folder if is_usual else files[0]


def _wanted(files: Any) -> dict[str, int]:
    """Names and bytes of the files to fetch, of those right in the repository; none without
    weights."""
    here = {file.rfilename: file.size or 0 for file in files or () if "/" not in file.rfilename}
    for suffixes in _WEIGHTS:
        weights = {name: size for name, size in here.items() if name.endswith(suffixes)}
        if weights:
            return {k: v for k, v in here.items() if k.endswith(".json")} | weights
    return {}
