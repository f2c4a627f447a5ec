"""What holds for every task of the catalogue."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields, is_dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import get_type_hints

import pytest

from internvideo.data import ANNOTATIONS
from internvideo.errors import ConfigError
from internvideo.report import Page
from internvideo.tasks import TASKS, Inference, OpenSetVideos, RankingRequest, TextRequest
from internvideo.tasks.shared import ClipSampling, FailedVideo, Result
from tests.unit.tasks.toys import NUM_VIDEOS, Eye, Namer

CLASSES = tuple(f"level {i}" for i in range(NUM_VIDEOS + 1))


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_what_it_is(name):
    task = TASKS[name]

    assert task.name == name
    assert task.summary and not task.summary.endswith(".")
    assert task.datasets
    assert set(task.formats) <= ANNOTATIONS.keys()
    assert task.model_type.kind


@pytest.mark.parametrize("name", TASKS)
def test_every_option_of_a_task_is_explained(name):
    task = TASKS[name]

    for configuration in (task, task.data_type, task.request_type):
        assert not unexplained(configuration)


def unexplained(configuration) -> list[str]:
    """Fields without a docstring, those of configurations inside included."""
    hints = get_type_hints(configuration)
    explained = set().union(*(_explained(base) for base in configuration.__mro__[:-1]))
    found = []
    for field in fields(configuration):
        if is_dataclass(hints[field.name]):
            found += unexplained(hints[field.name])
        elif field.name not in explained:
            found.append(f"{configuration.__name__}.{field.name}")
    return found


def _explained(configuration) -> set[str]:
    (definition,) = ast.parse(inspect.getsource(configuration)).body
    return {
        node.target.id
        for node, after in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(node, ast.AnnAssign)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }


# Other models are made by the tests of their own tasks, which check the same.
TOYS = {"classifier": Namer, "video-text": Eye}


@pytest.mark.parametrize("name", [n for n in TASKS if TASKS[n].model_type.kind in TOYS])
def test_the_scores_of_a_task_are_the_metrics_that_it_names(name, levels):
    data = replace(levels, classes=CLASSES)
    if name == "open-set":
        data = OpenSetVideos(known=data, unknown=levels.records, training=levels.records)

    result = TASKS[name]().evaluate(TOYS[TASKS[name].model_type.kind](), data)

    named = TASKS[name].metrics
    assert all(any(fnmatch(score, metric) for metric in named) for score in result.scores)
    missing = {m for m in named if not any(fnmatch(score, m) for score in result.scores)}
    # Only where a function is given that reads facts, sentences have an opposite, or videos have
    # several labels.
    assert missing <= {"slot/*", "time/*", "map"}


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_documented(name):
    assert (
        f"`{name}`" in (Path(__file__).parents[3] / "docs" / "reference" / "tasks.md").read_text()
    )


RESULT = Result(
    scores={"top1": 0.5},
    num_evaluated=1,
    num_total=2,
    failed=(FailedVideo(path="a.mp4", reason="a.mp4: no <frame>"),),
)


def test_a_result_shows_its_scores_counts_and_failures():
    page = Page("t")
    RESULT.add_to(page)

    assert RESULT.lines() == [
        "top1                     0.5",
        "num_evaluated            1",
        "num_total                2",
        "not seen  a.mp4: a.mp4: no <frame>",
    ]
    assert RESULT.to_json() == {
        "top1": 0.5,
        "num_evaluated": 1,
        "num_total": 2,
        "failed": [{"path": "a.mp4", "reason": "a.mp4: no <frame>"}],
    }
    assert "0.5" in page.html()


def test_a_model_is_run_as_in_training_unless_told():
    usual = ClipSampling(sampling="dense", stride_frames=2, crop=0.9)

    assert Inference().clip_sampling(usual) == usual
    assert Inference(crop=0.5).clip_sampling(usual) == replace(usual, crop=0.5)


@pytest.mark.parametrize(
    ("request_type", "options", "message"),
    [
        (RankingRequest, {"top": 0}, "top is 0, which shows nothing; give 1 or more"),
        (TextRequest, {}, "this task chooses among texts"),
        (TextRequest, {"text": ("a", " ")}, "one --text is empty"),
    ],
)
def test_an_impossible_request_is_refused(level_videos, request_type, options, message):
    with pytest.raises(ConfigError, match=message):
        request_type(video=level_videos[0], **options)
