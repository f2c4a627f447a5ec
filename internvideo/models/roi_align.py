"""RoIAlign: features of boxes from a feature map, as two small matrix products a box.

Source: He et al. 2017, "Mask R-CNN" (arXiv:1703.06870), section 3; numerically torchvision's
`roi_align` with `aligned=False` and `sampling_ratio=0`, as InternVideo's detection code uses it.
Shapes: feature map (b, d, h, w), boxes (s, 4) `xyxy` in pixels of the input -> (s, d, p, p).
The bilinear weight of a sampling point is a product of one for its row and one for its column, and
so is the mean over the points of a bin. All bins of a box are then R F C^T with R (p, h), C (p, w).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor


def roi_align(
    features: Float[Tensor, "b d h w"],
    boxes: Float[Tensor, "s 4"],
    clip_of_box: Int64[Tensor, " s"],
    *,
    resolution: int = 7,
    scale: float = 1 / 16,
) -> Float[Tensor, "s d p p"]:
    """Average bilinear samples in `resolution` x `resolution` bins of every box.

    Args:
        features: One map a clip.
        boxes: In the coordinates of the frames; a side of less than one cell of the map counts as
            one, as officially.
        clip_of_box: Which clip each box belongs to.
        resolution: Bins along each side.
        scale: Cells of the map a pixel.
    """
    x1, y1, x2, y2 = (boxes.float() * scale).unbind(1)
    height, width = features.shape[2:]
    rows = _bin_weights(y1, y2, height, resolution)
    columns = _bin_weights(x1, x2, width, resolution)
    maps = features[clip_of_box].float()
    return torch.einsum("sph,sdhw,sqw->sdpq", rows, maps, columns).to(features.dtype)


def _bin_weights(
    start: Float[Tensor, " s"], end: Float[Tensor, " s"], size: int, resolution: int
) -> Float[Tensor, "s p size"]:
    """Weight of every cell along one axis in the mean of every bin; 0 beyond the map."""
    extent = (end - start).clamp(min=1)
    num_samples = (extent / resolution).ceil()  # of one bin, along this axis
    sample = torch.arange(int(num_samples.max()) if len(start) else 0, device=start.device)
    bins = torch.arange(resolution, device=start.device)
    inside_bin = (sample + 0.5) / num_samples[:, None]  # (s, samples), in widths of a bin
    place = start[:, None, None] + (extent / resolution)[:, None, None] * (
        bins[None, :, None] + inside_bin[:, None]
    )
    counted = (sample < num_samples[:, None])[:, None] & (place >= -1) & (place <= size)
    place = place.clamp(0, size - 1)
    cells = torch.arange(size, device=start.device)
    weights = (1 - (place[..., None] - cells).abs()).clamp(min=0)
    return (weights * counted[..., None]).sum(2) / num_samples[:, None, None]


def enlarge_boxes(
    boxes: Float[Tensor, "s 4"],
    size_px: tuple[int, int],
    *,
    width_share: float = 0.1,
    height_share: float = 0.05,
) -> Float[Tensor, "s 4"]:
    """Enlarge detected boxes before their features are pooled, half on each side; `xyxy` in pixels.

    Args:
        boxes: Sizes count as `x2 - x1 + 1`, as in the released code.
        size_px: Height and width of the frame, within which boxes are cut.
        width_share: Of the width that is added.
        height_share: Of the height that is added.
    """
    height, width = size_px
    x1, y1, x2, y2 = boxes.unbind(1)
    x, y = (x2 - x1 + 1) * width_share / 2, (y2 - y1 + 1) * height_share / 2
    enlarged = [x1 - x, y1 - y, x2 + x, y2 + y]
    limits = [width - 1, height - 1, width - 1, height - 1]
    pairs = zip(enlarged, limits, strict=True)
    return torch.stack([side.clamp(0, limit) for side, limit in pairs], dim=1)
