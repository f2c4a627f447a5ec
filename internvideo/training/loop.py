"""The one training loop: every stage and task is trained by `train`.

A step is a function of (weights, optimiser state, seed, step number) alone: batches are found by
step, and every random choice is drawn from (seed, step, rank) or from a sample's own seed. So a
run that was killed and resumed ends with the very bits of one that was never stopped.
"""

from __future__ import annotations

import contextlib
import logging
import math
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from internvideo.errors import ConfigError, NotFiniteError, TrainingError, unknown_name
from internvideo.processes import sole_use
from internvideo.training import checkpoint as checkpoints
from internvideo.training.devices import peak_flops
from internvideo.training.ema import MovingAverage
from internvideo.training.journal import Journal, code_revision
from internvideo.training.optim import OptimiserConfig, build_optimisers, set_lr
from internvideo.training.parallel import (
    Process,
    Strategy,
    any_rank,
    gradients_synchronised,
    wrap,
)
from internvideo.training.precision import Precision, autocast, loss_scaler, resolve_precision
from internvideo.training.resuming import check_same_run
from internvideo.training.throughput import Throughput
from internvideo.training.window import Window

logger = logging.getLogger(__name__)

# A loss above this share of the mean baseline after warm-up has learned nothing.
_BASELINE_SHARE = 0.98


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingConfig:
    """How a run is trained; `batch_size` counts clips of one optimiser step over all ranks.

    With `keep_best`, the name of a score of which more is better, the checkpoint with the highest
    one is kept besides the newest, as `checkpoints/best`.
    """

    num_steps: int
    batch_size: int
    accumulation: int = 1
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    precision: Precision = "auto"
    compile: bool | None = None  # None: on with CUDA, off on a processor
    parallel: Strategy = "ddp"
    # On a processor the command starts so many ranks itself, where torchrun has started none.
    cpu_processes: int = 1
    ema_decay: float | None = None
    log_every: int = 10
    evaluate_every: int | None = None
    checkpoint_every: int = 500
    keep_checkpoints: int = 2
    keep_best: str | None = None
    tensorboard: bool = False

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
        if self.optimiser.muon is not None and self.parallel == "fsdp":
            raise ConfigError("muon needs whole matrices, which fsdp splits; use parallel='ddp'")
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError(f"ema_decay is {self.ema_decay}; it must lie between 0 and 1")
        if self.optimiser.warmup_steps >= self.num_steps:
            raise ConfigError(
                f"warmup_steps {self.optimiser.warmup_steps} leaves nothing of num_steps "
                f"{self.num_steps}; shorten the warm-up or train longer"
            )


