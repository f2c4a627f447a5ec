"""Weights: the names that others give them, strict loading, and merging."""

from internvideo.weights.action_detector import read_official_detector, write_official_detector
from internvideo.weights.actionformer import (
    actionformer_config_of,
    from_official_actionformer,
    to_official_actionformer,
)
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
from internvideo.weights.families import (
    FAMILIES,
    Family,
    ReadWeights,
    read_state,
)
from internvideo.weights.files import (
    check_sha256,
    find_weights,
    read_document,
    read_weights,
    sha256_of,
    weights_sha256,
)
from internvideo.weights.infer_config import (
    PUBLISHED_SIZES,
    infer_decoder,
    infer_masked_encoder,
    infer_multimodal_encoder,
    infer_uniformer,
    infer_viclip,
    size_name,
)
from internvideo.weights.loading import (
    LoadReport,
    check_weights,
    inflate_kernel,
    initialise_from_clip,
    load_weights,
)
from internvideo.weights.merging import (
    MERGE_RULES,
    average_weights,
    merge_with_clip,
)
from internvideo.weights.registry import (
    RELEASES,
    Release,
    release,
)
from internvideo.weights.report import (
    TensorReport,
    count_tensors,
    report_tensors,
)
from internvideo.weights.transformers_config import (
    clip_config_fields,
    open_clip_config_fields,
    videomae_config_fields,
)
from internvideo.weights.videomae import (
    from_official_classifier,
    from_transformers,
    to_official_classifier,
)

__all__ = [
    "read_official_detector",
    "write_official_detector",
    "FAMILIES",
    "Family",
    "INTERNVIDEO_MM",
    "Layout",
    "LoadReport",
    "MERGE_RULES",
    "OPENAI_CLIP",
    "PUBLISHED_SIZES",
    "RELEASES",
    "ReadWeights",
    "Release",
    "StartReport",
    "TensorReport",
    "UNIFORMER_V2",
    "UNIFORMER_V2_CLASSIFIER",
    "VICLIP",
    "actionformer_config_of",
    "average_weights",
    "check_sha256",
    "check_weights",
    "classifier_weights",
    "clip_config_fields",
    "count_tensors",
    "find_weights",
    "from_official_actionformer",
    "from_official_classifier",
    "from_transformers",
    "from_transformers_clip",
    "infer_decoder",
    "infer_masked_encoder",
    "infer_multimodal_encoder",
    "infer_uniformer",
    "infer_viclip",
    "inflate_kernel",
    "initialise_classifier",
    "initialise_from_clip",
    "load_weights",
    "merge_with_clip",
    "open_clip_config_fields",
    "read_document",
    "read_state",
    "read_weights",
    "release",
    "report_tensors",
    "sha256_of",
    "weights_sha256",
    "size_name",
    "to_official_actionformer",
    "to_official_classifier",
    "videomae_config_fields",
]
