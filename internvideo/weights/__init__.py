"""Weights: the names that others give them, strict loading, and merging."""

from internvideo.weights.checkpoint_rules import (
    StartReport,
    classifier_weights,
    initialise_classifier,
)
from internvideo.weights.families import FAMILIES, Family, ReadWeights, read_state
from internvideo.weights.files import (
    check_sha256,
    find_weights,
    read_document,
    read_weights,
    sha256_of,
)
from internvideo.weights.infer_config import (
    decoder_config_of,
    masked_encoder_config_of,
    multimodal_config_of,
    size_of,
    uniformer_config_of,
    viclip_config_of,
)
from internvideo.weights.layouts import (
    INTERNVIDEO_MM,
    OPENAI_CLIP,
    UNIFORMER_V2,
    UNIFORMER_V2_CLASSIFIER,
    VICLIP,
    Layout,
    from_transformers_clip,
)
from internvideo.weights.loading import (
    LoadReport,
    inflate_kernel,
    initialise_from_clip,
    load_weights,
)
from internvideo.weights.masked_encoder import (
    from_official_classifier,
    from_transformers,
    to_official_classifier,
)
from internvideo.weights.merging import MERGE_RULES, average_weights, merge_with_clip
from internvideo.weights.registry import RELEASES, Release, release
from internvideo.weights.report import Fate, count_fates, fates_of
from internvideo.weights.transformers_config import facts_of_clip, facts_of_videomae

__all__ = [
    "sha256_of",
    "read_weights",
    "read_document",
    "find_weights",
    "check_sha256",
    "FAMILIES",
    "INTERNVIDEO_MM",
    "MERGE_RULES",
    "OPENAI_CLIP",
    "RELEASES",
    "UNIFORMER_V2",
    "UNIFORMER_V2_CLASSIFIER",
    "VICLIP",
    "Family",
    "Fate",
    "Layout",
    "LoadReport",
    "ReadWeights",
    "Release",
    "StartReport",
    "average_weights",
    "classifier_weights",
    "count_fates",
    "decoder_config_of",
    "facts_of_clip",
    "facts_of_videomae",
    "fates_of",
    "from_official_classifier",
    "from_transformers",
    "from_transformers_clip",
    "inflate_kernel",
    "initialise_classifier",
    "initialise_from_clip",
    "load_weights",
    "masked_encoder_config_of",
    "merge_with_clip",
    "multimodal_config_of",
    "read_state",
    "release",
    "size_of",
    "to_official_classifier",
    "uniformer_config_of",
    "viclip_config_of",
]
