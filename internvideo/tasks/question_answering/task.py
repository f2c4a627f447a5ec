"""Video question answering: short answers to questions about videos.

Source: question answering of InternVideo (section 4.2; `compute_openend_vqa` of
multi-modalities-downstream): the likeliest of the answers that training knew.
Differs: an answer that training did not know counts as wrong in `accuracy`, as in the literature;
`accuracy_in_vocabulary` leaves these questions out, as the released code does. A question about a
video that cannot be decoded is wrong. An encoder B with a caption decoder may write its answer.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import torch

from internvideo.data import ViewPlan
from internvideo.errors import ConfigError
from internvideo.metrics import UNKNOWN_ANSWER, answer_labels, chosen_accuracy
from internvideo.tasks.question_answering.finetuning import QuestionGuide
from internvideo.tasks.question_answering.model import QuestionAnsweringModel, is_cut
from internvideo.tasks.question_answering.result import (
    Answers,
    AskedVideos,
    QuestionAnsweringResult,
    Ranked,
    kinds_of,
)
from internvideo.tasks.question_answering.training import QuestionAnsweringTraining
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.shared.inference import Inference, different_clips, predict_each
from internvideo.tasks.shared.requests import RankingRequest
from internvideo.tasks.shared.task import FailedVideo, Progress, Task
from internvideo.values import Record

_log = logging.getLogger(__name__)

_KEPT_ANSWERS = 5  # of each question, for the page


@dataclass(frozen=True, kw_only=True)
class QuestionData(EvaluationData):
    """Questions with their answers, and those of training."""

    training: str | None = None
    """Annotations of training, whose most frequent answers are a baseline; default those of --data
    in split "train"."""

    def read(self) -> AskedVideos:
        """Read the questions of the split asked for, and those of training where there are any."""
        read = self.read_all(self.data)
        asked = self.selected(read, self.data, split=self.split)
        if self.training is None:
            return AskedVideos(annotations=asked, training=read.of_split("train").records)
        of_training = self.annotations(self.training, usual_split="train")
        return AskedVideos(annotations=asked, training=of_training.records)


@dataclass(frozen=True, kw_only=True)
class QuestionRequest(RankingRequest):
    """A video, and a question about it."""

    text: str
    """The question."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.text.strip():
            raise ConfigError("the question is empty; ask it with --text")


@dataclass(frozen=True, kw_only=True)
class QuestionAnswering(Task):
    """Answers all questions about a clip, which is decoded once."""

    name = "question-answering"
    summary = "the answer to a question about a video"
    counted = "questions"
    model_type = QuestionAnsweringModel
    metrics = (
        "accuracy",
        "accuracy_in_vocabulary",
        "unknown_answer_rate",
        "accuracy/*",
        "most_frequent",
        "most_frequent/*",
        "mean_squared_error",
    )
    datasets = ("MSRVTT-QA", "MSVD-QA", "TGIF-QA (FrameQA, count)")
    formats = ("manifest", "msr-vtt-qa", "msvd-qa", "tgif-qa")
    data_type: ClassVar[type[EvaluationData]] = QuestionData
    request_type = QuestionRequest
    training = QuestionAnsweringTraining
    finetuning = QuestionGuide()

    answers: Path | None = None
    """Answers in the order of the outputs, where the model lacks them: JSON, or one a line."""
    blind: bool = False
    """Show the model grey frames, to measure what the questions alone tell."""
    written: bool = False
    """Have the decoder write each answer in its own words, in place of choosing one."""
    num_beams: int = 1
    """Answers considered at a time where the model writes them; 1 takes the likeliest words."""
    inference: Inference = field(default_factory=Inference)

    def __post_init__(self) -> None:
        if self.num_beams < 1:
            raise ConfigError(f"num_beams is {self.num_beams}, expected 1 or more")

    def evaluate(
        self,
        model: QuestionAnsweringModel,
        data: AskedVideos,
        *,
        progress: Progress | None = None,
    ) -> QuestionAnsweringResult:
        """Answer every question; raises `ConfigError` where one has no answer to compare with."""
        records = data.annotations.records
        for record in (*records, *data.training):
            _check(record)
        model = (model.writing() if self.written else model).with_answers(self.answers)
        given, failed = self._ask(model, records, top=_KEPT_ANSWERS, progress=progress)
        return QuestionAnsweringResult(
            scores=_scores(model, records, given) | most_frequent_scores(records, data.training),
            num_evaluated=sum(answers is not None for answers in given),
            num_total=len(records),
            failed=failed,
            questions=records,
            answers=tuple(given),
        )

    def predict(
        self,
        model: QuestionAnsweringModel,
        request: QuestionRequest,
        *,
        progress: Progress | None = None,
    ) -> Answers:
        """Give the likeliest answers with their probabilities.

        Raises:
            ConfigError: The question is too long.
        """
        model = (model.writing() if self.written else model).with_answers(self.answers)
        check_length(model, request.text)
        asked = [Record(video=request.video, question=request.text)]
        (ranked,), failed = self._ask(model, asked, top=request.top, progress=progress)
        if ranked is None:
            raise ConfigError(failed[0].reason)
        return Answers(ranked=ranked)

    def _ask(
        self,
        model: QuestionAnsweringModel,
        records: Sequence[Record],
        *,
        top: int,
        progress: Progress | None,
    ) -> tuple[list[Ranked | None], tuple[FailedVideo, ...]]:
        """The best answers to each record's question, None where its video failed."""
        _tell_of_cut(model, records)
        clips, of_record = different_clips(records)
        places: dict[int, list[int]] = defaultdict(list)
        for place, clip in enumerate(of_record.tolist()):
            places[clip].append(place)

        def ask(frames: torch.Tensor, batch: list[int]) -> Iterable[list[Ranked]]:
            asked = [[str(records[place].question) for place in places[clip]] for clip in batch]
            if model.writes:
                written = model.write(frames, asked, blind=self.blind, num_beams=self.num_beams)
                return [[(one,) for one in of_clip] for of_clip in written]
            shares = model.probabilities(frames, asked, blind=self.blind)
            return [[_best(model.answers, row, top) for row in of_clip] for of_clip in shares]

        found, failed = predict_each(
            ask, clips, model, self.inference, plan=ViewPlan(), progress=progress
        )
        given: list[Ranked | None] = [None] * len(records)
        for clip, answers in enumerate(found):
            for place, ranked in zip(places[clip], answers or [], strict=bool(answers)):
                given[place] = ranked
        return given, failed


