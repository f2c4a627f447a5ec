"""Checks of recorded cases: sampling, crops and preprocessing of video."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from einops import rearrange
from torch import Tensor

from internvideo.video import sampling, transforms
from tests.parity.case import Case, Fields


def kinetics_sampling(case: Case) -> None:
    for inputs, expected in _pairs(case):
        frames, clip = inputs["frames"], inputs["clip_len"]
        dense = {"clip_frames": clip, "stride_frames": inputs["rate"]}
        got: dict[str, Any] = {}
        if inputs["mode"] == "validation":
            inputs.without_effect("test_num_segment", "sparse")
            got["loaded_indices"] = sampling.dense_validation(
                frames, num_segments=inputs["num_segment"], **dense
            )
        elif inputs["sparse"]:
            inputs.without_effect("rate", "clip_len")
            views = sampling.sparse_test(
                frames, clip_frames=inputs["num_segment"], num_views=inputs["test_num_segment"]
            )
            got["loaded_indices"], got["clips"] = views.T.flatten(), views
        else:
            inputs.without_effect("num_segment")
            got["loaded_indices"] = sampling.dense_test_frames(frames, **dense)
            got["clips"] = sampling.dense_test(
                frames, num_views=inputs["test_num_segment"], **dense
            )
        _equal(case, inputs, got, expected)


def pretraining_sampling(case: Case) -> None:
    for inputs, expected in _pairs(case):
        got = sampling.pretraining_window(
            inputs["frames"],
            clip_frames=inputs["new_length"],
            stride_frames=inputs["new_step"],
            start=inputs["start_1based"] - 1,
        )
        case.equal(str(inputs), got.tolist(), expected)


def something_sampling(case: Case) -> None:
    for inputs, expected in _pairs(case):
        frames, segments = inputs["frames"], inputs["num_segment"]
        if inputs["mode"] == "test":
            views = sampling.sparse_test(
                frames, clip_frames=segments, num_views=inputs["test_num_segment"]
            )
            got = {"loaded_frame_numbers_1based": views.T.flatten() + 1, "clips": views + 1}
        else:
            inputs.without_effect("test_num_segment")
            indices = sampling.segment_validation(frames, clip_frames=segments)
            got = {"loaded_frame_numbers_1based": indices + 1}
        _equal(case, inputs, got, expected)


def uniformer_sampling(case: Case) -> None:
    for inputs, expected in _pairs(case):
        frames, clip, rate = inputs["frames"], inputs["num_frames"], inputs["sampling_rate"]
        view = {"view": inputs["clip_idx"], "num_views": inputs["num_clips"]}
        uniform = sampling.uniform_test(frames, clip_frames=clip, **view)
        _equal(
            case,
            inputs,
            {
                "sparse_get_seq_frames": uniform,
                "sth_get_seq_frames_1based": uniform + 1,
            },
            {key: expected[key] for key in ("sparse_get_seq_frames", "sth_get_seq_frames_1based")},
        )
        for name, whole_steps in (("dense_plain", False), ("dense_offset", True)):
            options = {
                "clip_frames": clip,
                "stride_frames": rate,
                "whole_steps": whole_steps,
                **view,
            }
            start = sampling.dense_view_start(frames, **options)
            got = {
                "start": start,
                "end": start + clip * rate - 1,
                "indices": sampling.dense_view(frames, **options).tolist(),
            }
            case.equal(f"{inputs} {name}", got, expected[name])


def crop_tables(case: Case) -> None:
    given, expected = case.data["inputs"], case.data["expected"]
    if given is not None:
        _check_asked(case, given, expected)
    for table in expected["multi_scale_crop"]:
        width, height = table["image_wh"]
        sizes = transforms.multi_scale_sizes(height, width, table["input_size"])
        case.equal("sizes", [[w, h] for h, w in sizes], table["candidate_crop_wh"])
        offsets = [
            [[x, y] for y, x in transforms.multi_scale_offsets(height, width, size)]
            for size in sizes
        ]
        case.equal("offsets", offsets, table["offsets_xy_per_candidate"])
    for table in expected["test_crops"]:
        height, width, short = table["h"], table["w"], table["short_side_size"]
        for place, crop in enumerate(table["crops"]):
            got = transforms.view_crop(height, width, short, place, num_crops=len(table["crops"]))
            case.equal("test crop", [got.top, got.left], crop["first_pixel_yx"])
            case.equal("test crop size", [got.height, got.width], crop["shape_hw"])
            case.equal("test crop axis", "width" if width > height else "height", crop["axis"])
    for table in expected["uniform_crop"]:
        for place, first in enumerate(table["yx_of_first_pixel"]):
            got = transforms.uniform_crop(table["h"], table["w"], table["size"], place)
            case.equal("uniform crop", [got.top, got.left], first)
    for table in expected["center_crop_and_resize"]:
        size = transforms.short_side_size(table["h"], table["w"], table["short_side"])
        case.equal("short side", list(size), table["new_hw"])
        got = transforms.centre_crop(*size, table["crop"])
        case.equal("centre crop", [got.top, got.left], table["first_pixel_yx"])


def _check_asked(case: Case, given: Fields, expected: Fields) -> None:
    """Every row that was asked for has a table, made for its sizes."""
    rows = {
        "multi_scale": [[*t["image_wh"], t["input_size"]] for t in expected["multi_scale_crop"]],
        "test_crops": [[t["h"], t["w"], t["short_side_size"]] for t in expected["test_crops"]],
        "uniform": [[t["h"], t["w"], t["size"]] for t in expected["uniform_crop"]],
        "resize": [
            [t["h"], t["w"], t["short_side"], t["crop"]] for t in expected["center_crop_and_resize"]
        ],
    }
    case.equal("rows", rows, given)


def validation_transform(case: Case) -> None:
    for name, frames in case.group("inputs").items():
        size = transforms.short_side_size(*frames.shape[1:3], case.config["short_side"])
        resized = transforms.resize(frames, *size, antialias=False)
        cropped = transforms.centre_crop(*size, case.config["crop"]).of(resized)
        case.close(name, transforms.normalise(cropped))


def clip_preprocessing(case: Case) -> None:
    size = case.config["n_px"]
    for name, image in case.group("inputs").items():
        pixels = _like_pillow(case, image[None], size, size, mode="bicubic")
        case.close(name, rearrange(pixels, "c 1 h w -> c h w"))


def demo_preprocessing(case: Case) -> None:
    sizes = case.config["scale_size"], case.config["crop_size"]
    for name, frames in case.group("inputs").items():
        case.close(name, _like_pillow(case, frames, *sizes, mode="bilinear"))


def _like_pillow(
    case: Case, frames: Tensor, short_side_px: int, side_px: int, *, mode: transforms.Mode
) -> Tensor:
    size = transforms.short_side_size(*frames.shape[1:3], short_side_px)
    resized = transforms.resize_like_pillow(frames, *size, mode=mode)
    cropped = transforms.centre_crop(*size, side_px).of(resized)
    mean, std = tuple(case.config["mean"]), tuple(case.config["std"])
    return transforms.normalise(cropped, mean=mean, std=std)


def _pairs(case: Case) -> list[tuple[Fields, Any]]:
    return list(zip(case.data["inputs"], case.data["expected"], strict=True))


def _equal(case: Case, inputs: Fields, got: dict[str, Any], expected: Any) -> None:
    case.equal(str(inputs), {name: value.tolist() for name, value in got.items()}, expected)


CHECKS: dict[str, Callable[[Case], None]] = {
    "sampling_kinetics_videomae": kinetics_sampling,
    "sampling_pretrain_videomae": pretraining_sampling,
    "sampling_ssv2_videomae": something_sampling,
    "sampling_uniformerv2": uniformer_sampling,
    "spatial_crop_tables": crop_tables,
    "videomae_val_transform": validation_transform,
    "clip_preprocess": clip_preprocessing,
    "internvideo_mm_preprocess": demo_preprocessing,
}
