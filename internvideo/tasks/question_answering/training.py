"""Training for question answering: encoder B with its decoder and a classifier of answers.

Source: `compute_openend_vqa` and `finetune_*.sh` of multi-modalities-downstream in the InternVideo
release. `internvideo/stages/finetune.py` drives it.
Differs from the released code: the loss of a step is the sum over questions whose answer the
vocabulary has, divided by how many of the batch are expected to be such, so that it does not depend
on ranks and micro-batches; too long a question is cut one token earlier.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.data import OpenedData, RunContext, Targets, VideoData, question_target, texts_of
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import QuestionAnswerer, QuestionAnswererConfig, VideoReading
from internvideo.metrics import UNKNOWN_ANSWER, answer_labels
from internvideo.models import text_macs, training_flops
from internvideo.objectives.captioning import captioning_loss
from internvideo.tasks.question_answering.initialisation import (
    AnswererStart,
    initialise_answerer,
    read_answerer_start,
)
from internvideo.tasks.question_answering.model import answered_ids, is_cut, question_ids
from internvideo.tasks.question_answering.vocabulary import (
    most_frequent_answers,
    named_outputs,
    read_answers,
)
from internvideo.text import Tokenizer, load_clip_tokenizer, train_tokenizer
from internvideo.tiny import front_end_macs
from internvideo.training import sum_over_ranks
from internvideo.values import ClipBatch, Preprocessing, Record, TokenGrid
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class QuestionAnsweringTraining:
    """What is trained, and from where; the defaults are B/16 with 1,500 answers from scratch.

    `initial_weights` is a run, checkpoint or saved model of ours, or a file of released weights: an
    encoder B with its caption decoder, or a question answerer. `pair_weights` is likewise the
    coordinated pair, where `model.pair` has the video read by one. `answers` names a file of
    answers in the order of the outputs; without it the most frequent ones of training are taken.
    With `trained` "head" the classifier alone learns, and the decoder's predictor where
    `model.writes` has it learn to write the answers. A `blind` network never sees the clip.
    """

    model_kind: ClassVar[str] = "question-answerer"

    kind: Literal["question-answering"] = "question-answering"
    model: QuestionAnswererConfig = field(default_factory=QuestionAnswererConfig)
    num_frames: int = 8  # with `model.pair` the clips are those of its encoder A
    initial_weights: str | None = None
    pair_weights: str | None = None
    answers: str | None = None
    trained: Literal["all", "head"] = "all"
    blind: bool = False

    def __post_init__(self) -> None:
        if self.num_frames < 1:
            raise ConfigError(f"num_frames is {self.num_frames}; a clip has at least one frame")
        if (self.model.pair is None) != (self.pair_weights is None):
            raise ConfigError("give both model.pair and pair_weights, or neither")
        if self.trained == "head" and self.initial_weights is None:
            raise ConfigError(
                "trained='head' would keep an encoder that has learned nothing; give "
                "initial_weights=RUN, or set trained='all'"
            )

    @property
    def loss_weights(self) -> Mapping[str, float]:
        """Choosing the answer, and writing it where the network does."""
        return dict.fromkeys(("answer", "writing") if self.model.writes else ("answer",), 1.0)

    @property
    def clip_frames(self) -> int:
        """Frames of a clip."""
        pair = self.model.pair
        return self.num_frames if pair is None else pair.encoders[0].num_frames

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip, besides a class token for each slot."""
        if self.model.pair is not None:
            return self.model.pair.encoders[0].grid
        video = self.model.encoder.video
        height, width = video.grid
        return TokenGrid(time=video.num_slots(self.num_frames), height=height, width=width)

    @property
    def training_flops_per_clip(self) -> float:
        """Both towers, on a full clip and a question of full length, without decoder and head."""
        encoder, front_end = self.model.encoder, self.model.front_end
        video = front_end_macs(encoder.video, front_end, self.num_frames)
        return float(training_flops(video + text_macs(encoder.text)))

    @property
    def targets(self) -> Targets:
        return Targets(make=question_target, ragged=("question", "answer"))

    @property
    def model_config(self) -> QuestionAnswererConfig:
        """What is saved; `model_kind` is its name."""
        return self.model

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips, in training and afterwards; a pair takes them in [0, 1]."""
        if self.model.pair is not None:
            side_px = self.model.pair.encoders[0].side_px
            colours = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        else:
            side_px = self.model.encoder.video.side_px
            colours = {"mean": CLIP_MEAN, "std": CLIP_STD}
        return data.preprocessing(num_frames=self.clip_frames, side_px=side_px, **colours)

    def read_initial_weights(self) -> AnswererStart | None:
        """What to start from, read before any video is opened."""
        return read_answerer_start(self.initial_weights, self.pair_weights, self.model)

    def build(
        self, data: OpenedData, initial: AnswererStart | None, context: RunContext
    ) -> QuestionAnsweringObjective:
        """Find the answers, and make the network and its loss."""
        return QuestionAnsweringObjective(self, data, initial, context.device)

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = QuestionAnswerer(self.model)
        return sum(parameter.numel() for parameter in model.parameters())


class QuestionAnsweringObjective:
    """A question answerer with its vocabularies, and the cross-entropy it is trained by."""

    def __init__(
        self,
        config: QuestionAnsweringTraining,
        data: OpenedData,
        initial: AnswererStart | None,
        device: torch.device,
    ) -> None:
        self.config, self.device = config, device
        trained_on = [r for loader in data.train.values() for r in loader.dataset.records]
        self._held_out = data.held_out.dataset.records
        _check(trained_on, self._held_out)
        self.answers = _answers(config, trained_on)
        self._label_of = {answer: i for i, answer in enumerate(self.answers) if answer}
        known = sum(record.answer in self._label_of for record in trained_on)
        if not known:
            raise ConfigError(
                f"{config.answers}: has the answer of none of {len(trained_on)} questions to train "
                "on; is it the list of another data set?"
            )
        self._known_share = known / len(trained_on)
        logger.info(
            "%d answers; %d of %d questions to train on have another one",
            *(len(self._label_of), len(trained_on) - known, len(trained_on)),
        )
        self.tokenizer = _tokenizer(config, initial, trained_on)
        length = config.model.encoder.text.context_length
        written = [len(self.tokenizer.encode(str(r.answer))) + 1 for r in trained_on]
        self._tokens_written = sum(written) / len(written)
        cut = [r.question for r in trained_on if is_cut(self.tokenizer, str(r.question), length)]
        if cut:
            logger.warning("%d questions are cut to %d tokens: %.80r", len(cut), length, cut[0])
        self.model = QuestionAnswerer(config.model)
        if initial is not None:
            initialise_answerer(self.model, initial, self.answers)
        _freeze(self.model, config)
        self.model.to(device)

    def losses(
        self,
        clip: Float[Tensor, "b c t h w"],
        batch: ClipBatch,
        generator: torch.Generator,
        *,
        epoch: float,
        num_epochs: float,
    ) -> dict[str, Tensor]:
        """The losses of choosing the answers, `answer`, and of writing them, `writing`."""
        video = self.model.read(self._shown(clip))
        cost = F.cross_entropy(
            self.model.answer(video, self._question_ids(batch)),
            self.labels(batch),
            ignore_index=UNKNOWN_ANSWER,
            reduction="sum",
        )
        losses = {"answer": cost / (len(batch) * self._known_share)}
        if self.config.model.writes:
            losses["writing"] = self._writing_loss(video, batch)
        return losses

    def evaluate(
        self, batches: Iterable[tuple[Float[Tensor, "b c t h w"], ClipBatch, bool]]
    ) -> dict[str, float]:
        """Accuracy over all held-back questions, and among those of a known answer.

        A question about a video that cannot be decoded is never right. `loss` is that of known
        answers; `failed` counts questions about such videos, if any.
        """
        sums = torch.zeros(4, dtype=torch.float64, device=self.device)
        for clip, batch, counted in batches:
            logits, labels = self.logits(clip, batch).float(), self.labels(batch)
            if not counted:  # took part in what the other ranks gather
                continue
            cost = F.cross_entropy(logits, labels, ignore_index=UNKNOWN_ANSWER, reduction="sum")
            known = labels != UNKNOWN_ANSWER
            right = ((logits.argmax(1) == labels) & known).sum()
            sums += torch.stack(
                [right.double(), cost.double(), known.sum().double(), right.new_tensor(len(batch))]
            )
        right, cost, known, seen = sum_over_ranks(sums).tolist()
        total = len(self._held_out)
        if not seen:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            return {"questions": 0.0}
        num_known = sum(record.answer in self._label_of for record in self._held_out)
        scores = {"accuracy": right / total, "unknown_answer_rate": 1 - num_known / total}
        if num_known:
            scores["accuracy_in_vocabulary"] = right / num_known
        if known:
            scores["loss"] = cost / known
        scores["questions"] = float(total)
        return scores if seen == total else {**scores, "failed": total - seen}

    def documents(self) -> dict[str, Any]:
        return {"labels": list(self.answers), "tokenizer": self.tokenizer.to_document()}

    def logits(self, clip: Float[Tensor, "b c t h w"], batch: ClipBatch) -> Float[Tensor, "b y"]:
        """Score all answers to the question of each clip."""
        return self.model(self._shown(clip), self._question_ids(batch))

    def labels(self, batch: ClipBatch) -> Int64[Tensor, " b"]:
        """Places of the true answers; `UNKNOWN_ANSWER` for those that the vocabulary lacks."""
        return answer_labels(texts_of(batch.targets, "answer"), self._label_of).to(self.device)

    def _writing_loss(self, video: VideoReading, batch: ClipBatch) -> Float[Tensor, ""]:
        texts = (texts_of(batch.targets, name) for name in ("question", "answer"))
        length = self.config.model.encoder.text.context_length
        ids, given = answered_ids(self.tokenizer, *texts, context_length=length)
        ids, given = ids.to(self.device), given.to(self.device)
        logits = self.model.next_token(video, ids[:, :-1])
        return captioning_loss(logits, ids, given, num_targets=len(batch) * self._tokens_written)

    def _shown(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
        return torch.zeros_like(clip) if self.config.blind else clip

    def _question_ids(self, batch: ClipBatch) -> Int64[Tensor, "b l"]:
        length = self.config.model.encoder.text.context_length
        questions = texts_of(batch.targets, "question")
        return question_ids(self.tokenizer, questions, length).to(self.device)


def _check(*parts: Iterable[Record]) -> None:
    for record in (record for part in parts for record in part):
        if not record.question or record.answer is None:
            lacks = "answer" if record.question else "question"
            raise ConfigError(f"{record.video}: has no {lacks}; question answering needs both")
        if record.candidates:
            raise ConfigError(
                f"{record.video}: its question has options to choose from, which a classifier of "
                "answers does not read; `internvideo evaluate multiple-choice` does"
            )


def _answers(config: QuestionAnsweringTraining, trained_on: Iterable[Record]) -> tuple[str, ...]:
    outputs = config.model.num_answers
    if config.answers is None:
        found = most_frequent_answers((str(r.answer) for r in trained_on), outputs)
        return named_outputs(found, outputs, spare=None)
    path = Path(config.answers)
    try:
        return named_outputs(read_answers(path), outputs, spare=None)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}, or set stage.model.num_answers") from error


def _tokenizer(
    config: QuestionAnsweringTraining, initial: AnswererStart | None, trained_on: Iterable[Record]
) -> Tokenizer:
    """That of the start; CLIP's where the text tower has as many tokens; else one of its own."""
    size = config.model.encoder.text.vocabulary_size
    if initial is not None and initial.tokenizer is not None:
        return initial.tokenizer
    if size == load_clip_tokenizer().vocabulary_size:
        return load_clip_tokenizer()
    if initial is not None:
        raise CheckpointError(
            f"{config.initial_weights}: came without its tokenizer, without which its text tower "
            "means nothing; take the run or saved model that has one"
        )
    return train_tokenizer((str(r.question) for r in trained_on), size)


def _freeze(model: QuestionAnswerer, config: QuestionAnsweringTraining) -> None:
    if config.trained == "head":
        model.requires_grad_(False)
        model.classifier.requires_grad_()
        model.captioner.predictor.requires_grad_()
    # What takes part in no loss may not wait for gradients of other ranks.
    if model.text.mask_token is not None:
        model.text.mask_token.requires_grad_(False)
