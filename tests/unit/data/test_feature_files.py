"""Files of features are those that other libraries read, whole or not there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from internvideo.data import is_complete, read_features, side_car, write_features
from internvideo.errors import ConfigError, DecodeError

ROWS = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))


def described(path, shape):
    side_car(path).write_text(json.dumps({"features": {"shape": shape}}))
    return path


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_rows_come_back_through_the_usual_libraries(tmp_path, dtype):
    for suffix in ("safetensors", "npy"):
        shape = write_features(tmp_path / f"a.{suffix}", 5, ROWS.split(2), dtype=dtype)
        assert shape == (5, 3, 2)

    expected = ROWS.to(getattr(torch, dtype))
    assert torch.equal(load_file(tmp_path / "a.safetensors")["features"], expected)
    assert np.array_equal(np.load(tmp_path / "a.npy"), expected.numpy())


@pytest.mark.parametrize("suffix", ["safetensors", "npy"])
def test_rows_are_read_with_what_is_told_of_them(tmp_path, suffix):
    path = tmp_path / f"clip.mp4.{suffix}"
    write_features(path, 5, ROWS.split(2), dtype="float32")

    rows, document = read_features(described(path, [5, 3, 2]))

    assert torch.equal(rows, ROWS)
    assert document == {"features": {"shape": [5, 3, 2]}}


def test_a_file_that_was_cut_is_not_complete(tmp_path):
    path = tmp_path / "a.npy"
    write_features(path, 5, [ROWS], dtype="float32")
    document = {"features": {"num_bytes": path.stat().st_size}}
    assert is_complete(path, document)

    path.write_bytes(path.read_bytes()[:-1])

    assert not is_complete(path, document)


def test_nothing_is_left_of_rows_that_end_in_an_error(tmp_path):
    def rows():
        yield ROWS[:2]
        raise DecodeError("broken from here on")

    with pytest.raises(DecodeError, match="broken from here on"):
        write_features(tmp_path / "a.npy", 5, rows(), dtype="float32")

    assert not list(tmp_path.iterdir())


def test_a_feature_that_is_not_finite_is_an_error(tmp_path):
    with pytest.raises(DecodeError, match=r"a\.npy: a feature is not finite in float16; the weigh"):
        write_features(tmp_path / "a.npy", 1, [torch.tensor([[1e6]])], dtype="float16")

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(b"x" * 20), r"a\.npy: cannot be read as features \("),
        (lambda path: side_car(path).unlink(), r"a\.npy: nothing tells of it; expected a\.json"),
        (
            lambda path: described(path, [4, 3, 2]),
            r"a\.npy: holds \[5, 3, 2\] and a\.json tells of \[4, 3, 2\]; extract it again",
        ),
    ],
)
def test_files_that_do_not_fit_are_named(tmp_path, damage, message):
    path = described(tmp_path / "a.npy", [5, 3, 2])
    write_features(path, 5, [ROWS], dtype="float32")
    damage(path)

    with pytest.raises(ConfigError, match=message):
        read_features(path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"a\.npy: cannot be written \(No such file"):
        write_features(tmp_path / "none" / "a.npy", 5, [ROWS], dtype="float32")
