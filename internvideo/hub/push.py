"""Put a model on the Hugging Face hub, as `save_pretrained` writes it, with a card."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.errors import ConfigError
from internvideo.hub.card import model_card
from internvideo.hub.open import load_pretrained
from internvideo.hub.pretrained import Pretrained, save_pretrained, to_json

CARD = "README.md"


def card_of(pretrained: Pretrained, name: str) -> str:
    """Write the model card of an opened model; see `model_card`."""
    return model_card(
        name=name,
        kind=pretrained.kind,
        num_parameters=sum(one.numel() for one in pretrained.model.parameters()),
        preprocessing=to_json(pretrained.preprocessing),
        classes=pretrained.classes,
        provenance=pretrained.provenance,
    )


@dataclass(frozen=True, kw_only=True)
class Upload:
    """What one commit will hold: every file of a folder, and the repository it goes to."""

    folder: Path
    repo_id: str
    private: bool

    def lines(self) -> list[str]:
        """Say what goes where."""
        seen_by = "by its owner alone" if self.private else "by everybody"
        files = sorted(path for path in self.folder.iterdir() if path.is_file())
        return [
            f"to {self.repo_id}, which is seen {seen_by} if it is new:",
            *(f"  {path.name}  {path.stat().st_size:,} bytes" for path in files),
        ]

    def send(self, api: Any, *, message: str) -> str:
        """Make the repository where it is not there, commit, and return the commit's address."""
        api.create_repo(self.repo_id, private=self.private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=self.repo_id, folder_path=self.folder, commit_message=message
        )
        return str(commit.commit_url)


@contextmanager
def prepared_upload(
    folder: str | Path, repo_id: str, *, private: bool = False, averaged: bool = False
) -> Iterator[Upload]:
    """Write the files of an upload into a temporary folder; arguments as of `push_to_hub`."""
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise ConfigError(f"{repo_id!r} is not the name of a repository; write it as owner/name")
    folder = Path(folder)
    pretrained = load_pretrained(folder, averaged=averaged)
    card, own = card_of(pretrained, repo_id), folder / CARD
    if own.exists() and (text := own.read_text("utf-8")) != card_of(pretrained, folder.name):
        card = text
    with tempfile.TemporaryDirectory() as beside:
        saved = save_pretrained(pretrained, Path(beside) / "model")
        (saved / CARD).write_text(card, "utf-8")
        yield Upload(folder=saved, repo_id=repo_id, private=private)


def push_to_hub(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool = False,
    averaged: bool = False,
    message: str = "Upload model",
    api: Any = None,
) -> str:
    """Upload a model in one commit, and return the address of it.

    The model is opened first, so that nothing incomplete is uploaded. A card that was changed by
    hand is kept; else one is written. Optimiser states and further files of a run stay here.

    Args:
        folder: A saved model, a run, or a checkpoint.
        repo_id: `owner/name`; made if it does not exist.
        private: Whether a repository made now is seen by its owner alone.
        averaged: Take the moving average of the weights, where a run kept one.
        message: Of the commit.
        api: A `huggingface_hub.HfApi`, or what acts like it; None: one that is logged in as the
            machine is (`hf auth login`).
    """
    with prepared_upload(folder, repo_id, private=private, averaged=averaged) as upload:
        return upload.send(api or hub_api(), message=message)


def hub_api() -> Any:
    """The client of the hub, logged in as the machine is.

    Raises:
        ConfigError: If its package is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(
            "the hub needs the package 'huggingface_hub', which is not installed: "
            "pip install huggingface_hub"
        ) from error
    return HfApi()
