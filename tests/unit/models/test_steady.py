"""What changes in a clip is told apart from what the camera's drift changes everywhere."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from internvideo.models.steady import changes

SIDE, MARGIN = 64, 8
_DRIFTS = [(0.0, 0.0), (0.6, -0.4), (1.3, -0.9), (1.6, -0.2), (1.1, 0.8), (0.2, 1.5)]


def seen_by(world: Tensor, drift: tuple[float, float]) -> Tensor:
    """The middle of the world from a camera that stands a part of a pixel aside."""
    across, down = (MARGIN + shift for shift in drift)
    steps = torch.arange(SIDE) + 0.5
    x, y = (2 * (steps + shift) / world.shape[1] - 1 for shift in (across, down))
    grid = torch.stack(torch.meshgrid(y, x, indexing="ij")[::-1], dim=-1)
    return F.grid_sample(world[None], grid[None], mode="bicubic", align_corners=False)[0]


@pytest.fixture
def world():
    """A ground of soft spots with two dark things on it, in units of their deviation."""
    size = SIDE + 2 * MARGIN
    noise = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    world = F.avg_pool2d(noise, 9, stride=1, padding=4)[0]
    world = 0.3 * world / world.std()
    world[:, 12:26, 14:28] -= 2
    world[:, 50:62, 16:30] -= 2
    return world


def filmed(world: Tensor, drifts: list[tuple[float, float]], size: float = 5.0) -> Tensor:
    """A clip of the world in which a disc grows around (44, 42)."""
    frames = []
    for number, drift in enumerate(drifts):
        place = torch.arange(len(world[0])) - MARGIN + 0.5
        far = ((place[:, None] - 42) ** 2 + (place - 44) ** 2).sqrt()
        disc = (size + number - far).clamp(0, 1) if size else torch.zeros_like(far)
        frames.append(seen_by(world * (1 - disc) + 2 * disc, drift))
    return torch.stack(frames, dim=1)[None]


def test_what_a_drifting_camera_changes_does_not_count(world):
    drifting, still = (filmed(world, drifts, size=0) for drifts in (_DRIFTS, [(0.0, 0.0)] * 6))
    usual = drifting.var(2).mean()

    assert changes(drifting, (8, 8)).max() < 0.2 * usual
    assert changes(still, (8, 8)).max() < 1e-6


def test_what_moves_by_itself_is_found_beside_things_that_stand_still(world):
    found = changes(filmed(world, _DRIFTS), (8, 8))[0].view(8, 8)

    # The disc reaches from 34 to 54 across and from 32 to 52 down.
    inside = torch.zeros(8, 8, dtype=torch.bool)
    inside[4:7, 4:7] = True
    assert inside.view(-1)[found.view(-1).argmax()]
    assert found[~inside].max() < 0.1 * found.max()
    without = filmed(world, _DRIFTS).var(2).mean(1)
    naive = F.adaptive_avg_pool2d(without, 8)[0]
    assert naive[~inside].max() > 0.3 * naive.max()


def test_gradients_and_half_precision_are_left_alone(world):
    clip = filmed(world, _DRIFTS)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = changes(clip.requires_grad_(), (8, 8))

    assert found.dtype == torch.float32 and not found.requires_grad
    torch.testing.assert_close(found, changes(clip, (8, 8)))
