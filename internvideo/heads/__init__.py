"""Heads: a representation becomes an answer."""

from internvideo.heads.action_detector import (
    ActionDetector,
    ActionDetectorConfig,
    detection_loss,
)
from internvideo.heads.actor_context import ActorContextHead
from internvideo.heads.adapted_detector import (
    AdaptedDetector,
    AdaptedEncoderConfig,
    TemporalAdapter,
)
from internvideo.heads.anticipator import Anticipator, AnticipatorConfig, anticipation_losses
from internvideo.heads.classify import (
    AttentivePooling,
    VideoClassifier,
    VideoClassifierConfig,
    map_head_rows,
    rows_of_classes,
)
from internvideo.heads.coordinated import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    CoordinatedScores,
)
from internvideo.heads.navigator import Navigator, NavigatorConfig, Seen
from internvideo.heads.question_answering import (
    QuestionAnswerer,
    QuestionAnswererConfig,
    VideoReading,
)
from internvideo.heads.retrieval import (
    TokenWeights,
    equal_weights,
    mean_frame_similarity,
    token_similarity,
)
from internvideo.heads.retriever import Retriever, RetrieverConfig, Similarity

__all__ = [
    "ActionDetector",
    "ActionDetectorConfig",
    "detection_loss",
    "ActorContextHead",
    "AdaptedDetector",
    "AdaptedEncoderConfig",
    "Anticipator",
    "AnticipatorConfig",
    "anticipation_losses",
    "AttentivePooling",
    "TemporalAdapter",
    "CoordinatedClassifier",
    "CoordinatedClassifierConfig",
    "CoordinatedScores",
    "Navigator",
    "NavigatorConfig",
    "QuestionAnswerer",
    "QuestionAnswererConfig",
    "Retriever",
    "RetrieverConfig",
    "Similarity",
    "Seen",
    "TokenWeights",
    "VideoClassifier",
    "VideoClassifierConfig",
    "VideoReading",
    "equal_weights",
    "map_head_rows",
    "mean_frame_similarity",
    "rows_of_classes",
    "token_similarity",
]
