"""ViCLIP's joint space-time tower."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.models import (
    JointEncoder,
    JointEncoderConfig,
    TextEncoderConfig,
    Viclip,
    ViclipConfig,
)

TINY = JointEncoderConfig(num_frames=4, side_px=32, patch_px=8, width=32, depth=2, num_heads=4)


def _clip(t: int) -> torch.Tensor:
    return torch.randn(2, 3, t, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def encoder() -> JointEncoder:
    torch.manual_seed(0)
    encoder = JointEncoder(TINY).eval()
    torch.nn.init.normal_(encoder.time_positions)
    return encoder


def test_naming_all_patches_as_visible_changes_nothing(encoder: JointEncoder):
    everything = torch.arange(64).expand(2, -1)

    torch.testing.assert_close(encoder(_clip(4), everything), encoder(_clip(4)))


def test_an_image_stands_at_the_mean_of_all_times(encoder: JointEncoder):
    expected = encoder(_clip(1))

    with torch.no_grad():
        encoder.time_positions.copy_(encoder.time_positions.mean(0).expand(4, -1))

    torch.testing.assert_close(encoder(_clip(1)), expected)


def test_the_order_of_frames_matters(encoder: JointEncoder):
    assert not torch.allclose(encoder(_clip(4))[:, 0], encoder(_clip(4).flip(2))[:, 0], atol=1e-4)


def test_embeddings_have_length_one():
    text = TextEncoderConfig(vocabulary_size=50, context_length=8, width=16, depth=1, num_heads=2)
    model = Viclip(ViclipConfig(video=TINY, text=text, embed_dim=24))

    video, words = model.encode_video(_clip(4)), model.encode_text(torch.tensor([[48, 49]]))

    torch.testing.assert_close(video.embedding.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(words.embedding.norm(dim=1), torch.ones(1))


def test_recomputed_activations_give_the_same_output(encoder: JointEncoder):
    again = JointEncoder(replace(TINY, recompute_activations=True)).eval()
    again.load_state_dict(encoder.state_dict())

    torch.testing.assert_close(again(_clip(4)), encoder(_clip(4)))


def test_another_number_of_frames_is_refused(encoder: JointEncoder):
    with pytest.raises(ConfigError, match=r"clip has 3 frames.*made for 4 frames, or one"):
        encoder(_clip(3))


def test_a_side_that_patches_do_not_divide_is_refused():
    with pytest.raises(ConfigError, match="4 frames of 30 px in patches of 8 px"):
        replace(TINY, side_px=30)