def check_length(model: QuestionAnsweringModel, question: str) -> None:
    """Raise `ConfigError` where a question has more tokens than the model reads."""
    if is_cut(model.tokenizer, question, model.context_length):
        count = len(model.tokenizer.encode(question))
        raise ConfigError(
            f"the question has {count} tokens, and {model.context_length - 3} fit: "
            f"{question[:60]!r}...; ask a shorter one"
        )


def most_frequent_scores(records: Sequence[Record], training: Sequence[Record]) -> dict[str, float]:
    """Accuracy of always giving the most frequent answer of a question's kind in training."""
    if not training:
        return {}
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for record in training:
        for kind in (str(record.question_kind), ""):
            counts[kind][str(record.answer)] += 1
    usual = {kind: max(sorted(found), key=found.__getitem__) for kind, found in counts.items()}
    right = [usual.get(str(r.question_kind), usual[""]) == r.answer for r in records]
    scores = {"most_frequent": sum(right) / len(right)}
    for kind, places in kinds_of(records).items():
        scores[f"most_frequent/{kind}"] = sum(right[place] for place in places) / len(places)
    return scores


def _scores(
    model: QuestionAnsweringModel, records: Sequence[Record], given: Sequence[Ranked | None]
) -> dict[str, float]:
    chosen = [None if ranked is None else ranked[0][0] for ranked in given]
    right = [one == record.answer for one, record in zip(chosen, records, strict=True)]
    scores = {"accuracy": sum(right) / len(right)}
    if not model.writes:
        place = {answer: i for i, answer in enumerate(model.answers) if answer}
        labels = answer_labels([str(record.answer) for record in records], place)
        found = chosen_accuracy(torch.tensor([place.get(str(one), -1) for one in chosen]), labels)
        if bool((labels == UNKNOWN_ANSWER).all()):
            del found["accuracy_in_vocabulary"]
        scores = found
    for kind, places in kinds_of(records).items():
        scores[f"accuracy/{kind}"] = sum(right[place] for place in places) / len(places)
    counted = [i for i, r in enumerate(records) if r.question_kind == "count"]
    if counted and all(str(records[i].answer).isdecimal() for i in counted):
        errors = [_count_error(given[i], int(str(records[i].answer))) for i in counted]
        scores["mean_squared_error"] = sum(errors) / len(errors)
    return scores


def _count_error(ranked: Ranked | None, truth: int) -> int:
    """Squared error of the likeliest number; without any, that of the farthest from 1 to 10."""
    numbers = [int(answer) for answer, _ in ranked or () if answer.isdecimal()]
    return (numbers[0] - truth) ** 2 if numbers else max(truth - 1, 10 - truth) ** 2


def _best(answers: Sequence[str], shares: torch.Tensor, top: int) -> Ranked:
    best = shares.topk(min(top, len(answers)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple((answers[place], share) for place, share in pairs if answers[place])


def _check(record: Record) -> None:
    if not record.question or record.answer is None:
        lacks = "answer" if record.question else "question"
        raise ConfigError(f"{record.video}: has no {lacks}; question answering needs both")
    if record.candidates:
        raise ConfigError(
            f"{record.video}: its question has options to choose from; evaluate multiple-choice on "
            "it"
        )


def _tell_of_cut(model: QuestionAnsweringModel, records: Sequence[Record]) -> None:
    length = model.context_length
    cut = [r.question for r in records if is_cut(model.tokenizer, str(r.question), length)]
    if cut:
        _log.warning("%d questions are cut to %d tokens: %.80r", len(cut), length - 3, cut[0])
