"""Reading weights that others wrote: tensors or a clear error, and nothing is executed."""

from __future__ import annotations

import argparse
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from internvideo.errors import CheckpointError
from internvideo.weights import check_sha256, find_weights, read_document, read_weights, sha256_of

STATE = {"layer.weight": torch.arange(6.0).view(2, 3)}


class Malicious:
    """Touches a file when it is unpickled by anything that calls what a pickle asks for."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


class Scripted(nn.Module):
    """A module as TorchScript archives hold it: nested, in two precisions, with a number."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.projection = nn.Parameter(torch.randn(4, 2).half())
        self.register_buffer("context_length", torch.tensor(77))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.tower(values)


def test_a_state_dict_is_read_from_each_kind_of_file(tmp_path):
    torch.save(STATE, tmp_path / "plain.pt")
    torch.save(STATE, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "wrapped.ckpt")
    save_file(STATE, tmp_path / "safe.bin")  # the content counts and not the name

    for name in ("plain.pt", "old.pt", "wrapped.ckpt", "safe.bin"):
        assert torch.equal(read_weights(tmp_path / name)["layer.weight"], STATE["layer.weight"])


def test_options_and_numbers_beside_the_weights_are_read(tmp_path):
    args = argparse.Namespace(lr=0.1, data="k400")
    torch.save({"model": STATE, "args": args, "best": np.float64(81.5)}, tmp_path / "mae.pth")

    found = read_document(tmp_path / "mae.pth")

    assert torch.equal(found["model"]["layer.weight"], STATE["layer.weight"])


def test_a_torchscript_archive_gives_its_state_dict(tmp_path):
    module = Scripted().eval()
    torch.jit.script(module).save(tmp_path / "script.pt")

    found = read_weights(tmp_path / "script.pt")

    torch.testing.assert_close(found, dict(module.state_dict()))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("page.pth", "is a web page"),
        ("page.safetensors", "is a web page"),
        ("empty.pth", "is empty"),
        ("folder", "Is a directory"),
        ("pointer.bin", "is a Git LFS pointer"),
        ("cut.pth", "is cut short"),
        ("cut.safetensors", "is cut short"),
        ("noise.pth", "is no checkpoint"),
        ("missing.pth", "No such file"),
        ("list.pt", "holds no state dict but a list"),
        ("notes.pth", "is text .it starts with 'weights go here'."),
    ],
)
def test_a_file_without_weights_is_named_and_said_why(tmp_path, name: str, message: str):
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    (tmp_path / "page.safetensors").write_text("<!doctype html><p>not found")
    (tmp_path / "empty.pth").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:")
    (tmp_path / "notes.pth").write_text("weights go here\n")
    (tmp_path / "noise.pth").write_bytes(b"\x07noise" * 50)
    torch.save(STATE, tmp_path / "whole.pth")
    save_file(STATE, tmp_path / "whole.safetensors")
    for suffix in (".pth", ".safetensors"):
        content = (tmp_path / f"whole{suffix}").read_bytes()
        (tmp_path / f"cut{suffix}").write_bytes(content[:-8])
    torch.save([1, 2], tmp_path / "list.pt")

    refused = f"{name}: cannot be read as weights: .*{message}"
    with pytest.raises(CheckpointError, match=refused) as error:
        read_weights(tmp_path / name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("form", ["zip", "older", "pickle", "scripted"])
def test_a_pickle_that_runs_a_command_is_refused_and_runs_nothing(tmp_path, form: str):
    proof, path = tmp_path / "proof", tmp_path / "bad.pth"
    bad = {"weight": Malicious(proof)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(bad, protocol=2))
    elif form == "scripted":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("bad/data.pkl", pickle.dumps(bad))
            archive.writestr("bad/code/__torch__.py", "")
    else:
        torch.save(bad, path, _use_new_zipfile_serialization=form == "zip")

    with pytest.raises(CheckpointError, match=r"asks for \w+\.system.*nothing was executed"):
        read_weights(path)
    assert not proof.exists()
    pickle.load(io.BytesIO(pickle.dumps(bad)))  # the same thing, opened without care
    assert proof.exists()


def test_a_pickle_of_today_is_refused_without_advice_to_trust_it(tmp_path):
    proof, path = tmp_path / "proof", tmp_path / "bad.pth"
    path.write_bytes(pickle.dumps({"weight": Malicious(proof)}))

    with pytest.raises(CheckpointError, match=r"is no checkpoint.*nothing was executed") as error:
        read_weights(path)

    assert "weights_only" not in str(error.value)
    assert not proof.exists()


def test_a_tensor_outside_its_storage_is_refused(tmp_path):
    torch.jit.script(Scripted()).save(tmp_path / "whole.pt")
    with (
        zipfile.ZipFile(tmp_path / "whole.pt") as whole,
        zipfile.ZipFile(tmp_path / "cut.pt", "w") as cut,
    ):
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[:8] if "/data/" in name else content)

    with pytest.raises(CheckpointError, match="lies outside its storage"):
        read_weights(tmp_path / "cut.pt")


def test_other_contents_are_no_state_dict(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")

    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_weights(tmp_path / "numbers.pt")


def test_folders_say_which_files_hold_their_weights(tmp_path):
    deep = tmp_path / "deepspeed" / "checkpoint-9"
    deep.mkdir(parents=True)
    (deep / "mp_rank_00_model_states.pt").touch()
    (tmp_path / "deepspeed" / "latest").write_text("checkpoint-9")
    sharded = tmp_path / "sharded"
    sharded.mkdir()
    index = {"weight_map": {"a": "model-2.safetensors", "b": "model-1.safetensors"}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))

    assert find_weights(tmp_path / "deepspeed") == (deep / "mp_rank_00_model_states.pt",)
    assert [f.name for f in find_weights(sharded)] == ["model-1.safetensors", "model-2.safetensors"]
    with pytest.raises(CheckpointError, match=r"folder without weights \(there is deepspeed, sha"):
        find_weights(tmp_path)
    with pytest.raises(CheckpointError, match="no such file"):
        find_weights(tmp_path / "nowhere")


def test_another_file_than_the_published_one_is_refused(tmp_path):
    (tmp_path / "a.pt").write_text("content")

    check_sha256(tmp_path / "a.pt", sha256_of(tmp_path / "a.pt").upper())
    with pytest.raises(CheckpointError, match=r"sha256 is .*published is 00; .*download again"):
        check_sha256(tmp_path / "a.pt", "00")


def _nested(levels: int) -> bytes:
    """A pickle of {((...),): 1}, tuples in tuples, as the key of a dictionary."""
    return b"\x80\x02})" + b"\x85" * levels + b"K\x01s."


def _doubled(levels: int) -> bytes:
    """Each tuple holds the one before twice, from the memo: 2 ** levels items to hash."""
    return b"\x80\x02})" + b"q\x00h\x00\x86" * levels + b"K\x01s."


@pytest.mark.parametrize("hostile", [_nested(300_000), _doubled(60)])
@pytest.mark.parametrize("kind", ["older", "zip", "torchscript"])
def test_tuples_that_cannot_be_hashed_are_refused(hostile, kind, tmp_path):
    path = tmp_path / "w.pt"
    if kind == "older":
        path.write_bytes(hostile)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("w/data.pkl", hostile)
            archive.writestr("w/version", "3")
            if kind == "torchscript":
                archive.writestr("w/constants.pkl", pickle.dumps((), 2))
                archive.writestr("w/code/__torch__.py", "")

    with pytest.raises(CheckpointError, match="nested too deeply"):
        read_document(path)
