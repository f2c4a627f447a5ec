"""Front ends for small networks trained from scratch on little video; no paper has them.

They are handed in to the published encoders, which know nothing of them: a network of a million
parameters learns shapes and motion from a few hundred clips with them, and does not without.
"""

from internvideo.tiny.uniformer_front_end import (
    TinyMultimodalConfig,
    UniFormerFrontEnd,
    UniFormerFrontEndConfig,
    build_multimodal,
    build_uniformer,
    front_end_macs,
)

__all__ = [
    "TinyMultimodalConfig",
    "UniFormerFrontEnd",
    "UniFormerFrontEndConfig",
    "build_multimodal",
    "build_uniformer",
    "front_end_macs",
]
