"""Average precision and recall of temporal detection against the released loops."""

from __future__ import annotations

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.metrics import (
    SegmentTable,
    as_released_labels,
    detection_map,
    recall_at,
    without_duplicates,
)

THRESHOLDS = (0.3, 0.5, 0.7)


def tables(seed, *, num_videos=6, num_classes=3, num_truths=40, num_predictions=300, levels=None):
    rng = np.random.default_rng(seed)

    def rows(count, with_score):
        start = rng.uniform(0, 50, count)
        end = start + rng.uniform(1, 20, count)
        if levels:
            start, end = np.round(start / levels) * levels, np.round(end / levels) * levels + 1
        video, label = rng.integers(num_videos, size=count), rng.integers(num_classes, size=count)
        score = rng.permutation(count) / count if with_score else None
        return SegmentTable.of(video, start, end, label, score)

    return rows(num_truths, False), rows(num_predictions, True)


def iou(one, others):
    intersection = np.minimum(one[1], others[:, 1]) - np.maximum(one[0], others[:, 0])
    intersection = intersection.clip(0)
    return intersection / (others[:, 1] - others[:, 0] + one[1] - one[0] - intersection)


def segments_of(table):
    return np.stack([table.start_s, table.end_s], axis=1)


def looped_precision(truth, predicted, thresholds):
    """The released loop over predictions, for one class."""
    order = predicted.score.argsort()[::-1]
    hit = np.zeros((len(thresholds), len(order)))
    taken = np.zeros((len(thresholds), len(truth)), dtype=bool)
    for place, row in enumerate(order):
        same = np.flatnonzero(truth.video == predicted.video[row])
        if not len(same):
            continue
        overlaps = iou(segments_of(predicted)[row], segments_of(truth)[same])
        for number, threshold in enumerate(thresholds):
            for candidate in overlaps.argsort(kind="stable")[::-1]:
                if overlaps[candidate] < threshold:
                    break
                if not taken[number, same[candidate]]:
                    taken[number, same[candidate]] = hit[number, place] = True
                    break
    areas = []
    for hits in hit:
        found = np.cumsum(hits)
        precision = np.hstack([[0], found / np.arange(1, len(hits) + 1), [0]])
        recall = np.hstack([[0], found / len(truth), [1]])
        for i in range(len(precision) - 1)[::-1]:
            precision[i] = max(precision[i], precision[i + 1])
        steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
        areas.append(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())
    return areas


def looped_recall(truth, predicted, threshold, k):
    """The released loop over videos, for one class."""
    found = 0
    for video in np.unique(truth.video):
        wanted = segments_of(truth)[truth.video == video]
        rows = np.flatnonzero(predicted.video == video)
        best = rows[predicted.score[rows].argsort()[::-1]][: k * len(wanted)]
        for one in wanted:
            found += (iou(one, segments_of(predicted)[best]) >= threshold).any()
    return found / len(truth)


def by_class(ground_truth, predictions):
    for label in np.unique(ground_truth.label):
        yield (
            ground_truth.take(ground_truth.label == label),
            predictions.take(predictions.label == label),
        )


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("levels", [None, 4])
def test_precision_is_that_of_the_released_loop(seed, levels):
    ground_truth, predictions = tables(seed, levels=levels)

    got = detection_map(ground_truth, predictions, THRESHOLDS)

    pairs = by_class(ground_truth, predictions)
    expected = np.array([looped_precision(t, p, THRESHOLDS) for t, p in pairs]).T
    np.testing.assert_allclose(got.average_precision, expected, atol=1e-12)
    assert got.average_map == pytest.approx(expected.mean())


@pytest.mark.parametrize("seed", range(4))
def test_many_overlapping_segments_of_one_video_are_matched_as_in_the_loop(seed):
    crowded = tables(seed, num_videos=1, num_classes=1, num_truths=60, num_predictions=400)

    got = detection_map(*crowded, THRESHOLDS)

    np.testing.assert_allclose(got.average_precision[:, 0], looped_precision(*crowded, THRESHOLDS))


