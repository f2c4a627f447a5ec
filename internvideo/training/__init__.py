"""The one loop: it drives anything that offers `losses(batch, generator)` and `evaluate()`."""

from internvideo.training.checkpoint import Checkpoint, last_checkpoint, load, merge_shards
from internvideo.training.config import TrainingConfig
from internvideo.training.gradient_cache import CachedGradients, cache_gradients
from internvideo.training.loop import Outcome, Progress, Trainable, train
from internvideo.training.mixing import MixingConfig, mix
from internvideo.training.optim import OptimiserConfig
from internvideo.training.overfit import OverfitCheck, overfit_check
from internvideo.training.parallel import (
    Process,
    choose_device,
    gather_objects,
    gather_rows,
    in_step,
    joined,
    launched_processes,
    sum_over_ranks,
)
from internvideo.training.random_state import RandomState
from internvideo.training.ranks import sharing

__all__ = [
    "CachedGradients",
    "Checkpoint",
    "OverfitCheck",
    "MixingConfig",
    "OptimiserConfig",
    "Outcome",
    "Process",
    "Progress",
    "RandomState",
    "Trainable",
    "TrainingConfig",
    "cache_gradients",
    "choose_device",
    "gather_objects",
    "gather_rows",
    "in_step",
    "joined",
    "launched_processes",
    "last_checkpoint",
    "load",
    "merge_shards",
    "overfit_check",
    "mix",
    "sharing",
    "sum_over_ranks",
    "train",
]
