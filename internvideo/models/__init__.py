"""Networks: tensors to tensors. They know nothing of files, annotations, optimisers or ranks."""

from internvideo.models.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from internvideo.models.cost import autoencoder_macs, encoder_macs, training_flops
from internvideo.models.generation import (
    Captions,
    CaptionScores,
    GenerationConfig,
    beam_search,
    generate,
    greedy_search,
)
from internvideo.models.key_values import KeyValueCache
from internvideo.models.layers import Attention, Block, Mlp
from internvideo.models.masked_autoencoder import DecoderConfig, MaskedAutoencoder
from internvideo.models.masked_encoder import MaskedEncoder, MaskedEncoderConfig
from internvideo.models.masking import MASKS, MaskingConfig, TokenSplit, split_of, split_tokens
from internvideo.models.multimodal_encoder import (
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEmbedding,
    VideoEmbedding,
    unit_length,
)
from internvideo.models.positions import axes_sine_table, resize_positions, sine_table
from internvideo.models.sizes import (
    DECODERS,
    ENCODERS,
    VIDEOMAE_DECODERS,
    VIDEOMAE_V2_DECODERS,
)
from internvideo.models.text_encoder import TextEncoder, TextEncoderConfig, TextOutput
from internvideo.models.tokens import gather_tokens, patchify, patchify_frames, unpatchify
from internvideo.models.uniformer import UniFormer, UniFormerConfig, UniFormerOutput
from internvideo.models.weights import (
    from_official_classifier,
    from_transformers,
    to_official_classifier,
)

__all__ = [
    "DECODERS",
    "ENCODERS",
    "MASKS",
    "VIDEOMAE_DECODERS",
    "VIDEOMAE_V2_DECODERS",
    "Attention",
    "Block",
    "CaptionDecoder",
    "CaptionDecoderConfig",
    "CaptionScores",
    "Captions",
    "DecoderConfig",
    "GenerationConfig",
    "KeyValueCache",
    "MaskedAutoencoder",
    "MaskedEncoder",
    "MaskedEncoderConfig",
    "MaskingConfig",
    "Mlp",
    "MultimodalEncoder",
    "MultimodalEncoderConfig",
    "TextEmbedding",
    "TextEncoder",
    "TextEncoderConfig",
    "TextOutput",
    "TokenSplit",
    "UniFormer",
    "UniFormerConfig",
    "UniFormerOutput",
    "VideoEmbedding",
    "autoencoder_macs",
    "axes_sine_table",
    "beam_search",
    "encoder_macs",
    "from_official_classifier",
    "from_transformers",
    "gather_tokens",
    "generate",
    "greedy_search",
    "patchify",
    "patchify_frames",
    "resize_positions",
    "sine_table",
    "split_of",
    "split_tokens",
    "to_official_classifier",
    "training_flops",
    "unit_length",
    "unpatchify",
]
