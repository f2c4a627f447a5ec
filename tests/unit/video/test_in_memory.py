"""Frames in memory: bytes in the order (t, h, w, 3) are taken, everything else is refused."""

from __future__ import annotations

import inspect
import re

import numpy as np
import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.video.in_memory import frames_in_memory
from internvideo.video.transforms import normalise

FRAMES = torch.arange(4 * 6 * 5 * 3, dtype=torch.int64).remainder(256).to(torch.uint8)
FRAMES = FRAMES.reshape(4, 6, 5, 3)


@pytest.mark.parametrize(
    "given",
    [
        FRAMES,
        FRAMES.numpy(),
        FRAMES.flip(1).numpy()[:, ::-1],  # of negative strides
        np.frombuffer(FRAMES.numpy().tobytes(), np.uint8).reshape(4, 6, 5, 3),  # read-only
    ],
)
def test_bytes_of_torch_and_numpy_are_taken_as_they_are(given):
    assert torch.equal(frames_in_memory(given), FRAMES)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (FRAMES.float(), "float32 (4, 6, 5, 3), expected uint8 (frames, height, width, 3), RGB"),
        (FRAMES.numpy() / 255, "float64 (4, 6, 5, 3), expected uint8"),
        (FRAMES.long(), "int64 (4, 6, 5, 3), expected uint8"),
        (FRAMES.permute(3, 0, 1, 2), "colours come first: permute the axes by (1, 2, 3, 0)"),
        (FRAMES.permute(0, 3, 1, 2), "before rows: permute the axes by (0, 2, 3, 1)"),
        (FRAMES[..., :1], "repeat grey three times"),
        (torch.cat([FRAMES, FRAMES[..., :1]], -1), "drop transparency: frames[..., :3]"),
        (FRAMES[0], "for a single picture add an axis: frames[None]"),
        (FRAMES[None], "uint8 (1, 4, 6, 5, 3), expected uint8 (frames, height, width, 3)"),
        (FRAMES[:0], "uint8 (0, 6, 5, 3), expected"),
        (7, "a int is no video: give a path, a Clip, or frames"),
        ([[0, 1]], "a list is no video"),
    ],
)
def test_anything_else_is_refused_in_a_line_that_says_what_to_do(given, message):
    with pytest.raises(ConfigError, match=re.escape(message)) as raised:
        frames_in_memory(given)
    assert "\n" not in str(raised.value)


def test_no_network_is_given_floats_as_if_they_were_bytes():
    with pytest.raises(ConfigError, match="float32"):
        inspect.unwrap(normalise)(FRAMES.float())  # unwrapped: the test run checks types itself
