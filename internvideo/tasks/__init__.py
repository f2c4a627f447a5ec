"""Downstream tasks, each evaluated by its official protocol: one module or folder for each.

What all of them share is in `internvideo.tasks.shared`.
"""

from internvideo.tasks.action_recognition import (
    ActionRecognition,
    ActionRecognitionResult,
    ActionRecognitionTraining,
    ClassResult,
    ensemble,
)
from internvideo.tasks.captioning import Captioning, CaptioningResult, slot_accuracy
from internvideo.tasks.multiple_choice import MultipleChoice, MultipleChoiceResult
from internvideo.tasks.open_set import OpenSetRecognition, OpenSetResult, OpenSetVideos
from internvideo.tasks.retrieval import Retrieval, RetrievalRequest, RetrievalResult
from internvideo.tasks.shared import (
    Captioner,
    Classifier,
    ClipSampling,
    CoordinatedTextModel,
    EmbeddedVideos,
    Embedder,
    EvaluationData,
    Extracted,
    FailedVideo,
    FeatureEncoder,
    FeatureExtraction,
    Inference,
    RankingRequest,
    RecognitionModel,
    Result,
    Task,
    TextRequest,
    VideoFeatures,
    VideoRequest,
    VideoTextModel,
    embed_sentences,
    embed_videos,
    predict_clips,
)
from internvideo.tasks.temporal_localization import (
    LocalizationData,
    LocalizationRequest,
    LocalizationVideos,
    TemporalDetector,
    TemporalDetectorConfig,
    TemporalLocalization,
    TemporalLocalizationResult,
)
from internvideo.tasks.zero_shot_recognition import RecognitionResult, ZeroShotRecognition

TASKS: dict[str, type[Task]] = {
    "action-recognition": ActionRecognition,
    "open-set": OpenSetRecognition,
    "zero-shot-recognition": ZeroShotRecognition,
    "retrieval": Retrieval,
    "multiple-choice": MultipleChoice,
    "captioning": Captioning,
    "temporal-localization": TemporalLocalization,
}

__all__ = [
    "TASKS",
    "ActionRecognition",
    "ActionRecognitionResult",
    "ActionRecognitionTraining",
    "Captioner",
    "Captioning",
    "CaptioningResult",
    "ClassResult",
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
    "LocalizationData",
    "LocalizationRequest",
    "LocalizationVideos",
    "MultipleChoice",
    "MultipleChoiceResult",
    "OpenSetRecognition",
    "OpenSetResult",
    "OpenSetVideos",
    "RankingRequest",
    "RecognitionModel",
    "RecognitionResult",
    "Result",
    "Retrieval",
    "RetrievalRequest",
    "RetrievalResult",
    "Task",
    "TemporalDetector",
    "TemporalDetectorConfig",
    "TemporalLocalization",
    "TemporalLocalizationResult",
    "TextRequest",
    "VideoFeatures",
    "VideoRequest",
    "VideoTextModel",
    "ZeroShotRecognition",
    "embed_sentences",
    "embed_videos",
    "ensemble",
    "predict_clips",
    "slot_accuracy",
]
