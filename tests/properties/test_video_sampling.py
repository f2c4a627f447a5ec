"""Laws that hold for every length of video and shape of clip."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from internvideo.video import sampling
from internvideo.video.transforms import centre_crop, random_multi_scale_crop, view_crop

LENGTHS = st.integers(1, 500)
CLIPS = st.integers(1, 40)
STRIDES = st.integers(1, 9)


@settings(deadline=None)
@given(LENGTHS, CLIPS, STRIDES, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_every_scheme_gives_ordered_frames_of_the_video(length, clip, stride, views, seed):
    generator = np.random.default_rng(seed)
    dense = {"clip_frames": clip, "stride_frames": stride}

    clips = [
        sampling.random_pretraining_window(length, generator=generator, **dense),
        sampling.dense_training(length, generator=generator, **dense),
        sampling.dense_validation(length, **dense),
        *sampling.dense_test(length, num_views=views, **dense),
        *sampling.sparse_test(length, clip_frames=clip, num_views=views),
        sampling.segment_training(length, clip_frames=clip, generator=generator),
        sampling.segment_validation(length, clip_frames=clip),
        sampling.uniform_training(length, clip_frames=clip, generator=generator),
        sampling.uniform_test(length, clip_frames=clip, view=views - 1, num_views=views),
        sampling.dense_view(length, view=views - 1, num_views=views, **dense),
        sampling.dense_view(length, view=views - 1, num_views=views, whole_steps=True, **dense),
        sampling.dense_view_training(length, generator=generator, **dense),
    ]

    for indices in clips:
        assert len(indices) == clip
        assert indices.min() >= 0 and indices.max() < length
        assert (np.diff(indices) >= 0).all()


@given(st.integers(8, 400), st.integers(8, 400), st.integers(8, 300), st.integers(0, 2**32 - 1))
@example(height=222, width=400, size=224, seed=34)  # a pixel or two smaller than asked for
def test_crops_lie_inside_the_frame(height, width, size, seed):
    crops = [random_multi_scale_crop(height, width, size, np.random.default_rng(seed))]
    if size <= min(height, width):
        crops.append(centre_crop(height, width, size))
    if size == min(height, width):
        crops += [view_crop(height, width, size, place) for place in range(3)]

    for crop in crops:
        assert min(crop.top, crop.left) >= 0
        assert crop.top + crop.height <= height and crop.left + crop.width <= width
