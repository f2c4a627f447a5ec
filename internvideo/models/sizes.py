"""Published sizes of both encoders and of the decoders that encoder A was pretrained with.

Source: released scripts and models of VideoMAE, VideoMAE V2, UniFormerV2, InternVideo and ViCLIP.
Names match: `MaskedAutoencoder(ENCODERS["large"], DECODERS["large"])` is InternVideo's.
"""

from __future__ import annotations

from dataclasses import replace

from internvideo.models.caption_decoder import CaptionDecoderConfig
from internvideo.models.masked_autoencoder import DecoderConfig
from internvideo.models.masked_encoder import MaskedEncoderConfig
from internvideo.models.multimodal_encoder import MultimodalEncoderConfig
from internvideo.models.text_encoder import TextEncoderConfig
from internvideo.models.uniformer import UniFormerConfig
from internvideo.models.viclip import JointEncoderConfig
from internvideo.values import Tubelet

_PATCH_14 = Tubelet(time=2, height=14, width=14)

ENCODERS: dict[str, MaskedEncoderConfig] = {
    "small": MaskedEncoderConfig(width=384, depth=12, num_heads=6),
    "base": MaskedEncoderConfig(width=768, depth=12, num_heads=12),
    "large": MaskedEncoderConfig(width=1024, depth=24, num_heads=16),
    "huge": MaskedEncoderConfig(width=1280, depth=32, num_heads=16),
    "giant": MaskedEncoderConfig(
        width=1408, depth=40, num_heads=16, mlp_ratio=48 / 11, tubelet=_PATCH_14
    ),
    "gigantic": MaskedEncoderConfig(
        width=1664, depth=48, num_heads=16, mlp_ratio=64 / 13, tubelet=_PATCH_14
    ),
}

# InternVideo's scripts, and V2 for the two largest.
DECODERS: dict[str, DecoderConfig] = {
    "small": DecoderConfig(width=192, depth=4, num_heads=3),
    "base": DecoderConfig(width=384, depth=4, num_heads=6),
    "large": DecoderConfig(width=512, depth=12, num_heads=8),
    "huge": DecoderConfig(width=512, depth=8, num_heads=8),
    "giant": DecoderConfig(width=512, depth=4, num_heads=8, mlp_ratio=48 / 11),
    "gigantic": DecoderConfig(width=512, depth=4, num_heads=8, mlp_ratio=64 / 13),
}

# The same encoders in their first release, and with V2's depth for all.
VIDEOMAE_DECODERS: dict[str, DecoderConfig] = DECODERS | {
    "huge": DecoderConfig(width=640, depth=12, num_heads=8),
}
VIDEOMAE_V2_DECODERS: dict[str, DecoderConfig] = DECODERS | {
    "large": DecoderConfig(width=512, depth=4, num_heads=8),
    "huge": DecoderConfig(width=512, depth=4, num_heads=8),
}

_UNIFORMER_LARGE = UniFormerConfig(
    patch_px=14,
    width=1024,
    depth=24,
    num_heads=16,
    num_global_heads=16,
    global_layers=(20, 21, 22, 23),
)
# Something-Something: time is halved, two local MHRA a block, and more layers are read.
_LOCAL = {
    "temporal_patch_size": 3,
    "num_local": 2,
    "drop_path": 0.2,
    "global_drop_path": 0.4,
}

UNIFORMERS: dict[str, UniFormerConfig] = {
    "base": UniFormerConfig(),
    "large": _UNIFORMER_LARGE,
    "large-336": replace(_UNIFORMER_LARGE, side_px=336),
    "base-local": UniFormerConfig(global_layers=tuple(range(4, 12)), **_LOCAL),
    "large-local": replace(_UNIFORMER_LARGE, global_layers=tuple(range(8, 24)), **_LOCAL),
    "large-336-local": replace(
        _UNIFORMER_LARGE, side_px=336, global_layers=tuple(range(8, 24)), **_LOCAL
    ),
}

_TEXT_LARGE = TextEncoderConfig(width=768, num_heads=12)

TEXT_ENCODERS: dict[str, TextEncoderConfig] = {
    "base": TextEncoderConfig(),
    "large": _TEXT_LARGE,
    "large-336": _TEXT_LARGE,
}

# InternVideo-MM as released, without its caption decoder.
MULTIMODAL_ENCODERS: dict[str, MultimodalEncoderConfig] = {
    name: MultimodalEncoderConfig(
        video=UNIFORMERS[name], text=replace(text, mask_token=True), embed_dim=text.width
    )
    for name, text in TEXT_ENCODERS.items()
}

# The released decoder's own default, 4 layers; the paper's is deeper.
CAPTION_DECODERS: dict[str, CaptionDecoderConfig] = {
    "base": CaptionDecoderConfig(),
    "large": CaptionDecoderConfig(width=768, context_width=1024, num_heads=12),
}

# The same pairs without global blocks: CLIP.
CLIPS: dict[str, MultimodalEncoderConfig] = {
    name: MultimodalEncoderConfig(
        video=replace(UNIFORMERS[name], global_layers=()), text=text, embed_dim=text.width
    )
    for name, text in TEXT_ENCODERS.items()
}

# Video towers of ViCLIP; its text towers have a context of 32 tokens.
JOINT_ENCODERS: dict[str, JointEncoderConfig] = {
    "base": JointEncoderConfig(),
    "large": JointEncoderConfig(patch_px=14, width=1024, depth=24, num_heads=16),
}
