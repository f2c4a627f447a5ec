"""Published sizes of encoder A and of the decoders it was pretrained with.

Source: released scripts and models of VideoMAE, VideoMAE V2 and InternVideo. Names of encoders and
decoders match: `MaskedAutoencoder(ENCODERS["large"], DECODERS["large"])` is InternVideo's.
"""

from __future__ import annotations

from internvideo.models.masked_autoencoder import DecoderConfig
from internvideo.models.masked_encoder import MaskedEncoderConfig
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
