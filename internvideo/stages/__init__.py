"""The stages of InternVideo: what each trains, as objects for the one training loop."""

from internvideo.stages.coordinate import (
    ANSWERS,
    CoordinationStage,
    CoordinationTraining,
    TrainedClassifier,
)
from internvideo.stages.finetune import FinetuneStage, TaskObjective, TaskTraining
from internvideo.stages.mae import MaskedPretraining, MaskedPretrainingStage, RebuiltClip
from internvideo.stages.multimodal import MultimodalPretraining, MultimodalPretrainingStage

__all__ = [
    "ANSWERS",
    "CoordinationStage",
    "CoordinationTraining",
    "FinetuneStage",
    "MaskedPretraining",
    "MaskedPretrainingStage",
    "MultimodalPretraining",
    "MultimodalPretrainingStage",
    "RebuiltClip",
    "TaskObjective",
    "TaskTraining",
    "TrainedClassifier",
]
