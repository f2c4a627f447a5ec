"""Named settings of suppression, and voting within a class."""

from __future__ import annotations

from dataclasses import replace

import torch

from internvideo.tasks.shared.suppression import SUPPRESSIONS, suppress

SEGMENTS = torch.tensor([[0.0, 10.0], [1.0, 11.0], [1.0, 10.0]])
SCORES = torch.tensor([0.9, 0.6, 0.8])


def kept(config, labels):
    return suppress(SEGMENTS, SCORES, torch.tensor(labels), config)


def test_voting_within_a_class_takes_only_voters_of_that_class():
    config = replace(SUPPRESSIONS["voting"], max_segments=1)

    alone, _, _ = kept(config, [0, 1, 1])
    together, _, _ = kept(config, [0, 0, 1])

    assert alone.tolist() == [[0.0, 10.0]]
    expected = (0.9 * SEGMENTS[0] + 0.6 * SEGMENTS[1]) / 1.5
    torch.testing.assert_close(together[0], expected)


def test_the_later_setting_keeps_segments_as_they_are_and_decays_them_less():
    later, scores, _ = kept(SUPPRESSIONS["opentad"], [0, 0, 0])
    _, usual, _ = kept(replace(SUPPRESSIONS["opentad"], sigma=0.5), [0, 0, 0])

    assert {tuple(row) for row in later.tolist()} == {tuple(row) for row in SEGMENTS.tolist()}
    assert (scores[1:] > usual[1:]).all()
