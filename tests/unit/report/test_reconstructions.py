from __future__ import annotations

import io
import math
from dataclasses import dataclass

import av
import pytest
import torch
from PIL import Image

from internvideo.errors import ConfigError
from internvideo.report import error_ratio, reconstruction_strip, reconstruction_video


@dataclass
class Clip:
    shown: torch.Tensor
    masked: torch.Tensor
    rebuilt: torch.Tensor
    source: str = "clips/slide.mp4"
    error: float = 0.01
    mean_baseline_error: float = 0.04


def reconstruction(num_frames: int = 4, side: int = 16, **changes) -> Clip:
    """A clip of which the lower half is masked, and grey is rebuilt there."""
    clip = torch.full((num_frames, side, side, 3), 200, dtype=torch.uint8)
    masked = clip.clone()
    masked[:, side // 2 :] = 0
    fields = {"shown": clip, "masked": masked, "rebuilt": torch.full(clip.shape, 0.5)}
    return Clip(**fields | changes)


def _decoded(mp4: bytes) -> list[torch.Tensor]:
    with av.open(io.BytesIO(mp4)) as container:
        frames = container.decode(video=0)
        return [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in frames]


def test_the_error_is_told_as_a_share_of_the_mean_baselines():
    assert error_ratio(reconstruction()) == 0.25


def test_a_still_grey_clip_has_no_baseline_to_compare_with():
    assert math.isnan(error_ratio(reconstruction(mean_baseline_error=0.0)))


def test_frames_of_different_sizes_are_refused():
    with pytest.raises(ConfigError, match=r"clips/slide\.mp4: frames of a reconstruction differ"):
        reconstruction_strip(reconstruction(rebuilt=torch.zeros(3, 16, 16, 3)))


def test_a_strip_is_a_picture_with_a_row_for_each_kind():
    image = Image.open(io.BytesIO(reconstruction_strip(reconstruction(), side_px=32)))

    assert image.format == "PNG"
    assert image.height > 3 * 32
    assert image.width > 4 * 32


def test_the_video_shows_input_masked_and_rebuilt_beside_each_other():
    frames = _decoded(reconstruction_video([reconstruction()], side_px=32))

    assert len(frames) == 4
    input_at, masked_at, rebuilt_at = (frames[0][28, 16 + i * 40].float().mean() for i in range(3))
    assert input_at == pytest.approx(200, abs=12)
    assert masked_at == pytest.approx(0, abs=12)
    assert rebuilt_at == pytest.approx(128, abs=12)


def test_clips_of_odd_sizes_and_lengths_share_one_video():
    clips = [reconstruction(2, 15), reconstruction(5, 33), reconstruction(1, 7)]

    frames = _decoded(reconstruction_video(clips, side_px=8))

    assert len(frames) == 5
    assert frames[0].shape[0] % 2 == frames[0].shape[1] % 2 == 0


def test_a_video_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="needs at least one clip"):
        reconstruction_video([])
