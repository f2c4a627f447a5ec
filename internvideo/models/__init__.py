"""Networks: tensors to tensors. They know nothing of files, annotations, optimisers or ranks."""

from internvideo.models.caption_decoder import CaptionDecoder, CaptionDecoderConfig
from internvideo.models.clip_blocks import ClipAttention
from internvideo.models.coordination import (
    CoordinatedOutput,
    Coordination,
    CoordinationConfig,
    FrozenFeatures,
    coordinated_embedding,
)
from internvideo.models.cost import (
    autoencoder_macs,
    encoder_macs,
    text_macs,
    training_flops,
    uniformer_macs,
)
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
    caption_context,
    unit_length,
)
from internvideo.models.positions import axes_sine_table, resize_positions, sine_table
from internvideo.models.roi_align import enlarge_boxes, roi_align
from internvideo.models.sizes import (
    CLIPS,
    DECODERS,
    ENCODERS,
    JOINT_ENCODERS,
    MULTIMODAL_ENCODERS,
    TEXT_ENCODERS,
    UNIFORMERS,
    VIDEOMAE_DECODERS,
    VIDEOMAE_V2_DECODERS,
)
from internvideo.models.text_encoder import TextEncoder, TextEncoderConfig, TextOutput
from internvideo.models.tokens import (
    changing_tokens,
    gather_tokens,
    patchify,
    patchify_frames,
    place_tokens,
    unpatchify,
)
from internvideo.models.uniformer import UniFormer, UniFormerConfig, UniFormerOutput
from internvideo.models.uniformer_blocks import attend_once
from internvideo.models.viclip import (
    JointEncoder,
    JointEncoderConfig,
    JointVideoEmbedding,
    Viclip,
    ViclipConfig,
)

__all__ = [
    "enlarge_boxes",
    "roi_align",
    "CLIPS",
    "DECODERS",
    "ENCODERS",
    "JOINT_ENCODERS",
    "MASKS",
    "MULTIMODAL_ENCODERS",
    "TEXT_ENCODERS",
    "UNIFORMERS",
    "VIDEOMAE_DECODERS",
    "VIDEOMAE_V2_DECODERS",
    "Attention",
    "Block",
    "CaptionDecoder",
    "CaptionDecoderConfig",
    "CaptionScores",
    "Captions",
    "ClipAttention",
    "CoordinatedOutput",
    "Coordination",
    "CoordinationConfig",
    "DecoderConfig",
    "FrozenFeatures",
    "GenerationConfig",
    "JointEncoder",
    "JointEncoderConfig",
    "JointVideoEmbedding",
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
    "Viclip",
    "ViclipConfig",
    "VideoEmbedding",
    "attend_once",
    "autoencoder_macs",
    "axes_sine_table",
    "beam_search",
    "caption_context",
    "changing_tokens",
    "coordinated_embedding",
    "encoder_macs",
    "gather_tokens",
    "generate",
    "greedy_search",
    "patchify",
    "patchify_frames",
    "place_tokens",
    "resize_positions",
    "sine_table",
    "split_of",
    "split_tokens",
    "text_macs",
    "training_flops",
    "uniformer_macs",
    "unit_length",
    "unpatchify",
]
