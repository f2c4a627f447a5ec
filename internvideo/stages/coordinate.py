"""Stage 4: coordination of two trained classifiers, encoder A's and encoder B's, of equal classes.

Source: InternVideo, sections 3.2 and 4.1 (arXiv:2212.03191); models/coordination.py says more.
A batch arrives as bytes (b, t, h, w, 3) with one label each. With `kept_epochs` the clips of so
many epochs are read before the first step, what the frozen encoders make of them stays in memory,
and a step costs what the modules cost.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from internvideo.data import (
    FIRST,
    ClipRequest,
    RunContext,
    Targets,
    VideoData,
    label_target,
    open_data,
)
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    CoordinatedScores,
    VideoClassifier,
    map_head_rows,
    rows_of_classes,
)
from internvideo.metrics import ranks
from internvideo.models import FrozenFeatures, encoder_macs
from internvideo.objectives import classification_loss
from internvideo.stages.kept_features import FeatureBatch, KeptFeatures
from internvideo.tiny import front_end_macs
from internvideo.training import TrainingConfig, gather_objects, in_step
from internvideo.values import ClipBatch, Preprocessing, TokenGrid

logger = logging.getLogger(__name__)

# The answers that are compared; the first four need no training.
ANSWERS = (
    "A",
    "B",
    "mean",
    "mean_probability",
    "coordinated_A",
    "coordinated_B",
    "coordinated",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordinationTraining:
    """What is coordinated and how; the defaults are the paper's where it says anything.

    `masked` and `multimodal` are runs (or checkpoints) of post-pretraining, of encoder A and of
    encoder B. Their classifiers' configurations replace those of `pair`, in run.json too.
    With `keep_classifiers` they and B's query token stay as they are; modules and fusion learn.
    `kept_epochs` trades memory and variety (of windows and augmentation) for time; 0 keeps nothing.
    """

    model_kind: ClassVar[str] = "coordinated-classifier"

    kind: Literal["coordination"] = "coordination"
    masked: str | None = None
    multimodal: str | None = None
    pair: CoordinatedClassifierConfig = field(default_factory=CoordinatedClassifierConfig)
    label_smoothing: float = 0.0
    keep_classifiers: bool = False
    kept_epochs: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; expected 0 to below 1")
        if self.kept_epochs < 0:
            raise ConfigError(f"kept_epochs is {self.kept_epochs}; it must not be negative")

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip in encoder A."""
        return self.pair.encoders[0].grid

    @property
    def clip_frames(self) -> int:
        """Frames of a clip, as A sees them."""
        return self.pair.encoders[0].num_frames

    @property
    def training_flops_per_clip(self) -> float:
        """Of one forward through each frozen encoder; what the modules add is not counted."""
        a, b = self.pair.encoders
        frames = len(range(0, self.clip_frames, self.pair.coordination.frame_step))
        video = front_end_macs(b, self.pair.multimodal.front_end, frames)
        return 2.0 * (encoder_macs(a) + video)

    @property
    def model_config(self) -> CoordinatedClassifierConfig:
        """What is saved; `model_kind` is its name."""
        return self.pair

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips: pixels in [0, 1], of which each encoder gets its own form."""
        return data.preprocessing(
            num_frames=self.clip_frames,
            side_px=self.pair.encoders[0].side_px,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
        )

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = CoordinatedClassifier(self.pair)
        return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TrainedClassifier:
    """A classifier to start from: its weights, the class of each row of its head, its place."""

    weights: Mapping[str, Tensor]
    classes: tuple[str, ...]
    source: str


class CoordinationStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    # What is called of the model besides `forward`.
    entry_points = ("read", "score")

    def __init__(
        self,
        config: CoordinationTraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
        *,
        classifiers: tuple[TrainedClassifier, TrainedClassifier],
    ) -> None:
        if config.kept_epochs and context.others:
            raise ConfigError("kept_epochs is for one source of data; leave out other_sources")
        self.config, self.device = config, context.device
        self.loss_weights = {"classification": 1.0}
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = None
        self.data = open_data(
            ClipRequest(
                videos=data,
                preprocessing=config.preprocessing(data),
                batch_size=training.batch_size,
                accumulation=training.accumulation,
                targets=Targets(make=label_target),
            ),
            context,
        )
        self.classes = self.data.classes
        self._check_labels()
        self._classifiers = classifiers
        self.model = self._make_model(config.pair, context.seed)
        self.kept: KeptFeatures | None = None
        self._kept_held_back: list[tuple[FeatureBatch, bool]] | None = None
        if config.kept_epochs:
            num_steps = config.kept_epochs * self.data.train[FIRST].steps_per_epoch
            clips_per_step = training.batch_size // context.share.count
            self.kept = KeptFeatures(
                self._read_steps(num_steps),
                num_steps * clips_per_step,
                batch_size=clips_per_step // training.accumulation,
                accumulation=training.accumulation,
                seed=context.seed,
            )
            self._kept_held_back = list(self._read_held_back())
        # Before any step the pair gives what each encoder gives alone.
        self.found = self.alone = self._found()

    def with_pair(self, pair: CoordinatedClassifierConfig, *, seed: int) -> CoordinationStage:
        """The same data and kept features for another pair on the same two classifiers.

        For ablations: features kept for modules before all blocks, on all layers, serve any other.
        """
        other = copy.copy(self)
        other.config = replace(self.config, pair=pair)
        other.model = self._make_model(pair, seed)
        other.kept = None if self.kept is None else self.kept.reordered(seed)
        other.found = other.alone = other._found()
        return other

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch | FeatureBatch]]:
        return (self.kept or self.data).batches(first_step)

    def prepare(
        self, batches: Sequence[ClipBatch | FeatureBatch]
    ) -> Sequence[ClipBatch | FeatureBatch]:
        return batches

    def losses(
        self, batch: ClipBatch | FeatureBatch, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """Cross-entropy of the fused scores; gates and shares of the fusion beside it."""
        batch = batch if isinstance(batch, FeatureBatch) else self._read(batch)
        fused = self.model.score(batch.features).fused
        loss = classification_loss(fused, batch.labels, label_smoothing=self.config.label_smoothing)
        gates = {name: value.detach() for name, value in self.model.gate_values().items()}
        return {"classification": loss, **gates}

    def evaluate(self) -> dict[str, float]:
        """Accuracy of every answer on all held-back videos; one not decoded is never right."""
        self.found = self._found()
        total = len(self.data.held_out.dataset.records)
        right = {name: float(self.right(name).sum()) / total for name in ANSWERS}
        return {f"top1/{name}": share for name, share in right.items()} | {
            "clips": float(total),
            "failed": float(total - len(self.found.labels)),
        }

    def right(self, answer: str) -> Bool[Tensor, " n"]:
        """Whether one of `ANSWERS` was right, by held-back clip, as last evaluated."""
        return ranks(self.found_scores(answer), self.found.labels) == 0

    def found_scores(self, answer: str) -> Float[Tensor, "n y"]:
        """Scores of the held-back clips, as last evaluated."""
        alone, found = self.alone.scores, self.found.scores
        match answer:
            case "A" | "coordinated_A":
                return (alone if answer == "A" else found).masked
            case "B" | "coordinated_B":
                return (alone if answer == "B" else found).multimodal
            case "mean":
                return (alone.masked + alone.multimodal) / 2
            case "mean_probability":
                return (alone.masked.softmax(1) + alone.multimodal.softmax(1)) / 2
            case _:
                return found.fused

    @property
    def labels(self) -> Int64[Tensor, " n"]:
        """Classes of the held-back clips, as last evaluated."""
        return self.found.labels

    @torch.no_grad()
    def readings(self, count: int) -> list[Reading]:
        """Show what A reads of the first held-back clips before its last block with a module.

        Of each clip it is the token whose attention is most gathered in one place.
        """
        self.model.eval()
        readings: list[Reading] = []
        for batch in self.data.held_out.once():
            features = self._read(batch).features
            maps = self.model.attention_maps(features)
            if not maps:
                return []
            block = max(maps)
            readings += [
                self._reading(batch, i, block, maps[block][i].float().cpu(), features[i : i + 1])
                for i in range(len(batch))
            ]
            if len(readings) >= count:
                break
        return readings[:count]

    def documents(self) -> dict[str, Any]:
        return {"data": self.data.facts, "labels": list(self.classes)}

    def state(self) -> Any:
        return self.data.state()

    def restore(self, state: Any) -> None:
        self.data.restore(state)

    @torch.no_grad()
    def _read(self, batch: ClipBatch) -> FeatureBatch:
        batch = batch.to(self.device)
        clip = batch.frames.permute(0, 4, 1, 2, 3).float() / 255  # b t h w c -> b c t h w
        return FeatureBatch(features=self.model.read(clip), labels=batch.targets["label"])

    def _read_steps(self, num_steps: int) -> Iterator[FeatureBatch]:
        """This rank's clips of the first steps."""
        with contextlib.closing(self.data.train[FIRST].batches(0)) as steps:
            for batches in itertools.islice(steps, num_steps):
                yield from map(self._read, batches)

    def _read_held_back(self) -> Iterator[tuple[FeatureBatch, bool]]:
        """Held-back clips, and whether they count: with several ranks some only keep step."""
        for batch, counted in in_step(self.data.held_out.once(), self.device):
            yield self._read(batch), counted

    @torch.no_grad()
    def _found(self) -> _Found:
        """Score all held-back clips, those of all ranks together."""
        parts: list[tuple[CoordinatedScores, Tensor]] = []
        for batch, counted in self._kept_held_back or self._read_held_back():
            scores = self.model.score(batch.features)
            if counted:
                on_cpu = CoordinatedScores(*(part.float().cpu() for part in scores))
                parts.append((on_cpu, batch.labels.cpu()))
        parts = [part for rank in gather_objects(parts) for part in rank]
        if not parts:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            nothing = torch.zeros(0, len(self.classes))
            parts = [(CoordinatedScores(nothing, nothing, nothing), torch.zeros(0).long())]
        scores = [torch.cat(branch) for branch in zip(*(s for s, _ in parts), strict=True)]
        return _Found(
            scores=CoordinatedScores(*scores), labels=torch.cat([labels for _, labels in parts])
        )

    def _reading(
        self,
        batch: ClipBatch,
        clip: int,
        block: int,
        shares: Float[Tensor, "n t m"],
        features: FrozenFeatures,
    ) -> Reading:
        a, b = self.config.pair.encoders
        frames, (rows, columns) = batch.frames[clip].cpu(), b.grid
        places, patches = features.places[0].cpu(), shares[:, :, 1:]  # without B's class tokens
        asking = int(patches.flatten(1).amax(1).argmax())
        token = torch.zeros(a.grid.num_tokens)
        token[places[asking]] = 1
        moments = places // (a.grid.height * a.grid.width)
        asked = [shares[moments == i].sum(2) for i in range(a.grid.time)]
        heat = torch.zeros(patches.shape[1], rows * columns)
        read = features.patch_index
        heat[:, slice(None) if read is None else read[0].cpu()] = patches[asking]
        heat = heat / heat.max()
        return Reading(
            source=batch.sources[clip],
            block=block,
            asking=_one_of_each(frames, a.grid.time),
            token=_enlarged(token.view(a.grid.time, a.grid.height, a.grid.width), a.side_px),
            frames=_one_of_each(frames, shares.shape[1]),
            heat=_enlarged(heat.unflatten(1, (rows, columns)), a.side_px),
            slots=torch.stack([of_slot.sum(0) / max(1, len(of_slot)) for of_slot in asked]),
        )

    def _make_model(self, pair: CoordinatedClassifierConfig, seed: int) -> CoordinatedClassifier:
        torch.manual_seed(seed)
        model = CoordinatedClassifier(pair)
        for branch, start in zip((model.masked, model.multimodal), self._classifiers, strict=True):
            _fill(branch, start, self.classes)
            if self.config.keep_classifiers:
                branch.requires_grad_(False)
        return model.to(self.device).eval()

    def _check_labels(self) -> None:
        for loader in (*self.data.train.values(), self.data.held_out):
            dataset = loader.dataset
            bare = next((r for r in dataset.records if len(r.labels) != 1), None)
            if bare is not None:
                raise ConfigError(
                    f"{dataset.config.source}: {bare.video} has {len(bare.labels)} labels; "
                    "coordination needs exactly one for each video"
                )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Found:
    """Scores of held-back clips, on the processor."""

    scores: CoordinatedScores
    labels: Int64[Tensor, " n"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reading:
    """What one token of A reads of a clip, for a report; all pictures have A's size.

    `token` marks its place in the frames `asking`, `heat` (at most 1) what it reads of `frames`;
    `slots` holds the mean share by slot of A (rows) and of B (columns).
    """

    source: str
    block: int
    asking: UInt8[Tensor, "ta h w 3"]
    token: Float[Tensor, "ta h w"]
    frames: UInt8[Tensor, "tb h w 3"]
    heat: Float[Tensor, "tb h w"]
    slots: Float[Tensor, "ta tb"]


def _fill(classifier: VideoClassifier, start: TrainedClassifier, classes: Sequence[str]) -> None:
    """Give a branch the weights it starts from, its head's rows in the order of our classes."""
    if set(start.classes) != set(classes):
        theirs, ours = set(start.classes) - set(classes), set(classes) - set(start.classes)
        raise CheckpointError(
            f"{start.source}: was trained on other classes than the data have; only there: "
            f"{_some(theirs)}; only in the data: {_some(ours)}"
        )
    weights = map_head_rows(start.weights, rows_of_classes(classes, start.classes))
    try:
        classifier.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"{start.source}: does not fit stage.pair: {error}") from error


def _one_of_each(frames: UInt8[Tensor, "t h w 3"], slots: int) -> UInt8[Tensor, "s h w 3"]:
    """The first frame of each temporal slot."""
    return frames[torch.arange(slots) * len(frames) // slots]


def _enlarged(places: Float[Tensor, "t h w"], side_px: int) -> Float[Tensor, "t h2 w2"]:
    return F.interpolate(places[:, None], size=(side_px, side_px))[:, 0]


def _some(names: set[str]) -> str:
    shown = ", ".join(map(repr, sorted(names)[:3])) or "none"
    return f"{shown} and {len(names) - 3} more" if len(names) > 3 else shown
