"""Coordination: what stands where, what is read, and the obvious form of each module."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import (
    Coordination,
    CoordinationConfig,
    MaskedEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    coordinated_embedding,
)
from internvideo.models.coordination import CrossModelAttention
from internvideo.tiny import UniFormerFrontEndConfig
from tests.unit.models.pair import A, B, Pair, noisy

CONFIG = CoordinationConfig(head_width=8)
ALL = replace(CONFIG, blocks="all", layers="depth")
FRONT_END = UniFormerFrontEndConfig(stem_width=4, num_salient_patches=2)


def _obvious_module(module: CrossModelAttention, tokens: Tensor, context: Tensor) -> Tensor:
    """As figure 4 has it, with torch's own attention."""
    width, heads = tokens.shape[2], module.attn.num_heads
    attention = nn.MultiheadAttention(
        width, heads, kdim=context.shape[2], vdim=context.shape[2], batch_first=True
    )
    keys, values = module.attn.to_kv.weight.chunk(2)
    attention.q_proj_weight, attention.in_proj_bias = (
        module.attn.to_q.weight,
        nn.Parameter(torch.cat([module.attn.to_q.bias, module.attn.to_kv.bias])),
    )
    attention.k_proj_weight, attention.v_proj_weight = nn.Parameter(keys), nn.Parameter(values)
    attention.out_proj = module.attn.to_out
    read = module.norm_context(context)
    attended = attention(module.norm1(tokens), read, read, need_weights=False)[0]
    tokens = tokens + module.attn_gate.tanh() * attended
    return tokens + module.mlp_gate.tanh() * module.mlp(module.norm2(tokens))


def test_a_module_is_gated_attention_and_feed_forward():
    module = noisy(CrossModelAttention(24, 32, CONFIG))
    tokens, context = torch.randn(2, 5, 24), torch.randn(2, 7, 32)

    expected = _obvious_module(module, tokens, context)

    torch.testing.assert_close(module(tokens, context), expected)


def test_without_the_reversed_module_the_video_token_is_that_of_b_alone():
    b = replace(B, temporal_patch_size=3)
    pair = Pair(CoordinationConfig(head_width=8, reversed_module=False), b=b, front_end=FRONT_END)

    _, pooled = pair(pair.read())

    torch.testing.assert_close(pooled, pair.multimodal(pair.clips()[1]).pooled)


def test_the_pair_is_the_modules_among_the_blocks():
    pair = Pair(ALL)
    clip, frames = pair.clips()
    a, b, modules = pair.masked, pair.multimodal, pair.modules
    after = b(frames, layers=(0, 1, 2)).after

    tokens = (
        a.patch_embed(
            clip.unfold(2, 2, 2)
            .unfold(3, 8, 8)
            .unfold(4, 8, 8)
            .permute(0, 2, 3, 4, 5, 6, 7, 1)
            .reshape(2, 16, -1)
        )
        + a.pos_embed
    )
    for block, module, (_, layer) in zip(a.blocks, modules.blocks, modules.pairs, strict=True):
        tokens = block(module(tokens, after[layer].flatten(1, 2)))
    query = b.query_token.expand(2, -1)
    for block, layer in zip(b.global_blocks, B.global_layers, strict=True):
        query = block(query, after[layer], B.grid)
    query = modules.reversed_module(query[:, None], tokens)[:, 0]

    got_tokens, got_pooled = pair(pair.read())

    torch.testing.assert_close(got_tokens, tokens)
    torch.testing.assert_close(got_pooled, b.pool(query, after[2]))


def test_reading_a_slot_is_reading_its_frame_alone():
    pair = Pair(replace(CONFIG, scope="slot", blocks=(3,)))
    features = pair.read()
    module, context = pair.modules.blocks[0], features.context[2]

    slots = [module(part, context[:, i]) for i, part in enumerate(features.tokens.chunk(4, dim=1))]
    expected = pair.masked.norm(pair.masked.blocks[3](torch.cat(slots, dim=1)))

    torch.testing.assert_close(pair(features)[0], expected)


def test_features_that_begin_earlier_and_hold_more_give_the_same():
    pair, early = Pair(replace(CONFIG, blocks=1)), Pair(ALL)

    expected = pair(pair.read())
    got = pair(early.read())

    torch.testing.assert_close(got, expected)


def test_a_tower_that_reads_salient_patches_is_read_at_their_positions():
    pair = Pair(front_end=FRONT_END)
    pair.close()
    clip, frames = pair.clips()

    tokens, pooled = pair(pair.read())

    torch.testing.assert_close(tokens, pair.masked(clip))
    torch.testing.assert_close(pooled, pair.multimodal(frames).pooled)


@pytest.mark.parametrize("front_end", [None, FRONT_END])
def test_features_of_some_clips_are_those_clips(front_end):
    pair = Pair(front_end=front_end)
    some = torch.tensor([2, 0])

    expected = [part[some] for part in pair(pair.read(3))]

    torch.testing.assert_close(list(pair(pair.read(3)[some])), expected)


def test_features_are_made_without_gradients():
    features = Pair().read()

    assert not features.tokens.requires_grad
    assert not any(tokens.requires_grad for tokens in features.context.values())


