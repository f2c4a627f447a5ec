"""The stages of InternVideo: what each trains, as objects for the one training loop."""

from internvideo.stages.coordinate import (
    ANSWERS,
    CoordinationStage,
    CoordinationTraining,
    TrainedClassifier,
)
from internvideo.stages.mae import MaskedPretraining, MaskedPretrainingStage, RebuiltClip
from internvideo.stages.multimodal import MultimodalPretraining, MultimodalPretrainingStage
from internvideo.stages.post_pretrain import PostPretraining, PostPretrainingStage

__all__ = [
    "ANSWERS",
    "CoordinationStage",
    "CoordinationTraining",
    "MaskedPretraining",
    "MaskedPretrainingStage",
    "MultimodalPretraining",
    "MultimodalPretrainingStage",
    "PostPretraining",
    "PostPretrainingStage",
    "RebuiltClip",
    "TrainedClassifier",
]
