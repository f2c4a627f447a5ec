"""Released parts of a navigator load under their published names; others are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import CheckpointError
from internvideo.models.navigation import (
    DepthEncoder,
    DepthEncoderConfig,
    Hamt,
    WaypointPredictor,
    WaypointPredictorConfig,
)
from internvideo.weights.navigation import (
    load_bert,
    load_depth_encoder,
    load_policy,
    load_waypoint_predictor,
)
from tests.unit.models.test_navigation import POLICY, TEXT

WAYPOINTS = WaypointPredictorConfig(features=8, width=12, depth=2, num_heads=2, hidden=24)


def _same(model, other):
    mine, theirs = model.state_dict(), other.state_dict()
    return all((mine[name] == theirs[name]).all() for name in mine)


def test_a_waypoint_predictor_loads_from_its_release(tmp_path):
    released, model = WaypointPredictor(WAYPOINTS), WaypointPredictor(WAYPOINTS)
    state = dict(released.state_dict())
    assert "waypoint_TRM.bert.encoder.layer.1.attention.self.query.weight" in state
    assert {"visual_fc_depth.1.weight", "vis_classifier.2.bias"} <= state.keys()
    state |= {"visual_merge.0.weight": torch.zeros(2), "mergefeats_LayerNorm.bias": torch.ones(3)}
    path = tmp_path / "waypoint_predictor"
    torch.save({"predictor": {"epoch": 3, "state_dict": state, "optimizer": {}}}, path)

    load_waypoint_predictor(model, path)

    assert _same(model, released)
    with pytest.raises(CheckpointError, match=r"waypoint_predictor: .* does not fit|waypoint"):
        load_waypoint_predictor(WaypointPredictor(replace(WAYPOINTS, depth=1)), path)


def test_a_depth_encoder_loads_from_a_point_goal_agent(tmp_path):
    config = DepthEncoderConfig(base_width=16, blocks=(1, 1), side_px=64, output_size=8)
    released, model = DepthEncoder(config), DepthEncoder(config)
    prefix = "actor_critic.net.visual_encoder."
    state = {prefix + name: value for name, value in released.state_dict().items()}
    state |= {"actor_critic.net.state_encoder.rnn.weight_ih_l0": torch.zeros(2, 2)}
    torch.save({"state_dict": state}, tmp_path / "gibson.pth")

    load_depth_encoder(model, tmp_path / "gibson.pth")

    assert _same(model, released)


def test_text_layers_load_from_a_deeper_bert(tmp_path):
    deep = Hamt(replace(POLICY, text=replace(TEXT, depth=4)))
    kept = ("embeddings.", "encoder.layer.")
    state = {f"bert.{k}": v for k, v in deep.state_dict().items() if k.startswith(kept)}
    former = {k.replace("LayerNorm.weight", "LayerNorm.gamma"): v for k, v in state.items()}
    torch.save(former | {"cls.predictions.bias": torch.zeros(3)}, tmp_path / "pytorch_model.bin")
    model = Hamt(POLICY)

    load_bert(model, tmp_path)

    own, theirs = model.state_dict(), deep.state_dict()
    assert all((own[k] == theirs[k]).all() for k in own if k.startswith(kept))
    with pytest.raises(CheckpointError, match="missing from the weights"):
        load_bert(Hamt(replace(POLICY, text=replace(TEXT, depth=5))), tmp_path)


def test_a_policy_takes_what_fits_of_a_pretraining(tmp_path):
    released, model = Hamt(POLICY), Hamt(POLICY)
    state = {f"module.bert.{k}": v for k, v in released.state_dict().items() if "dep_" not in k}
    torch.save(state, tmp_path / "hamt.pt")
    before = model.state_dict()["img_embeddings.dep_linear.weight"].clone()

    load_policy(model, tmp_path / "hamt.pt")

    own, theirs = model.state_dict(), released.state_dict()
    assert all((own[k] == theirs[k]).all() for k in own if "dep_" not in k)
    assert (own["img_embeddings.dep_linear.weight"] == before).all()
    torch.save({"other": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(CheckpointError, match=r"other\.pt: holds no tensor of a HAMT policy"):
        load_policy(model, tmp_path / "other.pt")
