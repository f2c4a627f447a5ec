"""Weights: the names that others give them, strict loading, and merging."""

from internvideo.weights.classifier_init import (
    StartReport,
    classifier_weights,
    initialise_classifier,
)
from internvideo.weights.clip_layouts import (
    INTERNVIDEO_MM,
    OPENAI_CLIP,
    UNIFORMER_V2,
    UNIFORMER_V2_CLASSIFIER,
    VICLIP,
    Layout,
    from_transformers_clip,
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
    infer_decoder,
    infer_masked_encoder,
    infer_multimodal_encoder,
    infer_uniformer,
    infer_viclip,
    size_name,
)
from internvideo.weights.loading import (
    LoadReport,
    inflate_kernel,
    initialise_from_clip,
    load_weights,
)
from internvideo.weights.merging import MERGE_RULES, average_weights, merge_with_clip
from internvideo.weights.registry import RELEASES, Release, release
from internvideo.weights.report import TensorReport, count_tensors, report_tensors
from internvideo.weights.transformers_config import clip_config_fields, videomae_config_fields
from internvideo.weights.videomae import (
    from_official_classifier,
    from_transformers,
    to_official_classifier,
)

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
    "TensorReport",
    "Layout",
    "LoadReport",
    "ReadWeights",
    "Release",
    "StartReport",
    "average_weights",
    "classifier_weights",
    "count_tensors",
    "infer_decoder",
    "clip_config_fields",
    "videomae_config_fields",
    "report_tensors",
    "from_official_classifier",
    "from_transformers",
    "from_transformers_clip",
    "inflate_kernel",
    "initialise_classifier",
    "initialise_from_clip",
    "load_weights",
    "infer_masked_encoder",
    "merge_with_clip",
    "infer_multimodal_encoder",
    "read_state",
    "release",
    "size_name",
    "to_official_classifier",
    "infer_uniformer",
    "infer_viclip",
]
