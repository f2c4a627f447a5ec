"""Names of weights of encoder A: other layouts into ours.

Ours are the official pretraining names (`encoder.blocks.0.attn.qkv.weight`, ...), so official
pretraining weights load as they are. Only names and the packing of query, key and value differ
between layouts; no value is changed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_ENCODER_PARTS = ("patch_embed.", "blocks.", "norm.", "pos_embed")

# `transformers` name -> ours, tried in order; the first that matches is applied.
_TRANSFORMERS: tuple[tuple[str, str], ...] = (
    (r"^videomae\.embeddings\.patch_embeddings\.projection\.", "encoder.patch_embed.proj."),
    (r"^videomae\.layernorm\.", "encoder.norm."),
    (r"^videomae\.encoder\.layer\.", "encoder.blocks."),
    (r"^decoder\.decoder_layers\.", "decoder.blocks."),
    (r"^classifier\.", "head."),
)
_TRANSFORMERS_BLOCK: tuple[tuple[str, str], ...] = (
    (r"\.layernorm_before\.", ".norm1."),
    (r"\.layernorm_after\.", ".norm2."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.attention\.(q_bias|query\.bias)$", ".attn.q_bias"),
    (r"\.attention\.attention\.(v_bias|value\.bias)$", ".attn.v_bias"),
    (r"\.attention\.attention\.(query|key|value)\.weight$", r".attn.\1.weight"),
    (r"\.intermediate\.dense\.", ".mlp.fc1."),
    (r"\.output\.dense\.", ".mlp.fc2."),
)


def from_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a `transformers` VideoMAE state, of pretraining or classifier; pack query, key, value.

    Both of its layouts are read: the file's (`q_bias`) and that in memory (`query.bias`).
    """
    renamed = {}
    for key, value in state.items():
        name = _rename(key, _TRANSFORMERS)
        if ".blocks." in name:
            name = _rename(name, _TRANSFORMERS_BLOCK)
        renamed[name] = value
    for name in [name for name in renamed if name.endswith(".attn.query.weight")]:
        attention = name.removesuffix("query.weight")
        parts = [renamed.pop(f"{attention}{part}.weight") for part in ("query", "key", "value")]
        renamed[f"{attention}qkv.weight"] = torch.cat(parts)
    return renamed


def from_official_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename an official fine-tuned state, where the encoder's names have no `encoder.` before."""
    return {
        f"encoder.{key}" if key.startswith(_ENCODER_PARTS) else key: value
        for key, value in state.items()
    }


def to_official_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `from_official_classifier`."""
    return {key.removeprefix("encoder."): value for key, value in state.items()}


def _rename(key: str, rules: tuple[tuple[str, str], ...]) -> str:
    for pattern, replacement in rules:
        renamed, count = re.subn(pattern, replacement, key)
        if count:
            return renamed
    return key
