"""Action recognition, with its page."""

from internvideo.tasks.action_recognition.result import (
    ActionRecognitionResult,
    ClassResult,
    confusion_chart,
)
from internvideo.tasks.action_recognition.task import ActionRecognition, ensemble

__all__ = [
    "ActionRecognition",
    "ActionRecognitionResult",
    "ClassResult",
    "confusion_chart",
    "ensemble",
]
