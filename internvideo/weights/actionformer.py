"""Names of ActionFormer's weights: the released ones into ours and back.

Source: state dicts of the Temporal-Action-Localization release of InternVideo and of ActionFormer.
No value is changed. Channel norms and residual factors lose their empty axes (1, d, 1), 1 x 1
convolutions of attention and feed-forward become linear layers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.models.actionformer import ActionFormerConfig

# Released name, our name; {} is a number. The first start that fits is replaced.
_NAMES: tuple[tuple[str, str], ...] = (
    ("backbone.embd.{}.conv.", "embedding.{}.conv."),
    ("backbone.embd_norm.{}.", "embedding.{}.norm."),
    ("backbone.stem.{}.", "stem.{}."),
    ("backbone.branch.{}.", "branch.{}."),
    ("neck.lateral_convs.{}.conv.", "pyramid.laterals.{}."),
    ("neck.fpn_convs.{}.conv.", "pyramid.convs.{}."),
    ("neck.fpn_norms.{}.", "pyramid.norms.{}."),
    ("cls_head.head.{}.conv.", "classify.layers.{}.conv."),
    ("cls_head.norm.{}.", "classify.layers.{}.norm."),
    ("cls_head.cls_head.conv.", "classify.output."),
    ("reg_head.head.{}.conv.", "regress.layers.{}.conv."),
    ("reg_head.norm.{}.", "regress.layers.{}.norm."),
    ("reg_head.offset_head.conv.", "regress.output."),
    ("reg_head.scale.{}.scale", "level_scales.{}"),
)
_BLOCK: tuple[tuple[str, str], ...] = (
    ("ln1.", "norm1."),
    ("ln2.", "norm2."),
    ("mlp.0.", "fc1."),
    ("mlp.3.", "fc2."),
    ("drop_path_attn.scale", "attn_scale"),
    ("drop_path_mlp.scale", "mlp_scale"),
    ("attn.rel_pe", "attn.relative_bias"),
    ("attn.query_conv.conv.", "attn.query_conv."),
    ("attn.key_conv.conv.", "attn.key_conv."),
    ("attn.value_conv.conv.", "attn.value_conv."),
    ("conv1.conv.", "conv1."),
    ("conv2.conv.", "conv2."),
    ("downsample.conv.", "downsample."),
)
# Our names whose released tensors have empty axes: how many before and after ours.
_EMPTY_AXES = (
    (r"(norm\d?|norms\.\d+|query_norm|key_norm|value_norm)\.(weight|bias)$", 1, 1),
    (r"(attn|mlp)_scale$", 1, 1),
    (r"relative_bias$", 2, 0),
    (r"attn\.(query|key|value|proj)\.weight$", 0, 1),
    (r"fc[12]\.weight$", 0, 1),
)


def from_official_actionformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a released state dict, with or without `module.` before its names.

    Raises:
        CheckpointError: If a name is not one of ActionFormer's.
    """
    renamed = {}
    for key, value in state.items():
        name = our_name(key)
        before, after = _empty_axes(name)
        renamed[name] = value.reshape(value.shape[before : value.ndim - after])
    return renamed


def to_official_actionformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `from_official_actionformer`."""
    names, block = (tuple((ours, theirs) for theirs, ours in t) for t in (_NAMES, _BLOCK))
    renamed = {}
    for key, value in state.items():
        before, after = _empty_axes(key)
        shape = (1,) * before + tuple(value.shape) + (1,) * after
        renamed[_renamed(key, names, block)] = value.reshape(shape)
    return renamed


def our_name(name: str) -> str:
    """Name that a released weight, or module whose name ends in a dot, has with us."""
    return _renamed(name.removeprefix("module."), _NAMES, _BLOCK)


def actionformer_config_of(state: Mapping[str, Tensor], **untold: Any) -> ActionFormerConfig:
    """Read from our names and shapes all that they tell of a configuration.

    Args:
        state: Weights under our names.
        untold: Fields that shapes do not tell, such as `num_heads`, `windows`, `max_length`,
            `position_table` and `regression_ranges`; the defaults of the configuration without.

    Raises:
        CheckpointError: If `state` lacks a part of the network.
    """
    try:
        first, classifier = state["embedding.0.conv.weight"], state["classify.output.weight"]
    except KeyError as error:
        raise CheckpointError(
            f"{error} is not among the weights; this is no ActionFormer"
        ) from None
    is_transformer = "stem.0.norm1.weight" in state or "branch.0.norm1.weight" in state
    has_laterals = "pyramid.laterals.0.weight" in state
    width = first.shape[0]
    levels = _count(state, "level_scales")
    head_layers = _count(state, "classify.layers")
    told: dict[str, Any] = {
        "input_width": first.shape[1],
        "num_classes": classifier.shape[0],
        "backbone": "transformer" if is_transformer else "convolution",
        "width": width,
        "num_embedding_layers": _count(state, "embedding"),
        "num_stem_blocks": _count(state, "stem"),
        "num_branch_blocks": levels - 1,
        "embedding_kernel": first.shape[2],
        "embedding_norm": "embedding.0.norm.weight" in state,
        "relative_positions": any(name.endswith("relative_bias") for name in state),
        "pyramid": "convolution" if has_laterals else "identity",
        "pyramid_width": state["pyramid.laterals.0.weight"].shape[0] if has_laterals else width,
        "pyramid_norm": "pyramid.norms.0.weight" in state,
        "head_width": classifier.shape[1],
        "num_head_layers": head_layers + 1,
        "head_kernel": classifier.shape[2],
        "head_norm": "classify.layers.0.norm.weight" in state or not head_layers,
        "residual_scale": 1e-4 if any(name.endswith("attn_scale") for name in state) else None,
    }
    if is_transformer and levels > 1:
        told["downsampling"] = state["branch.0.attn.query_conv.weight"].shape[2] - 1
    return ActionFormerConfig(**told | untold)


def _count(state: Mapping[str, Tensor], part: str) -> int:
    """How many numbered parts there are under a name."""
    return len(
        {name.split(".")[part.count(".") + 1] for name in state if name.startswith(f"{part}.")}
    )


def _empty_axes(name: str) -> tuple[int, int]:
    for pattern, before, after in _EMPTY_AXES:
        if re.search(pattern, name):
            return before, after
    return 0, 0


def _renamed(
    key: str, names: tuple[tuple[str, str], ...], block: tuple[tuple[str, str], ...]
) -> str:
    for old, new in names:
        pattern = re.escape(old).replace(r"\{\}", r"(\d+)")
        if found := re.match(pattern, key):
            start, rest = found.expand(new.replace("{}", r"\1")), key[found.end() :]
            if new.startswith(("stem", "branch", "backbone")):
                rest = next(
                    (
                        after + rest[len(before) :]
                        for before, after in block
                        if rest.startswith(before)
                    ),
                    rest,
                )
            return start + rest
    raise CheckpointError(f"{key!r} is no name of ActionFormer's weights")
