from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch

from internvideo.report import Page, add_captions, add_multiple_choice
from internvideo.values import Record


@dataclass
class Captions:
    captions: tuple[str | None, ...]
    references: tuple[tuple[str, ...], ...]
    videos: tuple[Record, ...]
    scores: dict[str, float] = field(default_factory=lambda: {"bleu4": 0.25})


@dataclass
class Choices:
    options: torch.Tensor
    answers: torch.Tensor
    questions: tuple[Record, ...]
    scores: dict[str, float] = field(default_factory=lambda: {"accuracy": 0.5, "chance": 0.2})


@pytest.fixture
def choices():
    questions = tuple(
        Record(video=Path(f"clip {i}.mp4"), candidates=("left", "right"), answer="left")
        for i in range(3)
    )
    options = torch.tensor([[4.0, 0.0], [0.0, 4.0], [math.nan, math.nan]])
    return Choices(options, torch.zeros(3, dtype=torch.int64), questions)


def test_a_caption_stands_beside_what_people_wrote():
    page = Page("t")

    videos = (Record(video=Path("missing.mp4")),)
    add_captions(page, Captions(("a <red> disc",), (("the disc", "a disc"),), videos))

    assert "“a &lt;red&gt; disc”" in page.html()
    assert "People wrote: the disc · a disc" in page.html()
    assert "0.250" in page.html()


def test_a_video_without_a_caption_is_said_to_be_broken():
    page = Page("t")

    add_captions(page, Captions((None,), (("the disc",),), (Record(video=Path("x.mp4")),)))

    assert "x.mp4 could not be decoded; people wrote: the disc" in page.html()


def test_the_hardest_questions_come_first(choices):
    page = Page("t")

    add_multiple_choice(page, {"motion": choices}, num_questions=3)

    html = page.html()
    assert html.index("clip 2.mp4") < html.index("clip 1.mp4") < html.index("clip 0.mp4")
    assert "the video could not be decoded" in html
    assert "✓" in html


def test_accuracies_stand_beside_those_of_shuffled_frames_and_chance(choices):
    page = Page("t")

    add_multiple_choice(page, {"motion": choices}, shuffled={"motion": choices})

    for name in ("accuracy", "frames shuffled", "chance"):
        assert f"motion, {name}: " in page.html()
