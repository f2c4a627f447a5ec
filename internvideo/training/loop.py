"""The one training loop: every stage and task is trained by `train`.

A step is a function of (weights, optimiser state, seed, step number) alone: batches are found by
step, and every random choice is drawn from (seed, step, rank) or from a sample's own seed. So a
run that was killed and resumed ends with the very bits of one that was never stopped.
"""

from __future__ import annotations

import contextlib
import logging
import math
import os
import signal
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from internvideo.errors import (
    CheckpointError,
    InternVideoError,
    NotFiniteError,
    TrainingError,
    unknown_name,
)
from internvideo.processes import sole_use
from internvideo.reading import OTHER_SHAPE
from internvideo.training import checkpoint as checkpoints
from internvideo.training.compiling import compile_blocks
from internvideo.training.config import TrainingConfig
from internvideo.training.devices import attention_backends, peak_flops
from internvideo.training.ema import MovingAverage
from internvideo.training.gradients import StepGuard, clip, local, tell, total_norm
from internvideo.training.journal import Journal, code_revision
from internvideo.training.optim import build_optimisers, set_lr
from internvideo.training.parallel import (
    Process,
    any_rank,
    average_whole_gradients,
    gradients_synchronised,
    keep_whole,
    wrap,
)
from internvideo.training.precision import autocast, loss_scaler, resolve_precision
from internvideo.training.resuming import check_same_run
from internvideo.training.sharded import (
    SHARDS,
    ShardedWriter,
    model_shards,
    optimiser_shards,
)
from internvideo.training.throughput import Throughput
from internvideo.training.watchdog import Watchdog
from internvideo.training.window import Window

logger = logging.getLogger(__name__)

