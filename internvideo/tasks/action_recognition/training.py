"""Training for action recognition: of either encoder, on Kinetics-710 or any labelled videos.

Source: InternVideo, section 3.1 (supervised post-pretraining); the released fine-tuning code of
VideoMAE and UniFormerV2. `internvideo/stages/finetune.py` drives it.
A clip has one label, or with `multi_label` any number, as in Charades. What clips are mixed with
is drawn from the samples' own seeds: in mode "batch" of each micro-batch together, in mode "sample"
of each pair of neighbouring videos, which does not depend on ranks and micro-batches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import (
    FIRST,
    MultiLabelTarget,
    OpenedData,
    RunContext,
    Targets,
    VideoData,
    label_target,
)
from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.metrics import mean_average_precision, ranks
from internvideo.models import UniFormerConfig, encoder_macs, training_flops
from internvideo.objectives import (
    EvidentialLoss,
    balanced_class_weights,
    classification_loss,
    evidential_loss,
    multi_label_loss,
)
from internvideo.tasks.shared.initialisation import (
    InitialWeights,
    initialise_by_class,
    read_initial_weights,
)
from internvideo.tiny import front_end_macs
from internvideo.training import MixingConfig, gather_objects, mix, sum_over_ranks
from internvideo.training.optim import layer_index
from internvideo.values import ClipBatch, Preprocessing, TokenGrid
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD

logger = logging.getLogger(__name__)

Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class ActionRecognitionTraining:
    """What is trained, and from where; the defaults are ViT-B's on Kinetics-400.

    `initial_weights` is a run or checkpoint of ours, a saved model, or a file of released weights.
    A head of the same class names comes along by name; `head_rows`, a JSON list of rows, maps one
    that knows no names. With `trained` "head" the whole encoder is frozen, with "last" all but its
    `num_trained_blocks` last blocks and what follows them.
    The loss is cross-entropy, of mixed clips with `mixing` (which has its own label smoothing), or
    the `evidential` one. With `balanced_classes` every class counts the same, however many clips
    it has. With `multi_label` clips have any number of labels, each a binary question of its own
    (binary cross-entropy, mean average precision).
    """

    model_kind: ClassVar[str] = "video-classifier"
    loss_weights: ClassVar[Mapping[str, float]] = {"classification": 1.0}

    kind: Literal["action-recognition"] = "action-recognition"
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
    multi_label: bool = False
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
        if self.multi_label and (
            self.mixing or self.evidential or self.label_smoothing or self.balanced_classes
        ):
            raise ConfigError(
                "several labels are trained with a plain binary loss: with multi_label set "
                "mixing=none, evidential=none, label_smoothing=0 and balanced_classes=false"
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
    def targets(self) -> Targets:
        """The label of a clip, or `labels` as zeros and ones where there are several."""
        if self.multi_label:
            return Targets(make=MultiLabelTarget(num_classes=self.model.num_classes))
        return Targets(make=label_target)

    @property
    def model_config(self) -> VideoClassifierConfig:
        """What is saved; `model_kind` is its name."""
        return replace(self.model, multi_label=self.multi_label)

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips, in training and afterwards."""
        mean, std = self.normalisation
        return data.preprocessing(
            num_frames=self.clip_frames, side_px=self.model.encoder.side_px, mean=mean, std=std
        )

    def read_initial_weights(self) -> InitialWeights | None:
        """What to start from, read before any video is opened."""
        if self.initial_weights is None:
            return None
        return read_initial_weights(Path(self.initial_weights), self.model)

    def build(
        self, data: OpenedData, initial: InitialWeights | None, context: RunContext
    ) -> RecognitionObjective:
        """Check the labels, and make the classifier and its loss."""
        return RecognitionObjective(self, data, initial, context.device)

    def freeze(self, model: VideoClassifier) -> None:
        """Let only the wanted part of the encoder ask for gradients."""
        if self.trained == "all":
            return
        depth = self.model.encoder.depth
        first = depth + 2 if self.trained == "head" else depth + 1 - self.num_trained_blocks
        for name, parameter in model.encoder.named_parameters():
            if layer_index(name, num_layers=depth) < first:
                parameter.requires_grad_(False)

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = VideoClassifier(self.model)
        return sum(parameter.numel() for parameter in model.parameters())


