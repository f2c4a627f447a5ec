"""Fine-tuning on one's own videos with sentences: pairs of path and caption.

The sizes of the presets follow the published fine-tuning; they were not searched for.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch

from internvideo.data import ANNOTATIONS, OwnVideos, VideoData, check_videos, write_manifest
from internvideo.errors import AnnotationError, CheckpointError
from internvideo.heads import Retriever, RetrieverConfig
from internvideo.models import MultimodalEncoder, MultimodalEncoderConfig
from internvideo.tasks.retrieval.result import RetrievalResult
from internvideo.tasks.retrieval.training import RetrievalTraining
from internvideo.tasks.shared.captioned_data import merged
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
from internvideo.tasks.shared.video_text import RetrieverModel
from internvideo.tiny import TinyMultimodalConfig
from internvideo.training import OptimiserConfig, OverfitCheck, TrainingConfig, overfit_check
from internvideo.values import Annotations

_OVERFIT_CLIPS = 8
_PUBLISHED = OptimiserConfig(weight_decay=0.2, betas=(0.9, 0.98), eps=1e-6, clip_gradient=1.0)


class RetrievalGuide(FinetuningGuide):
    """Fine-tuning on videos with one or more sentences each."""

    unit: ClassVar[str] = "videos"
    scratch_recipe: ClassVar[str] = "retrieval_tiny_playground"
    scratch_name: ClassVar[str] = "the tiny encoder B"
    presets: ClassVar[Mapping[str, Preset]] = {
        "probe": Preset(
            trained="head",
            num_epochs=40,
            least_steps=100,
            lr=1e-3,
            large_lr=1e-4,
            what="the towers stay as they are, their last norms and projections are trained",
            most_clips=50,
        ),
        "partial": Preset(
            trained="last",
            num_epochs=30,
            least_steps=150,
            lr=3e-4,
            large_lr=1e-5,
            what="the last quarter of both towers and the projections are trained",
            most_clips=500,
        ),
        "full": Preset(
            trained="all",
            num_epochs=30,
            least_steps=200,
            lr=3e-4,
            large_lr=4e-6,
            what="all of it is trained",
        ),
    }

    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read a csv with the columns path and caption; rows of one video are one item."""
        read = ANNOTATIONS["manifest"](source, root=root, columns=columns)
        bare = next((record for record in read.records if not record.captions), None)
        if bare is not None:
            raise AnnotationError(
                f"{source}: {bare.video} has no caption; fill in the column caption, or name it "
                "with --columns caption NAME"
            )
        return replace(read, records=merged(read.records))

    def check(self, annotations: Annotations, **options: Unpack[Checking]) -> OwnVideos:
        """Leave out what cannot be used, tell of sentences that fit several videos, hold a part."""
        found = check_videos(annotations, **options)
        for split in ("train", "val"):
            if found.num_items(split) < 2:
                raise AnnotationError(
                    f"{found.num_items(split)} videos are in split {split!r}; a video is found "
                    "among at least 2"
                )
        return replace(found, warnings=(*found.warnings, *_said_twice(found.annotations)))

    def save(self, videos: OwnVideos, path: Path) -> OwnVideos:
        """Write a manifest with a row for each sentence."""
        rows = tuple(
            replace(record, captions=(caption,))
            for record in videos.annotations.records
            for caption in record.captions
        )
        write_manifest(replace(videos.annotations, records=rows), path)
        return replace(videos, annotations=self.read(path))

    def summary(self, videos: OwnVideos) -> str:
        """Count videos and sentences by split."""
        parts = {name: videos.num_items(name) for name in ("train", "val", "test")}
        sentences = sum(len(record.captions) for record in videos.annotations.records)
        test = f", {parts['test']} to test on (unused here)" if parts["test"] else ""
        return (
            f"{sum(parts.values())} videos with {sentences} sentences: {parts['train']} to train "
            f"on, {parts['val']} to choose on{test}; {videos.num_decoded} were decoded beforehand"
        )

    def plan(self, request: Request) -> Plan:
        """Train encoder B as it was trained; the checkpoint that finds most videos first stays."""
        trained, source = request.preset.trained, request.source
        data = VideoData(source=str(request.folder / self.manifest))
        if source is None:
            scratch = request.scratch
            stage = replace(scratch.stage, trained=trained, initial_weights=None)
            seen, optimiser = scratch.stage.preprocessing(scratch.data), scratch.training.optimiser
        else:
            stage = RetrievalTraining(
                model=retriever_config(source.found),
                num_frames=source.found.preprocessing.num_frames,
                initial_weights=str(source.weights),
                trained=trained,
            )
            seen, optimiser = source.found.preprocessing, _PUBLISHED
        return plan_on_clips(
            request, stage, data, seen=seen, keep_best="t2v/r1", optimiser=optimiser
        )

    def starting(self, plan: Plan, name: str | None) -> str:
        """Name the model, its size and its clips."""
        return clips_from(plan, name, self.scratch_name)

    def overfit(self, stage: Any, training: TrainingConfig) -> OverfitCheck:
        """Overfit a copy of the network to a few clips and their sentences."""
        retriever = copy.deepcopy(stage.objective.retriever).eval()
        dataset = stage.data.train["first"].dataset
        different = {dataset.captions_of(i)[0]: i for i in range(min(len(dataset), 100))}
        chosen = list(different.items())[:_OVERFIT_CLIPS]
        batch = dataset.collate([dataset.sample(place) for _, place in chosen])
        clip, batch = stage.inputs(batch)
        length = stage.config.model.encoder.text.context_length
        ids, padded = stage.objective.tokenizer.batch(batch.captions, context_length=length)
        ids, padded = ids.to(stage.device), padded.to(stage.device)

        def logits() -> torch.Tensor:
            text, video = retriever.embed_text(ids, padded), retriever.embed_video(clip)
            return retriever.encoder.logit_scale.exp() * retriever.similarity(text, video)

        places = torch.arange(len(chosen), device=stage.device)
        lr = max(training.optimiser.lr, 1e-4)
        return overfit_check(logits, retriever.parameters(), places, lr=lr)

    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """Rank the held-back videos, as the training did to choose the checkpoint."""
        model = RetrieverModel.from_pretrained(pretrained, source="the run")
        result: RetrievalResult = task().evaluate(model, held_out, progress=progress)
        return Validation(
            scores={
                **result.scores,
                "num_evaluated": result.num_evaluated,
                "num_total": result.num_total,
            },
            lines=["the videos that the checkpoint was chosen on:", *result.lines()],
            add_to=result.add_to,
        )

    def next_commands(
        self, task: str, folder: Path, *, video: Path, split: str, ema: tuple[str, ...]
    ) -> list[tuple[object, ...]]:
        """Search a folder by a sentence, and evaluate."""
        commands = super().next_commands(task, folder, video=video, split=split, ema=ema)
        asked = ("--text", "what to look for")
        return [("predict", task, video.parent, *asked, "--model", folder, *ema), *commands[1:]]


