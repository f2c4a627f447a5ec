"""Mixup and CutMix: shares, boxes, targets, and what they depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.training import MixingConfig, mix

MIXUP = MixingConfig(mixup=0.8, cutmix=0.0, label_smoothing=0.0)
CUTMIX = MixingConfig(mixup=0.0, cutmix=1.0, label_smoothing=0.0)


def _batch(count: int = 4, first_seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Clips that hold their own number everywhere, of classes 0, 1, 2, ..."""
    numbers = torch.arange(count)
    frames = numbers.float()[:, None, None, None, None].expand(-1, 3, 2, 20, 24).clone()
    return frames, numbers, numbers + first_seed


def _targets_of_pixels(mixed: Tensor) -> Tensor:
    """Targets that the picture itself shows, of clips that were mixed with one other."""
    return torch.stack(
        [torch.stack([(clip == y).float().mean() for y in range(len(mixed))]) for clip in mixed]
    )


def test_mixup_blends_each_clip_with_the_one_as_far_from_the_end():
    frames, labels, seeds = _batch()

    mixed, targets = mix(frames, labels, seeds, MIXUP, num_classes=4)

    share = targets[0, 0]
    assert 0 < share < 1
    torch.testing.assert_close(mixed, share * frames + (1 - share) * frames.flip(0))
    torch.testing.assert_close(targets, share * torch.eye(4) + (1 - share) * torch.eye(4).flip(0))


@pytest.mark.parametrize("mode", ["batch", "sample"])
@pytest.mark.parametrize("first_seed", range(0, 100, 10))
def test_cutmix_counts_the_pixels_that_it_really_replaced(mode, first_seed):
    frames, labels, seeds = _batch(first_seed=first_seed)

    mixed, targets = mix(frames, labels, seeds, replace(CUTMIX, mode=mode), num_classes=4)

    torch.testing.assert_close(targets, _targets_of_pixels(mixed))


def test_a_cut_box_is_one_rectangle_in_all_frames():
    frames, labels, seeds = _batch(first_seed=3)

    mixed, _ = mix(frames, labels, seeds, CUTMIX, num_classes=4)

    replaced = mixed[0] != frames[0]
    assert (replaced == replaced[0, 0]).all()
    rows, columns = replaced[0, 0].any(1), replaced[0, 0].any(0)
    assert torch.equal(replaced[0, 0], rows[:, None] & columns)
    assert 0 < replaced[0, 0].sum() < 20 * 24


def test_shares_follow_the_beta_distribution():
    frames, labels, _ = _batch(400)

    _, targets = mix(
        frames, labels, labels, replace(MIXUP, mixup=2.0, mode="sample"), num_classes=400
    )

    shares = targets.diagonal()
    assert shares.mean() == pytest.approx(0.5, abs=0.04)
    assert shares.var() == pytest.approx(1 / 20, rel=0.2)  # 1 / (4 (2 alpha + 1))


def test_kinds_are_switched_and_left_out_with_their_probabilities():
    frames, labels, _ = _batch(400)
    config = MixingConfig(
        probability=0.6, switch_probability=0.25, label_smoothing=0.0, mode="sample"
    )

    mixed, targets = mix(frames, labels, labels, config, num_classes=400)

    untouched = targets.diagonal() == 1
    blended = np.array([len(clip.unique()) == 1 for clip in mixed]) & ~untouched.numpy()
    assert untouched.float().mean() == pytest.approx(0.4, abs=0.08)
    assert blended.mean() == pytest.approx(0.45, abs=0.08)


def test_smoothing_spreads_a_share_of_the_mixed_target():
    frames, labels, seeds = _batch()

    _, plain = mix(frames, labels, seeds, MIXUP, num_classes=4)
    _, smoothed = mix(frames, labels, seeds, replace(MIXUP, label_smoothing=0.2), num_classes=4)

    torch.testing.assert_close(smoothed, 0.8 * plain + 0.05)
    torch.testing.assert_close(smoothed.sum(1), torch.ones(4))


def test_nothing_to_mix_leaves_clips_and_labels():
    frames, labels, seeds = _batch()

    mixed, targets = mix(frames, labels, seeds, replace(MIXUP, mixup=0.0), num_classes=4)

    assert torch.equal(mixed, frames)
    assert torch.equal(targets, torch.eye(4))


def test_mixing_leaves_the_given_clips_alone():
    frames, labels, seeds = _batch()
    before = frames.clone()

    mix(frames, labels, seeds, CUTMIX, num_classes=4)

    assert torch.equal(frames, before)


@pytest.mark.parametrize("num_views", [1, 2])
def test_in_mode_sample_micro_batches_change_nothing(num_views):
    frames, labels, seeds = _batch(8)
    config = MixingConfig(mode="sample")

    def mixed(part):
        return mix(
            frames[part], labels[part], seeds[part], config, num_classes=8, num_views=num_views
        )

    whole, halves = mixed(slice(8)), [mixed(slice(at, at + 4)) for at in (0, 4)]
    for index in (0, 1):
        assert torch.equal(whole[index], torch.cat([half[index] for half in halves]))


def test_in_mode_sample_the_views_of_a_video_are_mixed_with_those_of_the_next():
    frames, labels, seeds = _batch(6)

    _, targets = mix(
        frames[:4], labels[:4], seeds[:4], replace(MIXUP, mode="sample"), num_classes=4, num_views=2
    )

    partners = (targets * (1 - torch.eye(4))).argmax(1)
    assert partners.tolist() == [2, 3, 0, 1]


def test_in_mode_sample_a_video_without_partner_is_refused():
    with pytest.raises(ConfigError, match=r"pairs of videos, but a micro-batch has 3 clips, 1 of"):
        mix(*_batch(3), MixingConfig(mode="sample"), num_classes=3)


def test_half_precision_clips_stay_what_they_are():
    frames, labels, seeds = _batch()

    mixed, targets = mix(frames.bfloat16(), labels, seeds, MIXUP, num_classes=4)

    assert mixed.dtype == torch.bfloat16
    assert targets.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixup": -1.0}, r"mixing.mixup is -1.0, expected 0 or more"),
        ({"probability": 1.5}, r"mixing.probability is 1.5, expected 0 to 1"),
    ],
)
def test_an_impossible_mixture_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        MixingConfig(**options)
