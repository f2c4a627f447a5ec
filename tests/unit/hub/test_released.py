"""Released weights by name: a table that can be trusted, and files that are the published ones."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from pydantic import TypeAdapter
from safetensors.torch import save_file

from internvideo.api import load
from internvideo.cli import main
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import from_pretrained, import_release, is_hub_id, load_pretrained
from internvideo.models import ENCODERS, JOINT_ENCODERS, UNIFORMERS, MaskedEncoderConfig
from internvideo.weights import FAMILIES, RELEASES, Release, to_official_classifier

CONFIG = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(width=64, depth=1, num_heads=1, final_norm=False), num_classes=3
)
TINY = Release(
    family="videomae",
    size="width 64, depth 1",
    task="recognition",
    repo="someone/weights",
    file="tiny/mae.pth",
    license="MIT",
    num_frames=8,
    sampling="segments",
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and a release of a tiny model."""
    monkeypatch.setenv("INTERNVIDEO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(RELEASES, "tiny", TINY)
    return tmp_path / "cache"


@pytest.fixture
def published(tmp_path):
    """The file that was published."""
    torch.manual_seed(0)
    path = tmp_path / "hub" / "mae.pth"
    path.parent.mkdir()
    torch.save({"model": to_official_classifier(VideoClassifier(CONFIG).state_dict())}, path)
    return path


@pytest.mark.parametrize("name", RELEASES)
def test_a_release_says_what_it_is_and_where(name: str):
    known = RELEASES[name]

    assert TypeAdapter(Release).validate_python(asdict(known)) == known
    assert known.family in FAMILIES
    assert known.size in ENCODERS.keys() | UNIFORMERS.keys() | JOINT_ENCODERS.keys()
    assert sum(way is not None for way in (known.repo, known.url, known.page)) == 1
    assert known.source.startswith("https://") or "on request: https://" in known.source
    assert known.sha256 is None or re.fullmatch("[0-9a-f]{64}", known.sha256)


def test_hashes_of_clip_are_those_of_their_addresses():
    clips = [known for known in RELEASES.values() if known.family == "openai-clip"]

    assert clips
    assert all(known.sha256 == known.url.split("/")[-2] for known in clips)


def test_no_two_releases_are_the_same_file():
    sources = [known.source for known in RELEASES.values()]

    assert len(set(sources)) == len(sources)


def test_a_release_is_fetched_once_and_kept_as_a_saved_model(cache, published, monkeypatch):
    asked = []
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    monkeypatch.setattr(hub, "hf_hub_download", lambda *a: asked.append(a) or str(published))

    first, second = from_pretrained("tiny"), load_pretrained("tiny")

    assert asked == [("someone/weights", "tiny/mae.pth")]
    assert (cache / "models" / "tiny" / "model.safetensors").is_file()
    torch.testing.assert_close(first.model.state_dict(), second.model.state_dict())
    seen = second.preprocessing
    assert (seen.num_frames, seen.sampling) == (8, "segments")
    assert second.config.encoder.positions_from == (16, 224)
    assert second.provenance["license"] == "MIT"
    assert second.provenance["name"] == "tiny"


def test_a_file_put_into_the_cache_needs_no_network(cache, published):
    placed = cache / "files" / "tiny"
    placed.mkdir(parents=True)
    published.rename(placed / "mae.pth")

    assert from_pretrained("tiny").config.num_classes == 3


def test_without_a_network_it_says_what_to_fetch_and_where_to_put_it(cache, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

    def fail(*_):
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "hf_hub_download", fail)

    with pytest.raises(CheckpointError) as error:
        from_pretrained("tiny")
    assert str(error.value) == (
        "tiny: cannot be downloaded (no route to host); fetch "
        "https://huggingface.co/someone/weights/resolve/main/tiny/mae.pth and put it into "
        f"{cache / 'files' / 'tiny'}"
    )
    assert not cache.exists()


@pytest.fixture
def on_hub(tmp_path, monkeypatch):
    """A model on the hub, as folders of `transformers` lie there; gives what was asked for."""
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")
    folder, asked = tmp_path / "snapshot", []
    folder.mkdir()
    save_file(
        to_official_classifier(VideoClassifier(CONFIG).state_dict()), folder / "a.safetensors"
    )
    (folder / "config.json").write_text("{}")
    sizes = {"config.json": 2, "a.safetensors": 2_500_000, "a.bin": 9, "x/b.safetensors": 9}
    found = SimpleNamespace(
        siblings=[SimpleNamespace(rfilename=k, size=v) for k, v in sizes.items()],
        card_data=SimpleNamespace(license="mit"),
    )

    def download(name, *, allow_patterns):
        asked.append((name, sorted(allow_patterns)))
        return str(folder)

    monkeypatch.setattr(hub.HfApi, "model_info", lambda self, name, files_metadata: found)
    monkeypatch.setattr(hub, "snapshot_download", download)
    return asked


def test_a_model_of_the_hub_is_fetched_once_and_what_is_fetched_is_said(cache, on_hub, caplog):
    with caplog.at_level("INFO"):
        first, second = load_pretrained("someone/tiny"), load_pretrained("someone/tiny")

    assert on_hub == [("someone/tiny", ["a.safetensors", "config.json"])]
    assert "fetching 2 files, 2.5 MB, of someone/tiny from the hub" in caplog.text
    torch.testing.assert_close(first.model.state_dict(), second.model.state_dict())


def test_a_model_of_the_hub_is_shown_without_being_fetched(cache, on_hub, capsys):
    assert main(["weights", "show", "someone/tiny", "--json"]) == 0

    assert not on_hub
    assert json.loads(capsys.readouterr().out) == {
        "name": "someone/tiny",
        "source": "https://huggingface.co/someone/tiny",
        "license": "mit",
        "files": {"config.json": 2, "a.safetensors": 2_500_000},
        "size_mb": 2.5,
    }


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (["a", "b"], r"found list \['a', 'b'\]; open several one by one"),
        (None, "found NoneType None"),
        (b"a", "found bytes b'a'"),
        ("", "is empty"),
        ("http://127.0.0.1:1/owner/name", "is an address"),
        (Path("https://huggingface.co/owner/name"), "is an address"),
        ("hf://owner/name", "is an address"),
    ],
)
def test_what_names_no_model_is_one_line(source, said, cache):
    with pytest.raises(ConfigError, match=said):
        load(source)


