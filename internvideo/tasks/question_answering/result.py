"""What question answering measured, and its page: accuracy by kind, answers right and wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from internvideo.report import Page, bar_chart, frames_to_show, picture_strip, png_bytes
from internvideo.tasks.shared.task import Result
from internvideo.values import Annotations, Record

Ranked = tuple[tuple[str, float], ...]  # answers with their probabilities, the likeliest first


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AskedVideos:
    """Questions to answer, and those of training, whose most frequent answers are a baseline."""

    annotations: Annotations
    training: tuple[Record, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The answers to a question, the likeliest first, with their probabilities."""

    ranked: Ranked

    def lines(self) -> list[str]:
        return [f"{share:8.3f}  {answer}" for answer, share in self.ranked]

    def to_json(self) -> dict[str, Any]:
        return {"answers": [{"answer": text, "probability": share} for text, share in self.ranked]}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class QuestionAnsweringResult(Result):
    """Scores over all questions and by kind; `answers` are None where the video failed."""

    questions: tuple[Record, ...]
    answers: tuple[Ranked | None, ...]

    @property
    def right(self) -> tuple[bool, ...]:
        """Whether the likeliest answer is the true one."""
        pairs = zip(self.questions, self.answers, strict=True)
        return tuple(bool(ranked) and ranked[0][0] == asked.answer for asked, ranked in pairs)

    def add_to(self, page: Page, *, num_examples: int = 5) -> None:
        """Add accuracy by kind, then questions with pictures, evenly from the right and wrong."""
        plain = {name: value for name, value in self.scores.items() if "/" not in name}
        page.facts({name: f"{value:.3f}" for name, value in plain.items()})
        kinds = kinds_of(self.questions)
        bars = {"accuracy": [self.scores[f"accuracy/{kind}"] for kind in kinds]}
        if "most_frequent" in self.scores:
            bars["most frequent answer"] = [self.scores[f"most_frequent/{kind}"] for kind in kinds]
        page.chart(bar_chart(list(kinds), bars, title="Accuracy by kind of question"))
        header = ["kind", "questions", *bars]
        page.table(
            header,
            [
                [kind, len(places), *(f"{values[i]:.3f}" for values in bars.values())]
                for i, (kind, places) in enumerate(kinds.items())
            ],
        )
        for title, wanted in (("Answered right", True), ("Answered wrong", False)):
            places = [
                place
                for place, right in enumerate(self.right)
                if right is wanted and self.answers[place]
            ]
            page.section(f"{title} ({len(places)} of {self.num_total})")
            count = min(num_examples, len(places))
            for i in range(count):
                add_question(page, self, places[i * len(places) // count])


def add_question(page: Page, result: QuestionAnsweringResult, place: int) -> None:
    """Add one question with frames of its video, the true answer and those given."""
    asked, ranked = result.questions[place], result.answers[place] or ()
    page.text(f"“{asked.question}” ({asked.question_kind})")
    given = ", ".join(f"{answer} {share:.2f}" for answer, share in ranked)
    page.picture(
        png_bytes(picture_strip({"": frames_to_show(asked, num_frames=8)}, side_px=1)),
        alt=f"frames of {asked.video.name}",
        caption=f"{asked.video.name}. True: {asked.answer}. Given: {given}.",
    )


def kinds_of(records: Sequence[Record]) -> dict[str, list[int]]:
    """Places of the questions of each kind, in the order of the alphabet."""
    kinds: dict[str, list[int]] = defaultdict(list)
    for place, record in enumerate(records):
        kinds[record.question_kind or "other"].append(place)
    return dict(sorted(kinds.items()))
