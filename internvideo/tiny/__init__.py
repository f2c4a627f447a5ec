"""Front ends that let networks of a few million parameters learn from a few hundred videos.

They are ours and in no paper. A model takes one from outside; no published model imports them.
"""

from internvideo.tiny.masked_front_end import (
    MaskedFrontEnd,
    MaskedFrontEndConfig,
    TinyAutoencoderConfig,
    build_masked_autoencoder,
    build_masked_encoder,
)
from internvideo.tiny.panorama_encoder import TinyPanoramaConfig, TinyPanoramaEncoder
from internvideo.tiny.uniformer_front_end import (
    TinyMultimodalConfig,
    UniFormerFrontEnd,
    UniFormerFrontEndConfig,
    build_multimodal,
    build_uniformer,
    front_end_macs,
)

__all__ = [
    "MaskedFrontEnd",
    "MaskedFrontEndConfig",
    "TinyAutoencoderConfig",
    "TinyMultimodalConfig",
    "TinyPanoramaConfig",
    "TinyPanoramaEncoder",
    "UniFormerFrontEnd",
    "UniFormerFrontEndConfig",
    "build_masked_autoencoder",
    "build_masked_encoder",
    "build_multimodal",
    "build_uniformer",
    "front_end_macs",
]
