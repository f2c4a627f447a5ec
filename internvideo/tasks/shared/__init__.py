"""What several tasks share."""

from internvideo.tasks.shared.answers import (
    RankedTexts,
)
from internvideo.tasks.shared.classification import (
    ClassifiedVideos,
    Classifier,
    RecognitionModel,
    class_probabilities,
    classify_videos,
    kept_threshold,
    label_sets_among,
    labels_among,
)
from internvideo.tasks.shared.evaluation_data import (
    EvaluationData,
    EvaluationSource,
)
from internvideo.tasks.shared.features import (
    Extracted,
    FeatureEncoder,
    FeatureExtraction,
    VideoFeatures,
)
from internvideo.tasks.shared.finetuning import (
    CheckedVideos,
    FinetuningGuide,
    Plan,
    Preset,
    Request,
    SourceModel,
    Validation,
    clips_from,
    plan_on_clips,
)
from internvideo.tasks.shared.inference import (
    Captioner,
    ClipSampling,
    EmbeddedVideos,
    Embedder,
    Inference,
    Predictions,
    VideoModel,
    embed_sentences,
    embed_videos,
    predict_clips,
    stack_predictions,
)
from internvideo.tasks.shared.initialisation import (
    InitialWeights,
    initialise_by_class,
    read_initial_weights,
)
from internvideo.tasks.shared.localization import (
    DetectionConfig,
    detect,
    detect_stream,
    segments_in_seconds,
)
from internvideo.tasks.shared.matching import matching
from internvideo.tasks.shared.requests import (
    RankingRequest,
    TaskRequest,
    TextRequest,
    VideoRequest,
)
from internvideo.tasks.shared.saliency import (
    middle_view,
    saliency,
)
from internvideo.tasks.shared.suppression import (
    SuppressionConfig,
    fuse_video_scores,
    suppress,
    vote,
)
from internvideo.tasks.shared.task import (
    Answer,
    FailedVideo,
    Pretrained,
    Progress,
    Result,
    Task,
    TaskModel,
)
from internvideo.tasks.shared.video_text import (
    CoordinatedTextModel,
    RetrieverModel,
    VideoTextModel,
)

__all__ = [
    "Answer",
    "Captioner",
    "CheckedVideos",
    "ClassifiedVideos",
    "Classifier",
    "ClipSampling",
    "CoordinatedTextModel",
    "DetectionConfig",
    "EmbeddedVideos",
    "Embedder",
    "EvaluationData",
    "EvaluationSource",
    "Extracted",
    "FailedVideo",
    "FeatureEncoder",
    "FeatureExtraction",
    "FinetuningGuide",
    "Inference",
    "InitialWeights",
    "Plan",
    "Predictions",
    "Preset",
    "Pretrained",
    "Progress",
    "RankedTexts",
    "RankingRequest",
    "RecognitionModel",
    "Request",
    "Result",
    "RetrieverModel",
    "SourceModel",
    "SuppressionConfig",
    "Task",
    "TaskRequest",
    "TaskModel",
    "TextRequest",
    "Validation",
    "VideoFeatures",
    "VideoModel",
    "VideoRequest",
    "VideoTextModel",
    "class_probabilities",
    "classify_videos",
    "clips_from",
    "detect",
    "detect_stream",
    "embed_sentences",
    "embed_videos",
    "fuse_video_scores",
    "initialise_by_class",
    "kept_threshold",
    "label_sets_among",
    "labels_among",
    "matching",
    "middle_view",
    "plan_on_clips",
    "predict_clips",
    "read_initial_weights",
    "saliency",
    "segments_in_seconds",
    "stack_predictions",
    "suppress",
    "vote",
]
