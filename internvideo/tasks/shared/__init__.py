"""What tasks share: their form, inference over videos, classification, video-text models."""

from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.classification import (
    ClassifiedVideos,
    Classifier,
    RecognitionModel,
    classify_videos,
    labels_among,
)
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.features import (
    Extracted,
    FeatureEncoder,
    FeatureExtraction,
    VideoFeatures,
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
from internvideo.tasks.shared.requests import RankingRequest, TextRequest, VideoRequest
from internvideo.tasks.shared.saliency import middle_view, saliency
from internvideo.tasks.shared.task import (
    Answer,
    FailedVideo,
    Pretrained,
    Progress,
    Result,
    Task,
    TaskModel,
)
from internvideo.tasks.shared.video_text import CoordinatedTextModel, VideoTextModel

__all__ = [
    "Answer",
    "Captioner",
    "ClassifiedVideos",
    "Classifier",
    "ClipSampling",
    "CoordinatedTextModel",
    "EmbeddedVideos",
    "Embedder",
    "EvaluationData",
    "Extracted",
    "FailedVideo",
    "FeatureEncoder",
    "FeatureExtraction",
    "Inference",
    "Predictions",
    "Pretrained",
    "Progress",
    "RankedTexts",
    "RankingRequest",
    "RecognitionModel",
    "Result",
    "Task",
    "TaskModel",
    "TextRequest",
    "VideoFeatures",
    "VideoModel",
    "VideoRequest",
    "VideoTextModel",
    "classify_videos",
    "embed_sentences",
    "embed_videos",
    "labels_among",
    "middle_view",
    "predict_clips",
    "saliency",
    "stack_predictions",
]
