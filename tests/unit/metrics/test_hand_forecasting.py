from __future__ import annotations

import pytest
import torch

from internvideo.metrics import hand_displacement


def test_distances_are_means_over_the_visible_hands():
    true = torch.zeros(2, 5, 2, 2)
    predicted = true.clone()
    predicted[0, :, 0] = torch.tensor([3.0, 4.0])  # the left hand is 5 px off
    predicted[1, 4, 1] = torch.tensor([0.0, 8.0])  # the right one, at the contact
    visible = torch.zeros(2, 5, 2, dtype=torch.bool)
    visible[0, :, 0] = True
    visible[1, 3:, 1] = True

    scores = hand_displacement(predicted, true, visible)

    assert scores == {
        "displacement": pytest.approx((5 * 5 + 8) / 7),
        "left": 5,
        "right": 4,
        "contact/left": 5,
        "contact/right": 8,
    }


def test_a_hand_that_is_never_visible_has_no_distance():
    points, visible = torch.zeros(1, 5, 2, 2), torch.zeros(1, 5, 2, dtype=torch.bool)
    visible[:, 0, 0] = True

    assert set(hand_displacement(points, points, visible)) == {"displacement", "left"}
