"""The runner itself: what it does not know of a case fails it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from internvideo.models import UNIFORMERS
from tests.parity.cases_models import _full_size
from tests.parity.run import run_case


def _changed(golden: Path, folder: Path, name: str, file: str, change) -> Path:
    case = Path(shutil.copytree(golden / name, folder / name))
    document = json.loads((case / file).read_text())
    change(document)
    (case / file).unlink()
    (case / file).write_text(json.dumps(document))
    return case


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("clip_towers", lambda d: d["config"].update(rotary=True)),
        ("hf_clip", lambda d: d["config"]["hf_config"]["vision_config"].update(rotary=True)),
        ("videomae_pretrain_tube", lambda d: d["config"].update(cos_attn=False)),
    ],
)
def test_an_unknown_field_of_the_configuration_fails_its_case(golden, tmp_path, name, change):
    verdict, text = run_case(_changed(golden, tmp_path, name, "case.json", change))

    assert verdict == "FAIL"
    assert "not looked at: config." in text


def test_a_known_field_of_another_value_than_ours_fails_its_case(golden, tmp_path):
    name = "videomae_pretrain_tube"
    case = _changed(
        golden, tmp_path, name, "case.json", lambda d: d["config"].update(attn_drop_rate=0.1)
    )

    verdict, text = run_case(case)

    assert (verdict, "attn_drop_rate is 0.1" in text) == ("FAIL", True)


def test_an_unknown_input_of_a_row_fails_its_case(golden, tmp_path):
    name = "sampling_pretrain_videomae"
    case = _changed(golden, tmp_path, name, "data.json", lambda d: d["inputs"][3].update(skip=2))

    assert run_case(case) == ("FAIL", f"{name} not looked at: inputs[3].skip")


def test_an_expected_tensor_that_is_not_compared_fails_its_case(golden, tmp_path):
    name, file = "sine_position_table", "tensors.safetensors"
    case = Path(shutil.copytree(golden / name, tmp_path / name))
    tensors = load_file(golden / name / file) | {"expected/more": torch.zeros(1)}
    (case / file).unlink()
    save_file(tensors, case / file)

    assert run_case(case) == ("FAIL", f"{name} not looked at: expected/more")


def test_a_warm_up_may_be_given_in_steps(golden, tmp_path):
    given = {
        "base_value": 1e-3,
        "final_value": 1e-6,
        "epochs": 4,
        "niter_per_ep": 5,
        "warmup_epochs": 2,
        "start_warmup_value": 1e-5,
        "warmup_steps": 3,
    }
    num_rest = 4 * 5 - 3
    cosine = 1e-6 + 0.5 * (1e-3 - 1e-6) * (1 + np.cos(np.pi * np.arange(num_rest) / num_rest))
    values = np.concatenate([np.linspace(1e-5, 1e-3, 3), cosine])

    def add(document):
        document["inputs"]["cosine"].append(given)
        document["expected"]["cosine"].append(values.tolist())

    case = _changed(golden, tmp_path, "optim_layer_decay_cosine", "data.json", add)

    verdict, text = run_case(case)
    assert verdict == "PASS", text


def test_the_decoder_of_the_giant_is_as_wide_as_its_ratio_says():
    config = {"decoder_depth": 4, "init_values": 0.0}
    with torch.device("meta"):
        _, state = _full_size("pretrain_mae_giant_patch14_224", "giant", config)

    assert state["decoder.blocks.3.mlp.fc1.weight"].shape == (int(512 * 48 / 11), 512)
    assert state["encoder.blocks.39.mlp.fc1.weight"].shape == (6144, 1408)


def test_the_large_tower_with_local_blocks_exists_at_both_sides():
    small, large = UNIFORMERS["large-local"], UNIFORMERS["large-336-local"]

    assert (small.side_px, large.side_px) == (224, 336)
    assert small.num_local == large.num_local == 2