@runtime_checkable
class Trainable(Protocol):
    """What the loop knows of a stage or task."""

    model: nn.Module
    loss_weights: Mapping[str, float]
    videos_per_step: int
    training_flops_per_clip: float | None

    def batches(self, first_step: int) -> Iterator[Sequence[Any]]:
        """This rank's micro-batches of each step from `first_step` on, without end."""
        ...

    def prepare(self, batches: Sequence[Any]) -> Sequence[Any]:
        """What `losses` is given instead of these micro-batches. Called once a step: here is the
        place for what depends on all of them, or on those of all ranks."""
        ...

    def losses(self, batch: Any, generator: torch.Generator) -> dict[str, Tensor]:
        """Named means over the micro-batch, those of `loss_weights` or some of them (the same in
        the whole step and on all ranks). Other names are only logged, in their own group if they
        have one (`gate/...`); one called `mean_baseline` is the loss of predicting without having
        learned anything."""
        ...

    def evaluate(self) -> dict[str, float]:
        """Scores on held-back data, equal on every rank."""
        ...

    def documents(self) -> dict[str, Any]:
        """JSON documents to keep with the weights, by name (`labels`, ...)."""
        ...

    def state(self) -> Any:
        """JSON value of what has to survive a stop besides the weights."""
        ...

    def restore(self, state: Any) -> None: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """What is told after every step; `values` is filled when a line was logged."""

    step: int
    num_steps: int
    values: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a run ended: the steps done, the last scores, and whether a signal cut it short."""

    step: int
    scores: Mapping[str, float]
    interrupted: bool


def train(
    stage: Trainable,
    config: TrainingConfig,
    *,
    folder: Path,
    run: Mapping[str, Any],
    seed: int,
    process: Process,
    documents: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Outcome:
    """Train a stage to `config.num_steps`, writing journal and checkpoints into `folder`.

    `documents` are JSON values to keep with every checkpoint, by name; "config" is `run` unless
    given.

    Raises:
        TrainingError: If `folder` holds another run, or one of other settings to resume, too much
            of the data is broken, or something cannot be written.
        NotFiniteError: If a loss, the weights or the last scores are not finite. Such weights are
            never saved; the last checkpoint is from before.
        ConfigError: If another process works on `folder`.
    """
    if not resume and (folder / "run.json").exists():
        raise TrainingError(f"{folder}: already holds a run; pass --resume or choose another --out")
    check_same_run(folder, run)
    with sole_use(folder) if process.is_first else contextlib.nullcontext():
        return _train(
            stage,
            config,
            folder=folder,
            run=run,
            seed=seed,
            process=process,
            documents={"config": run, **(documents or {})},
            resume=resume,
            on_progress=on_progress,
        )


def _train(
    stage: Trainable,
    config: TrainingConfig,
    *,
    folder: Path,
    run: Mapping[str, Any],
    seed: int,
    process: Process,
    documents: Mapping[str, Any],
    resume: bool,
    on_progress: Callable[[Progress], None],
) -> Outcome:
    last = checkpoints.last_checkpoint(folder / "checkpoints")
    journal = Journal(folder, tensorboard=config.tensorboard) if process.is_first else None
    try:
        loop = _Loop(stage, config, folder=folder, documents=documents, seed=seed, process=process)
        if last is not None:
            loop.restore(last)
        elif resume:
            logger.info("%s: no checkpoint yet, starting from step 0", folder)
        if journal is not None:
            journal.begin(run, step=loop.step, facts=loop.facts())
        return loop.run_steps(journal, on_progress)
    finally:
        if journal is not None:
            journal.close()


class _Loop:
    """State of one run in one process."""

    def __init__(
        self,
        stage: Trainable,
        config: TrainingConfig,
        *,
        folder: Path,
        documents: Mapping[str, Any],
        seed: int,
        process: Process,
    ) -> None:
        self.stage, self.config, self.seed, self.process = stage, config, seed, process
        self.folder, self.documents = folder, documents
        device = process.device
        stage.model.to(device)
        self.precision = resolve_precision(config.precision, device)
        self.compiled = device.type == "cuda" if config.compile is None else config.compile
        if self.compiled:
            stage.model.compile()
        self.module = wrap(
            stage.model,
            stage.losses,
            strategy=config.parallel,
            precision=self.precision,
            process=process,
        )
        self.optimisers = build_optimisers(stage.model, config.optimiser)
        self.scaler = loss_scaler(self.precision, device)
        self.ema = MovingAverage(stage.model, config.ema_decay) if config.ema_decay else None
        self.step = 0
        self.scores: dict[str, float] = {}
        self.best: float | None = None
        self.window = Window()
        self.has_warned = False

    def facts(self) -> dict[str, Any]:
        return {
            "device": str(self.process.device),
            "processes": self.process.share.count,
            "precision": self.precision,
            "compiled": self.compiled,
        }

    def run_steps(
        self, journal: Journal | None, on_progress: Callable[[Progress], None]
    ) -> Outcome:
        config, device = self.config, self.process.device
        throughput = Throughput(
            flops_per_clip=self.stage.training_flops_per_clip,
            peak=peak_flops(device, self.precision),
        )
        stream = throughput.waiting(self.stage.batches(self.step))
        self.stage.model.train()
        with _stop_requested() as requested, contextlib.closing(stream):
            while self.step < config.num_steps:
                batches = next(stream)
                self._one_step(batches)
                self.step += 1
                throughput.count(sum(map(len, batches)) * self.process.share.count)
                logged = self.step % config.log_every == 0 or self.step == config.num_steps
                values = self._log(journal, throughput) if logged else None
                stopping = self._stopping(requested, logged)
                due = config.evaluate_every and self.step % config.evaluate_every == 0
                is_best = False
                if due or self.step == config.num_steps:
                    self._evaluate(journal)
                    is_best = self._is_best()
                if (
                    stopping
                    or is_best
                    or self.step % config.checkpoint_every == 0
                    or self.step == config.num_steps
                ):
                    self.save(is_best=is_best)
                on_progress(Progress(step=self.step, num_steps=config.num_steps, values=values))
                if stopping:
                    logger.warning("stopped by a signal; step %d is saved", self.step)
                    return Outcome(step=self.step, scores=self.scores, interrupted=True)
        bad = [name for name, value in self.scores.items() if not math.isfinite(value)]
        if bad:
            raise NotFiniteError(
                f"the scores of the last step are not finite: {', '.join(bad)}; step {self.step} "
                "is saved, its weights are finite; look at the data that were evaluated"
            )
        return Outcome(step=self.step, scores=self.scores, interrupted=False)

    def _one_step(self, batches: Sequence[Any]) -> None:
        """One optimiser update from this rank's micro-batches."""
        rank = self.process.share.index
        generator = _seed_everything(self.seed, self.step, rank, self.process.device)
        lr = self.config.optimiser.lr_at(
            self.step, num_steps=self.config.num_steps, videos_per_step=self.stage.videos_per_step
        )
        set_lr(self.optimisers, lr)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        with autocast(self.precision, self.process.device):
            batches = self.stage.prepare(batches)
        for position, batch in enumerate(batches):
            is_last = position == len(batches) - 1
            with gradients_synchronised(self.module, self.stage.model, is_last):
                with autocast(self.precision, self.process.device):
                    losses = self.module(batch, generator)
                total = sum(
                    weight * losses[name].float()
                    for name, weight in self.stage.loss_weights.items()
                    if name in losses
                )
                self.scaler.scale(total / len(batches)).backward()
            named = {k if "/" in k else f"loss/{k}": v for k, v in losses.items()}
            self.window.add({k: v.detach() / len(batches) for k, v in named.items()})
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        parameters = [p for p in self.stage.model.parameters() if p.grad is not None]
        norm = nn.utils.get_total_norm([p.grad for p in parameters])
        if self.config.optimiser.clip_gradient is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.config.optimiser.clip_gradient, norm)
        self.window.add({"grad_norm": norm.full_tensor() if hasattr(norm, "full_tensor") else norm})
        self.window.close_step(lr)
        for optimiser in self.optimisers:
            self.scaler.step(optimiser)
        self.scaler.update()
        if self.ema is not None:
            self.ema.update()

    def _log(self, journal: Journal | None, throughput: Throughput) -> dict[str, float]:
        values = self.window.means(self.process) | throughput.report()
        self.window = Window()
        bad = [name for name, value in values.items() if not math.isfinite(value)]
        # With fp16 the scaler skips steps whose gradients overflow: only the loss must be finite.
        bad = [name for name in bad if name != "grad_norm" or not self.scaler.is_enabled()]
        if bad:
            raise NotFiniteError(
                f"{', '.join(bad)} not finite by step {self.step}; the last checkpoint is from "
                "before; lower the learning rate, clip gradients or use fp32"
            )
        if journal is not None:
            journal.metrics(self.step, values)
            left_s = (self.config.num_steps - self.step) * throughput.step_s
            losses = "  ".join(f"{k} {v:.4g}" for k, v in values.items() if k.startswith("loss/"))
            logger.info(
                "step %d/%d  %s  lr %.3g  %.1f clips/s  data wait %.0f %%%s  %.0f s left",
                self.step,
                self.config.num_steps,
                losses,
                values["lr"],
                values["clips_per_s"],
                100 * values["data_wait_share"],
                f"  MFU {100 * values['mfu']:.1f} %" if "mfu" in values else "",
                left_s,
            )
            self._warn_if_at_baseline(values)
        return values

    def _warn_if_at_baseline(self, values: Mapping[str, float]) -> None:
        """Say once, and again at the end, that the loss is no better than a mean."""
        baseline, num_steps = values.get("loss/mean_baseline"), self.config.num_steps
        # Every run begins on this plateau; a tenth of it after the warm-up is time enough.
        patience = self.config.optimiser.warmup_steps + num_steps // 10
        if baseline is None or self.step <= patience:
            return
        if self.has_warned and self.step < num_steps:
            return
        loss = sum(
            w * values.get(f"loss/{name}", 0.0) for name, w in self.stage.loss_weights.items()
        )
        if loss >= _BASELINE_SHARE * baseline:
            self.has_warned = True
            logger.warning(
                "step %d: the loss %.4g is still at the mean baseline %.4g: nothing is learned; "
                "try a lower mask ratio, a finer token grid or another learning rate",
                self.step,
                loss,
                baseline,
            )

    def _evaluate(self, journal: Journal | None) -> None:
        averaged = self.ema.in_place() if self.ema is not None else contextlib.nullcontext()
        self.stage.model.eval()
        with averaged, torch.no_grad(), autocast(self.precision, self.process.device):
            self.scores = self.stage.evaluate()
        self.stage.model.train()
        if journal is not None:
            journal.metrics(self.step, {f"eval/{k}": v for k, v in self.scores.items()})
            text = "  ".join(f"{name} {value:.4g}" for name, value in self.scores.items())
            logger.info("step %d  evaluation  %s", self.step, text)

    def _is_best(self) -> bool:
        """Whether this evaluation is the best so far of a run that keeps the best."""
        name = self.config.keep_best
        if name is None:
            return False
        if name not in self.scores:
            raise unknown_name("score in keep_best", name, self.scores)
        value = self.scores[name]
        if not math.isfinite(value) or (self.best is not None and value <= self.best):
            return False
        self.best = value
        return True

    def _stopping(self, requested: Callable[[], bool], logged: bool) -> bool:
        if self.process.share.count == 1:
            return requested()
        # Asking the other ranks makes a GPU wait, so not at every step.
        asks = logged or self.process.device.type == "cpu"
        return asks and any_rank(requested(), self.process.device)

    def save(self, *, is_best: bool = False) -> None:
        """Write a checkpoint; collective, the first rank writes. Raises where it is not finite."""
        window = self.window.state(self.process)
        model = checkpoints.model_state(self.stage.model)
        optimiser = checkpoints.optimiser_state(self.stage.model, self.optimisers)
        ema = self.ema.state() if self.ema is not None else None
        self._refuse_broken(window["sums"], model, optimiser, ema)
        training = {
            "step": self.step,
            "scaler": self.scaler.state_dict(),
            "scores": self.scores,
            "best": self.best,
            "window": window,
            "stage": self.stage.state(),
        }
        provenance = {"revision": code_revision(), "step": self.step, "metrics": self.scores}
        saved = checkpoints.Checkpoint(
            model=model,
            optimiser=optimiser,
            ema=ema,
            documents={
                **self.documents,
                "provenance": provenance,
                "training": training,
                **self.stage.documents(),
            },
        )
        if self.process.is_first:
            path = checkpoints.save(
                saved,
                self.folder / "checkpoints",
                step=self.step,
                keep=self.config.keep_checkpoints,
                is_best=is_best,
            )
            logger.info("saved %s", path)

    def _refuse_broken(
        self,
        sums: Mapping[str, float],
        model: Mapping[str, Tensor],
        optimiser: Mapping[str, Tensor],
        ema: Mapping[str, Tensor] | None,
    ) -> None:
        """Stop all ranks where a loss since the last line, or what is to be saved, is not finite.

        Only the first rank has the whole state.
        """
        bad = [name for name, value in sums.items() if not math.isfinite(value)]
        if self.scaler.is_enabled():
            bad = [name for name in bad if name != "grad_norm"]
        parameters = {name for name, _ in self.stage.model.named_parameters()}
        bad += checkpoints.not_finite(model, parameters=parameters)
        bad += checkpoints.not_finite(optimiser, parameters=optimiser)
        bad += [f"average of {n}" for n in checkpoints.not_finite(ema or {}, parameters=parameters)]
        if any_rank(bool(bad), self.process.device):
            named = ", ".join(bad[:3]) + f" and {len(bad) - 3} more" * (len(bad) > 3)
            raise NotFiniteError(
                f"{named or 'the state'} not finite at step {self.step}, so it is not saved; the "
                "last checkpoint is from before; lower the learning rate, clip gradients or use "
                "fp32"
            )

    def restore(self, path: Path) -> None:
        """Go on from a checkpoint, with any number of ranks."""
        loaded = checkpoints.load(path)
        training = loaded.documents.get("training")
        if training is None or loaded.optimiser is None:
            raise TrainingError(f"{path}: holds weights only, nothing to resume from")
        checkpoints.restore_model(self.stage.model, loaded.model)
        checkpoints.restore_optimiser(self.stage.model, self.optimisers, loaded.optimiser)
        if self.ema is not None and loaded.ema is not None:
            self.ema.restore(loaded.ema)
        self.step, self.scores = training["step"], training["scores"]
        self.best = training.get("best")
        self.scaler.load_state_dict(training["scaler"])
        self.window = Window.of_state(training["window"])
        self.stage.restore(training["stage"])
        logger.info("resumed from %s", path)


def _seed_everything(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """Seed torch (dropout, drop path) and return the step's generator, all from three numbers."""
    words = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint64)
    torch.manual_seed(int(words[0] >> np.uint64(1)))
    return torch.Generator(device).manual_seed(int(words[1] >> np.uint64(1)))


@contextlib.contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a question to ask after each step; a second signal kills."""
    received: list[int] = []

    def note(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, before[number])

    before: dict[int, Any] = {}
    try:
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, note)
    except ValueError:  # not the main thread: the embedding program keeps its own handlers
        before = {}
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
