"""Multiple choice, zero-shot or fine-tuned: which of several sentences describes the video.

Source: `scripts/zs_choice_*.sh` and `compute_multiple_choice` of multi-modalities-downstream in the
InternVideo release (the highest cosine; no dual softmax).
Differs from the released code: questions may have different numbers of options; a video that
cannot be decoded counts as wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.metrics import top_k_accuracy
from internvideo.report import Page, bar_chart
from internvideo.tasks.shared.answers import RankedTexts
from internvideo.tasks.shared.inference import (
    EmbeddedVideos,
    Embedder,
    Inference,
    embed_videos,
)
from internvideo.tasks.shared.matching import similarity_of
from internvideo.tasks.shared.requests import TextRequest
from internvideo.tasks.shared.task import Progress, Result, Task
from internvideo.tasks.shared.video_text import RetrieverModel
from internvideo.tasks.shared.video_text_scores import answer_of, option_scores
from internvideo.tasks.shared.video_text_training import FalseSentences, VideoTextTraining
from internvideo.values import Annotations, Record


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MultipleChoiceResult(Result):
    """`accuracy` over all questions, and `chance`, what guessing would give.

    `options` are scaled cosines, minus infinity past a question's last option, NaN where the video
    failed.
    """

    options: Float[Tensor, "b y"]
    answers: Int64[Tensor, " b"]
    questions: tuple[Record, ...]

    def add_to(self, page: Page) -> None:
        """Add the accuracy beside chance, and the hardest questions."""
        add_questions(page, {"questions": self})


@dataclass(frozen=True, kw_only=True)
class MultipleChoiceTraining(VideoTextTraining):
    """Encoder B learns the right option of each question, beside the sentences of other clips.

    Of records with captions and no options it learns retrieval, which is how MSR-VTT is trained.
    """

    kind: Literal["multiple-choice"] = "multiple-choice"
    hard_negatives: tuple[FalseSentences, ...] = ("options",)


@dataclass(frozen=True, kw_only=True)
class MultipleChoice(Task):
    """Chooses among a record's `candidates`, of which one is its `answer`.

    Where the record has a question, it stands before each of them.
    """

    name = "multiple-choice"
    summary = "which of several sentences describes a video"
    counted = "questions"
    model_type = RetrieverModel
    training = MultipleChoiceTraining
    metrics = ("accuracy", "chance")
    datasets = (
        "MSR-VTT multiple choice",
        "LSMDC multiple choice",
        "NExT-QA",
        "TGIF-QA (action, transition)",
    )
    formats = ("msr-vtt-choice", "lsmdc-choice", "next-qa", "tgif-qa")
    request_type = TextRequest

    inference: Inference = field(default_factory=Inference)

    def evaluate(
        self,
        model: Embedder,
        data: Annotations,
        *,
        videos: EmbeddedVideos | None = None,
        progress: Progress | None = None,
    ) -> MultipleChoiceResult:
        """Answer every record; raises `ConfigError` where its answer is not among the options."""
        records = data.records
        for record in records:
            answer_of(record)  # fails before anything is decoded
        videos = embed_videos(model, records, self.inference, videos=videos, progress=progress)
        scores, answers = option_scores(model, records, videos)
        guesses = [1 / len(record.candidates) for record in records]
        return MultipleChoiceResult(
            scores={
                "accuracy": top_k_accuracy(scores, answers),
                "chance": sum(guesses) / len(guesses),
            },
            num_evaluated=int(videos.present[videos.of_record].sum()),
            num_total=len(records),
            failed=videos.failed,
            options=scores,
            answers=answers,
            questions=records,
        )

    def predict(
        self, model: Embedder, request: TextRequest, *, progress: Progress | None = None
    ) -> RankedTexts:
        """Give the best options with their shares of the softmax over all of them."""
        records = [Record(video=request.video)]
        videos = embed_videos(model, records, self.inference, progress=progress)
        shares = similarity_of(model, request.text, videos.embeddings)[:, 0].softmax(0)
        return RankedTexts.best(request.text, shares, top=request.top)


def add_questions(
    page: Page,
    results: Mapping[str, MultipleChoiceResult],
    *,
    shuffled: Mapping[str, MultipleChoiceResult] | None = None,
    num_questions: int = 5,
) -> None:
    """Add the accuracies of each kind of question beside chance, and the hardest questions.

    Args:
        page: Where to.
        results: By the kind of question (which word the options differ in, say).
        shuffled: The same with the frames of each clip shuffled: what is lost was read from time.
        num_questions: How many questions of each kind are listed.
    """
    kinds = list(results)
    accuracies = {"accuracy": [results[kind].scores["accuracy"] for kind in kinds]}
    if shuffled:
        lost = [shuffled[k].scores["accuracy"] if k in shuffled else float("nan") for k in kinds]
        accuracies["frames shuffled"] = lost
    accuracies["chance"] = [results[kind].scores["chance"] for kind in kinds]
    page.chart(bar_chart(kinds, accuracies, title="Multiple choice"))
    rows = [row for kind in kinds for row in _hardest(kind, results[kind], num_questions)]
    page.text("The questions whose right answer got the smallest share of each kind:")
    page.table(["kind", "video", "right", "share", "chosen", "share"], rows)


def _hardest(kind: str, result: MultipleChoiceResult, count: int) -> list[list[object]]:
    shares = result.options.softmax(1)
    own = shares.gather(1, result.answers[:, None])[:, 0]
    rows: list[list[object]] = []
    for place in own.nan_to_num(nan=-1.0).argsort(stable=True)[:count].tolist():
        question = result.questions[place]
        row: list[object] = [kind, question.video.name, question.answer]
        if own[place].isnan():
            rows.append([*row, "–", "the video could not be decoded", "–"])
            continue
        best = int(shares[place].argmax())
        chosen = "✓" if best == result.answers[place] else question.candidates[best]
        rows.append([*row, f"{own[place]:.2f}", chosen, f"{shares[place, best]:.2f}"])
    return rows
