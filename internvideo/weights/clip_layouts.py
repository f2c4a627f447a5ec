"""Names of weights of encoder B: layouts of CLIP, UniFormerV2, InternVideo and ViCLIP into ours.

No value is changed but one: ViCLIP keeps a temperature where we keep minus its logarithm. Empty
axes that ours do not need (a 1 x 1 x 1 convolution for a linear layer, a token as (1, 1, d)) are
removed and put back.
Source: the released state dicts. Each table is read in both directions, its first match counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Names = tuple[tuple[str, str], ...]  # official name, our name; {} is a number

_BLOCK: Names = (
    ("attn.in_proj_", "attn.qkv."),
    ("attn.out_proj.", "attn.proj."),
    ("ln_1.", "norm1."),
    ("ln_2.", "norm2."),
    ("ln_3.", "norm_context."),
    ("mlp.c_fc.", "mlp.fc1."),
    ("mlp.c_proj.", "mlp.fc2."),
    ("lmhra{}.pos_embed.0.", "local{}.norm."),
    ("lmhra{}.pos_embed.1.", "local{}.down."),
    ("lmhra{}.pos_embed.2.", "local{}.time."),
    ("lmhra{}.pos_embed.3.", "local{}.up."),
)
_VIDEO: Names = (
    ("class_embedding", "class_token"),
    ("positional_embedding", "positions"),
    ("temporal_positional_embedding", "time_positions"),
    ("conv1.", "patch_embed."),
    ("ln_pre.", "norm_pre."),
    ("transformer.resblocks.{}.", "blocks.{}."),
    ("transformer.temporal_cls_token", "query_token"),
    ("transformer.balance", "balance"),
    ("transformer.dpe.{}.", "global_blocks.{}.positions."),
    ("transformer.dec.{}.", "global_blocks.{}."),
)
_TEXT: Names = (
    ("token_embedding.", "token_embed."),
    ("positional_embedding", "positions"),
    ("text_mask_embedding", "mask_token"),
    ("transformer.resblocks.{}.", "blocks.{}."),
    ("ln_final.", "norm."),
)


def _under(official: str, ours: str, names: Names) -> Names:
    return tuple((official + old, ours + new) for old, new in names)


_DUAL: Names = (
    *_under("visual.", "video.", _VIDEO),
    *_under("", "text.", _TEXT),
    ("text_projection", "text_projection"),
    ("logit_scale", "logit_scale"),
)

# Official weights keep empty axes here: how many before and after ours.
_EMPTY_AXES = (
    (r"(query_token|mask_token)$", 2, 0),
    (r"time_positions$", 1, 0),
    (r"\.local\d\.(down|up)\.weight$", 0, 3),
)


@dataclass(frozen=True, slots=True)
class Layout:
    """One family of state dicts, to be read into our names and written from them."""

    names: Names
    prefix: str = ""  # some files put it before every name; it is never written
    dropped: tuple[str, ...] = ()  # entries that are no weights
    log_of: tuple[str, ...] = ()  # our names whose value is kept as a temperature: exp(-ours)

    def read(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename to ours; a name that the layout does not know stays as it is."""
        renamed = {}
        for key, value in state.items():
            key = key.removeprefix(self.prefix)
            if key in self.dropped:
                continue
            name = _rename(key, self.names, _BLOCK)
            for pattern, before, after in _EMPTY_AXES:
                if re.search(pattern, name) and value.ndim > before + after:
                    value = value.reshape(value.shape[before : value.ndim - after])
            renamed[name] = -value.log() if name in self.log_of else value
        return renamed

    def write(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename ours to the layout's: the inverse of `read`."""
        names, block = (tuple((new, old) for old, new in t) for t in (self.names, _BLOCK))
        renamed = {}
        for key, value in state.items():
            for pattern, before, after in _EMPTY_AXES:
                if re.search(pattern, key):
                    value = value.reshape((1,) * before + value.shape + (1,) * after)
            value = (-value).exp() if key in self.log_of else value
            renamed[_rename(key, names, block)] = value
        return renamed


def _rename(key: str, names: Names, inner: Names = ()) -> str:
    """Replace the start of a name by the first entry that fits, and so on within a block.

    An entry that ends in a dot or an underscore is a start, any other a whole name.
    """
    for old, new in names:
        pattern = re.escape(old).replace(r"\{\}", r"(\d+)")
        matches = re.match if old.endswith((".", "_")) else re.fullmatch
        if found := matches(pattern, key):
            rest = key[found.end() :]
            start = found.expand(new.replace("{}", r"\1"))
            return start + (_rename(rest, inner) if inner else rest)
    return key


OPENAI_CLIP = Layout(
    (*_DUAL, ("visual.ln_post.", "norm_post."), ("visual.proj", "video_projection")),
    dropped=("input_resolution", "context_length", "vocab_size"),
)
INTERNVIDEO_MM = Layout(
    (
        *_DUAL,
        ("visual_ln_post.", "norm_post."),
        ("visual_proj", "video_projection"),
        ("visual.ln_post.", "norm_post."),  # as some retrieval checkpoints have it
        ("visual.proj", "video_projection"),
        ("caption_decoder.", "captioner."),
    ),
    prefix="clip.",
)
UNIFORMER_V2 = Layout(_VIDEO, prefix="backbone.")  # the tower alone
UNIFORMER_V2_CLASSIFIER = Layout(
    (
        *_under("", "encoder.", _VIDEO),
        ("transformer.proj.0.", "fc_norm."),
        ("transformer.proj.2.", "head."),
    ),
    prefix="backbone.",
)
VICLIP = Layout(
    (
        *_under("vision_encoder.", "video.", (*_VIDEO, ("ln_post.", "norm."))),
        ("vision_encoder.proj", "video_projection"),
        ("text_encoder.text_projection", "text_projection"),
        *_under("text_encoder.", "text.", _TEXT),
        ("temp", "logit_scale"),
    ),
    log_of=("logit_scale",),
)

_TRANSFORMERS: Names = (
    ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
    ("vision_model.embeddings.patch_embedding.", "visual.conv1."),
    ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
    ("vision_model.pre_layrnorm.", "visual.ln_pre."),
    ("vision_model.post_layernorm.", "visual.ln_post."),
    ("vision_model.encoder.layers.{}.", "visual.transformer.resblocks.{}."),
    ("visual_projection.weight", "visual.proj"),
    ("text_model.embeddings.token_embedding.", "token_embedding."),
    ("text_model.embeddings.position_embedding.weight", "positional_embedding"),
    ("text_model.final_layer_norm.", "ln_final."),
    ("text_model.encoder.layers.{}.", "transformer.resblocks.{}."),
    ("text_projection.weight", "text_projection"),
)
_TRANSFORMERS_BLOCK: Names = (
    ("layer_norm1.", "ln_1."),
    ("layer_norm2.", "ln_2."),
    ("self_attn.out_proj.", "attn.out_proj."),
    ("mlp.fc1.", "mlp.c_fc."),
    ("mlp.fc2.", "mlp.c_proj."),
)


def from_transformers_clip(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Turn a `transformers` CLIPModel state into the layout `OPENAI_CLIP`."""
    renamed = {}
    for key, value in state.items():
        if key.endswith("position_ids"):
            continue
        name = _rename(key, _TRANSFORMERS, _TRANSFORMERS_BLOCK)
        projects = name in ("visual.proj", "text_projection")
        renamed[name] = value.T.contiguous() if projects else value
    for name in [name for name in renamed if ".self_attn.q_proj." in name]:
        kind = name.rsplit(".", 1)[1]  # weight or bias
        attention = name.removesuffix(f"self_attn.q_proj.{kind}")
        parts = [renamed.pop(f"{attention}self_attn.{part}_proj.{kind}") for part in "qkv"]
        renamed[f"{attention}attn.in_proj_{kind}"] = torch.cat(parts)
    return renamed
