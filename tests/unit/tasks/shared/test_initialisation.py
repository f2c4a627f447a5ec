"""A classifier starts from the head of another one as far as both know the same classes."""

from __future__ import annotations

from pathlib import Path

import torch

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import MaskedEncoderConfig
from internvideo.tasks.shared.initialisation import InitialWeights, initialise_by_class

ENCODER = MaskedEncoderConfig(
    num_frames=2, side_px=16, width=16, depth=1, num_heads=2, final_norm=False
)


def _made(num_classes: int, seed: int) -> VideoClassifier:
    torch.manual_seed(seed)
    return VideoClassifier(VideoClassifierConfig(encoder=ENCODER, num_classes=num_classes))


def test_rows_of_a_head_are_kept_by_name_when_classes_are_added():
    old, new = _made(2, 0), _made(3, 1)
    fresh = new.head.weight.detach().clone()
    initial = InitialWeights(
        path=Path("old"), weights=old.state_dict(), documents={"labels": ["walk", "run"]}
    )

    initialise_by_class(new, initial, ["run", "swim", "walk"])

    assert torch.equal(new.head.weight[0], old.head.weight[1])
    assert torch.equal(new.head.weight[1], fresh[1])
    assert torch.equal(new.head.weight[2], old.head.weight[0])
    assert torch.equal(new.encoder.patch_embed.proj.weight, old.encoder.patch_embed.proj.weight)