class RecognitionObjective:
    """A classifier, and the cross-entropy, evidential or binary loss that it is trained by."""

    def __init__(
        self,
        config: ActionRecognitionTraining,
        data: OpenedData,
        initial: InitialWeights | None,
        device: torch.device,
    ) -> None:
        self.config, self.device, self.classes = config, device, data.classes
        _check_labels(config, data)
        self.model = VideoClassifier(config.model)
        self._initial: dict[str, Any] = {"weights": None}
        if initial is not None:
            report = initialise_by_class(
                self.model, initial, self.classes, head_rows=config.head_rows
            )
            self._initial = {
                "weights": str(initial.path),
                "new": report.new,
                "unused": report.unused,
            }
        config.freeze(self.model)
        self.model.to(device)
        self._class_weights = None
        if config.balanced_classes:
            counts = _count_labels(_labels_to_train_on(data), len(self.classes))
            self._class_weights = balanced_class_weights(counts.long().tolist()).to(device)
        self._num_views = data.train[FIRST].dataset.num_views
        self._held_out = data.held_out.dataset.records

    def losses(
        self,
        clip: Float[Tensor, "b c t h w"],
        batch: ClipBatch,
        generator: torch.Generator,
        *,
        epoch: float,
        num_epochs: float,
    ) -> dict[str, Tensor]:
        """The loss of the classes, as `classification`."""
        config = self.config
        if config.multi_label:
            return {"classification": multi_label_loss(self.model(clip), batch.targets["labels"])}
        labels = batch.targets["label"]
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
            coefficient = config.evidential.coefficient(epoch, num_epochs)
            loss = evidential_loss(logits, labels, config.evidential, coefficient=coefficient)
        else:
            loss = classification_loss(
                logits,
                labels,
                label_smoothing=config.label_smoothing,
                class_weights=self._class_weights,
            )
        return {"classification": loss}

    def evaluate(
        self, batches: Iterable[tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]]
    ) -> dict[str, float]:
        """Scores of all held-back videos, of which one that cannot be decoded is never right.

        Accuracies, or with several labels a clip the mean average precision `map`. `loss` is that
        of the clips that can be decoded, plain; `failed` counts the others, if any.
        """
        score = self._score_multi_label if self.config.multi_label else self._score
        scores, seen = score(batches)
        total = len(self._held_out)
        if not seen:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            return {"clips": 0.0}
        scores["clips"] = float(total)
        return scores if seen == total else {**scores, "failed": total - seen}

    def documents(self) -> dict[str, Any]:
        return {"labels": list(self.classes), "start": self._initial}

    def _score(
        self, batches: Iterable[tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]]
    ) -> tuple[dict[str, float], float]:
        """Accuracies and cross-entropy, and how many videos could be decoded."""
        num_classes, total = len(self.classes), len(self._held_out)
        right = torch.zeros(num_classes, dtype=torch.float64, device=self.device)
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for clip, batch, counted in batches:
            logits, labels = self.model(clip).float(), batch.targets["label"]
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
        if not seen:
            return {}, seen
        of_class = _count_labels(torch.tensor([r.label for r in self._held_out]), num_classes)
        occurs = of_class > 0
        return {
            "top1": float(right.sum()) / total,
            "top5": in_top / total,
            "mean_class": float((right[occurs] / of_class[occurs]).mean()),
            "loss": cost / seen,
        }, seen

    def _score_multi_label(
        self, batches: Iterable[tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]]
    ) -> tuple[dict[str, float], float]:
        """Mean average precision and binary loss, and how many videos could be decoded."""
        found: list[tuple[Tensor, Tensor]] = []
        for clip, batch, counted in batches:
            logits = self.model(clip).float()
            if counted:
                found.append((logits.detach().cpu(), batch.targets["labels"].cpu()))
        found = [part for rank in gather_objects(found) for part in rank]
        if not found:
            return {}, 0.0
        logits, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        make = MultiLabelTarget(num_classes=len(self.classes))
        num_positive = torch.stack([make.of(record) for record in self._held_out]).sum(0)
        return {
            "map": mean_average_precision(logits, labels > 0, num_positive=num_positive),
            "loss": float(multi_label_loss(logits, labels)),
        }, float(len(logits))


def _labels_to_train_on(data: OpenedData) -> Int64[Tensor, " n"]:
    datasets = [loader.dataset for loader in data.train.values()]
    return torch.tensor([r.label for dataset in datasets for r in dataset.records])


def _check_labels(config: ActionRecognitionTraining, data: OpenedData) -> None:
    for loader in (*data.train.values(), data.held_out):
        dataset = loader.dataset
        for record in dataset.records:
            count = len(record.labels)
            if count != 1 and not (config.multi_label and count):
                expected = "one or more" if config.multi_label else "exactly one"
                several = "; set stage.multi_label=true where clips have several" * (count > 1)
                raise ConfigError(
                    f"{dataset.config.source}: {record.video} has {count} labels; action "
                    f"recognition needs {expected} for each video{several}"
                )
        if dataset.classes != data.classes:
            raise ConfigError(
                f"{dataset.config.source} names other classes than the first source; read "
                "both with one list of classes"
            )
    if len(data.classes) != config.model.num_classes:
        raise ConfigError(
            f"the data have {len(data.classes)} classes, model.num_classes is "
            f"{config.model.num_classes}; set stage.model.num_classes={len(data.classes)}"
        )


def _count_labels(labels: Int64[Tensor, " n"], num_classes: int) -> Float[Tensor, " y"]:
    return torch.bincount(labels, minlength=num_classes).double()
