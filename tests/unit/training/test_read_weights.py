"""Reading weights that others wrote: tensors or a clear error, and nothing is executed."""

from __future__ import annotations

import pickle

import pytest
import torch
from safetensors.torch import save_file

from internvideo.errors import CheckpointError
from internvideo.training import read_weights

STATE = {"layer.weight": torch.arange(6.0).view(2, 3)}


class Malicious:
    def __reduce__(self):
        return exec, ("raise SystemExit('executed')",)


def test_a_state_dict_is_read_from_each_kind_of_file(tmp_path):
    torch.save(STATE, tmp_path / "plain.pt")
    torch.save({"state_dict": STATE, "epoch": 3}, tmp_path / "wrapped.ckpt")
    save_file(STATE, tmp_path / "safe.safetensors")

    for name in ("plain.pt", "wrapped.ckpt", "safe.safetensors"):
        assert torch.equal(read_weights(tmp_path / name)["layer.weight"], STATE["layer.weight"])


@pytest.mark.parametrize("name", ["page.pth", "page.safetensors", "empty.pth", "missing.pth"])
def test_a_file_without_weights_is_named(tmp_path, name):
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    (tmp_path / "page.safetensors").write_text("<html>not found</html>")
    (tmp_path / "empty.pth").touch()

    with pytest.raises(CheckpointError, match=f"{name}: cannot be read as weights"):
        read_weights(tmp_path / name)


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    (tmp_path / "bad.pth").write_bytes(pickle.dumps({"weight": Malicious()}, protocol=2))
    torch.save({"weight": Malicious()}, tmp_path / "worse.pth")

    for name in ("bad.pth", "worse.pth"):
        with pytest.raises(CheckpointError, match="cannot be read as weights"):
            read_weights(tmp_path / name)


def test_other_contents_are_no_state_dict(tmp_path):
    torch.save({"epoch": 3}, tmp_path / "numbers.pt")

    with pytest.raises(CheckpointError, match="holds no state dict"):
        read_weights(tmp_path / "numbers.pt")
