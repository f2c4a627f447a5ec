"""Names of weights."""

from __future__ import annotations

import torch

from internvideo.weights import from_official_classifier, from_transformers, to_official_classifier


def test_query_key_and_value_are_packed_in_this_order():
    start = "videomae.encoder.layer.3.attention.attention"
    parts = {name: torch.full((2, 2), i) for i, name in enumerate(("query", "key", "value"))}

    renamed = from_transformers({f"{start}.{name}.weight": w for name, w in parts.items()})

    assert renamed["encoder.blocks.3.attn.qkv.weight"][:, 0].tolist() == [0, 0, 1, 1, 2, 2]


def test_biases_are_read_from_a_file_and_from_memory():
    start, bias = "decoder.decoder_layers.0.attention.attention", torch.ones(2)

    from_file = from_transformers({f"{start}.q_bias": bias, f"{start}.v_bias": bias})
    from_memory = from_transformers({f"{start}.query.bias": bias, f"{start}.value.bias": bias})

    assert set(from_file) == set(from_memory)
    assert set(from_file) == {"decoder.blocks.0.attn.q_bias", "decoder.blocks.0.attn.v_bias"}


def test_official_classifier_names_come_back():
    official = {"patch_embed.proj.bias": torch.ones(1), "head.bias": torch.ones(1)}

    ours = from_official_classifier(official)

    assert set(ours) == {"encoder.patch_embed.proj.bias", "head.bias"}
    assert set(to_official_classifier(ours)) == set(official)
