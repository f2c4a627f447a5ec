"""Uploading: one commit of a complete folder, with a card; nothing here reaches a network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from internvideo.errors import CheckpointError, ConfigError
from internvideo.hub import Preprocessing, Pretrained, push_to_hub, save_pretrained
from internvideo.hub.pretrained import build_model
from internvideo.hub.push import card_of
from internvideo.models import MaskedEncoderConfig


@dataclass
class Hub:
    """Notes what an `HfApi` was asked, and what lay in the folder then."""

    made: dict[str, object] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> None:
        self.made = {"repo_id": repo_id, "private": private, "exist_ok": exist_ok}

    def upload_folder(self, *, repo_id: str, folder_path: Path, commit_message: str) -> object:
        self.files = {path.name: path.read_bytes() for path in folder_path.iterdir()}
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}/commit/1")

    @property
    def card(self) -> str:
        return self.files["README.md"].decode()


@pytest.fixture
def pretrained() -> Pretrained:
    config = MaskedEncoderConfig(num_frames=2, side_px=16, width=16, depth=1, num_heads=2)
    return Pretrained(
        model=build_model("masked-encoder", config),
        kind="masked-encoder",
        config=config,
        preprocessing=Preprocessing(num_frames=2, side_px=16),
        provenance={"license": "mit"},
    )


@pytest.fixture
def folder(pretrained, tmp_path) -> Path:
    return save_pretrained(pretrained, tmp_path / "model")


def test_a_saved_model_is_uploaded_as_it_is_with_a_card(folder, pretrained):
    hub = Hub()

    address = push_to_hub(folder, "me/encoder", private=True, api=hub)

    assert address == "https://hub/me/encoder/commit/1"
    assert hub.made == {"repo_id": "me/encoder", "private": True, "exist_ok": True}
    assert hub.card == card_of(pretrained, "me/encoder")
    assert hub.files["model.safetensors"] == (folder / "model.safetensors").read_bytes()
    assert set(hub.files) >= {"config.json", "provenance.json"}


def test_a_card_written_by_hand_is_kept(folder):
    (folder / "README.md").write_text("by hand")
    hub = Hub()

    push_to_hub(folder, "me/encoder", api=hub)

    assert hub.card == "by hand"


def test_a_card_written_for_the_folder_gets_the_name_of_the_repository(folder, pretrained):
    (folder / "README.md").write_text(card_of(pretrained, folder.name))
    hub = Hub()

    push_to_hub(folder, "me/encoder", api=hub)

    assert hub.card == card_of(pretrained, "me/encoder")


def test_a_damaged_model_is_not_uploaded(folder):
    (folder / "model.safetensors").write_bytes(b"cut")
    hub = Hub()

    with pytest.raises(CheckpointError, match="damaged"):
        push_to_hub(folder, "me/encoder", api=hub)

    assert not hub.made


@pytest.mark.parametrize("name", ["encoder", "me/", "https://hub/me/encoder"])
def test_a_repository_has_an_owner_and_a_name(folder, name):
    with pytest.raises(ConfigError, match="owner/name"):
        push_to_hub(folder, name, api=Hub())


def test_without_the_extra_the_command_that_installs_it_is_named(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)

    with pytest.raises(ConfigError, match="pip install huggingface_hub"):
        push_to_hub(folder, "me/encoder")
