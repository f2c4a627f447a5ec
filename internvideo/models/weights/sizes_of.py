"""Configurations read off the shapes of released weights.

Source: the released code of CLIP and InternVideo, which counts a head for every 64 channels and
reads the last layers by global blocks.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.models.multimodal_encoder import MultimodalEncoderConfig
from internvideo.models.text_encoder import TextEncoderConfig
from internvideo.models.uniformer import UniFormerConfig

_HEAD_WIDTH = 64


def multimodal_config_of(state: Mapping[str, Tensor]) -> MultimodalEncoderConfig:
    """Configure an encoder that a state under our names fits; a caption decoder is left out.

    Raises:
        CheckpointError: The state is not that of an encoder with a video and a text tower.
    """
    try:
        kernel, table = state["video.patch_embed.weight"], state["video.positions"]
        vocabulary_size, text_width = state["text.token_embed.weight"].shape
        context_length = len(state["text.positions"])
        embed_dim = state["text_projection"].shape[1]
    except KeyError as error:
        raise CheckpointError(
            f"the weights have no tensor {error}: they are not of CLIP or InternVideo, or were not "
            f"read through their layout"
        ) from error
    width, patch = kernel.shape[0], kernel.shape[-1]
    depth, num_global = (_count(state, f"video.{stack}.") for stack in ("blocks", "global_blocks"))
    return MultimodalEncoderConfig(
        video=UniFormerConfig(
            side_px=patch * round((len(table) - 1) ** 0.5),
            patch_px=patch,
            width=width,
            depth=depth,
            num_heads=max(1, width // _HEAD_WIDTH),
            num_global_heads=max(1, width // _HEAD_WIDTH),
            global_layers=tuple(range(depth - num_global, depth)),
        ),
        text=TextEncoderConfig(
            vocabulary_size=vocabulary_size,
            context_length=context_length,
            width=text_width,
            depth=_count(state, "text.blocks."),
            num_heads=max(1, text_width // _HEAD_WIDTH),
            mask_token="text.mask_token" in state,
        ),
        embed_dim=embed_dim,
    )


def _count(state: Mapping[str, Tensor], start: str) -> int:
    numbers = {key.removeprefix(start).split(".")[0] for key in state if key.startswith(start)}
    return len(numbers)
