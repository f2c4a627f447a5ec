"""RoIAlign equals the obvious loop over bins and samples, whatever lies outside the map."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from internvideo.models import enlarge_boxes, roi_align


def _bilinear(image: Tensor, y: float, x: float) -> Tensor:
    _, h, w = image.shape
    if y < -1 or y > h or x < -1 or x > w:
        return image.new_zeros(len(image))
    y, x = max(y, 0.0), max(x, 0.0)
    top, left = min(int(y), h - 1), min(int(x), w - 1)
    y, x = (float(top) if top == h - 1 else y), (float(left) if left == w - 1 else x)
    bottom, right = min(top + 1, h - 1), min(left + 1, w - 1)
    down, across = y - top, x - left
    upper = (1 - across) * image[:, top, left] + across * image[:, top, right]
    lower = (1 - across) * image[:, bottom, left] + across * image[:, bottom, right]
    return (1 - down) * upper + down * lower


def _obvious(image: Tensor, box: list[float], resolution: int, scale: float) -> Tensor:
    x1, y1, x2, y2 = (side * scale for side in box)
    height, width = max(y2 - y1, 1.0), max(x2 - x1, 1.0)
    rows, columns = math.ceil(height / resolution), math.ceil(width / resolution)
    out = image.new_zeros(len(image), resolution, resolution)
    for p in range(resolution):
        for q in range(resolution):
            for i in range(rows):
                for j in range(columns):
                    y = y1 + height / resolution * (p + (i + 0.5) / rows)
                    x = x1 + width / resolution * (q + (j + 0.5) / columns)
                    out[:, p, q] += _bilinear(image, y, x) / (rows * columns)
    return out


@pytest.mark.parametrize(
    "box",
    [
        [10.0, 20.0, 100.0, 90.0],
        [0.0, 0.0, 127.0, 95.0],
        [-40.0, -30.0, 20.0, 30.0],
        [100.0, 80.0, 180.0, 140.0],
        [50.0, 50.0, 52.0, 51.0],
        [200.0, 200.0, 260.0, 260.0],
    ],
)
def test_it_equals_the_obvious_loop(box):
    maps = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))

    got = roi_align(maps, torch.tensor([box, box]), torch.tensor([1, 0]), resolution=3, scale=1 / 8)

    for clip, bins in zip((1, 0), got, strict=True):
        torch.testing.assert_close(bins, _obvious(maps[clip], box, 3, 1 / 8), atol=1e-5, rtol=1e-5)


def test_a_box_over_all_cells_pools_the_whole_map():
    maps = torch.randn(1, 4, 14, 14, generator=torch.Generator().manual_seed(0))
    # A cell's value stands at its number, without half a cell added (`aligned=False`), so that the
    # box whose samples are the cells themselves starts half a cell before the frame.
    box = torch.tensor([[-8.0, -8.0, 216.0, 216.0]])

    bins = roi_align(maps, box, torch.tensor([0]))

    torch.testing.assert_close(bins.mean((2, 3)), maps.mean((2, 3)), atol=1e-5, rtol=1e-5)


def test_boxes_are_independent_and_follow_their_order():
    maps = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[0.0, 0, 60, 60], [30.0, 10, 120, 90], [5.0, 5, 9, 80]])
    clips, order = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 1])

    whole = roi_align(maps, boxes, clips)

    torch.testing.assert_close(roi_align(maps, boxes[order], clips[order]), whole[order])
    torch.testing.assert_close(roi_align(maps, boxes[1:2], clips[1:2]), whole[1:2])


def test_no_box_gives_no_features():
    assert roi_align(torch.zeros(1, 3, 6, 8), torch.zeros(0, 4), torch.zeros(0).long()).shape == (
        0,
        3,
        7,
        7,
    )


def test_gradients_reach_the_map():
    maps = torch.randn(1, 2, 6, 8, requires_grad=True)

    roi_align(maps, torch.tensor([[0.0, 0.0, 128.0, 96.0]]), torch.tensor([0])).sum().backward()

    assert (maps.grad != 0).any()


def test_enlarged_boxes_stay_in_the_frame():
    boxes = torch.tensor([[10.0, 10.0, 29.0, 49.0], [0.0, 0.0, 99.0, 79.0]])

    enlarged = enlarge_boxes(boxes, (80, 100))

    assert enlarged.tolist() == [[9.0, 9.0, 30.0, 50.0], [0.0, 0.0, 99.0, 79.0]]


def test_mirrored_boxes_on_a_mirrored_map_give_mirrored_bins():
    maps = torch.randn(1, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[10.0, 20.0, 90.0, 90.0], [0.0, 0.0, 60.0, 40.0]])
    # Cell i has its value at 16 * i px: what is mirrored is about the middle of cells 0 and 7.
    mirrored = torch.stack(
        [16 * 7 - boxes[:, 2], boxes[:, 1], 16 * 7 - boxes[:, 0], boxes[:, 3]], dim=1
    )

    bins = roi_align(maps, boxes, torch.tensor([0, 0]))

    torch.testing.assert_close(
        roi_align(maps.flip(3), mirrored, torch.tensor([0, 0])), bins.flip(3)
    )
