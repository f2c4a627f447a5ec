"""Fine-tuning for one's own classes: labelled videos, presets, the network, what is validated.

The sizes of the presets follow the published fine-tuning of small data sets; they were not searched
for. `docs/guides/finetuning.md` says what was measured.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch

from internvideo.data import (
    FIRST,
    ClipDataset,
    LabelledVideos,
    VideoData,
    check_labelled,
    left_right_classes,
    read_labelled,
    save_labelled,
)
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    AutoencoderConfig,
    MaskedEncoderConfig,
    MultimodalEncoderConfig,
    UniFormerConfig,
)
from internvideo.report import Page
from internvideo.tasks.action_recognition.result import ActionRecognitionResult
from internvideo.tasks.action_recognition.training import ActionRecognitionTraining
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.shared.finetuning import (
    Checking,
    FinetuningGuide,
    Plan,
    Preset,
    PretrainedModel,
    Progress,
    Request,
    Validation,
    clips_from,
    plan_on_clips,
)
from internvideo.tiny import TinyAutoencoderConfig, TinyMultimodalConfig
from internvideo.training import OverfitCheck, TrainingConfig, overfit_check
from internvideo.training.precision import autocast, resolve_precision
from internvideo.values import Annotations, ClipBatch

_OVERFIT_CLIPS = 8
_MOST_PAIRS = 3  # confused pairs in the terminal; the page has more


class RecognitionGuide(FinetuningGuide):
    """Fine-tuning on videos with one label each."""

    scratch_recipe: ClassVar[str] = "recognition_tiny_actions_a"
    scratch_name: ClassVar[str] = "the tiny encoder A"
    presets: ClassVar[Mapping[str, Preset]] = {
        "probe": Preset(
            trained="head",
            num_epochs=40,
            least_steps=200,
            lr=1e-3,
            large_lr=1e-3,
            what="the encoder stays as it is, a head on it is trained",
            most_clips=100,
        ),
        "partial": Preset(
            trained="last",
            num_epochs=30,
            least_steps=300,
            lr=5e-4,
            large_lr=1e-4,
            what="the last quarter of the encoder's blocks and a head are trained",
            most_clips=1000,
        ),
        "full": Preset(
            trained="all",
            num_epochs=30,
            least_steps=400,
            lr=1e-3,
            large_lr=1e-4,
            what="all of it is trained",
        ),
    }

    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read a manifest, or a folder with one folder for each class."""
        return read_labelled(source, root=root, columns=columns)

    def check(self, annotations: Annotations, **options: Unpack[Checking]) -> LabelledVideos:
        """Leave out what cannot be used, name what looks wrong, and hold a part out."""
        return check_labelled(annotations, **options)

    def save(self, videos: LabelledVideos, path: Path) -> LabelledVideos:
        """Write a manifest; a class without any video is gone from what comes back."""
        return save_labelled(videos, path)

    def summary(self, videos: LabelledVideos) -> str:
        """Count videos by class and split."""
        counts = [count for count in videos.class_counts("train").values() if count]
        parts = {name: videos.num_items(name) for name in ("train", "val", "test")}
        test = f", {parts['test']} to test on (unused here)" if parts["test"] else ""
        return (
            f"{sum(parts.values())} videos of {len(counts)} classes: {parts['train']} to train on "
            f"({min(counts)} to {max(counts)} a class), {parts['val']} to validate on{test}; "
            f"{videos.num_decoded} were decoded beforehand"
        )

    def plan(self, request: Request) -> Plan:
        """Train the classifier on an encoder as that was trained: configuration, normalisation."""
        stage, source, scratch = _configured(request), request.source, request.scratch
        may_flip = not left_right_classes(request.videos.annotations.classes)
        data = VideoData(source=str(request.folder / self.manifest), flip=may_flip)
        if source is not None:
            seen = source.found.preprocessing
            return plan_on_clips(request, stage, data, seen=seen, keep_best="top1")
        seen, usual_frames = scratch.stage.preprocessing(scratch.data), request.videos.usual_frames
        if usual_frames is not None:  # clips span no more than the usual video has
            longest = max(1, usual_frames // seen.num_frames)
            seen = replace(seen, stride_frames=min(seen.stride_frames, longest))
        optimiser = scratch.training.optimiser
        return plan_on_clips(request, stage, data, seen=seen, keep_best="top1", optimiser=optimiser)

    def starting(self, plan: Plan, name: str | None) -> str:
        """Name the model, its size and its clips."""
        flips = "" if plan.data.flip else "; not flipped, as class names hold left or right"
        return clips_from(plan, name, self.scratch_name) + flips

    def overfit(self, stage: Any, training: TrainingConfig) -> OverfitCheck:
        """Overfit a copy of the classifier to a few clips of different classes."""
        model = copy.deepcopy(stage.model).eval()  # nothing is dropped
        assert isinstance(model, VideoClassifier)
        clip, batch = stage.inputs(_few_clips(stage.data.train[FIRST].dataset))
        precision = resolve_precision(training.precision, stage.device)
        frozen = not any(p.requires_grad for p in model.encoder.parameters())
        with torch.no_grad(), autocast(precision, stage.device):
            represented = model.represent(clip) if frozen else None

        def logits() -> torch.Tensor:
            with autocast(precision, stage.device):
                if represented is None:
                    return model(clip)
                return model.classify(model.normalise(represented))

        # A head that is all there is to learn takes larger steps.
        lr = training.optimiser.lr * (10 if frozen else 1)
        return overfit_check(logits, model.parameters(), batch.targets["label"], lr=lr)

    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """Name every held-back video by a single view, as the training evaluated itself."""
        model = RecognitionModel.from_pretrained(pretrained, source="the run")
        result = task().evaluate(model, held_out, progress=progress)
        return validation_of(result)


def validation_of(result: ActionRecognitionResult) -> Validation:
    """Accuracy on how many of how many, its standard error, and what needs no model."""
    total, right = result.num_total, int(result.confusion.diagonal().sum())
    # With one right and one wrong video more, so that few videos all right are not certain.
    share = (right + 1) / (total + 2)
    scores = {
        **result.scores,
        "num_right": right,
        "num_evaluated": result.num_evaluated,
        "num_total": total,
        "standard_error": math.sqrt(share * (1 - share) / total),
        "most_frequent_class": int(result.labels.bincount().max()) / total,
        "unknown_below": result.unknown_below,
    }
    unseen = total - result.num_evaluated
    failed = f", of which {unseen} could not be decoded" if unseen else ""
    line = (
        f"validation accuracy {scores['top1']:.2f} ({right} of {total} videos right{failed}; "
        f"standard error {scores['standard_error']:.2f}; always answering the most frequent class: "
        f"{scores['most_frequent_class']:.2f})"
    )
    names = result.classes
    pairs = [
        {"class": names[truth], "answer": names[answer], "times": times}
        for truth, answer, times in result.confused_pairs[:_MOST_PAIRS]
    ]

    def add_to(page: Page) -> None:
        page.text(line)
        result.add_to(page)

    called = [f"  {pair['class']} called {pair['answer']}: {pair['times']}" for pair in pairs]
    return Validation(
        scores=scores,
        lines=[line, *called, result.about_unknown("--unknown-below auto")],
        add_to=add_to,
        details={"confused": pairs},
        kept={} if math.isnan(result.unknown_below) else {"unknown_below": result.unknown_below},
    )


def _configured(request: Request) -> ActionRecognitionTraining:
    """The stage on a pretrained encoder, or on that of the recipe."""
    source, preset = request.source, request.preset
    num_classes = len(request.videos.annotations.classes)
    if source is None:
        stage = request.scratch.stage
        stage = replace(stage, model=replace(stage.model, num_classes=num_classes))
    else:
        model = _classifier_on(source.found, preset, num_classes)
        stage = ActionRecognitionTraining(model=model, initial_weights=str(source.weights))
        if isinstance(model.encoder, UniFormerConfig):
            seen = source.found.preprocessing
            stage = replace(
                stage, num_frames=seen.num_frames, pixel_mean=seen.mean, pixel_std=seen.std
            )
    return replace(
        stage,
        trained=preset.trained,
        num_trained_blocks=max(1, stage.model.encoder.depth // 4),
        label_smoothing=0.1,
    )


def _classifier_on(
    pretrained: PretrainedModel, preset: Preset, num_classes: int
) -> VideoClassifierConfig:
    config, seen = pretrained.config, pretrained.preprocessing
    if isinstance(config, VideoClassifierConfig):
        return replace(config, num_classes=num_classes)
    front_end = getattr(config, "front_end", None)
    if isinstance(config, TinyMultimodalConfig):
        config = config.encoder
    if isinstance(config, MultimodalEncoderConfig | UniFormerConfig):
        return VideoClassifierConfig(
            encoder=config.video if isinstance(config, MultimodalEncoderConfig) else config,
            front_end=front_end,
            num_classes=num_classes,
            pooling="query",
            dropout=0.1,
        )
    if isinstance(config, MaskedEncoderConfig | AutoencoderConfig | TinyAutoencoderConfig):
        encoder = config if isinstance(config, MaskedEncoderConfig) else config.encoder
        return VideoClassifierConfig(
            encoder=replace(
                encoder,
                final_norm=False,
                drop_path=0.1,
                pixel_mean=seen.mean,
                pixel_std=seen.std,
            ),
            front_end=front_end,
            num_classes=num_classes,
            # Tokens made for rebuilding pixels tell little in the mean (VideoMAE, table 2): a head
            # that is all there is to learn reads them with a query.
            pooling="attentive" if preset.trained == "head" else "mean",
            dropout=0.1,
        )
    raise CheckpointError(
        f"holds a {pretrained.kind} model, which finetune does not know; it starts from runs of "
        "masked-pretraining, multimodal-pretraining and action-recognition, and from released "
        "encoders and classifiers of these kinds"
    )


def _few_clips(dataset: ClipDataset) -> ClipBatch:
    """Middle clips of a few training videos that can be decoded, of different classes in turn."""
    plain = copy.copy(dataset)
    plain.training, plain.num_views = False, 1
    turns: dict[int, int] = {}
    order = []
    for index, record in enumerate(dataset.records):
        label = record.labels[0]
        turns[label] = turns.get(label, 0) + 1
        order.append((turns[label], index))
    samples = []
    for _, index in sorted(order):
        sample = plain.sample(index)
        if len(sample.views):
            samples.append(sample)
        if len(samples) == _OVERFIT_CLIPS:
            break
    if not samples:
        raise ConfigError("no video to train on can be decoded; `internvideo data scan` names them")
    return plain.collate(samples)
