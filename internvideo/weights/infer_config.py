"""Configurations read off the names and shapes of weights, once these have our names.

Source: the released code, which counts a head for every 64 channels in all sizes but VideoMAE's
largest, lets global blocks read the last layers, and saves no fixed table of positions.
What shapes do not tell (frames of a clip, the side of its frames without a table) is VideoMAE's
usual 16 x 224 px unless it is given.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.models.caption_decoder import CaptionDecoderConfig
from internvideo.models.layers import hidden_width
from internvideo.models.masked_autoencoder import DecoderConfig
from internvideo.models.masked_encoder import MaskedEncoderConfig
from internvideo.models.multimodal_encoder import MultimodalEncoderConfig
from internvideo.models.sizes import (
    DECODERS,
    ENCODERS,
    JOINT_ENCODERS,
    UNIFORMERS,
    VIDEOMAE_DECODERS,
)
from internvideo.models.text_encoder import TextEncoderConfig
from internvideo.models.uniformer import UniFormerConfig
from internvideo.models.viclip import JointEncoderConfig, ViclipConfig
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD, Tubelet

_HEAD_WIDTH = 64
# By the width of image towers: ViT-H, g and bigG of OpenCLIP.
_OPEN_CLIP_HEADS = {1280: 16, 1408: 16, 1664: 16}
# Whose number of heads is published.
PUBLISHED_SIZES = frozenset({*ENCODERS, *UNIFORMERS, *JOINT_ENCODERS})
_FRAMES_OF_TABLES = (16, 8, 32, 4, 64)  # tried in this order


def infer_masked_encoder(state: Mapping[str, Tensor]) -> MaskedEncoderConfig:
    """Configure encoder A for a state with its names below `encoder.`.

    Raises:
        CheckpointError: The state is not that of a video encoder of this kind.
    """
    kernel = _get(state, "encoder.patch_embed.proj.weight")
    if kernel.ndim != 5:
        raise CheckpointError(
            f"the patch kernel has shape {tuple(kernel.shape)}: this encoder reads images, and not "
            "tubelets of a video (d, c, dt, dh, dw)"
        )
    width, channels, *extent = kernel.shape
    depth = _count(state, "encoder.blocks.")
    tubelet = Tubelet(time=extent[0], height=extent[1], width=extent[2])
    known = [e for e in ENCODERS.values() if (e.width, e.depth) == (width, depth)]
    first = "encoder.blocks.0"
    num_frames, side_px = 16, 224 - 224 % tubelet.height
    table = state.get("encoder.pos_embed")
    if table is not None:
        num_frames, side_px = _extent_of_table(table.shape[1], tubelet)
    return MaskedEncoderConfig(
        num_frames=num_frames,
        side_px=side_px,
        tubelet=tubelet,
        width=width,
        depth=depth,
        num_heads=known[0].num_heads if known else _heads(width),
        mlp_ratio=_ratio(state, first, width, [e.mlp_ratio for e in known]),
        qkv_bias=f"{first}.attn.q_bias" in state,
        layer_scale_init=0.1 if f"{first}.gamma_1" in state else 0.0,
        positions="sine" if table is None else "learned",
        final_norm="encoder.norm.weight" in state,
        pixel_mean=IMAGENET_MEAN if channels == 3 else (0.0,) * channels,
        pixel_std=IMAGENET_STD if channels == 3 else (1.0,) * channels,
    )


def infer_decoder(state: Mapping[str, Tensor]) -> DecoderConfig:
    """Configure the pixel decoder for a state with its names below `decoder.`."""
    width = _get(state, "encoder_to_decoder.weight").shape[0]
    sizes = [*DECODERS.values(), *VIDEOMAE_DECODERS.values()]
    known = [size for size in sizes if size.width == width]
    return DecoderConfig(
        width=width,
        depth=_count(state, "decoder.blocks."),
        num_heads=known[0].num_heads if known else _heads(width),
        mlp_ratio=_ratio(state, "decoder.blocks.0", width, [size.mlp_ratio for size in known]),
    )


def infer_uniformer(state: Mapping[str, Tensor], start: str) -> UniFormerConfig:
    """Configure a UniFormerV2, or CLIP's image tower, for a state with its names below `start`."""
    kernel, table = _get(state, f"{start}patch_embed.weight"), _get(state, f"{start}positions")
    width, patch = kernel.shape[0], kernel.shape[-1]
    depth, num_global = (_count(state, f"{start}{stack}.") for stack in ("blocks", "global_blocks"))
    branch = f"{start}blocks.0.local1"
    local = {}
    if f"{branch}.down.weight" in state:
        reduced = state[f"{branch}.down.weight"].shape[0]
        usual = UniFormerConfig().local_reduction
        local = {
            "num_local": 1 + (f"{start}blocks.0.local2.down.weight" in state),
            "local_reduction": usual if int(width / usual) == reduced else width / reduced,
            "local_norm": "batch" if f"{branch}.norm.running_mean" in state else "layer",
        }
    global_ratio = 4.0
    if num_global:
        global_ratio = _ratio(state, f"{start}global_blocks.0", width, [4.0])
    return UniFormerConfig(
        side_px=patch * round((len(table) - 1) ** 0.5),
        patch_px=patch,
        width=width,
        depth=depth,
        num_heads=_image_heads(width),
        mlp_ratio=_ratio(state, f"{start}blocks.0", width, [4.0]),
        num_global_heads=_image_heads(width),
        global_layers=tuple(range(depth - num_global, depth)),
        global_mlp_ratio=global_ratio,
        temporal_patch_size=kernel.shape[2] if kernel.ndim == 5 else 1,
        frozen_backbone=num_global > 0 and f"{start}balance" not in state,
        **local,
    )


