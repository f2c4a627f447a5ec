"""Fine-tuning for retrieval: `tasks/shared/video_text_training.py` under its own name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from internvideo.tasks.shared.video_text_training import VideoTextTraining


@dataclass(frozen=True, kw_only=True)
class RetrievalTraining(VideoTextTraining):
    """Encoder B learns which sentence belongs to which video."""

    kind: Literal["retrieval"] = "retrieval"
