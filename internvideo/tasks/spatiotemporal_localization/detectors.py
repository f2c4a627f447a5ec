"""Detectors of people and things in single frames, named by the user: ONNX files, `transformers`.

Sources of the layouts of ONNX files: FastestDet (dog-qiuqiu/FastestDet, `example/onnx-runtime`) and
YOLOX (arXiv:2107.08430, `demo/ONNXRuntime`). Both know the 80 classes of COCO.
Shapes: frame (h, w, 3) uint8 -> boxes (s, 4) `xyxy` in fractions, scores (s). Boxes have no
threshold but `MOST_BOXES`: what is unlikely is scored low, as average precision wants it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.data import FoundBoxes
from internvideo.errors import ConfigError, unknown_name
from internvideo.tasks.spatiotemporal_localization.tracks import best_of_overlapping

Layout = Literal["auto", "fastestdet", "yolox"]

MOST_BOXES = 100
INSTALL = "pip install 'internvideo[detect]'"
HOW_TO_GET_BOXES = (
    "name boxes with --boxes FILE (csv: video,second,x1,y1,x2,y2,,score; or json), or a detector "
    "with --detector: an ONNX file of FastestDet or YOLOX, or a folder or hub name of any "
    f"AutoModelForObjectDetection of transformers ({INSTALL})"
)
_MOST_OVERLAP = 0.45
_NUM_COCO = 80
# Classes of COCO, by number, that people ask for; others are named by their number.
_COCO = {
    "person": 0,
    "bicycle": 1,
    "car": 2,
    "motorcycle": 3,
    "bus": 5,
    "truck": 7,
    "boat": 8,
    "bird": 14,
    "cat": 15,
    "dog": 16,
    "horse": 17,
    "sheep": 18,
    "cow": 19,
    "elephant": 20,
    "bear": 21,
    "zebra": 22,
    "giraffe": 23,
    "sports ball": 32,
}
_PADDING = 114.0  # grey that YOLOX fills its square with


@runtime_checkable
class Detector(Protocol):
    """What finds boxes in a frame."""

    def __call__(self, frame: UInt8[Tensor, "h w 3"]) -> FoundBoxes: ...


def open_detector(name: str, *, layout: Layout = "auto", wanted: str = "person") -> Detector:
    """Open an ONNX file, or a model of `transformers`.

    Args:
        name: File, folder, or name on the hub.
        layout: How to read the output of an ONNX file; "auto" tells by its shape.
        wanted: Class of what is looked for: a name, or a number of COCO.

    Raises:
        ConfigError: If there is no such file, it is no detector, or an extra is not installed.
    """
    path = Path(name)
    if path.suffix == ".onnx":
        if not path.is_file():
            raise ConfigError(f"{name}: no such file; {HOW_TO_GET_BOXES}")
        return OnnxDetector(path, layout=layout, wanted=wanted)
    if layout != "auto":
        raise ConfigError(f"{name}: a layout is for ONNX files; leave --detector-layout out")
    return TransformersDetector(name, wanted=wanted)


class OnnxDetector:
    """A detector in an ONNX file."""

    def __init__(self, path: Path, *, layout: Layout = "auto", wanted: str = "person") -> None:
        try:
            import onnxruntime
        except ImportError:
            raise ConfigError(f"{path}: needs onnxruntime; {INSTALL}") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime has a class of its own for every cause
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(f"{path}: is no ONNX model that can be run ({reason})") from error
        given, told = self._session.get_inputs(), self._session.get_outputs()
        if len(given) != 1 or len(given[0].shape) != 4:
            raise ConfigError(f"{path}: has {len(given)} inputs, expected one of 1 x 3 x h x w")
        self._input, shape = given[0].name, given[0].shape
        self._size = tuple(side if isinstance(side, int) else 416 for side in shape[2:])
        self._class = _number_of(wanted)
        self._layout = layout if layout != "auto" else _layout_of(path, told[0].shape)

    def __call__(self, frame: UInt8[Tensor, "h w 3"]) -> FoundBoxes:
        prepare, read = _LAYOUTS[self._layout]
        pixels, scale = prepare(frame, self._size)
        (output, *_) = self._session.run(None, {self._input: pixels})
        boxes, scores = read(
            torch.from_numpy(np.ascontiguousarray(output)), self._class, self._size
        )
        return _kept(boxes / torch.tensor(scale, dtype=boxes.dtype), scores)


class TransformersDetector:
    """Any `AutoModelForObjectDetection`, from a folder or by its name on the hub."""

    def __init__(self, name: str, *, wanted: str = "person") -> None:
        try:
            from transformers import AutoImageProcessor, AutoModelForObjectDetection
        except ImportError:
            raise ConfigError(f"{name}: needs transformers; {INSTALL}") from None
        try:
            self._processor: Any = AutoImageProcessor.from_pretrained(name, use_fast=False)
            self._model: Any = AutoModelForObjectDetection.from_pretrained(
                name, use_safetensors=True
            ).eval()
        except (OSError, ValueError, ImportError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigError(
                f"{name}: is no object detector ({reason}); {HOW_TO_GET_BOXES}"
            ) from error
        names = {str(label).lower(): int(i) for i, label in self._model.config.id2label.items()}
        if wanted.lower() in names:
            self._class = names[wanted.lower()]
        elif wanted.isdecimal() and int(wanted) in names.values():
            self._class = int(wanted)
        else:
            raise unknown_name(f"class of {name}", wanted, names)

    @torch.no_grad()
    def __call__(self, frame: UInt8[Tensor, "h w 3"]) -> FoundBoxes:
        height, width = frame.shape[:2]
        inputs = self._processor(images=frame.numpy(), return_tensors="pt")
        (found,) = self._processor.post_process_object_detection(
            self._model(**inputs), threshold=0.0, target_sizes=[(height, width)]
        )
        chosen = found["labels"] == self._class
        scale = torch.tensor([width, height, width, height])
        return _kept(found["boxes"][chosen] / scale, found["scores"][chosen])


def _kept(boxes: Float[Tensor, "s 4"], scores: Float[Tensor, " s"]) -> FoundBoxes:
    """The best boxes that do not repeat each other, cut to the frame."""
    boxes, scores = boxes.double().clamp(0, 1), scores.double()
    has_area = ((boxes[:, 2:] - boxes[:, :2]) > 1e-3).all(1)
    boxes, scores = boxes[has_area], scores[has_area]
    kept = best_of_overlapping(boxes, scores, most_iou=_MOST_OVERLAP)
    boxes, scores = boxes[kept], scores[kept]
    best = scores.argsort(descending=True, stable=True)[:MOST_BOXES]
    return FoundBoxes(xyxy=boxes[best], scores=scores[best])


def _number_of(wanted: str) -> int:
    if wanted.isdecimal() and int(wanted) < _NUM_COCO:
        return int(wanted)
    if wanted.lower() not in _COCO:
        raise unknown_name("class of COCO (or give its number, 0 to 79)", wanted, _COCO)
    return _COCO[wanted.lower()]


def _layout_of(path: Path, shape: list[Any]) -> str:
    if len(shape) == 4 and shape[1] == 5 + _NUM_COCO:
        return "fastestdet"
    if len(shape) == 3 and shape[2] == 5 + _NUM_COCO:
        return "yolox"
    raise ConfigError(
        f"{path}: gives {shape}, which is neither FastestDet (1 x 85 x rows x columns) nor YOLOX "
        "(1 x boxes x 85); convert it, or make boxes with it and name them with --boxes"
    )


Prepared = tuple[np.ndarray, list[float]]  # pixels, and what boxes are divided by


def _stretched(frame: UInt8[Tensor, "h w 3"], size: tuple[int, ...]) -> Prepared:
    """Blue first, in [0, 1], stretched to the input."""
    pixels = frame.flip(2).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=size, mode="bilinear", antialias=False)
    return (pixels / 255).numpy(), [1.0, 1.0, 1.0, 1.0]


def _letterboxed(frame: UInt8[Tensor, "h w 3"], size: tuple[int, ...]) -> Prepared:
    """Blue first, in [0, 255], at the left upper corner of the input, the rest grey."""
    height, width = frame.shape[:2]
    ratio = min(size[0] / height, size[1] / width)
    inner = int(height * ratio), int(width * ratio)
    pixels = frame.flip(2).permute(2, 0, 1)[None].float()
    pixels = F.interpolate(pixels, size=inner, mode="bilinear", antialias=False)
    padded = F.pad(pixels, (0, size[1] - inner[1], 0, size[0] - inner[0]), value=_PADDING)
    return padded.numpy(), [width * ratio, height * ratio, width * ratio, height * ratio]


Read = tuple[Tensor, Tensor]  # boxes as `xyxy`, scores


def _read_fastestdet(output: Tensor, wanted: int, size: tuple[int, ...]) -> Read:
    """A box for each cell: centre by tanh about the cell, width and height by sigmoid."""
    cells = output[0].flatten(1)  # (85, cells), row by row
    rows, columns = output.shape[2:]
    across = torch.arange(columns).repeat(rows)
    down = torch.arange(rows).repeat_interleave(columns)
    x, y = (across + cells[1].tanh()) / columns, (down + cells[2].tanh()) / rows
    width, height = cells[3].sigmoid(), cells[4].sigmoid()
    best, classes = cells[5:].max(0)
    scores = cells[0].clamp(min=0) ** 0.6 * best.clamp(min=0) ** 0.4
    chosen = classes == wanted
    return _corners(x, y, width, height)[chosen], scores[chosen]


def _read_yolox(output: Tensor, wanted: int, size: tuple[int, ...]) -> Read:
    """A box for each cell of three grids: centre in cells, sizes as logarithms of cells."""
    grids, strides = [], []
    for stride in (8, 16, 32):
        rows, columns = size[0] // stride, size[1] // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        grids.append(torch.stack([x, y], dim=2).reshape(-1, 2))
        strides.append(torch.full((rows * columns, 1), stride))
    grid, stride = torch.cat(grids), torch.cat(strides)
    boxes = output[0]
    centre, sides = (boxes[:, :2] + grid) * stride, boxes[:, 2:4].exp() * stride
    best, classes = boxes[:, 5:].max(1)
    chosen = classes == wanted
    return (
        _corners(*centre.unbind(1), *sides.unbind(1))[chosen],
        (boxes[:, 4] * best)[chosen].clamp(0, 1),
    )


def _corners(x: Tensor, y: Tensor, width: Tensor, height: Tensor) -> Float[Tensor, "s 4"]:
    return torch.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], dim=1)


_LAYOUTS: dict[str, tuple[Callable[..., Prepared], Callable[..., Read]]] = {
    "fastestdet": (_stretched, _read_fastestdet),
    "yolox": (_letterboxed, _read_yolox),
}
