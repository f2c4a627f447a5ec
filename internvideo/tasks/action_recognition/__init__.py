"""Action recognition: its protocol, and how a classifier is trained for it."""

from internvideo.tasks.action_recognition.result import (
    ActionRecognitionResult,
    ClassResult,
    MultiLabelResult,
    confusion_chart,
)
from internvideo.tasks.action_recognition.task import (
    ActionRecognition,
    ensemble,
)
from internvideo.tasks.action_recognition.training import (
    ActionRecognitionTraining,
    RecognitionObjective,
)

__all__ = [
    "ActionRecognition",
    "ActionRecognitionResult",
    "ActionRecognitionTraining",
    "ClassResult",
    "MultiLabelResult",
    "RecognitionObjective",
    "confusion_chart",
    "ensemble",
]
