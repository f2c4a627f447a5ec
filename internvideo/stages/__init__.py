"""The stages of InternVideo: what each trains, as objects for the one training loop."""

from internvideo.stages.coordinate import (
    ANSWERS,
    CoordinationStage,
    CoordinationTraining,
    TrainedClassifier,
)
from internvideo.stages.episodes import (
    EpisodeBatch,
    EpisodeObjective,
    EpisodeStage,
    EpisodeTraining,
)
from internvideo.stages.feature_sequences import (
    FeatureSequenceStage,
    SequenceObjective,
    SequenceTraining,
)
from internvideo.stages.finetune import FinetuneStage, TaskObjective, TaskTraining
from internvideo.stages.mae import MaskedPretraining, MaskedPretrainingStage, RebuiltClip
from internvideo.stages.multimodal import MultimodalPretraining, MultimodalPretrainingStage

__all__ = [
    "ANSWERS",
    "CoordinationStage",
    "CoordinationTraining",
    "EpisodeBatch",
    "EpisodeObjective",
    "EpisodeStage",
    "EpisodeTraining",
    "FeatureSequenceStage",
    "FinetuneStage",
    "MaskedPretraining",
    "MaskedPretrainingStage",
    "MultimodalPretraining",
    "MultimodalPretrainingStage",
    "RebuiltClip",
    "SequenceObjective",
    "SequenceTraining",
    "TaskObjective",
    "TaskTraining",
    "TrainedClassifier",
]
