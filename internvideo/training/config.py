"""How a run is trained: everything that is the same for all stages and tasks."""

from __future__ import annotations

from dataclasses import dataclass, field

from internvideo.errors import ConfigError
from internvideo.training.optim import OptimiserConfig
from internvideo.training.parallel import Strategy
from internvideo.training.precision import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a run is trained; `batch_size` counts clips of one optimiser step over all ranks.

    With `keep_best`, the name of a score of which more is better, the checkpoint with the highest
    one, of equal ones the latest, is kept besides the newest, as `checkpoints/best`.
    """

    num_steps: int
    batch_size: int
    accumulation: int = 1
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    precision: Precision = "auto"
    compile: bool | None = None  # each block; None: on with CUDA, off on a processor
    parallel: Strategy = "ddp"
    shard_size: int | None = None  # ranks that share one copy, with parallel="hybrid"
    # On a processor the command starts so many ranks itself, where torchrun has started none.
    cpu_processes: int = 1
    ema_decay: float | None = None
    log_every: int = 10
    evaluate_every: int | None = None
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    # Each rank writes its own part, while training goes on; the last checkpoint is whole anyway.
    sharded_checkpoints: bool = False
    keep_best: str | None = None
    tensorboard: bool = False
    # Steps with a loss that is not finite, or above so many times the median of the last ones, are
    # not taken; more of them than this end the run. 0: the first one does.
    max_skipped_steps: int = 0
    skip_above_median: float | None = None

    def __post_init__(self) -> None:
        for name in (
            "num_steps",
            "batch_size",
            "accumulation",
            "cpu_processes",
            "log_every",
            "checkpoint_every",
        ):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.keep_checkpoints < 1:
            raise ConfigError(f"keep_checkpoints is {self.keep_checkpoints}; keep at least 1")
        if self.evaluate_every is not None and self.evaluate_every < 1:
            raise ConfigError(f"evaluate_every is {self.evaluate_every}; it must be at least 1")
        if self.shard_size is not None and (self.parallel != "hybrid" or self.shard_size < 1):
            raise ConfigError(
                f"shard_size is {self.shard_size} with parallel={self.parallel!r}; it counts the "
                "ranks that share a copy, and is for parallel='hybrid' alone"
            )
        if self.max_skipped_steps < 0:
            raise ConfigError(f"max_skipped_steps is {self.max_skipped_steps}; give 0 or more")
        if self.skip_above_median is not None and (
            self.skip_above_median <= 1 or not self.max_skipped_steps
        ):
            raise ConfigError(
                f"skip_above_median is {self.skip_above_median}; it is a factor above 1, and "
                "max_skipped_steps says how many such steps are left out"
            )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}; it must lie between 0 and 1")
        if self.optimiser.warmup_steps >= self.num_steps:
            raise ConfigError(
                f"warmup_steps {self.optimiser.warmup_steps} leaves nothing of num_steps "
                f"{self.num_steps}; shorten the warm-up or train longer"
            )
