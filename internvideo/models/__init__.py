"""Networks: tensors to tensors. They know nothing of files, annotations, optimisers or ranks."""

from internvideo.models.attention import fused_attention_only
from internvideo.models.caption_decoder import (
    CaptionDecoder,
    CaptionDecoderConfig,
)
from internvideo.models.clip_blocks import (
    ClipAttention,
)
from internvideo.models.coordination import (
    CoordinatedOutput,
    Coordination,
    CoordinationConfig,
    FrozenFeatures,
    coordinated_embedding,
)
from internvideo.models.cost import (
    autoencoder_macs,
    caption_macs,
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
from internvideo.models.key_values import (
    KeyValueCache,
)
from internvideo.models.layers import (
    Attention,
    Block,
    Mlp,
)
from internvideo.models.masked_autoencoder import (
    AutoencoderConfig,
    DecoderConfig,
    MaskedAutoencoder,
)
from internvideo.models.masked_encoder import (
    MaskedEncoder,
    MaskedEncoderConfig,
    PatchEmbed,
    project_tubelets,
)
from internvideo.models.masking import (
    MASKS,
    MaskIndices,
    MaskingConfig,
    mask_indices,
    sample_masks,
)
from internvideo.models.multimodal_encoder import (
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEmbedding,
    VideoEmbedding,
    caption_context,
    unit_length,
)
from internvideo.models.positions import (
    resize_positions,
    sine_table,
)
from internvideo.models.roi_align import (
    enlarge_boxes,
    roi_align,
)
from internvideo.models.sizes import (
    CAPTION_DECODERS,
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
from internvideo.models.text_encoder import (
    TextEncoder,
    TextEncoderConfig,
    TextOutput,
)
from internvideo.models.tokens import (
    gather_tokens,
    patchify,
    patchify_frames,
    place_tokens,
    unpatchify,
)
from internvideo.models.uniformer import (
    EmbeddedPatches,
    UniFormer,
    UniFormerConfig,
    UniFormerOutput,
)
from internvideo.models.uniformer_blocks import (
    attend_once,
)
from internvideo.models.viclip import (
    JointEncoder,
    JointEncoderConfig,
    JointVideoEmbedding,
    Viclip,
    ViclipConfig,
)

__all__ = [
    "CAPTION_DECODERS",
    "Attention",
    "AutoencoderConfig",
    "Block",
    "CLIPS",
    "CaptionDecoder",
    "CaptionDecoderConfig",
    "CaptionScores",
    "Captions",
    "ClipAttention",
    "CoordinatedOutput",
    "Coordination",
    "CoordinationConfig",
    "DECODERS",
    "DecoderConfig",
    "ENCODERS",
    "EmbeddedPatches",
    "FrozenFeatures",
    "GenerationConfig",
    "JOINT_ENCODERS",
    "JointEncoder",
    "JointEncoderConfig",
    "JointVideoEmbedding",
    "KeyValueCache",
    "MASKS",
    "MULTIMODAL_ENCODERS",
    "MaskIndices",
    "MaskedAutoencoder",
    "MaskedEncoder",
    "MaskedEncoderConfig",
    "MaskingConfig",
    "Mlp",
    "MultimodalEncoder",
    "MultimodalEncoderConfig",
    "PatchEmbed",
    "TEXT_ENCODERS",
    "TextEmbedding",
    "TextEncoder",
    "TextEncoderConfig",
    "TextOutput",
    "UNIFORMERS",
    "UniFormer",
    "UniFormerConfig",
    "UniFormerOutput",
    "VIDEOMAE_DECODERS",
    "VIDEOMAE_V2_DECODERS",
    "Viclip",
    "ViclipConfig",
    "VideoEmbedding",
    "attend_once",
    "autoencoder_macs",
    "caption_macs",
    "beam_search",
    "caption_context",
    "coordinated_embedding",
    "encoder_macs",
    "enlarge_boxes",
    "fused_attention_only",
    "gather_tokens",
    "generate",
    "greedy_search",
    "mask_indices",
    "patchify",
    "patchify_frames",
    "place_tokens",
    "project_tubelets",
    "resize_positions",
    "roi_align",
    "sample_masks",
    "sine_table",
    "text_macs",
    "training_flops",
    "uniformer_macs",
    "unit_length",
    "unpatchify",
]
