"""Moment retrieval: the published scores of published predictions, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.metrics import (
    highlight_metrics,
    moment_retrieval_metrics,
    query_recalls,
    saliency_of_clips,
    temporal_iou,
)
from tests.conftest import SHARED

_FOLDER = SHARED / "data/moment_retrieval"


def _lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def published():
    if not _FOLDER.is_dir():
        pytest.skip("no predictions on QVHighlights beside the project (set INTERNVIDEO_SHARED)")
    expected = json.loads((_FOLDER / "sample_val_preds_metrics_raw.json").read_text())
    return (
        _lines(_FOLDER / "highlight_val_release.jsonl"),
        _lines(_FOLDER / "sample_val_preds.jsonl"),
        expected,
    )


def test_published_predictions_get_their_published_scores_of_moments(published):
    truth, predictions, expected = published

    scores = moment_retrieval_metrics(
        {row["qid"]: np.array(row["relevant_windows"], float) for row in truth},
        {row["qid"]: np.array(row["pred_relevant_windows"], float) for row in predictions},
    )

    for length in ("short", "middle", "long", "full"):
        for kind, name in (("MR-mAP", "mAP"), ("MR-R1", "R1")):
            for threshold, value in expected[length][kind].items():
                key = f"{length}/{name}" + ("" if threshold == "average" else f"@{threshold}")
                assert round(100 * scores[key], 2) == pytest.approx(value, abs=0.011), key
    assert round(100 * scores["full/R1@0.5"], 2) == 53.94


def test_published_predictions_get_their_published_scores_of_highlights(published):
    truth, predictions, expected = published

    scores = highlight_metrics(
        {
            row["qid"]: saliency_of_clips(
                float(row["duration"]), row["relevant_clip_ids"], row["saliency_scores"]
            )
            for row in truth
        },
        {row["qid"]: row["pred_saliency_scores"] for row in predictions},
    )

    for level in ("Fair", "Good", "VeryGood"):
        of_level = expected[f"HL-min-{level}"]
        assert round(100 * scores[f"{level}/mAP"], 2) == of_level["HL-mAP"]
        assert round(100 * scores[f"{level}/HIT@1"], 2) == of_level["HL-Hit1"]


def test_perfect_windows_score_one_at_every_length():
    truth = {"a": np.array([[0.0, 5.0], [20.0, 80.0]]), "b": np.array([[3.0, 20.0]])}
    perfect = {q: np.concatenate([w, np.ones((len(w), 1))], axis=1) for q, w in truth.items()}

    scores = moment_retrieval_metrics(truth, perfect)

    assert {v for name, v in scores.items() if name.startswith("full/mAP")} == {1.0}
    assert scores["full/R1@0.95"] == 1


def test_overlap_is_symmetric_and_does_not_change_by_a_shift():
    random = np.random.default_rng(0)
    first, second = (np.sort(random.uniform(0, 9, (5, 2)), axis=1) for _ in range(2))

    overlap = temporal_iou(first, second)

    np.testing.assert_allclose(overlap, temporal_iou(second, first).T)
    np.testing.assert_allclose(overlap, temporal_iou(first + 7, second + 7), atol=1e-12)
    np.testing.assert_allclose(temporal_iou(first, first).diagonal(), 1)


def test_a_query_without_a_prediction_is_named():
    truth = {"a": np.array([[0.0, 5.0]])}

    with pytest.raises(ConfigError, match="query a: has no prediction"):
        moment_retrieval_metrics(truth, {})
    with pytest.raises(ConfigError, match=r"query a: windows of shape \(1, 2\); expected \(s, 3\)"):
        moment_retrieval_metrics(truth, truth)
    with pytest.raises(ConfigError, match="query a: has no prediction of saliency"):
        highlight_metrics({"a": np.zeros((3, 3))}, {})


def test_a_query_with_no_window_predicted_is_missed():
    scores = moment_retrieval_metrics({"a": np.array([[0.0, 5.0]])}, {"a": np.zeros((0, 3))})

    assert scores["full/R1@0.5"] == scores["full/mAP"] == 0


def test_queries_are_found_among_the_first_windows():
    truth = {0: np.array([[0.0, 10.0]]), 1: np.array([[5.0, 10.0]]), 2: np.array([[0.0, 1.0]])}
    given = {
        0: np.array([[0.0, 4.0, 0.9], [0.0, 10.0, 0.5]]),  # overlaps by 0.4, then by 1
        1: np.array([[5.0, 10.0, 0.9]]),
        2: np.zeros((0, 3)),
    }

    scores = query_recalls(truth, given)

    assert scores["R1@0.3"] == scores["R5@0.3"] == scores["R5@0.5"] == pytest.approx(2 / 3)
    assert scores["R1@0.5"] == pytest.approx(1 / 3)
    assert scores["mean_r1"] == pytest.approx(0.5)
