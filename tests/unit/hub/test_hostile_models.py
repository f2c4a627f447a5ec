"""Weights and models that claim more than they hold, or hold what no weight is, are refused."""

from __future__ import annotations

import json
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from internvideo.errors import CheckpointError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub import (
    Preprocessing,
    Pretrained,
    import_weights,
    load_pretrained,
    save_pretrained,
)
from internvideo.hub.pretrained import KINDS, build_empty, build_model
from internvideo.models import MaskedEncoderConfig
from internvideo.recipes import RECIPES
from internvideo.weights import read_document, sha256_of, to_official_classifier

CONFIG = VideoClassifierConfig(
    encoder=MaskedEncoderConfig(
        num_frames=4, side_px=16, width=16, depth=1, num_heads=2, final_norm=False
    ),
    num_classes=2,
)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return to_official_classifier(VideoClassifier(CONFIG).state_dict())


@pytest.fixture
def saved(tmp_path) -> Path:
    model = Pretrained(
        model=VideoClassifier(CONFIG),
        kind="video-classifier",
        config=CONFIG,
        preprocessing=Preprocessing(num_frames=4, side_px=16),
        classes=("run", "walk"),
    )
    return save_pretrained(model, tmp_path / "saved")


def _refused(path: Path, match: str, read=read_document) -> None:
    with pytest.raises(CheckpointError, match=match) as raised:
        read(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("read", [read_document, import_weights, sha256_of, load_pretrained])
def test_a_pipe_is_not_waited_for(read, tmp_path):
    os.mkfifo(tmp_path / "a.pt")

    _refused(tmp_path / "a.pt", "is a pipe, socket or device|no model.safetensors there", read)


@pytest.mark.parametrize("scripted", [False, True])
def test_an_archive_that_inflates_to_many_times_its_size_is_refused(scripted, tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb/data.pkl", pickle.dumps({}))
        archive.writestr("bomb/data/0", bytes(300 << 20))
        if scripted:
            archive.writestr("bomb/code/__torch__.py", "")
    assert path.stat().st_size < 1 << 20

    _refused(path, "inflates to 3145728.. bytes, expected at most")


def test_a_pickle_of_endless_lists_is_not_read_to_its_end(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"\x80\x02" + b"(" * 400_000 + b".")

    _refused(tmp_path / "a.pt", "operations or open lists")


def test_a_stride_of_zero_is_no_tensor_of_gigabytes(state, tmp_path):
    state["head.weight"] = torch.zeros(1).expand(100_000_000, 16)
    torch.save(state, tmp_path / "a.pt")

    _refused(tmp_path / "a.pt", r"^\S+a\.pt: its tensors claim .* fill the memory$")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda v: v.long(), "the weights are torch.int64, the model needs torch.float32"),
        (lambda v: v.to(torch.complex64), "the weights are torch.complex64"),
        (lambda v: v > 0, "the weights are torch.bool"),
        (lambda v: v * float("nan"), "2 of its 2 weights are not finite"),
        (lambda v: v + float("inf"), "2 of its 2 weights are not finite"),
        (lambda v: v[None, None], r"shape \(1, 1, 2\), the model needs \(2,\)"),
        (lambda v: v[:0], r"shape \(0,\)"),
    ],
)
def test_numbers_that_are_no_weights_are_refused(state, change, match, tmp_path):
    state["head.bias"] = change(state["head.bias"])
    torch.save(state, tmp_path / "a.pt")

    _refused(tmp_path / "a.pt", match, import_weights)


def test_tensors_without_values_or_of_another_layout_are_refused(state, tmp_path):
    torch.save({**state, "head.bias": torch.zeros(2, device="meta")}, tmp_path / "meta.pt")
    torch.save({**state, "head.bias": torch.zeros(2).to_sparse()}, tmp_path / "sparse.pt")

    for name in ("meta.pt", "sparse.pt"):
        _refused(tmp_path / name, "head.bias is a tensor of another kind")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"width": 2**40}, "encoder.width is 1099511627776, expected at most 65536"),
        ({"width": 4096, "num_heads": 64}, "weights and config.json disagree"),
        ({"depth": 10**6}, "encoder.depth is 1000000, expected at most 1024"),
        ({"depth": 900}, "weights and config.json disagree: .* tensors are missing"),
        ({"num_frames": 10**9}, "num_frames is 1000000000, expected at most 65536"),
        ({"num_frames": 4096, "side_px": 4096}, "tokens, more than 1048576"),
        ({"mlp_ratio": float("nan")}, "is no VideoClassifierConfig|is nan"),
        ({"norm_eps": -1.0}, "encoder.norm_eps is -1.0"),
        ({"drop_path": float("inf")}, "is inf|is no VideoClassifierConfig"),
    ],
)
def test_a_config_that_claims_more_than_the_weights_takes_no_memory(saved, change, match):
    document = json.loads((saved / "config.json").read_text())
    document["config"]["encoder"] |= change
    (saved / "config.json").write_text(json.dumps(document))

    _refused(saved, match, load_pretrained)


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("config.json", "[" * 200_000, "config.json: is no JSON .nested too deeply|names no kind"),
        ("config.json", '{"kind": [], "config": {}}', r"unknown kind of model '\[\]'"),
        ("config.json", "[]", "config.json: expected an object, found ..$"),
        ("labels.json", '"ab"', "labels.json: expected a list of class names, found 'ab'"),
        ("labels.json", "[1, 2]", "expected a list of class names"),
        ("labels.json", "[" + "9" * 5000 + "]", "labels.json: is no JSON"),
        ("tokenizer.json", "{}1", "tokenizer.json: is no JSON"),
        ("tokenizer.json", '{"merges": 3}', "tokenizer.json: is no tokenizer"),
        ("provenance.json", "\xff", "provenance.json: is no JSON"),
    ],
)
def test_documents_of_a_saved_model_are_checked(saved, name, text, match):
    (saved / name).write_text(text, encoding="latin-1")

    _refused(saved, match, load_pretrained)


def test_an_index_of_weights_stays_in_its_folder(tmp_path):
    for names in (["../secret.safetensors"], []):
        index = {"weight_map": dict(enumerate(names))}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        _refused(tmp_path, "index.json: names", import_weights)
    (tmp_path / "model.safetensors.index.json").write_text("[]")
    _refused(tmp_path, "is no index of weights", import_weights)


def test_weights_that_hold_nan_are_not_opened(saved):
    state = VideoClassifier(CONFIG).state_dict()
    state["head.bias"][0] = float("nan")
    save_file(state, saved / "model.safetensors")

    _refused(saved, "head.bias holds NaN", load_pretrained)


def test_a_folder_of_runs_names_them(saved):
    _refused(saved.parent, r"is no model but holds 1: .*saved; name one", load_pretrained)


def test_every_published_model_has_shapes_before_it_has_values():
    seen = set()
    for make in RECIPES.values():
        stage = make().stage
        seen.add(stage.model_kind)
        empty = build_empty(stage.model_kind, stage.model_config, 0)
        assert all(value.is_meta for value in empty.state_dict().values())
    assert seen < KINDS.keys() and len(seen) > 3
    small = build_model("video-classifier", CONFIG)
    shapes = {name: value.shape for name, value in small.state_dict().items()}
    empty = build_empty("video-classifier", CONFIG, 0)
    assert {name: value.shape for name, value in empty.state_dict().items()} == shapes
