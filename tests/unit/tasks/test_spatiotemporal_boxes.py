"""Boxes of spatiotemporal localization: tracks, and detectors that the user names."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.tasks.spatiotemporal_localization import link_boxes, open_detector
from internvideo.tasks.spatiotemporal_localization.tracks import best_of_overlapping, box_overlaps
from internvideo.video import open_video
from tests.conftest import SHARED

LEFT, RIGHT = [0.1, 0.1, 0.3, 0.5], [0.6, 0.1, 0.8, 0.5]


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, 4)


def moved(box, by):
    return [box[0] + by, box[1], box[2] + by, box[3]]


def test_a_person_keeps_a_number_whatever_the_order_of_the_boxes():
    found = link_boxes(
        [0.0, 1.0, 2.0],
        [boxes(LEFT, RIGHT), boxes(moved(RIGHT, 0.05), moved(LEFT, 0.05)), boxes(LEFT, RIGHT)],
    )

    assert found == [[0, 1], [1, 0], [0, 1]]


def test_a_gap_is_bridged_and_a_long_one_ends_the_track():
    times = [0.0, 1.0, 2.0, 6.0]

    found = link_boxes(times, [boxes(LEFT), boxes(), boxes(LEFT), boxes(LEFT)], max_gap_s=2.0)

    assert found == [[0], [], [0], [1]]


def test_the_best_overlap_is_joined_first_and_no_track_has_two_boxes():
    near, exact = moved(LEFT, 0.04), LEFT

    assert link_boxes([0.0, 1.0], [boxes(LEFT), boxes(near, exact)]) == [[0], [1, 0]]


def test_boxes_that_hardly_overlap_are_of_others():
    assert link_boxes([0.0, 1.0], [boxes(LEFT), boxes(moved(LEFT, 0.15))]) == [[0], [1]]


def test_impossible_settings_of_tracks_are_refused():
    with pytest.raises(ConfigError, match=r"overlap by 0\.0 within"):
        link_boxes([], [], least_iou=0.0)


def test_of_overlapping_boxes_the_best_is_kept():
    found = boxes(LEFT, moved(LEFT, 0.02), RIGHT)

    kept = best_of_overlapping(found, torch.tensor([0.5, 0.9, 0.1]).double(), most_iou=0.5)

    assert kept.tolist() == [False, True, True]
    assert box_overlaps(boxes([0, 0, 0, 0]), found).tolist() == [[0.0, 0.0, 0.0]]


# Persons that were marked by hand, in frames of two real clips.
PERSONS = [
    ("demo_spatiotemporal_det.mp4", 10, [[0.02, 0.1, 0.6, 0.98]]),
    ("test_video_structuralize.mp4", 30, [[0.19, 0.5, 0.31, 1.0], [0.70, 0.54, 0.82, 0.98]]),
    ("test_video_structuralize.mp4", 50, [[0.22, 0.53, 0.34, 1.0], [0.74, 0.54, 0.86, 0.98]]),
]


@pytest.mark.parametrize(("name", "number", "persons"), PERSONS)
def test_a_real_detector_finds_the_persons_of_real_clips(name, number, persons):
    pytest.importorskip("onnxruntime")
    model = SHARED / "data" / "detectors" / "FastestDet.onnx"
    if not model.is_file():
        pytest.skip(f"no {model.name} beside the project")
    with open_video(SHARED / "data" / "spatiotemporal" / name) as video:
        frame = video.frames([number]).frames[0]

    found = open_detector(str(model))(frame)

    sure = found.xyxy[found.scores >= 0.5]
    assert (box_overlaps(boxes(*persons), sure).max(1).values > 0.5).all()
    assert (found.scores.diff() <= 0).all() and len(found.scores) <= 100


def onnx_file(path: Path, output: np.ndarray, *, side: int = 64) -> Path:
    """A network whose output is always the same."""
    onnx = pytest.importorskip("onnx")
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    constant = numpy_helper.from_array(output.astype(np.float32), name="constant")
    given = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, side, side])
    told = helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, output.shape)
    zero = helper.make_node("ReduceMax", ["images"], ["peak"], keepdims=0)
    mul = helper.make_node("Mul", ["peak", "nothing"], ["none"])
    add = helper.make_node("Add", ["constant", "none"], ["output"])
    nothing = numpy_helper.from_array(np.zeros((), np.float32), name="nothing")
    graph = helper.make_graph([zero, mul, add], "constant", [given], [told], [constant, nothing])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))
    return path


def test_the_layout_of_yolox_is_read(tmp_path):
    output = np.full((1, 64 + 16 + 4, 85), -10.0)  # grids of 8 x 8, 4 x 4, 2 x 2 cells
    output[..., 4:] = 0.0
    output[0, 64 + 5, :5] = (0.5, 0.25, np.log(2), np.log(1), 0.9)  # row 1, column 1 of stride 16
    output[0, 64 + 5, 5 + 16] = 0.8  # a dog
    path = onnx_file(tmp_path / "yolox.onnx", output)
    frame = torch.zeros(32, 64, 3, dtype=torch.uint8)  # half of the square is padding

    found = open_detector(str(path), wanted="dog")(frame)

    # Centre (24, 20), 32 x 16 px, of a frame of 64 x 32.
    torch.testing.assert_close(
        found.xyxy[0], torch.tensor([8 / 64, 12 / 32, 40 / 64, 28 / 32]).double()
    )
    assert found.scores[0] == pytest.approx(0.72)


def test_the_layout_of_fastestdet_is_read(tmp_path):
    output = np.full((1, 85, 4, 4), -20.0)
    output[0, 0] = 0.0
    output[0, 5:] = 0.0
    output[0, :5, 2, 1] = (1.0, 0.0, 0.0, 0.0, 0.0)  # at its corner, half as wide and high
    output[0, 5, 2, 1] = 1.0
    path = onnx_file(tmp_path / "fast.onnx", output)

    found = open_detector(str(path))(torch.zeros(48, 64, 3, dtype=torch.uint8))

    torch.testing.assert_close(found.xyxy[0], torch.tensor([0.0, 0.25, 0.5, 0.75]).double())
    assert found.scores[0] == pytest.approx(1.0)


def test_any_detector_of_transformers_is_run_from_its_folder(tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 48],
        patch_size=16,
        num_detection_tokens=5,
        id2label={0: "person", 1: "dog"},
        label2id={"person": 0, "dog": 1},
    )
    torch.manual_seed(0)
    transformers.YolosForObjectDetection(config).save_pretrained(tmp_path / "yolos")
    (tmp_path / "yolos" / "preprocessor_config.json").write_text(
        '{"image_processor_type": "YolosImageProcessor", "size": {"height": 32, "width": 48}}'
    )
    frame = torch.randint(0, 255, (40, 60, 3), dtype=torch.uint8)

    found = open_detector(str(tmp_path / "yolos"), wanted="dog")(frame)

    assert ((found.xyxy >= 0) & (found.xyxy <= 1)).all()
    with pytest.raises(ConfigError, match=r"unknown class of .*yolos 'cat'"):
        open_detector(str(tmp_path / "yolos"), wanted="cat")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("missing.onnx", {}, "no such file; name boxes with --boxes FILE"),
        ("broken.onnx", {}, "is no ONNX model that can be run"),
        ("odd.onnx", {}, "which is neither FastestDet"),
        ("odd.onnx", {"wanted": "unicorn"}, "unknown class of COCO"),
        ("nowhere", {}, "is no object detector"),
        ("nowhere", {"layout": "yolox"}, "a layout is for ONNX files"),
    ],
)
def test_what_is_no_detector_is_refused_in_one_line(tmp_path, monkeypatch, name, options, said):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    (tmp_path / "broken.onnx").write_bytes(b"not a network")
    if name == "odd.onnx":
        onnx_file(tmp_path / name, np.zeros((1, 7)))

    with pytest.raises(ConfigError, match=said) as error:
        open_detector(str(tmp_path / name), **options)

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "library"), [("a.onnx", "onnxruntime"), ("a", "transformers")])
def test_an_extra_that_is_not_installed_is_named(tmp_path, monkeypatch, name, library):
    (tmp_path / "a.onnx").touch()
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigError, match=rf"needs {library}; pip install 'internvideo\[detect\]'"):
        open_detector(str(tmp_path / name))
