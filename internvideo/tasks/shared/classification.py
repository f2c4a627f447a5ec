"""A classifier as tasks use it: frames in, logits over named classes out, and views merged.

Shapes: frames (b, t, h, w, 3) uint8 -> logits (b, y); v views of each video.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor, nn

from internvideo.data import ViewPlan
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import CoordinatedClassifier, VideoClassifier, VideoClassifierConfig
from internvideo.tasks.shared.inference import (
    ClipSampling,
    Inference,
    VideoModel,
    predict_clips,
    stack_predictions,
)
from internvideo.tasks.shared.task import FailedVideo, Pretrained, Progress
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD, Annotations, Record, Sampling
from internvideo.video.transforms import normalise


@runtime_checkable
class Classifier(VideoModel, Protocol):
    """A model that scores clips by its own classes."""

    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def multi_label(self) -> bool: ...
    def classify_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b y"]: ...


class RecognitionModel:
    """A `Classifier` from any network whose forward gives logits for (b, c, t, h, w).

    `sampling`, `stride_frames` and `crop` say how the network is used to seeing a video (the words
    of `ClipSampling`); `mean` and `std` are what was subtracted from its pixels and divided by.
    With `multi_label` a video shows any number of the classes. `unknown_below` is the probability
    that the likeliest class of most held-back videos reached, where that was measured.
    """

    kind: ClassVar[str] = "classifier"
    has_gradients: ClassVar[bool] = True

    def __init__(
        self,
        model: nn.Module,
        classes: Sequence[str],
        *,
        num_frames: int,
        side_px: int,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        sampling: Sampling = "dense",
        stride_frames: int = 4,
        crop: float = 1.0,
        multi_label: bool = False,
        unknown_below: float | None = None,
    ) -> None:
        self.model, self.classes = model.eval(), tuple(classes)
        self.multi_label, self.unknown_below = multi_label, unknown_below
        self.num_frames, self.side_px = num_frames, side_px
        self.mean, self.std = mean, std
        self.sampling: Sampling = sampling
        self.stride_frames, self.crop = stride_frames, crop

    @classmethod
    def from_pretrained(cls, pretrained: Pretrained, *, source: str) -> RecognitionModel:
        """Take up a classifier with its class names, to see videos as its own evaluation did.

        Raises:
            CheckpointError: If the model knows no classes, or not their names.
        """
        if not isinstance(pretrained.model, CoordinatedClassifier | VideoClassifier):
            raise CheckpointError(
                f"{source}: holds a {pretrained.kind} model, which knows no classes; take the "
                "checkpoint of a post-pretraining or coordination run"
            )
        if not pretrained.classes:
            raise CheckpointError(f"{source}: no labels.json, without which scores have no names")
        seen, config = pretrained.preprocessing, pretrained.model.config
        return cls(
            pretrained.model,
            pretrained.classes,
            num_frames=seen.num_frames,
            side_px=seen.side_px,
            mean=seen.mean,
            std=seen.std,
            sampling=seen.sampling,
            stride_frames=seen.stride_frames,
            crop=seen.crop,
            multi_label=isinstance(config, VideoClassifierConfig) and config.multi_label,
            unknown_below=kept_threshold(pretrained.provenance),
        )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def clip_sampling(self) -> ClipSampling:
        """How clips are taken for it."""
        return ClipSampling(
            sampling=self.sampling, stride_frames=self.stride_frames, crop=self.crop
        )

    def normalised(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b 3 t h w"]:
        """What the network receives, on its device."""
        return normalise(frames.to(self.device), mean=self.mean, std=self.std)

    @torch.no_grad()
    def classify_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b y"]:
        """Score clips; raises `ConfigError` where the network has not one row for each class."""
        logits = self.model(self.normalised(frames)).float()
        if logits.shape[1] != len(self.classes):
            raise ConfigError(
                f"the network gives {logits.shape[1]} scores for {len(self.classes)} classes; "
                "give it the class names that it was trained with"
            )
        return logits


def kept_threshold(provenance: Any) -> float | None:
    """The threshold of unknown videos that a model keeps; None where there is none, or no share."""
    found = provenance.get("unknown_below") if isinstance(provenance, Mapping) else None
    return found if isinstance(found, float) and 0 <= found < 1 else None


def class_probabilities(
    classifier: Classifier, logits: Float[Tensor, "*b y"]
) -> Float[Tensor, "*b y"]:
    """Of the classes together, or of each by itself where a video may show several."""
    return logits.sigmoid() if classifier.multi_label else logits.softmax(-1)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassifiedVideos:
    """Merged scores of every record's video, with NaN where it failed."""

    scores: Float[Tensor, "b y"]
    failed: tuple[FailedVideo, ...]

    @property
    def present(self) -> Bool[Tensor, " b"]:
        return self.scores.isfinite().all(1)