# A loss above this share of the mean baseline after warm-up has learned nothing.
_BASELINE_SHARE = 0.98


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
    # After a restart by torchrun the process of before may still be on its way out.
    patience_s = 30 if "TORCHELASTIC_RUN_ID" in os.environ else 0
    alone = sole_use(folder, patience_s=patience_s)
    with alone if process.is_first else contextlib.nullcontext():
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
            if loop.step >= config.num_steps:
                logger.info(
                    "%s: all %d steps are done; nothing is trained any more", folder, loop.step
                )
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
        self.compiled = compile_blocks(stage.model, config.compile, device)
        self.module = wrap(
            stage.model,
            stage.losses,
            strategy=config.parallel,
            precision=self.precision,
            process=process,
            shard_size=config.shard_size,
            entry_points=getattr(stage, "entry_points", ()),
        )
        self.optimisers = build_optimisers(stage.model, config.optimiser)
        self.scaler = loss_scaler(self.precision, device)
        self.ema = MovingAverage(stage.model, config.ema_decay) if config.ema_decay else None
        self.step = 0
        self.scores: dict[str, float] = {}
        self.best: float | None = None
        self.window = Window()
        self.guard = (
            StepGuard(config.skip_above_median, device) if config.max_skipped_steps else None
        )
        self.writer = ShardedWriter(process) if config.sharded_checkpoints else None
        self.has_warned = False

    def facts(self) -> dict[str, Any]:
        return {
            "device": str(self.process.device),
            "processes": self.process.share.count,
            "precision": self.precision,
            "compiled": self.compiled,
            "parallel": self.config.parallel if self.process.share.count > 1 else "none",
            "attention": attention_backends(self.process.device),
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
        with (
            _stop_requested() as requested,
            contextlib.closing(stream),
            Watchdog(self.process.share.index) as watchdog,
        ):
            while self.step < config.num_steps:
                watchdog.begin(self.step + 1)
                batches = next(stream)
                watchdog.got(batches)
                self._one_step(batches)
                watchdog.end()
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
                    self._end()
                    logger.warning("stopped by a signal; step %d is saved", self.step)
                    return Outcome(step=self.step, scores=self.scores, interrupted=True)
        self._end()
        bad = [name for name, value in self.scores.items() if not math.isfinite(value)]
        if bad:
            raise NotFiniteError(
                f"the scores of the last step are not finite: {', '.join(bad)}; step {self.step} "
                "is saved, its weights are finite; look at the data that were evaluated"
            )
        return Outcome(step=self.step, scores=self.scores, interrupted=False)

    def _end(self) -> None:
        """Wait for what is being written, and leave a model that one rank may use; collective."""
        if self.writer is not None:
            self.writer.wait()
        keep_whole(self.stage.model)

    def _one_step(self, batches: Sequence[Any]) -> None:
        """One optimiser update from this rank's micro-batches."""
        rank, device = self.process.share.index, self.process.device
        generator = _seed_everything(self.seed, self.step, rank, device)
        lr = self.config.optimiser.lr_at(
            self.step, num_steps=self.config.num_steps, videos_per_step=self.stage.videos_per_step
        )
        set_lr(self.optimisers, lr)
        for optimiser in self.optimisers:
            optimiser.zero_grad(set_to_none=True)
        with autocast(self.precision, device):
            batches = self.stage.prepare(batches)
        logged: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=device))
        loss = torch.zeros((), device=device)
        for position, batch in enumerate(batches):
            is_last = position == len(batches) - 1
            with gradients_synchronised(self.module, self.stage.model, is_last):
                with autocast(self.precision, device):
                    losses = self.module(batch, generator)
                total = sum(
                    weight * losses[name].float()
                    for name, weight in self.stage.loss_weights.items()
                    if name in losses
                )
                self.scaler.scale(total / len(batches)).backward()
            loss = loss + total.detach() / len(batches)
            for name, value in losses.items():
                key = name if "/" in name else f"loss/{name}"
                logged[key] = logged[key] + value.detach() / len(batches)
        self._update(logged, loss, lr)

    def _update(self, logged: dict[str, Tensor], loss: Tensor, lr: float) -> None:
        """Step the optimisers by the gradients there are, unless the step must not be taken."""
        average_whole_gradients(self.stage.model)
        for optimiser in self.optimisers:
            self.scaler.unscale_(optimiser)
        parameters = [p for p in self.stage.model.parameters() if p.grad is not None]
        norm = total_norm(parameters)
        if self.config.optimiser.clip_gradient is not None:
            clip(parameters, self.config.optimiser.clip_gradient, norm)
        logged["grad_norm"] = norm
        if self.guard is not None:
            bad = self.guard.is_bad(loss, norm)
            # The scaler of fp16 has a number of its own for the same purpose.
            tell(self.optimisers, None if self.scaler.is_enabled() else bad)
            logged = {name: torch.where(bad > 0, 0.0, value) for name, value in logged.items()}
            logged["skipped_steps"] = bad
        self.window.add(logged)
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
        self._count_skipped(values)
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

    def _count_skipped(self, values: dict[str, float]) -> None:
        """Say how many steps were not taken; end the run where they are too many."""
        if self.guard is None:
            return
        count, limit = int(self.guard.num_skipped), self.config.max_skipped_steps
        share = values["skipped_steps"]
        if share:
            logger.warning("step %d: %d steps were not taken so far", self.step, count)
            for name in [n for n in values if n.startswith("loss/")] if share < 1 else []:
                values[name] /= 1 - share  # means over the steps that were taken
        if count > limit:
            raise NotFiniteError(
                f"{count} steps until step {self.step} had a loss that is not finite or far above "
                f"the median, and max_skipped_steps is {limit}; lower the learning rate, clip "
                "gradients, or look at the data"
            )

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
            if not any(self.scores.values()):  # nothing could be evaluated, as it said
                return False
            raise unknown_name("score in keep_best", name, self.scores)
        value = self.scores[name]
        if not math.isfinite(value) or (self.best is not None and value < self.best):
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
        """Write a checkpoint; collective. Raises where it is not finite."""
        documents = self._to_keep()
        if self.writer is not None and self.step < self.config.num_steps:
            self._save_shards(documents, is_best=is_best)
            return
        model = checkpoints.model_state(self.stage.model)
        optimiser = checkpoints.optimiser_state(self.stage.model, self.optimisers)
        ema = self.ema.state() if self.ema is not None else None
        self._refuse_broken(documents["training"]["window"]["sums"], model, optimiser, ema)
        saved = checkpoints.Checkpoint(
            model=model, optimiser=optimiser, ema=ema, documents=documents
        )
        if self.writer is not None:
            self.writer.wait()
        if self.process.is_first:
            folder, keep = self.folder / "checkpoints", self.config.keep_checkpoints
            path = checkpoints.save(saved, folder, step=self.step, keep=keep, is_best=is_best)
            logger.info("saved %s", path)

    def _to_keep(self) -> dict[str, Any]:
        """The documents of a checkpoint."""
        training = {
            "step": self.step,
            "scaler": self.scaler.state_dict(),
            "scores": self.scores,
            "best": self.best,
            "window": self.window.state(self.process),
            "stage": self.stage.state(),
        }
        provenance = {"revision": code_revision(), "step": self.step, "metrics": self.scores}
        return {
            **self.documents,
            "provenance": provenance,
            "training": training,
            **self.stage.documents(),
        }

    def _save_shards(self, documents: dict[str, Any], *, is_best: bool) -> None:
        """Begin to write this rank's part of a checkpoint."""
        assert self.writer is not None
        model = model_shards(self.stage.model)
        optimiser = optimiser_shards(self.stage.model, self.optimisers)
        ema = self.ema.shards() if self.ema is not None else {}
        parts = [{n: local(t) for n, t in kind.items()} for kind in (model, optimiser, ema)]
        bare = [{n.partition(".")[2]: t for n, t in kind.items()} for kind in parts]
        self._refuse_broken(documents["training"]["window"]["sums"], *bare)
        self.writer.wait()
        folder, step, keep = self.folder / "checkpoints", self.step, self.config.keep_checkpoints
        beside = folder / f".writing-step-{step}"
        if self.process.is_first:
            checkpoints.begin(folder, step=step)
            (beside / SHARDS).mkdir()
        any_rank(False, self.process.device)  # the folder is there before others write into it

        def commit() -> None:
            path = checkpoints.commit(folder, documents, step=step, keep=keep, is_best=is_best)
            logger.info("saved %s, in parts", path)

        self.writer.write(model | optimiser | ema, beside / SHARDS, commit)

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
        """Go on from a checkpoint, with any number of ranks.

        Raises:
            CheckpointError: It is damaged, or of another model.
            TrainingError: It holds weights only.
        """
        try:
            self._restore(path)
        except InternVideoError:
            raise
        except (*OTHER_SHAPE, RuntimeError) as error:
            if isinstance(error, RuntimeError) and dist.is_initialized():  # of the group
                raise
            said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise CheckpointError(
                f"{path}: the checkpoint is damaged, or of another model ({said})"
            ) from error

    def _restore(self, path: Path) -> None:
        is_sharded = (path / SHARDS).is_dir()
        if is_sharded:
            training = checkpoints.read_documents(path).get("training")
            checkpoints.restore_shards(self.stage.model, self.optimisers, path)
            if self.ema is not None:
                self.ema.restore_shards(path)
        else:
            loaded = checkpoints.load(path)
            training = loaded.documents.get("training")
            if training is None or loaded.optimiser is None:
                raise TrainingError(f"{path}: holds weights only, nothing to resume from")
            checkpoints.restore_model(self.stage.model, loaded.model)
            checkpoints.restore_optimiser(self.stage.model, self.optimisers, loaded.optimiser)
            if self.ema is not None and loaded.ema is not None:
                self.ema.restore(loaded.ema)
        if training is None:
            raise TrainingError(f"{path}: has no training.json, nothing to resume from")
        self.step, self.scores = training["step"], training["scores"]
        if type(self.step) is not int or not isinstance(self.scores, dict):
            raise TypeError(f"step {self.step!r:.40} with scores {self.scores!r:.40}")
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
