"""Augmentation in the data set: whose it is, when it happens, and what must not be mirrored."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from internvideo.data import ClipDataset, FrameCache
from internvideo.recipes import recipe
from internvideo.runs.run import from_document, override, to_document
from internvideo.video.augment import AugmentConfig
from tests.unit.data.test_datasets import dataset

STRONG = AugmentConfig(op_probability=1.0, erase_probability=1.0)


@pytest.mark.parametrize("after_crop", [True, False])
def test_each_view_of_a_video_draws_its_own_augmentation(tiny_data, after_crop):
    # The same crop for all views, so that nothing else can differ.
    augment = replace(STRONG, after_crop=after_crop)
    data = replace(tiny_data, crop="centre", views_per_video=3, augment=augment)

    views = dataset(data).sample(5).views

    assert views.shape == (3, 4, 16, 16, 3)
    assert not any(torch.equal(views[i], views[j]) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_augmentation_is_drawn_anew_in_each_epoch_and_repeated_in_another_process(tiny_data):
    data = replace(tiny_data, crop="centre", stride_frames=3, augment=STRONG)

    first, again, later = (dataset(data).sample(5, epoch).views for epoch in (1, 1, 2))

    assert torch.equal(first, again)
    assert not torch.equal(first, later)


def test_evaluation_is_not_augmented(tiny_data):
    plain, augmented = (
        dataset(replace(tiny_data, augment=augment), training=False).sample(0).views
        for augment in (None, STRONG)
    )

    assert torch.equal(plain, augmented)


def test_crops_are_the_same_with_and_without_augmentation(tiny_data, monkeypatch):
    idle = AugmentConfig(num_ops=0, erase_probability=0.0)

    plain, augmented = (
        dataset(replace(tiny_data, augment=augment)).sample(3).views for augment in (None, idle)
    )

    assert torch.equal(plain, augmented)


def test_the_cache_changes_nothing_of_what_is_augmented(tiny_data):
    plain = dataset(replace(tiny_data, augment=STRONG, flip=True, stride_range=(1, 2)))
    cache = FrameCache.fill(plain.records, short_side_px=plain.short_side_px, budget_mb=10)
    with_cache = dataset(plain.config, cache=cache)

    assert all(
        torch.equal(plain.sample(index).views, with_cache.sample(index).views)
        for index in range(len(plain))
    )


def test_a_stride_range_draws_every_stride_in_training_and_none_in_evaluation(tiny_data):
    data = replace(tiny_data, stride_range=(1, 3))

    strides = {
        training: {
            int(np.diff(frames).max())
            for seed in range(40)
            for frames in [
                dataset(data, training=training)._frame_numbers(40, np.random.default_rng(seed))
            ]
        }
        for training in (True, False)
    }

    assert strides == {True: {1, 2, 3}, False: {1}}


@pytest.mark.parametrize(
    "name",
    [
        "Pushing something from left to right",
        "slide_left",
        "turn clockwise",
        "turn_anticlockwise",
        "Turn RIGHT",
        "circle counter-clockwise",
    ],
)
def test_mirroring_classes_that_tell_left_from_right_is_warned_of(tiny_data, caplog, name):
    read = replace(tiny_data.read(), classes=("even", name))

    with caplog.at_level(logging.WARNING):
        ClipDataset(read, replace(tiny_data, flip=True), num_frames=4, side_px=16, training=True)

    assert f"but 1 of 2 classes tell left from right, such as {name!r}" in caplog.text
    assert "set data.flip=false" in caplog.text


@pytest.mark.parametrize(
    ("name", "flip", "training"),
    [
        ("slide left", False, True),
        ("slide left", True, False),
        ("brightening", True, True),
        ("eating leftovers", True, True),
    ],
)
def test_nothing_is_said_where_mirroring_does_no_harm(tiny_data, caplog, name, flip, training):
    read = replace(tiny_data.read(), classes=("even", name))

    with caplog.at_level(logging.WARNING):
        config = replace(tiny_data, flip=flip)
        ClipDataset(read, config, num_frames=4, side_px=16, training=training)

    assert not caplog.text


def test_a_run_keeps_its_augmentation_through_json_and_takes_one_by_setting():
    run = override(
        recipe("mae_tiny_playground"), ["data.augment={num_ops=2}", "data.stride_range=[1, 3]"]
    )
    run = override(run, ["data.augment.magnitude=5"])

    assert run.data.augment == AugmentConfig(num_ops=2, magnitude=5.0)
    assert from_document(to_document(run)) == run
