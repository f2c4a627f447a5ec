"""Weights: the names that others give them, strict loading, and merging."""

from internvideo.models.weights.checkpoint_rules import (
    StartReport,
    classifier_weights,
    from_official_uniformer,
    initialise_classifier,
    strip_prefixes,
    to_official_uniformer,
    unwrap,
)
from internvideo.models.weights.layouts import (
    INTERNVIDEO_MM,
    OPENAI_CLIP,
    UNIFORMER_V2,
    VICLIP,
    Layout,
    from_transformers_clip,
)
from internvideo.models.weights.loading import (
    LoadReport,
    inflate_kernel,
    initialise_from_clip,
    load_weights,
)
from internvideo.models.weights.masked_encoder import (
    from_official_classifier,
    from_transformers,
    to_official_classifier,
)
from internvideo.models.weights.merging import MERGE_RULES, average_weights, merge_with_clip
from internvideo.models.weights.sizes_of import multimodal_config_of

__all__ = [
    "INTERNVIDEO_MM",
    "MERGE_RULES",
    "OPENAI_CLIP",
    "UNIFORMER_V2",
    "VICLIP",
    "Layout",
    "LoadReport",
    "StartReport",
    "average_weights",
    "classifier_weights",
    "from_official_classifier",
    "from_official_uniformer",
    "from_transformers",
    "from_transformers_clip",
    "inflate_kernel",
    "initialise_classifier",
    "initialise_from_clip",
    "load_weights",
    "merge_with_clip",
    "multimodal_config_of",
    "strip_prefixes",
    "to_official_classifier",
    "to_official_uniformer",
    "unwrap",
]
