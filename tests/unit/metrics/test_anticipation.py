"""Top-5 mAP of anticipation: equal to the obvious loop, and to what is counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.metrics import ANTICIPATION_SCORES, NextObjects, anticipation_map

BOX = [10.0, 10.0, 50.0, 50.0]


def frame(boxes, nouns, verbs, times, scores=None):
    return NextObjects(
        xyxy=np.array(boxes, float).reshape(-1, 4),
        nouns=np.array(nouns, int),
        verbs=np.array(verbs, int),
        contact_s=np.array(times, float),
        scores=None if scores is None else np.array(scores, float),
    )


TRUE = frame([BOX], [1], [2], [0.8])


def test_each_score_asks_for_what_its_name_says():
    right = frame([BOX], [1], [2], [1.0], [0.9])

    assert anticipation_map([TRUE], [right]) == dict.fromkeys(ANTICIPATION_SCORES, 1.0)
    late = anticipation_map([TRUE], [replace(right, contact_s=np.array([1.1]))])
    assert [late[name] for name in ANTICIPATION_SCORES] == [1, 1, 0, 0]
    other = anticipation_map([TRUE], [replace(right, verbs=np.array([0]))])
    assert [other[name] for name in ANTICIPATION_SCORES] == [1, 0, 1, 0]
    aside = anticipation_map([TRUE], [replace(right, xyxy=right.xyxy + 25)])
    assert set(aside.values()) == {0.0}


def test_four_wrong_predictions_an_object_are_forgiven_and_the_fifth_counts():
    def scored(num_wrong):
        far = [[200.0, 200.0, 220.0, 220.0]] * num_wrong
        found = frame(
            [*far, BOX],
            [1] * (num_wrong + 1),
            [2] * (num_wrong + 1),
            [0.8] * (num_wrong + 1),
            np.linspace(0.9, 0.1, num_wrong + 1),
        )
        return anticipation_map([TRUE], [found])["noun"]

    assert scored(4) == 1.0
    assert scored(5) == pytest.approx(1 / 2)
    assert scored(7) == pytest.approx(1 / 4)


def obvious(truth, found, top=5):
    """The released routine for the strictest score, object by object."""
    rows, wanted = [], {}
    for true, said in zip(truth, found, strict=True):
        if not len(true.nouns):
            continue
        for noun in true.nouns:
            wanted[noun] = wanted.get(noun, 0) + 1
        taken, forgiven = set(), 0
        for i in np.argsort(said.scores)[::-1]:
            best, place = -1.0, None
            for j in range(len(true.nouns)):
                one, other = said.xyxy[i], true.xyxy[j]
                sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]) + 1
                shared = np.prod(np.clip(sides, 0, None))
                area = [np.prod(box[2:] - box[:2] + 1) for box in (one, other)]
                overlap = shared / (sum(area) - shared)
                fits = (
                    said.nouns[i] == true.nouns[j]
                    and said.verbs[i] == true.verbs[j]
                    and abs(said.contact_s[i] - true.contact_s[j]) <= 0.25
                    and overlap > 0.5
                    and j not in taken
                )
                if fits and overlap > best:
                    best, place = overlap, j
            if place is not None:
                taken.add(place)
            elif forgiven < (top - 1) * len(true.nouns):
                forgiven += 1
                continue
            rows.append((said.scores[i], said.nouns[i], place is not None))
    values = []
    for noun, count in wanted.items():
        hits = [hit for _, label, hit in sorted(rows, key=lambda row: -row[0]) if label == noun]
        precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
        best = [max(precision[n:]) for n in range(len(hits))]
        values.append(sum(p for p, hit in zip(best, hits, strict=True) if hit) / count)
    return np.mean(values)


def test_it_is_the_obvious_loop():
    rng = np.random.default_rng(0)
    truth, found = [], []
    for _ in range(30):
        count = int(rng.integers(0, 4))
        corner = rng.uniform(0, 200, (count, 2))
        true = frame(
            np.hstack([corner, corner + rng.uniform(20, 90, (count, 2))]),
            rng.integers(0, 3, count),
            rng.integers(0, 2, count),
            rng.uniform(0.3, 1.2, count),
        )
        rows = rng.integers(0, count, 12) if count else np.zeros(0, int)
        said = frame(
            true.xyxy[rows] + rng.normal(0, 6, (len(rows), 4)),
            np.where(rng.random(len(rows)) < 0.8, true.nouns[rows], 0),
            np.where(rng.random(len(rows)) < 0.8, true.verbs[rows], 0),
            true.contact_s[rows] + rng.normal(0, 0.2, len(rows)),
            rng.permutation(len(rows)) / 12 + rng.uniform(0, 1e-6, len(rows)),
        )
        truth.append(true)
        found.append(said)

    value = anticipation_map(truth, found)["noun_verb_contact"]

    assert 0.2 < value < 1
    assert value == pytest.approx(obvious(truth, found), abs=1e-12)


def test_what_does_not_fit_is_refused_and_nothing_annotated_is_nothing_measured():
    with pytest.raises(ConfigError, match="1 frames with objects, 0"):
        anticipation_map([TRUE], [])
    with pytest.raises(ConfigError, match="have no scores"):
        anticipation_map([TRUE], [TRUE])
    with pytest.raises(ConfigError, match="other numbers of"):
        frame([BOX], [1], [], [0.8])
    empty = frame([], [], [], [], [])
    assert np.isnan(anticipation_map([empty], [empty])["noun"])
