"""Short-term anticipation: which object is touched next, how, and in how many seconds."""

from internvideo.tasks.anticipation.model import Anticipated, AnticipationModel
from internvideo.tasks.anticipation.task import (
    Anticipation,
    AnticipationData,
    AnticipationRequest,
    AnticipationResult,
)
from internvideo.tasks.anticipation.training import AnticipationTraining

__all__ = [
    "Anticipated",
    "Anticipation",
    "AnticipationData",
    "AnticipationModel",
    "AnticipationRequest",
    "AnticipationResult",
    "AnticipationTraining",
]