@pytest.mark.parametrize("seed", range(4))
def test_recall_is_that_of_the_released_loop(seed):
    ground_truth, predictions = tables(seed)

    got = recall_at(ground_truth, predictions, THRESHOLDS, top=(1, 5))

    for row, threshold in enumerate(THRESHOLDS):
        for column, k in enumerate((1, 5)):
            pairs = by_class(ground_truth, predictions)
            expected = np.mean([looped_recall(t, p, threshold, k) for t, p in pairs])
            assert got[row, column] == pytest.approx(expected)


def test_the_ground_truth_as_prediction_is_perfect():
    ground_truth = without_duplicates(tables(0)[0])

    assert detection_map(ground_truth, ground_truth, THRESHOLDS).average_map == 1
    assert recall_at(ground_truth, ground_truth, THRESHOLDS, top=(1,)).tolist() == [[1.0]] * 3


def test_moving_everything_in_time_changes_nothing():
    ground_truth, predictions = tables(1)

    def moved(table):
        return SegmentTable.of(
            table.video, table.start_s + 64, table.end_s + 64, table.label, table.score
        )

    before = detection_map(ground_truth, predictions, THRESHOLDS)
    after = detection_map(moved(ground_truth), moved(predictions), THRESHOLDS)
    np.testing.assert_array_equal(before.average_precision, after.average_precision)


def test_a_class_without_predictions_counts_with_nothing():
    ground_truth = SegmentTable.of([0, 0], [0, 5], [4, 9], [0, 7])
    predictions = SegmentTable.of([0], [0], [4], [0], [0.9])

    scores = detection_map(ground_truth, predictions, (0.5,))

    assert scores.classes == (0, 7)
    assert scores.average_precision.tolist() == [[1.0, 0.0]]
    assert scores.map_at == {0.5: 0.5}


def test_no_prediction_at_all_is_nothing_and_the_counts_tell_it():
    ground_truth = SegmentTable.of([3, 4], [0, 5], [4, 9], [0, 1])
    none = SegmentTable.of([], [], [], [], [])

    scores = detection_map(ground_truth, none, THRESHOLDS)

    assert scores.average_map == 0
    assert (scores.num_videos, scores.num_predicted) == (2, 0)
    assert recall_at(ground_truth, none, (0.5,)).tolist() == [[0, 0]]


def test_a_prediction_in_a_video_without_annotations_is_a_false_positive():
    ground_truth = SegmentTable.of([0], [0], [4], [0])
    predictions = SegmentTable.of([9, 0], [0, 0], [4, 4], [0, 0], [0.9, 0.8])

    scores = detection_map(ground_truth, predictions, (0.5,))

    assert scores.average_map == 0.5
    assert (scores.num_videos, scores.num_predicted) == (1, 1)


def test_repeated_annotations_count_once():
    table = SegmentTable.of([0, 0, 0, 1], [1, 1.0009, 1, 1], [5, 5, 5.1, 5], [2, 2, 2, 2])

    assert without_duplicates(table).end_s.tolist() == [5, 5.1, 5]


def test_renumbered_labels_keep_absent_classes_as_the_release_does():
    ground_truth = SegmentTable.of([0, 0], [0, 0], [1, 1], [4, 9])
    predictions = SegmentTable.of([0, 0, 0], [0, 0, 0], [1, 1, 1], [9, 1, 4], [1, 1, 1])

    truth, predicted = as_released_labels(ground_truth, predictions)

    assert truth.label.tolist() == [0, 1]
    assert predicted.label.tolist() == [1, 1, 0]


def test_an_empty_ground_truth_or_a_score_that_is_no_number_is_refused():
    with pytest.raises(ConfigError, match="no annotated segment to evaluate on"):
        detection_map(SegmentTable.of([], [], [], []), tables(0)[1], THRESHOLDS)
    with pytest.raises(ConfigError, match="row 1: score is nan, expected a finite number"):
        SegmentTable.of([0, 0], [0, 0], [1, 1], [0, 0], [1, float("nan")])
