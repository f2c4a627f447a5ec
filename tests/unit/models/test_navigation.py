"""Networks of navigation: BERT's layers against transformers', padding, neighbours, names."""

from __future__ import annotations

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models.navigation import (
    BertConfig,
    DepthEncoder,
    DepthEncoderConfig,
    Hamt,
    HamtConfig,
    ObservationTokens,
    WaypointPredictor,
    WaypointPredictorConfig,
    angle_features,
)
from internvideo.tiny import TinyPanoramaConfig, TinyPanoramaEncoder

TEXT = BertConfig(
    vocabulary_size=30, context_length=12, width=16, depth=2, num_heads=2, hidden=32, dropout=0.0
)
POLICY = HamtConfig(
    text=TEXT, num_cross_layers=2, num_panorama_layers=1, image_width=6, depth_width=3, max_steps=4
)


@pytest.fixture(scope="module")
def policy():
    torch.manual_seed(0)
    return Hamt(POLICY).eval()


def _places(count, generator, *, batch=2):
    drawn = torch.rand(batch, count, 6, generator=generator)
    kinds = torch.tensor([1] * (count - 2) + [2, 0]).expand(batch, -1)
    return ObservationTokens(
        image=drawn,
        depth=drawn[..., :3],
        angle=angle_features(drawn[..., 0]),
        distance=drawn[..., :1].expand(-1, -1, 4),
        kinds=kinds,
        padded=torch.zeros(batch, count, dtype=torch.bool),
    )


def _walked(policy, generator):
    ids = torch.randint(1, 30, (2, 7), generator=generator)
    text = policy.encode_text(ids, torch.zeros_like(ids, dtype=torch.bool))
    return ids, text, policy.hist_embeddings.first(2)


def test_text_layers_equal_those_of_transformers(policy):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(
        vocab_size=30,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    theirs = transformers.BertModel(config, add_pooling_layer=False).eval()
    ours = {k: v for k, v in policy.state_dict().items() if k in theirs.state_dict()}
    assert len(ours) == len(theirs.state_dict())
    theirs.load_state_dict(ours)
    ids = torch.tensor([[3, 4, 5, 6], [7, 8, 0, 0]])
    padded = ids == 0

    with torch.no_grad():
        expected = theirs(ids, attention_mask=(~padded).long()).last_hidden_state
        found = policy.encode_text(ids, padded)

    torch.testing.assert_close(found[~padded], expected[~padded], rtol=1e-5, atol=1e-5)


def test_padding_changes_no_logit_and_context_has_none(policy, seeded=0):
    generator = torch.Generator().manual_seed(seeded)
    ids, text, history = _walked(policy, generator)
    places = _places(5, generator)
    none = torch.zeros_like(ids, dtype=torch.bool)

    with torch.no_grad():
        logits = policy(text, none, history, places)
        longer = ObservationTokens(*(torch.cat([part, part[:, :2]], 1) for part in places))
        longer.padded[:, 5:] = True
        words = torch.cat([text, torch.ones_like(text)], 1)
        padded = torch.cat([none, ~none], 1)
        again = policy(words, padded, history, longer)

    torch.testing.assert_close(again[:, :5], logits)
    assert logits[:, :4].isfinite().all()
    assert (logits[:, 4] == -torch.inf).all() and (again[:, 5:] == -torch.inf).all()


def test_candidates_may_stand_in_any_order(policy):
    generator = torch.Generator().manual_seed(1)
    ids, text, history = _walked(policy, generator)
    places = _places(5, generator)
    order = torch.tensor([2, 0, 1, 3, 4])
    none = torch.zeros_like(ids, dtype=torch.bool)

    with torch.no_grad():
        logits = policy(text, none, history, places)
        turned = policy(
            text, none, history, ObservationTokens(*(part[:, order] for part in places))
        )
        shares = policy.word_shares(text, none, history, places)

    torch.testing.assert_close(turned, logits[:, order])
    torch.testing.assert_close(shares.sum(-1), torch.ones(2, 5))


def test_history_changes_what_is_chosen(policy):
    generator = torch.Generator().manual_seed(2)
    ids, text, history = _walked(policy, generator)
    places, none = _places(5, generator), torch.zeros_like(ids, dtype=torch.bool)
    views = torch.rand(2, 12, 6, generator=generator)

    with torch.no_grad():
        step = policy.hist_embeddings(
            views[:, 0],
            angle_features(torch.ones(2)),
            views,
            angle_features(torch.arange(12) * 0.5),
            0,
        )
        before = policy(text, none, history, places)
        after = policy(text, none, torch.cat([history, step], 1), places)

    assert (before - after)[:, :4].abs().max() > 1e-6


def test_the_released_policy_trains_what_the_release_trains(policy):
    trained = {name for name, p in policy.named_parameters() if p.requires_grad}

    assert not any(n.startswith(("encoder.layer", "hist_embeddings")) for n in trained)
    assert "embeddings.token_type_embeddings.weight" in trained
    assert "embeddings.word_embeddings.weight" not in trained
    assert any(n.startswith("encoder.x_layers") for n in trained)


def test_a_view_hears_of_the_views_beside_it_alone():
    torch.manual_seed(0)
    config = WaypointPredictorConfig(features=8, width=12, depth=1, num_heads=2, hidden=24)
    predictor = WaypointPredictor(config).eval()
    features = torch.rand(1, 12, 2, 2, 2)
    changed = features.clone()
    changed[0, 4] += 1

    with torch.no_grad():
        before, after = predictor(features), predictor(changed)

    assert before.shape == (1, 120, 12)
    differs = (before - after).abs().amax(-1)[0] > 1e-7
    # Views 3 to 5, each with five angles on both sides of its heading.
    assert differs.nonzero().flatten().tolist() == list(range(25, 55))


def test_the_depth_encoder_has_the_published_shape():
    encoder = DepthEncoder(DepthEncoderConfig()).eval()

    with torch.no_grad():
        maps = encoder(torch.rand(1, 256, 256))

    assert maps.shape == (1, 128, 4, 4)
    names = encoder.state_dict()
    assert names["backbone.layer1.0.downsample.0.weight"].shape == (128, 32, 1, 1)
    assert names["backbone.layer4.2.convs.6.weight"].shape == (1024, 256, 1, 1)
    assert names["compression.0.weight"].shape == (128, 1024, 3, 3)
    assert sum(v.numel() for v in names.values()) == pytest.approx(7.1e6, rel=0.05)


@pytest.mark.parametrize(("side_px", "cells"), [(16, 4), (24, 3), (32, 4), (40, 5)])
def test_small_views_keep_their_cells(side_px, cells):
    torch.manual_seed(0)
    encoder = TinyPanoramaEncoder(TinyPanoramaConfig(side_px=side_px))
    colours = torch.randint(256, (2, side_px, side_px, 3), dtype=torch.uint8)

    maps = encoder.encode_depth(10 * torch.rand(2, side_px, side_px))

    assert maps.shape == (2, 8, 4, 4) and len(maps[0, 0].unique()) >= min(cells, 4) ** 2
    assert encoder.colour(colours.permute(0, 3, 1, 2).float()).shape[2:] == (cells, cells)
    assert encoder.encode_colour(colours).shape == (2, 64)


def test_impossible_sizes_are_refused():
    with pytest.raises(ConfigError, match="depth of 100 px"):
        DepthEncoderConfig(side_px=100)
    with pytest.raises(ConfigError, match="0 cross-modal"):
        HamtConfig(num_cross_layers=0)
