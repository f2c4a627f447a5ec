"""Whether a model or data are of the generated playground, which says nothing of real videos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from internvideo.reading import read_json_document


def saw_generated_videos(source: str | Path) -> bool:
    """Whether a run says that it was trained on the playground."""
    folder = Path(source)
    last = folder / "checkpoints" / "last"
    run = _config(last if last.exists() else folder).get("run")
    if not isinstance(run, dict):
        return False
    if "playground" in str(run.get("name", "")):
        return True
    return any(is_playground(folder) for folder in _folders_of(run))


def is_playground(path: Path) -> bool:
    """Whether a folder, or that of a file, was generated."""
    return any((folder / "playground.json").is_file() for folder in (path, path.parent))


def _config(folder: Path) -> dict[str, Any]:
    """What config.json says in a folder; nothing where there is none."""
    try:
        found = read_json_document(folder / "config.json")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _folders_of(document: Any) -> list[Path]:
    """Folders that the sources of a run's data lie in."""
    if isinstance(document, dict):
        here = [Path(document[k]) for k in ("source", "root") if isinstance(document.get(k), str)]
        nested = [folder for value in document.values() for folder in _folders_of(value)]
        return [*here, *nested]
    if isinstance(document, list):
        return [folder for value in document for folder in _folders_of(value)]
    return []
