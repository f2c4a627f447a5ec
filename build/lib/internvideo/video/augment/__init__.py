"""A training clip becomes another one of the same class: RandAugment, jitter, random erasing."""

from internvideo.video.augment.clips import OPERATIONS, distort, erase, operate
from internvideo.video.augment.config import AugmentConfig

__all__ = ["OPERATIONS", "AugmentConfig", "distort", "erase", "operate"]
