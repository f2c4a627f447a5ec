from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.report import Page
from internvideo.tasks import MultipleChoice, MultipleChoiceResult, TextRequest
from internvideo.tasks.multiple_choice import add_questions
from internvideo.values import Annotations, Record
from tests.unit.tasks.toys import Eye


def test_a_model_that_understands_answers_everything(levels):
    result = MultipleChoice().evaluate(Eye(), levels)

    assert result.scores == {"accuracy": 1.0, "chance": pytest.approx(1 / 3)}
    assert result.answers.tolist() == [2] * 5


def test_a_question_whose_video_cannot_be_decoded_is_wrong(with_broken):
    result = MultipleChoice().evaluate(Eye(), with_broken)

    assert result.scores["accuracy"] == pytest.approx(5 / 6)
    assert (result.num_evaluated, result.num_total) == (5, 6)


def test_questions_may_have_different_numbers_of_options(levels):
    first, second, *_ = levels.records
    shorter = replace(second, candidates=second.candidates[1:])

    result = MultipleChoice().evaluate(Eye(), Annotations(records=(first, shorter)))

    assert result.scores == {"accuracy": 1.0, "chance": pytest.approx((1 / 3 + 1 / 2) / 2)}
    assert result.options.isinf().tolist() == [[False] * 3, [False, False, True]]


def test_several_questions_about_one_video_see_it_once(levels):
    eye = Eye()

    MultipleChoice().evaluate(eye, Annotations(records=(*levels.records, *levels.records)))

    assert len(eye.seen) == 5


@pytest.mark.parametrize("changes", [{"answer": None}, {"answer": "level 9"}, {"candidates": ()}])
def test_an_answer_that_is_no_option_is_named(levels, changes):
    records = (replace(levels.records[0], **changes),)

    with pytest.raises(ConfigError, match=r"level 0.mp4: its answer .* is not one of its options"):
        MultipleChoice().evaluate(Eye(), Annotations(records=records))


def test_the_options_of_one_video_are_put_in_order(level_videos):
    request = TextRequest(video=level_videos[1], text=("level 4", "level 1"))

    answer = MultipleChoice().predict(Eye(), request)

    assert answer.ranked[0][0] == "level 1"
    assert sum(share for _, share in answer.ranked) == pytest.approx(1)


@pytest.fixture
def choices():
    questions = tuple(
        Record(video=Path(f"clip {i}.mp4"), candidates=("left", "right"), answer="left")
        for i in range(3)
    )
    return MultipleChoiceResult(
        scores={"accuracy": 0.5, "chance": 0.2},
        num_evaluated=2,
        num_total=3,
        failed=(),
        options=torch.tensor([[4.0, 0.0], [0.0, 4.0], [math.nan, math.nan]]),
        answers=torch.zeros(3, dtype=torch.int64),
        questions=questions,
    )


def test_the_hardest_questions_come_first_on_a_page(choices):
    page = Page("t")

    choices.add_to(page)

    html = page.html()
    assert html.index("clip 2.mp4") < html.index("clip 1.mp4") < html.index("clip 0.mp4")
    assert "the video could not be decoded" in html
    assert "✓" in html


def test_accuracies_stand_beside_those_of_shuffled_frames_and_chance(choices):
    page = Page("t")

    add_questions(page, {"motion": choices}, shuffled={"motion": choices})

    for name in ("accuracy", "frames shuffled", "chance"):
        assert f"motion, {name}: " in page.html()
