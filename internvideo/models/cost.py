"""What a network costs, in multiply-adds (MAC) per clip, from its configuration alone.

Papers of this field print MAC as "FLOPs"; one MAC is two FLOP, and training spends three forwards:
6 FLOP per forward MAC. Norms, softmax, biases and GELU are left out, as usual.
"""

from __future__ import annotations

from internvideo.models.caption_decoder import CaptionDecoderConfig
from internvideo.models.layers import hidden_width
from internvideo.models.masked_autoencoder import DecoderConfig
from internvideo.models.masked_encoder import MaskedEncoderConfig
from internvideo.models.text_encoder import TextEncoderConfig
from internvideo.models.uniformer import UniFormerConfig


def block_macs(num_tokens: int, width: int, mlp_ratio: float) -> int:
    """One block: projections, feed-forward, and attention of all tokens to all."""
    hidden = hidden_width(width, mlp_ratio)
    return 4 * num_tokens * width**2 + 2 * num_tokens * width * hidden + 2 * num_tokens**2 * width


def encoder_macs(config: MaskedEncoderConfig, num_tokens: int | None = None) -> int:
    """Forward of encoder A on `num_tokens` tokens (all of a clip, if None)."""
    count = num_tokens or config.grid.num_tokens
    embedding = count * config.num_pixels * config.width
    return embedding + config.depth * block_macs(count, config.width, config.mlp_ratio)


def autoencoder_macs(
    encoder: MaskedEncoderConfig,
    decoder: DecoderConfig,
    *,
    num_visible: int,
    num_predicted: int,
    num_embedded: int | None = None,
) -> int:
    """Forward of masked pretraining: encoder on visible, decoder on visible and predicted tokens.

    The released code embeds all tokens before it drops the masked ones: `num_embedded`.
    """
    extra = (num_embedded or num_visible) - num_visible
    num_decoded = num_visible + num_predicted
    return (
        encoder_macs(encoder, num_visible)
        + extra * encoder.num_pixels * encoder.width
        + num_visible * encoder.width * decoder.width
        + decoder.depth * block_macs(num_decoded, decoder.width, decoder.mlp_ratio)
        + num_predicted * decoder.width * encoder.num_pixels
    )


def uniformer_macs(
    config: UniFormerConfig,
    num_frames: int,
    *,
    num_patches: int | None = None,
    embedding_macs: int | None = None,
) -> int:
    """Forward of encoder B's video tower.

    As papers count it, keys and values of global blocks included, which ours never forms: they are
    5 % of B/16.

    Args:
        config: The tower.
        num_frames: Frames of a clip.
        num_patches: Patches that are read of each frame; None: all.
        embedding_macs: Cost of a patch embedding that was handed in; None: the published one.
    """
    h, w = config.grid
    k = h * w if num_patches is None else num_patches
    t, width = config.num_slots(num_frames), config.width
    n = t * (1 + k)
    if embedding_macs is None:
        embedding_macs = t * k * 3 * config.temporal_patch_size * config.patch_px**2 * width
    block = t * block_macs(1 + k, width, config.mlp_ratio)
    reduced = int(width // config.local_reduction)
    local = config.num_local * t * k * (2 * width * reduced + 3 * reduced)
    query = 2 * width**2 + 2 * width * hidden_width(width, config.global_mlp_ratio)
    reader = 27 * t * h * w * width + 2 * n * width**2 + 2 * n * width + query
    return embedding_macs + config.depth * (block + local) + len(config.global_layers) * reader


def text_macs(config: TextEncoderConfig, num_tokens: int | None = None) -> int:
    """Forward of the text tower on `num_tokens` tokens (its context, if None)."""
    count = config.context_length if num_tokens is None else num_tokens
    return config.depth * block_macs(count, config.width, config.mlp_ratio)


def caption_macs(config: CaptionDecoderConfig, num_video_tokens: int, num_tokens: int = 77) -> int:
    """Forward of the caption decoder on `num_tokens` text tokens, vocabulary included."""
    text, width, read = num_tokens, config.width, num_video_tokens
    inner, context = config.num_heads * config.head_width, config.context_width
    hidden = config.ff_multiple * width
    # Heads of the parallel kind share one key and one value.
    pair = 2 * (config.head_width if config.kind == "parallel" else inner)
    macs = text * width * (width + config.vocabulary_size)
    if config.num_queries:
        queries = config.num_queries
        shared = read * context * 2 * config.head_width
        macs += 2 * queries * width * inner + shared + 2 * queries * read * inner
        read, context = queries, width
    itself = text * width * (2 * inner + pair) + 2 * text**2 * inner
    across = 2 * text * width * inner + read * context * pair + 2 * text * read * inner
    # SwiGLU has three matrices, and the parallel kind a second feed-forward after the context.
    matrices = 6 if config.kind == "parallel" else 2
    return macs + config.depth * (itself + across + matrices * text * width * hidden)


def training_flops(forward_macs: int, *, recompute: bool = False) -> int:
    """Forward and backward of one clip; with recomputed activations a second forward is counted."""
    return (8 if recompute else 6) * forward_macs
