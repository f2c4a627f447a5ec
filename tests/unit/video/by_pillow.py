"""Clips to augment, and what Pillow makes of their frames one by one."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image


def smooth(num_frames: int = 3, height: int = 37, width: int = 53) -> torch.Tensor:
    """Coloured blobs, darker and lighter from frame to frame."""
    generator = np.random.default_rng(0)
    frames = []
    for number in range(num_frames):
        blobs = generator.integers(40 * number, 150 + 50 * number % 106, (4, 5, 3), dtype=np.uint8)
        frames.append(np.asarray(Image.fromarray(blobs).resize((width, height))))
    return torch.from_numpy(np.stack(frames))


def by_pillow(frames, operation):
    """Do to each frame as an image what `operation` does to one."""
    images = [operation(Image.fromarray(frame.numpy())) for frame in frames]
    return torch.from_numpy(np.stack([np.asarray(image) for image in images]))