def test_recomputed_activations_give_the_same_gradients():
    gradients = []
    for recompute in (False, True):
        pair = Pair(ALL, replace(A, recompute_activations=recompute))
        sum(part.square().sum() for part in pair(pair.read())).backward()
        gradients.append([p.grad for p in pair.modules.parameters()])

    torch.testing.assert_close(*gradients)


def test_output_projections_do_not_start_at_zero():
    modules = Coordination(CONFIG, A, B)

    for module in [*modules.blocks, modules.reversed_module]:
        assert module.attn.to_out.weight.abs().min() > 0
        assert module.mlp.fc2.weight.abs().min() > 0
        assert module.attn_gate == module.mlp_gate == 0


def test_gates_are_named_for_their_blocks():
    gates = Coordination(CONFIG, A, B).gate_values()

    assert list(gates) == [
        "block2_attn",
        "block2_mlp",
        "block3_attn",
        "block3_mlp",
        "reversed_attn",
        "reversed_mlp",
    ]


@pytest.mark.parametrize("scope", ["clip", "slot"])
def test_attention_maps_are_shares_of_all_that_is_read(scope: str):
    pair = Pair(replace(CONFIG, scope=scope))

    maps = pair.modules.attention_maps(pair.masked, pair.multimodal, pair.read())

    assert list(maps) == [2, 3]
    assert maps[2].shape == (2, 16, 4, 5)
    torch.testing.assert_close(maps[3].sum((2, 3)), torch.ones(2, 16))
    if scope == "slot":
        own_slot = maps[2].sum(3).unflatten(1, (4, 4)).diagonal(dim1=1, dim2=3)
        torch.testing.assert_close(own_slot, torch.ones_like(own_slot))


def test_attention_maps_weigh_the_values_that_a_module_adds_up():
    module = noisy(CrossModelAttention(24, 32, replace(CONFIG, head_width=24)))
    tokens, context = torch.randn(2, 5, 24), torch.randn(2, 7, 32)
    values = module.attn.to_kv(module.norm_context(context)).chunk(2, dim=2)[1]

    read = module.attn.to_out(module.weights(tokens, context) @ values)

    expected = module.attn(module.norm1(tokens), module.norm_context(context))
    torch.testing.assert_close(read, expected)


@pytest.mark.parametrize(
    ("blocks", "layers", "pairs"),
    [
        (2, "end", ((2, 1), (3, 2))),
        (1, "depth", ((3, 2),)),
        (0, "end", ()),
        ("half", "end", ((2, 1), (3, 2))),
        ("all", "end", ((0, 0), (1, 0), (2, 1), (3, 2))),
        ("all", "depth", ((0, 0), (1, 1), (2, 2), (3, 2))),
        ((1, 3), (0, 0), ((1, 0), (3, 0))),
        ((), "end", ()),
    ],
)
def test_blocks_and_layers_are_paired(blocks, layers, pairs):
    assert replace(CONFIG, blocks=blocks, layers=layers).pairs(A, B) == pairs


def test_the_paper_s_pair_reads_the_global_layers():
    huge = MaskedEncoderConfig(width=1280, depth=32, num_heads=16)
    large = UniFormerConfig(
        width=1024, depth=24, num_heads=16, global_layers=(20, 21, 22, 23), num_global_heads=16
    )

    assert CoordinationConfig(blocks=4).pairs(huge, large) == (
        (28, 20),
        (29, 21),
        (30, 22),
        (31, 23),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"blocks": 5}, r"coordination.blocks is 5; A has 4 blocks"),
        ({"blocks": (4,)}, r"coordination.blocks: 4 is not from 0 to 3"),
        ({"layers": (0, 3)}, r"coordination.layers: 3 is not from 0 to 2"),
        ({"blocks": (3, 2)}, r"blocks \(3, 2\) must increase and have one layer each"),
        ({"layers": (1,)}, r"must increase and have one layer each, not \(1,\)"),
        ({"scope": "slot", "frame_step": 1}, r"A has 4 and B 8; change frame_step 1 or take scope"),
    ],
)
def test_an_impossible_pairing_is_refused(change: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        Coordination(replace(CONFIG, **change), A, B)


def test_sizes_below_one_are_refused():
    with pytest.raises(ConfigError, match="head_width 0, frame_step 2 and mlp_ratio"):
        CoordinationConfig(head_width=0)


def test_an_encoder_b_without_a_query_token_is_refused():
    with pytest.raises(ConfigError, match="needs an encoder B with global_layers"):
        Coordination(CONFIG, A, replace(B, global_layers=()))


def test_a_closed_pair_keeps_its_place_among_texts():
    text = TextEncoderConfig(vocabulary_size=20, context_length=5, width=16, depth=1, num_heads=2)
    encoder = noisy(MultimodalEncoder(MultimodalEncoderConfig(video=B, text=text, embed_dim=8)))
    pair = Pair()
    pair.multimodal = encoder.video
    pair.close()

    output = pair.modules(pair.masked, pair.multimodal, pair.read())

    expected = encoder.encode_video(pair.clips()[1]).embedding
    torch.testing.assert_close(coordinated_embedding(encoder, output), expected)
