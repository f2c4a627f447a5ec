"""Fine-tuning on one's own questions: checks, presets, the network, what is validated.

The sizes of the presets are those of recognition; they were not searched for.
"""

from __future__ import annotations

import copy
import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Unpack

import torch

from internvideo.data import FIRST, ClipDataset, VideoData, write_manifest
from internvideo.data.own_videos import OwnVideos, check_videos
from internvideo.errors import AnnotationError, CheckpointError, ConfigError
from internvideo.heads import QuestionAnswererConfig
from internvideo.models import MultimodalEncoderConfig
from internvideo.report import Page
from internvideo.tasks.question_answering.model import QuestionAnsweringModel
from internvideo.tasks.question_answering.result import AskedVideos
from internvideo.tasks.question_answering.training import QuestionAnsweringTraining
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
from internvideo.tiny import TinyMultimodalConfig
from internvideo.training import OverfitCheck, TrainingConfig, overfit_check
from internvideo.training.precision import autocast, resolve_precision
from internvideo.values import Annotations, ClipBatch, Record

_OVERFIT_CLIPS = 8
_MOST_WARNINGS = 4


class QuestionGuide(FinetuningGuide):
    """Fine-tuning on questions with short answers."""

    unit: ClassVar[str] = "questions"
    scratch_recipe: ClassVar[str] = "question_answering_tiny_playground"
    scratch_name: ClassVar[str] = "the tiny encoder B"
    presets: ClassVar[Mapping[str, Preset]] = {
        "probe": Preset(
            trained="head",
            num_epochs=20,
            least_steps=200,
            lr=1e-3,
            large_lr=1e-4,
            what="encoder and decoder stay as they are, the classifier of answers is trained",
            most_clips=500,
        ),
        "full": Preset(
            trained="all",
            num_epochs=20,
            least_steps=400,
            lr=1e-3,
            large_lr=1e-5,
            what="all of it is trained",
        ),
    }

    def read(
        self, source: Path, *, root: str | None = None, columns: Mapping[str, str] | None = None
    ) -> Annotations:
        """Read a csv with path, question and answer, or MSRVTT-QA's JSON.

        Raises:
            AnnotationError, ConfigError: It cannot be read, or a question or answer is missing.
        """
        is_csv = source.suffix.lower() == ".csv"
        read = VideoData(
            source=str(source),
            format="manifest" if is_csv else "msr-vtt-qa",
            root=root,
            columns=dict(columns or {}),
        ).read()
        for name in ("question", "answer"):
            bare = [record for record in read.records if not getattr(record, name)]
            if len(bare) == len(read.records):
                raise AnnotationError(
                    f"{source}: no video has a {name}; add a column {name!r}, or say which column "
                    f"holds it (--columns {name} NAME)"
                )
            if bare:
                raise AnnotationError(
                    f"{source}: {len(bare)} of {len(read.records)} rows have no {name}, such as "
                    f"that of {bare[0].video}; fill them in or remove these rows"
                )
        return read

    def check(self, annotations: Annotations, **options: Unpack[Checking]) -> OwnVideos:
        """Leave out what cannot be used, name what looks wrong, and hold a part out."""
        found = check_videos(annotations, **options)
        train, val = (found.annotations.of_split(split).records for split in ("train", "val"))
        if not val:
            raise ConfigError(
                "there is a single video, so none can be held back to validate on; add videos"
            )
        if len({record.answer for record in train}) < 2:
            raise ConfigError(
                f"all {len(train)} questions to train on have one answer; two or more are needed"
            )
        return replace(found, warnings=(*found.warnings, *_warnings(train, val)))

    def save(self, videos: OwnVideos, path: Path) -> OwnVideos:
        """Write a manifest with the questions."""
        write_manifest(videos.annotations, path)
        return replace(videos, annotations=self.read(path))

    def summary(self, videos: OwnVideos) -> str:
        """Count questions, videos and answers."""
        records = videos.annotations.records
        parts = {name: videos.num_items(name) for name in ("train", "val", "test")}
        test = f", {parts['test']} to test on (unused here)" if parts["test"] else ""
        return (
            f"{len(records)} questions about {len({r.video for r in records})} videos, "
            f"{len({r.answer for r in records})} answers: {parts['train']} to train on, "
            f"{parts['val']} to validate on{test}; {videos.num_decoded} videos were decoded "
            "beforehand"
        )

    def plan(self, request: Request) -> Plan:
        """Train on an encoder B with its decoder, or go on with a question answerer."""
        train = request.videos.annotations.of_split("train").records
        num_answers = len({record.answer for record in train})
        data = VideoData(source=str(request.folder / self.manifest))
        source, scratch = request.source, request.scratch
        if source is None:
            stage = replace(scratch.stage, initial_weights=None)
            seen = stage.preprocessing(scratch.data)
            optimiser = scratch.training.optimiser
        else:
            seen, optimiser = source.found.preprocessing, None
            stage = QuestionAnsweringTraining(
                model=_answerer_on(source.found),
                num_frames=seen.num_frames,
                initial_weights=str(source.weights),
                trained="head" if request.preset.trained == "head" else "all",
            )
        stage = replace(stage, model=replace(stage.model, num_answers=num_answers))
        return plan_on_clips(
            request, stage, data, seen=seen, keep_best="accuracy", optimiser=optimiser
        )

    def starting(self, plan: Plan, name: str | None) -> str:
        """Say what is started from, and what clips are taken."""
        return clips_from(plan, name, self.scratch_name)

    def overfit(self, stage: Any, training: TrainingConfig) -> OverfitCheck:
        """Overfit a copy of the network to a few questions of different answers."""
        objective = copy.copy(stage.objective)
        objective.model = copy.deepcopy(stage.model).eval()  # nothing is dropped
        clip, batch = stage.inputs(_few_questions(stage.data.train[FIRST].dataset))
        precision = resolve_precision(training.precision, stage.device)

        def logits() -> torch.Tensor:
            with autocast(precision, stage.device):
                return objective.logits(clip, batch)

        # A head that is all there is to learn takes larger steps.
        lr = training.optimiser.lr * (10 if stage.config.trained == "head" else 1)
        return overfit_check(logits, objective.model.parameters(), objective.labels(batch), lr=lr)

    def validate(
        self, task: Any, pretrained: PretrainedModel, held_out: Annotations, *, progress: Progress
    ) -> Validation:
        """Answer every held-back question."""
        model = QuestionAnsweringModel.from_pretrained(pretrained, source="the run")
        result = task().evaluate(model, AskedVideos(annotations=held_out), progress=progress)
        total, right = result.num_total, sum(result.right)
        # With one right and one wrong more, so that few questions all right are not certain.
        share = (right + 1) / (total + 2)
        usual = sum(r.answer == model.answers[0] for r in held_out.records) / total
        scores = {
            **result.scores,
            "num_right": right,
            "num_evaluated": result.num_evaluated,
            "num_total": total,
            "standard_error": math.sqrt(share * (1 - share) / total),
            "most_frequent_answer": usual,
        }
        line = (
            f"validation accuracy {scores['accuracy']:.2f} ({right} of {total} questions right; "
            f"standard error {scores['standard_error']:.2f}; "
            f"{scores['unknown_answer_rate']:.2f} have an answer that training lacks; always "
            f"answering {model.answers[0]!r}: {usual:.2f})"
        )

        def add_to(page: Page) -> None:
            page.text(line)
            result.add_to(page)

        return Validation(scores=scores, lines=[line], add_to=add_to)

    def next_commands(
        self, task: str, folder: Path, *, video: Path, split: str, ema: tuple[str, ...]
    ) -> list[tuple[object, ...]]:
        """Ask the first question about a held-back video; evaluate on a split."""
        usual = super().next_commands(task, folder, video=video, split=split, ema=ema)
        asked = next(r for r in self.read(folder / self.manifest).records if r.video == video)
        return [(*usual[0], "--text", asked.question), *usual[1:]]


