"""The stages of InternVideo: what each trains, as objects for the one training loop."""

from internvideo.stages.mae import MaskedPretraining, MaskedPretrainingStage, RebuiltClip

__all__ = ["MaskedPretraining", "MaskedPretrainingStage", "RebuiltClip"]
