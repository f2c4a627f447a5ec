"""The one loop: it drives anything that offers `losses(batch, generator)` and `evaluate()`."""

from internvideo.training.checkpoint import Checkpoint, last_checkpoint, load, read_weights
from internvideo.training.loop import Outcome, Progress, Trainable, TrainingConfig, train
from internvideo.training.mixing import MixingConfig, mix
from internvideo.training.optim import OptimiserConfig
from internvideo.training.parallel import (
    Process,
    gather_objects,
    gather_rows,
    in_step,
    joined,
    sum_over_ranks,
)
from internvideo.training.random_state import RandomState

__all__ = [
    "Checkpoint",
    "MixingConfig",
    "OptimiserConfig",
    "Outcome",
    "Process",
    "Progress",
    "RandomState",
    "Trainable",
    "TrainingConfig",
    "gather_objects",
    "gather_rows",
    "in_step",
    "joined",
    "last_checkpoint",
    "load",
    "mix",
    "read_weights",
    "sum_over_ranks",
    "train",
]
