"""Weights by name: fetched once from where they were published, and kept as a saved model.

    <cache>/files/<name>/...    what was downloaded, or was put there by hand
    <cache>/models/<name>/      the same, imported

`<cache>` is `INTERNVIDEO_CACHE`, or `.cache/internvideo` in the user's home. Files of the hub come
through `huggingface_hub`, which keeps its own cache and goes on where a download was cut.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from internvideo.errors import CheckpointError, ConfigError
from internvideo.hub.importing import Imported, ImportOptions, import_weights
from internvideo.hub.pretrained import Pretrained, read_saved_model, save_pretrained
from internvideo.weights import Release, release


def from_pretrained(name: str) -> Pretrained:
    """Open released weights by a name of `RELEASES`; the first time they are fetched and imported.

    Raises:
        ConfigError: There is no release of this name.
        CheckpointError: The file cannot be fetched (it says what to put where), or is not the one.
    """
    kept = cache_folder() / "models" / name
    if not kept.is_dir():
        save_pretrained(import_release(name).pretrained, kept)
    return read_saved_model(kept)


def import_release(name: str, source: Path | None = None, **options: Any) -> Imported:
    """Import released weights, from a file at hand or fetched, and check that they are those.

    Args:
        name: Of `RELEASES`.
        source: The file or folder, where it has been downloaded already.
        options: Further fields of `ImportOptions`.
    """
    known = release(name)
    source = source or fetch(name)
    expected = ImportOptions(
        family=known.family,
        size=known.size,
        sha256=known.sha256,
        num_frames=known.num_frames,
        side_px=known.side_px,
        preprocessing={} if known.sampling is None else {"sampling": known.sampling},
    )
    imported = import_weights(source, replace(expected, **options))
    stated = {
        "name": name,
        "source": known.source,
        "license": known.license,
        "labels": known.labels,
    }
    stated = {key: value for key, value in stated.items() if value is not None}
    provenance = {**imported.pretrained.provenance, **stated}
    return replace(imported, pretrained=replace(imported.pretrained, provenance=provenance))


def fetch(name: str) -> Path:
    """Give the file of a release, or the folder; what lies in the cache is taken from there."""
    known = release(name)
    folder = cache_folder() / "files" / name
    if folder.is_dir():
        return folder / known.file_name if known.file or known.url else folder
    if known.repo is None:
        raise CheckpointError(f"{name}: is not on the hub; {_by_hand(known, folder)}")
    try:
        import huggingface_hub
    except ImportError as error:
        raise CheckpointError(
            f"{name}: downloading needs the package 'huggingface_hub': pip install "
            f"huggingface_hub; or {_by_hand(known, folder)}"
        ) from error
    try:
        if known.file is None:
            patterns = ["*.json", "*.safetensors"]
            return Path(huggingface_hub.snapshot_download(known.repo, allow_patterns=patterns))
        return Path(huggingface_hub.hf_hub_download(known.repo, known.file))
    except (OSError, ValueError, RuntimeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise CheckpointError(
            f"{name}: cannot be downloaded ({reason}); {_by_hand(known, folder)}"
        ) from error


def cache_folder() -> Path:
    """Where weights are kept."""
    named = os.environ.get("INTERNVIDEO_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "internvideo"
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"INTERNVIDEO_CACHE is {folder}, which is no folder")
    return folder


def _by_hand(known: Release, folder: Path) -> str:
    return f"fetch {known.source} and put it into {folder}"
