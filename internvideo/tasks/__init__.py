"""Downstream tasks, each evaluated by its official protocol."""

from internvideo.tasks.action_recognition import (
    ActionRecognition,
    ActionRecognitionResult,
    ActionRecognitionTraining,
    ClassResult,
    ensemble,
)
from internvideo.tasks.captioning import Captioning, CaptioningResult, slot_accuracy
from internvideo.tasks.embedding import (
    Captioner,
    EmbeddedVideos,
    Embedder,
    FailedVideo,
    Viewing,
    embed_sentences,
    embed_videos,
    see_clips,
)
from internvideo.tasks.features import (
    Extracted,
    FeatureEncoder,
    FeatureExtraction,
    VideoFeatures,
)
from internvideo.tasks.multiple_choice import MultipleChoice, MultipleChoiceResult
from internvideo.tasks.open_set import OpenSetRecognition, OpenSetResult
from internvideo.tasks.recogniser import Recogniser, RecognitionModel
from internvideo.tasks.retrieval import Retrieval, RetrievalResult
from internvideo.tasks.saliency import middle_view, saliency
from internvideo.tasks.video_text import CoordinatedTextModel, VideoTextModel
from internvideo.tasks.zero_shot_recognition import RecognitionResult, ZeroShotRecognition

Task = (
    ZeroShotRecognition
    | Retrieval
    | MultipleChoice
    | Captioning
    | ActionRecognition
    | OpenSetRecognition
)

TASKS: dict[str, type[Task]] = {
    "zero-shot-recognition": ZeroShotRecognition,
    "retrieval": Retrieval,
    "multiple-choice": MultipleChoice,
    "captioning": Captioning,
    "action-recognition": ActionRecognition,
    "open-set": OpenSetRecognition,
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
    "CoordinatedTextModel",
    "EmbeddedVideos",
    "Embedder",
    "Extracted",
    "FailedVideo",
    "FeatureEncoder",
    "FeatureExtraction",
    "MultipleChoice",
    "MultipleChoiceResult",
    "OpenSetRecognition",
    "OpenSetResult",
    "Recogniser",
    "RecognitionModel",
    "RecognitionResult",
    "Retrieval",
    "RetrievalResult",
    "Task",
    "VideoFeatures",
    "VideoTextModel",
    "Viewing",
    "ZeroShotRecognition",
    "embed_sentences",
    "embed_videos",
    "ensemble",
    "middle_view",
    "saliency",
    "see_clips",
    "slot_accuracy",
]