def _answerer_on(pretrained: PretrainedModel) -> QuestionAnswererConfig:
    config = pretrained.config
    if isinstance(config, QuestionAnswererConfig):
        if config.pair is None:
            return config
        raise CheckpointError(
            "reads videos by a coordinated pair; `internvideo train` trains these"
        )
    front_end = config.front_end if isinstance(config, TinyMultimodalConfig) else None
    encoder = config.encoder if isinstance(config, TinyMultimodalConfig) else config
    if isinstance(encoder, MultimodalEncoderConfig) and encoder.captioner is not None:
        return QuestionAnswererConfig(encoder=encoder, front_end=front_end)
    raise CheckpointError(
        f"holds a {pretrained.kind} model; questions are answered by an encoder B with a caption "
        "decoder: take a run of multimodal-pretraining or question-answering"
    )


def _warnings(train: Sequence[Record], val: Sequence[Record]) -> list[str]:
    """Tell of contradictions, of answers spelt twice, and of those that cannot be learned."""
    warnings, given = [], defaultdict(set)
    for record in (*train, *val):
        given[(record.clip, str(record.question))].add(str(record.answer))
    for (clip, question), answers in given.items():
        if len(answers) > 1:
            told = " and ".join(map(repr, sorted(answers)))
            warnings.append(f"{clip[0]}: {question!r} has the answers {told}; one can be right")
    spelt: dict[str, set[str]] = defaultdict(set)
    for record in (*train, *val):
        plain = unicodedata.normalize("NFKC", str(record.answer)).casefold()
        spelt["".join(filter(str.isalnum, plain)) or plain].add(str(record.answer))
    for names in spelt.values():
        if len(names) > 1:
            told = " and ".join(map(repr, sorted(names)))
            warnings.append(f"{told} are two answers; spell them alike if they are one")
    if len(warnings) > _MOST_WARNINGS:
        more = len(warnings) - _MOST_WARNINGS
        warnings = [*warnings[:_MOST_WARNINGS], f"{more} more like this"]
    known = Counter(record.answer for record in train)
    unknown = [record for record in val if record.answer not in known]
    if unknown:
        warnings.append(
            f"{len(unknown)} of {len(val)} questions to validate on have an answer that none to "
            f"train on has, such as {unknown[0].answer!r}: they can only be wrong"
        )
    return warnings


def _few_questions(dataset: ClipDataset) -> ClipBatch:
    """Middle clips of a few questions on videos that can be decoded, of different answers."""
    plain = copy.copy(dataset)
    plain.training, plain.num_views = False, 1
    samples = []
    for index in _in_turn(dataset.records):
        sample = plain.sample(index)
        if len(sample.views):
            samples.append(sample)
        if len(samples) == _OVERFIT_CLIPS:
            return plain.collate(samples)
    if not samples:
        raise ConfigError("no video to train on can be decoded; `internvideo data scan` names them")
    return plain.collate(samples)


def _in_turn(records: Sequence[Record]) -> Iterable[int]:
    """Places of records, first one of each answer, then a second one, and so on."""
    turns: Counter[str | None] = Counter()
    order = []
    for index, record in enumerate(records):
        turns[record.answer] += 1
        order.append((turns[record.answer], index))
    return [index for _, index in sorted(order)]