def classify_videos(
    classifier: Classifier,
    records: Sequence[Record],
    inference: Inference,
    plan: ViewPlan,
    merge: Callable[[Float[Tensor, "b v y"]], Float[Tensor, "b y"]],
    *,
    progress: Progress | None = None,
) -> ClassifiedVideos:
    """Score the views of every different clip once and merge each clip's with `merge`."""

    def scores(frames: UInt8[Tensor, "n t h w 3"]) -> Iterable[Tensor]:
        # One video may have more views than a batch has room for.
        parts = [classifier.classify_clips(part) for part in frames.split(inference.batch_size)]
        logits = torch.cat(parts).detach().float().cpu()
        return merge(rearrange(logits, "(b v) y -> b v y", v=plan.num_views))

    found = predict_clips(scores, records, classifier, inference, plan=plan, progress=progress)
    rows, failed = stack_predictions(found, what="score")
    return ClassifiedVideos(scores=rows[found.of_record], failed=failed)


def labels_among(classes: Sequence[str], annotations: Annotations) -> Int64[Tensor, " b"]:
    """Labels of all records as places in a model's `classes`, matched by name.

    The annotations may name fewer classes, in any order, and further ones that no record has.
    Without names their labels count as places already.

    Raises:
        ConfigError: If a record has no label, or a class that the model does not know.
    """
    labels = []
    for record in annotations.records:
        if len(record.labels) > 1:
            raise ConfigError(
                f"{record.video}: has {len(record.labels)} labels, and the model gives each video "
                "one; evaluate a model that was trained with stage.multi_label=true"
            )
        if record.label is None:
            raise ConfigError(f"{record.video}: has no label; recognition needs one")
        labels.append(record.label)
    place = _places_among(classes, annotations, labels)
    return torch.tensor([place[label] for label in labels])


def label_sets_among(classes: Sequence[str], annotations: Annotations) -> Bool[Tensor, "b y"]:
    """Which of a model's `classes` each record shows, matched by name; it may show none.

    Raises:
        ConfigError: If a record shows a class that the model does not know.
    """
    place = _places_among(classes, annotations, [i for r in annotations.records for i in r.labels])
    shown = torch.zeros(len(annotations.records), len(classes), dtype=torch.bool)
    for row, record in zip(shown, annotations.records, strict=True):
        row[[place[label] for label in record.labels]] = True
    return shown


def _places_among(
    classes: Sequence[str], annotations: Annotations, labels: Sequence[int]
) -> dict[int, int]:
    """The place in a model's classes of each label that is used."""
    used = sorted(set(labels))
    names = [annotations.classes[i] if annotations.classes else str(i) for i in used]
    known = {name: place for place, name in enumerate(classes)}
    if not annotations.classes:
        known = {str(place): place for place in range(len(classes))}
    missing = [name for name in names if name not in known]
    if missing:
        listed = ", ".join(repr(name) + _nearest(name, classes) for name in missing[:5])
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise ConfigError(
            f"the model knows no class {listed}{more} ({len(missing)} of the {len(names)} classes "
            f"of the data); it knows {len(classes)}, such as {classes[0]!r}; rename the labels or "
            "evaluate a model trained on these classes"
        )
    return {label: known[name] for label, name in zip(used, names, strict=True)}


def _nearest(name: str, classes: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, classes, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""