def test_a_model_of_the_hub_needs_no_network_where_its_files_are_at_hand(cache, on_hub, published):
    placed = cache / "files" / "someone" / "tiny"
    placed.mkdir(parents=True)
    published.rename(placed / "pytorch_model.bin")

    assert load_pretrained("someone/tiny").config.num_classes == 3
    assert not on_hub


def test_without_a_network_a_path_that_is_not_there_is_one_line(cache, monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

    class Unreachable(Exception):
        pass

    def fail(*_, **__):
        raise Unreachable("Name or service not known\nand more")

    monkeypatch.setattr(hub.HfApi, "model_info", fail)

    with pytest.raises(CheckpointError) as error:
        load_pretrained("rnus/b")
    assert str(error.value) == (
        "rnus/b: is no file or folder, and cannot be had from the Hugging Face hub (Name or "
        "service not known); check the path, or fetch its files from "
        f"https://huggingface.co/rnus/b into {cache / 'files' / 'rnus' / 'b'}"
    )


def test_what_is_a_path_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()

    names = ("runs/b", "some/weights.pth", "a/b/c", "/a/b", "../b", "b", "./b", "owner/name")

    assert [name for name in names if is_hub_id(name)] == ["owner/name"]


def test_without_the_extra_it_says_what_to_install(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)

    with pytest.raises(CheckpointError, match="pip install huggingface_hub; or fetch https"):
        from_pretrained("tiny")


def test_what_is_not_on_the_hub_says_where_it_is(cache):
    with pytest.raises(CheckpointError, match=r"is not on the hub; fetch https.*ViT-B-16\.pt and"):
        from_pretrained("clip-base-16")
    with pytest.raises(CheckpointError, match=r"fetch vit_g.*, on request: https://github"):
        from_pretrained("videomae-v2-giant-k710")


def test_another_file_than_the_published_one_is_refused_and_nothing_kept(
    cache, published, monkeypatch
):
    right = hashlib.sha256(published.read_bytes()).hexdigest()
    monkeypatch.setitem(RELEASES, "tiny", replace(TINY, sha256="0" * 64))

    with pytest.raises(CheckpointError, match=f"sha256 is {right}, published is 0000"):
        import_release("tiny", published)
    assert not cache.exists()


def test_a_copy_of_another_size_is_refused(cache, published, monkeypatch):
    monkeypatch.setitem(RELEASES, "tiny", replace(TINY, size="base"))

    with pytest.raises(CheckpointError, match="of size 'width 64, depth 1', not 'base'"):
        import_release("tiny", published)


def test_an_unknown_name_is_answered_with_the_nearest(cache):
    with pytest.raises(ConfigError, match="did you mean 'clip-base-16'"):
        load_pretrained("clip-bas-16")


def test_a_file_is_opened_in_passing(published):
    assert load_pretrained(published).kind == "video-classifier"
