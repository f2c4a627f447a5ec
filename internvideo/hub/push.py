"""Put a model on the Hugging Face hub, as `save_pretrained` writes it, with a card."""

from __future__ import annotations

import re
import tempfile
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
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repo_id):
        raise ConfigError(f"{repo_id!r} is not the name of a repository; write it as owner/name")
    api = api or _api()
    folder = Path(folder)
    pretrained = load_pretrained(folder, averaged=averaged)
    card, own = card_of(pretrained, repo_id), folder / CARD
    if own.exists() and (text := own.read_text("utf-8")) != card_of(pretrained, folder.name):
        card = text
    with tempfile.TemporaryDirectory() as beside:
        saved = save_pretrained(pretrained, Path(beside) / "model")
        (saved / CARD).write_text(card, "utf-8")
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(repo_id=repo_id, folder_path=saved, commit_message=message)
    return str(commit.commit_url)


def _api() -> Any:
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ConfigError(
            "the hub needs the package 'huggingface_hub', which is not installed: "
            "pip install huggingface_hub"
        ) from error
    return HfApi()