def infer_multimodal_encoder(state: Mapping[str, Tensor]) -> MultimodalEncoderConfig:
    """Configure an encoder B, with its caption decoder where the state has one.

    Raises:
        CheckpointError: The state is not that of an encoder with a video and a text tower.
    """
    video, text = infer_uniformer(state, "video."), _text_config(state)
    projection = state.get("text_projection")  # question answering leaves it out
    return MultimodalEncoderConfig(
        video=video,
        text=text,
        embed_dim=text.width if projection is None else projection.shape[1],
        captioner=_captioner_config(state, text),
    )


def infer_viclip(state: Mapping[str, Tensor]) -> ViclipConfig:
    """Configure a ViCLIP."""
    kernel, table = _get(state, "video.patch_embed.weight"), _get(state, "video.positions")
    width, patch = kernel.shape[0], kernel.shape[-1]
    return ViclipConfig(
        video=JointEncoderConfig(
            num_frames=len(_get(state, "video.time_positions")),
            side_px=patch * round((len(table) - 1) ** 0.5),
            patch_px=patch,
            width=width,
            depth=_count(state, "video.blocks."),
            num_heads=_image_heads(width),
            mlp_ratio=_ratio(state, "video.blocks.0", width, [4.0]),
        ),
        text=_text_config(state),
        embed_dim=_get(state, "text_projection").shape[1],
    )


def size_name(video: MaskedEncoderConfig | UniFormerConfig | JointEncoderConfig) -> str:
    """Name the published size of an encoder, or say what it measures."""
    tables = {
        MaskedEncoderConfig: ENCODERS,
        UniFormerConfig: UNIFORMERS,
        JointEncoderConfig: JOINT_ENCODERS,
    }
    for name, size in tables[type(video)].items():
        if (size.width, size.depth) == (video.width, video.depth):
            return name
    return f"width {video.width}, depth {video.depth}"


def _text_config(state: Mapping[str, Tensor]) -> TextEncoderConfig:
    vocabulary_size, width = _get(state, "text.token_embed.weight").shape
    return TextEncoderConfig(
        vocabulary_size=vocabulary_size,
        context_length=len(_get(state, "text.positions")),
        width=width,
        depth=_count(state, "text.blocks."),
        num_heads=_heads(width),
        mlp_ratio=_ratio(state, "text.blocks.0", width, [4.0]),
        mask_token="text.mask_token" in state,
    )


def _captioner_config(
    state: Mapping[str, Tensor], text: TextEncoderConfig
) -> CaptionDecoderConfig | None:
    first = "captioner.multimodal_layers.0"
    if f"{first}.1.fn.to_kv.weight" not in state:
        return None
    head_width = state[f"{first}.1.fn.to_kv.weight"].shape[0] // 2
    queries = state.get("captioner.visual_queries")
    return CaptionDecoderConfig(
        width=text.width,
        context_width=_get(state, "video.patch_embed.weight").shape[0],
        depth=_count(state, "captioner.multimodal_layers."),
        num_heads=state[f"{first}.1.fn.to_q.weight"].shape[0] // head_width,
        head_width=head_width,
        ff_multiple=state[f"{first}.1.fn.ff.2.weight"].shape[1] // text.width,
        num_queries=0 if queries is None else len(queries),
        vocabulary_size=text.vocabulary_size,
    )


def _get(state: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in state:
        raise CheckpointError(
            f"the weights have no tensor {name!r}: they are of another model, or were not read "
            "through their layout"
        )
    return state[name]


def _count(state: Mapping[str, Tensor], start: str) -> int:
    numbers = {key.removeprefix(start).split(".")[0] for key in state if key.startswith(start)}
    return len(numbers)


def _heads(width: int) -> int:
    return max(1, width // _HEAD_WIDTH)


def _image_heads(width: int) -> int:
    """Heads of an image tower of CLIP; OpenCLIP's H, g and bigG have wider ones."""
    return _OPEN_CLIP_HEADS.get(width, _heads(width))


def _ratio(state: Mapping[str, Tensor], block: str, width: int, usual: list[float]) -> float:
    """Width of the feed-forward part over that of the block; a usual one where it fits."""
    hidden = _get(state, f"{block}.mlp.fc1.weight").shape[0]
    fitting = [ratio for ratio in usual if hidden_width(width, ratio) == hidden]
    return fitting[0] if fitting else hidden / width


def _extent_of_table(num_rows: int, tubelet: Tubelet) -> tuple[int, int]:
    """Frames and side that a learned table was made for, the usual number of frames first."""
    for num_frames in _FRAMES_OF_TABLES:
        places, rest = divmod(num_rows, max(1, num_frames // tubelet.time))
        side = round(places**0.5)
        if not rest and side and side**2 == places and num_frames % tubelet.time == 0:
            return num_frames, side * tubelet.height
    raise CheckpointError(f"a table of {num_rows} positions is of no square clip that we know")
