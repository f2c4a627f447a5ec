"""What is drawn for a clip, how strong it is, and that all frames share it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from internvideo.errors import ConfigError
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video.augment import OPERATIONS, AugmentConfig, distort, erase, operate
from tests.unit.video.by_pillow import by_pillow, smooth

CONFIG = AugmentConfig()
ALWAYS = AugmentConfig(erase_probability=1.0, op_probability=1.0)


def seeded(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def still(num_frames: int = 4) -> torch.Tensor:
    """One frame, again and again."""
    return smooth(2)[1:].repeat(num_frames, 1, 1, 1)


def _transformed(*matrix):
    kind, bicubic = Image.Transform.AFFINE, Image.Resampling.BICUBIC
    return lambda i: i.transform(i.size, kind, matrix, resample=bicubic, fillcolor=(124, 116, 104))


def _turned(degrees):
    return lambda i: i.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=(124, 116, 104))


def _enhanced(kind, factor):
    return lambda i: kind(i).enhance(factor)


# What the published names mean at magnitude 7: by what operation of Pillow, how strong.
AT_SEVEN = {
    "autocontrast": ImageOps.autocontrast,
    "equalize": ImageOps.equalize,
    "invert": ImageOps.invert,
    "rotate": _turned(21),
    "shear_x": _transformed(1, 0.21, 0, 0, 1, 0),
    "shear_y": _transformed(1, 0, 0, 0.21, 1, 0),
    "translate_x": _transformed(1, 0, 0.315 * 53, 0, 1, 0),
    "translate_y": _transformed(1, 0, 0, 0, 1, 0.315 * 37),
    "posterize": lambda i: ImageOps.posterize(i, 2),
    "solarize": lambda i: ImageOps.solarize(i, 77),
    "solarize_add": lambda i: i.point([x + 77 if x < 128 else x for x in range(256)] * 3),
    "colour": _enhanced(ImageEnhance.Color, 1.63),
    "contrast": _enhanced(ImageEnhance.Contrast, 1.63),
    "brightness": _enhanced(ImageEnhance.Brightness, 1.63),
    "sharpness": _enhanced(ImageEnhance.Sharpness, 1.63),
}


def test_every_operation_has_its_published_strength_at_magnitude_seven():
    frames = smooth()

    for name, theirs in AT_SEVEN.items():
        got, expected = operate(frames, name, 0.7, CONFIG), by_pillow(frames, theirs)
        assert (got.int() - expected.int()).abs().max() <= 1, name
    assert set(AT_SEVEN) == set(OPERATIONS)


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("rotate", _turned(-21)),
        ("contrast", _enhanced(ImageEnhance.Contrast, 0.37)),
    ],
)
def test_a_negative_level_goes_the_other_way(name, theirs):
    frames = smooth()

    got = operate(frames, name, -0.7, CONFIG)

    assert (got.int() - by_pillow(frames, theirs).int()).abs().max() <= 1


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("posterize", lambda i: ImageOps.posterize(i, 2)),
        ("solarize", lambda i: ImageOps.solarize(i, 179)),
        ("colour", _enhanced(ImageEnhance.Color, 0.1 + 1.8 * 0.7)),
    ],
)
def test_without_increasing_levels_are_read_as_they_first_were(name, theirs):
    frames = smooth()

    got = operate(frames, name, -0.7, replace(CONFIG, increasing=False))

    assert torch.equal(got, by_pillow(frames, theirs))


def test_posterizing_at_full_magnitude_leaves_something_to_see():
    assert operate(smooth(), "posterize", 1.0, CONFIG).max() == 128


@pytest.mark.parametrize("seed", range(12))
def test_all_frames_of_a_clip_are_distorted_alike(seed):
    frames = distort(still(), replace(ALWAYS, jitter=0.4), seeded(seed))

    assert (frames == frames[0]).all()


def test_a_distortion_depends_on_its_generator_alone():
    first, again, other = (distort(smooth(), ALWAYS, seeded(seed)) for seed in (5, 5, 6))

    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_operations_are_drawn_as_often_as_published(monkeypatch):
    done: list[tuple[str, float]] = []
    monkeypatch.setattr(
        "internvideo.video.augment.clips.operate",
        lambda frames, name, level, config: done.append((name, level)) or frames,
    )

    for seed in range(600):
        distort(still(1), CONFIG, seeded(seed))

    levels = np.array([level for _, level in done])
    assert len(done) / 600 == pytest.approx(4 * 0.5, rel=0.1)
    assert (levels > 0).mean() == pytest.approx(0.5, abs=0.05)
    assert np.abs(levels).mean() == pytest.approx(0.7, abs=0.01)
    assert np.abs(levels).std() == pytest.approx(0.05, abs=0.01)
    counts = [sum(name == each for name, _ in done) for each in OPERATIONS]
    assert min(counts) > 0.6 * len(done) / 15


def test_without_operations_and_jitter_clips_stay():
    frames = smooth()

    assert distort(frames, replace(CONFIG, num_ops=0), seeded()) is frames


def test_jitter_keeps_colours_within_its_strength():
    frames = torch.full((1, 8, 8, 3), 100, dtype=torch.uint8)
    config = replace(CONFIG, num_ops=0, jitter=0.4)

    levels = torch.stack([distort(frames, config, seeded(seed))[0, 0, 0, 0] for seed in range(50)])

    assert levels.min() >= 59
    assert levels.max() <= 140
    assert len(levels.unique()) > 20


@pytest.mark.parametrize("seed", range(10))
def test_an_erased_box_is_at_one_place_in_all_frames(seed):
    frames = still()

    erased = erase(frames, replace(ALWAYS, erase_mode="const"), seeded(seed))

    changed = (erased != frames).any(3)
    assert (changed == changed[0]).all()
    rows, columns = changed[0].any(1).nonzero(), changed[0].any(0).nonzero()
    box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
    assert 0.015 < box / changed[0].numel() < 0.36
    inside = erased[:, rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    assert torch.equal(inside.flatten(0, 2).unique(dim=0), torch.tensor([[124, 116, 104]]).byte())


def test_erasing_by_pixel_is_noise_of_unit_deviation_and_another_in_each_frame():
    frames = torch.full((4, 60, 60, 3), 255, dtype=torch.uint8)

    erased = erase(frames, ALWAYS, seeded())

    noise = erased[(erased != 255).any(3)].float() / 255
    assert torch.allclose(noise.mean(0), torch.tensor(IMAGENET_MEAN), atol=0.02)
    assert torch.allclose(noise.std(0), torch.tensor(IMAGENET_STD), atol=0.02)
    assert not torch.equal(erased[0], erased[1])


def test_clips_are_erased_with_their_probability_and_the_given_one_is_kept():
    frames = still(1)
    before = frames.clone()

    share = np.mean([erase(frames, CONFIG, seeded(s)) is not frames for s in range(800)])

    assert share == pytest.approx(0.25, abs=0.05)
    assert torch.equal(frames, before)


def test_several_boxes_share_the_area_of_one():
    frames = torch.full((1, 60, 60, 3), 255, dtype=torch.uint8)
    config = replace(ALWAYS, erase_count=8, erase_mode="const")

    shares = [(erase(frames, config, seeded(s)) != 255).float().mean() for s in range(50)]

    assert max(shares) < 0.34


def test_a_published_name_is_read():
    got = AugmentConfig.of("rand-m7-n4-mstd0.5-inc1")

    assert got == AugmentConfig(num_ops=4, magnitude=7.0, magnitude_std=0.5, increasing=True)


def test_what_a_name_leaves_out_is_as_where_such_names_come_from():
    got = AugmentConfig.of("rand-m9")

    assert (got.magnitude, got.num_ops, got.magnitude_std, got.increasing) == (9.0, 2, 0.0, False)


@pytest.mark.parametrize("name", ["augmix-m3", "rand-m7-w0", "rand-mm7", ""])
def test_a_name_that_cannot_be_read_is_refused(name):
    with pytest.raises(ConfigError, match="names no RandAugment; write it like rand-m7-n4"):
        AugmentConfig.of(name)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"magnitude": 11.0}, r"augment.magnitude is 11.0, expected 0 to 10"),
        ({"op_probability": 2.0}, r"augment.op_probability is 2.0, expected 0 to 1"),
        ({"erase_count": 0}, r"augment.erase_count is 0, expected 1 to 100"),
    ],
)
def test_an_impossible_augmentation_is_named(options, message):
    with pytest.raises(ConfigError, match=message):
        AugmentConfig(**options)
