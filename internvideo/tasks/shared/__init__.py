"""What tasks share: what their networks start from, and the form of their fine-tuning."""

from internvideo.tasks.shared.finetuning import (
    CheckedVideos,
    FinetuningGuide,
    Preset,
    Validation,
)
from internvideo.tasks.shared.initialisation import (
    InitialWeights,
    initialise_by_class,
    read_initial_weights,
)

__all__ = [
    "CheckedVideos",
    "FinetuningGuide",
    "InitialWeights",
    "Preset",
    "Validation",
    "initialise_by_class",
    "read_initial_weights",
]