def retriever_config(found: PretrainedModel) -> RetrieverConfig:
    """What is trained on from an encoder B or a retriever; a caption decoder is left out.

    Raises:
        CheckpointError: It is of another kind.
    """
    if isinstance(found.model, Retriever):
        return found.config
    front_end, encoder = None, found.config
    if isinstance(encoder, TinyMultimodalConfig):
        front_end, encoder = encoder.front_end, encoder.encoder
    if not isinstance(found.model, MultimodalEncoder) or not isinstance(
        encoder, MultimodalEncoderConfig
    ):
        raise CheckpointError(
            f"holds a {found.kind} model; retrieval starts from encoder B with its words, such as "
            "a run of multimodal pretraining"
        )
    return RetrieverConfig(encoder=replace(encoder, captioner=None), front_end=front_end)


def _said_twice(annotations: Annotations) -> list[str]:
    """Tell of sentences that are true of several videos, which a search cannot tell apart."""
    videos_of: dict[str, set[object]] = {}
    for record in annotations.records:
        for caption in record.captions:
            videos_of.setdefault(caption.strip().lower(), set()).add(record.clip)
    shared = [said for said, videos in videos_of.items() if len(videos) > 1]
    if not shared:
        return []
    return [
        f"sentences of several videos: {len(shared)}, such as {shared[0]!r}: no search can tell "
        "which of them is meant, and each counts as wrong for the others"
    ]
