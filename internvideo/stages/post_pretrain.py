"""Stage 3: supervised post-pretraining of either encoder, on Kinetics-710 or any labelled videos.

Source: InternVideo, section 3.1; the released fine-tuning code of VideoMAE and UniFormerV2.
A batch arrives as bytes (b, t, h, w, 3) with one label each. What clips are mixed with is drawn
from the samples' own seeds: in mode "batch" of each micro-batch together, in mode "sample" of each
pair of neighbouring videos, which does not depend on ranks and micro-batches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import FIRST, Source, VideoData, open_data
from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.metrics import ranks
from internvideo.models import UniFormerConfig, encoder_macs, training_flops
from internvideo.objectives import (
    EvidentialLoss,
    balanced_class_weights,
    classification_loss,
    evidential_loss,
)
from internvideo.stages.starting import read_start, start_classifier
from internvideo.tiny import front_end_macs
from internvideo.training import (
    MixingConfig,
    TrainingConfig,
    in_step,
    mix,
    sum_over_ranks,
)
from internvideo.training.optim import layer_index
from internvideo.values import ClipBatch, Share, TokenGrid
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise

logger = logging.getLogger(__name__)

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class PostPretraining:
    """What is trained, and from where; the defaults are ViT-B's on Kinetics-400.

    `initial_weights` is a run or checkpoint of ours, a saved model, or a file of released weights.
    A head of the same class names comes along by name; `head_rows`, a JSON list of rows, maps one
    that knows no names. With `trained` "head" the whole encoder is frozen, with "last" all but its
    `num_trained_blocks` last blocks and what follows them.
    The loss is cross-entropy, of mixed clips with `mixing` (which has its own label smoothing), or
    the `evidential` one. With `balanced_classes` every class counts the same, however many clips
    it has.
    """

    kind: Literal["post-pretraining"] = "post-pretraining"
    model: VideoClassifierConfig = field(default_factory=VideoClassifierConfig)
    num_frames: int | None = None  # of encoder B's clips, 8 without; A's are in its configuration
    initial_weights: str | None = None
    head_rows: str | None = None
    trained: Literal["all", "head", "last"] = "all"
    num_trained_blocks: int = 1
    mixing: MixingConfig | None = None
    label_smoothing: float = 0.0
    balanced_classes: bool = False
    evidential: EvidentialLoss | None = None
    # None: CLIP's for encoder B, `pixel_mean` and `pixel_std` of A's configuration.
    pixel_mean: Colour | None = None
    pixel_std: Colour | None = None

    def __post_init__(self) -> None:
        encoder = self.model.encoder
        if not isinstance(encoder, UniFormerConfig) and (
            self.num_frames is not None or self.pixel_mean or self.pixel_std
        ):
            raise ConfigError(
                "num_frames, pixel_mean and pixel_std of the stage are for encoder B; set those of "
                "model.encoder"
            )
        if (self.pixel_mean is None) != (self.pixel_std is None):
            raise ConfigError("give both pixel_mean and pixel_std, or neither")
        if self.num_frames is not None and self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; a clip has at least one frame")
        if not 1 <= self.num_trained_blocks <= encoder.depth:
            raise ConfigError(
                f"num_trained_blocks is {self.num_trained_blocks}; the encoder has {encoder.depth}"
            )
        if not 0 <= self.label_smoothing < 1:
            raise ConfigError(f"label_smoothing is {self.label_smoothing}; expected 0 to below 1")
        if self.mixing is not None and (self.label_smoothing or self.balanced_classes):
            raise ConfigError(
                "mixed clips have shares of two classes: with mixing, leave out balanced_classes "
                "and label_smoothing (mixing.label_smoothing is used)"
            )
        if self.evidential and (self.mixing or self.label_smoothing or self.balanced_classes):
            raise ConfigError(
                "the evidential loss needs whole labels: set mixing=none, label_smoothing=0 and "
                "balanced_classes=false"
            )

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        encoder = self.model.encoder
        return (
            (self.num_frames or 8) if isinstance(encoder, UniFormerConfig) else encoder.num_frames
        )

    @property
    def normalisation(self) -> tuple[Colour, Colour]:
        """What is subtracted from pixels in [0, 1], and what they are divided by."""
        encoder = self.model.encoder
        if isinstance(encoder, UniFormerConfig):
            return self.pixel_mean or CLIP_MEAN, self.pixel_std or CLIP_STD
        (red, green, blue), (r, g, b) = encoder.pixel_mean, encoder.pixel_std
        return (red, green, blue), (r, g, b)

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip, for encoder B besides a class token for each slot."""
        encoder = self.model.encoder
        if not isinstance(encoder, UniFormerConfig):
            return encoder.grid
        height, width = encoder.grid
        time = encoder.num_slots(self.clip_frames)
        return TokenGrid(time=time, height=height, width=width)

    @property
    def training_flops_per_clip(self) -> float:
        """Of training all blocks; frozen ones cost a third."""
        encoder = self.model.encoder
        macs = (
            front_end_macs(encoder, self.model.front_end, self.clip_frames)
            if isinstance(encoder, UniFormerConfig)
            else encoder_macs(encoder, self.model.num_salient_tubelets or None)
        )
        return float(training_flops(macs))

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = VideoClassifier(self.model)
        return sum(parameter.numel() for parameter in model.parameters())


class PostPretrainingStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: PostPretraining,
        data: VideoData,
        training: TrainingConfig,
        *,
        seed: int,
        share: Share,
        device: torch.device,
        folder: Path,
        others: Mapping[str, Source] | None = None,
    ) -> None:
        self.config, self.device = config, device
        wanted = config.initial_weights
        start = None if wanted is None else read_start(Path(wanted), config.model)
        self.loss_weights = {"classification": 1.0}
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = config.training_flops_per_clip
        self.data = open_data(
            data,
            others=others,
            num_frames=config.clip_frames,
            side_px=config.model.encoder.side_px,
            batch_size=training.batch_size,
            accumulation=training.accumulation,
            share=share,
            seed=seed,
            pin_memory=device.type == "cuda",
            broken_file=folder / "broken.jsonl",
        )
        self.classes = self.data.classes
        self._check_labels()
        torch.manual_seed(seed)
        self.model = VideoClassifier(config.model)
        self._start: dict[str, Any] = {"weights": None}
        if start is not None:
            report = start_classifier(self.model, start, self.classes, head_rows=config.head_rows)
            self._start = {"weights": str(start.path), "new": report.new, "unused": report.unused}
        _freeze(self.model, config)
        self.model.to(device)
        self._class_weights = None
        if config.balanced_classes:
            counts = _count_labels(self._labels_to_train_on(), len(self.classes))
            self._class_weights = balanced_class_weights(counts.long().tolist()).to(device)
        steps_per_epoch = self.data.train[FIRST].steps_per_epoch
        self._num_views, self._num_steps = data.views_per_video, training.num_steps
        self._step, self._num_epochs = 0, training.num_steps / steps_per_epoch

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        self._step = first_step
        return self.data.batches(first_step)

    def prepare(self, batches: Sequence[ClipBatch]) -> Sequence[ClipBatch]:
        self._step += 1
        return batches

    def losses(self, batch: ClipBatch, generator: torch.Generator) -> dict[str, Tensor]:
        config, clip, labels = self.config, self._clip(batch), self._labels(batch)
        if config.mixing is not None:
            clip, targets = mix(
                clip,
                labels,
                batch.seeds,
                config.mixing,
                num_classes=len(self.classes),
                num_views=self._num_views,
            )
            return {"classification": classification_loss(self.model(clip), targets)}
        logits = self.model(clip)
        if config.evidential is not None:
            epoch = (self._step - 1) / self._num_steps * self._num_epochs
            coefficient = config.evidential.coefficient(epoch, self._num_epochs)
            loss = evidential_loss(logits, labels, config.evidential, coefficient=coefficient)
        else:
            loss = classification_loss(
                logits,
                labels,
                label_smoothing=config.label_smoothing,
                class_weights=self._class_weights,
            )
        return {"classification": loss}

    def evaluate(self) -> dict[str, float]:
        """Accuracies on all held-back videos, of which one that cannot be decoded is never right.

        `loss` is the cross-entropy of those that can be; `failed` counts the others, if any.
        """
        num_classes = len(self.classes)
        right = torch.zeros(num_classes, dtype=torch.float64, device=self.device)
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for batch, counted in in_step(self.data.held_back.once(), self.device):
            logits, labels = self.model(self._clip(batch)).float(), self._labels(batch)
            if not counted:  # took part in what the other ranks gather
                continue
            places = ranks(logits, labels)
            right += _count_labels(labels[places == 0], num_classes)
            cost = F.cross_entropy(logits, labels, reduction="sum")
            in_top = (places < min(5, num_classes)).sum()
            sums += torch.stack(
                [in_top.double(), cost.double(), cost.new_tensor(len(batch)).double()]
            )
        right = sum_over_ranks(right).cpu()
        in_top, cost, seen = sum_over_ranks(sums).tolist()
        records = self.data.held_back.dataset.records
        total = _count_labels(torch.tensor([r.label for r in records]), num_classes)
        if not seen:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            return {"clips": 0.0}
        occurs = total > 0
        scores = {
            "top1": float(right.sum()) / len(records),
            "top5": in_top / len(records),
            "mean_class": float((right[occurs] / total[occurs]).mean()),
            "loss": cost / seen,
            "clips": float(len(records)),
        }
        return scores if seen == len(records) else {**scores, "failed": len(records) - seen}

    def documents(self) -> dict[str, Any]:
        return {"data": self.data.facts, "labels": list(self.classes), "start": self._start}

    def state(self) -> Any:
        return self.data.state()

    def restore(self, state: Any) -> None:
        self.data.restore(state)

    def inputs(self, batch: ClipBatch) -> tuple[Float[Tensor, "b c t h w"], Int64[Tensor, " b"]]:
        """What the model is given of a batch, and the labels, on the device."""
        return self._clip(batch), self._labels(batch)

    def _clip(self, batch: ClipBatch) -> Float[Tensor, "b c t h w"]:
        mean, deviation = self.config.normalisation
        frames = batch.frames.to(self.device, non_blocking=True)
        return normalise(frames, mean=mean, std=deviation)

    def _labels(self, batch: ClipBatch) -> Int64[Tensor, " b"]:
        assert batch.labels is not None
        return batch.labels.to(self.device, non_blocking=True)

    def _labels_to_train_on(self) -> Int64[Tensor, " n"]:
        datasets = [loader.dataset for loader in self.data.train.values()]
        return torch.tensor([r.label for dataset in datasets for r in dataset.records])

    def _check_labels(self) -> None:
        for loader in (*self.data.train.values(), self.data.held_back):
            dataset = loader.dataset
            bare = next((r for r in dataset.records if len(r.labels) != 1), None)
            if bare is not None:
                raise ConfigError(
                    f"{dataset.config.source}: {bare.video} has {len(bare.labels)} labels; "
                    "post-pretraining needs exactly one for each video"
                )
            if dataset.classes != self.classes:
                raise ConfigError(
                    f"{dataset.config.source} names other classes than the first source; read "
                    "both with one list of classes"
                )
        if len(self.classes) != self.config.model.num_classes:
            raise ConfigError(
                f"the data have {len(self.classes)} classes, model.num_classes is "
                f"{self.config.model.num_classes}; set stage.model.num_classes="
                f"{len(self.classes)}"
            )


def _count_labels(labels: Int64[Tensor, " n"], num_classes: int) -> Float[Tensor, " y"]:
    return torch.bincount(labels, minlength=num_classes).double()


def _freeze(model: VideoClassifier, config: PostPretraining) -> None:
    """Let only the wanted part of the encoder ask for gradients."""
    if config.trained == "all":
        return
    depth = config.model.encoder.depth
    first = depth + 2 if config.trained == "head" else depth + 1 - config.num_trained_blocks
    for name, parameter in model.encoder.named_parameters():
        if layer_index(name, num_layers=depth) < first:
            parameter.requires_grad_(False)
