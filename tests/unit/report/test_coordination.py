"""What a page says of coordination: gates over training, classes that gained, what A reads."""

from __future__ import annotations

from dataclasses import replace

import torch

from internvideo.report import Page
from internvideo.report.coordination import add_class_gains, add_gates, add_reading
from internvideo.report.run_files import RunFiles

FILES = RunFiles(
    document={},
    metrics=[
        {
            "step": step,
            "gate/block8_attn": step / 10,
            "gate/reversed_mlp": -step / 10,
            "fusion/masked": 0.5,
            "fusion/multimodal": 0.5 + step / 100,
        }
        for step in (1, 2, 3)
    ],
    broken=[],
    log=[],
    problems=[],
)


# A token of a clip of two slots in A and three in B.
READING = {
    "source": "some.mp4",
    "block": 3,
    "asking": torch.zeros(2, 8, 8, 3, dtype=torch.uint8),
    "token": torch.zeros(2, 8, 8),
    "frames": torch.zeros(3, 8, 8, 3, dtype=torch.uint8),
    "heat": torch.rand(3, 8, 8),
    "slots": torch.full((2, 3), 1 / 3),
}


def test_gates_of_both_parts_and_the_fusion_have_a_chart_each():
    page = Page("run")

    add_gates(page, FILES)

    html = page.html()
    for title in ("Gates of attention", "Gates of feed-forward", "Share of each branch"):
        assert title in html
    assert "block8, 3: 0.3" in html and "reversed, 3: -0.3" in html and "B, 3: 0.53" in html


def test_a_run_without_gates_has_empty_charts():
    page = Page("run")

    add_gates(page, replace(FILES, metrics=[]))

    assert page.html().count("no data") == 3


def test_classes_are_compared_before_and_after():
    page = Page("run")
    classes, labels = ("slide", "<turn>", "absent"), torch.tensor([0, 0, 1, 1])
    right = {
        "before": torch.tensor([True, False, True, True]),
        "after": torch.tensor([True, True, True, False]),
    }

    add_class_gains(page, classes, labels, right)

    html = page.html()
    assert "1 of 2 classes gained and 1 lost, on 4 clips" in html
    assert "slide, after: 1" in html and "&lt;turn&gt;, before: 1" in html
    assert "absent" not in html


def test_a_reading_has_its_frames_and_the_slots_that_meet():
    page = Page("run")

    add_reading(page, **READING)

    html = page.html()
    assert "some.mp4, before block 3" in html
    assert "slots of A by slots of B" in html and "1, 2: 0.33" in html
    assert html.count("data:image/png") == 1
