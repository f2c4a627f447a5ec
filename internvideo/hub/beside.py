"""Facts that shapes of weights do not tell, from the files that stand beside them.

Read are `config.json` of `transformers` (also VideoMAE V2's own), `open_clip_config.json`, and
`preprocessor_config.json`, in a folder of weights or in that of a file. What none of them tells is
taken as usual and said, with the setting that changes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from internvideo.errors import CheckpointError
from internvideo.reading import read_json_document
from internvideo.weights import clip_config_fields, open_clip_config_fields, videomae_config_fields

# Families whose activation is GELU in some releases and QuickGELU in others of the same shapes.
_TOWERS = ("uniformerv2", "internvideo-mm", "viclip", "openai-clip", "transformers-clip")
_BYTE = 255


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """What files beside weights tell: fields of our configuration (nested) and of `Preprocessing`,
    class names, and a line for each file that was read or passed over."""

    config: Mapping[str, Any] = field(default_factory=dict)
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()


def read_beside(source: Path, family: str, kind: str, *, width: int) -> Beside:
    """Read what stands beside weights whose video encoder is `width` channels wide.

    Raises:
        CheckpointError: A file of a folder of weights is no JSON, or of a model of another width.
    """
    folder = source if source.is_dir() else source.parent
    steps, config, classes, seen = [], {}, (), {}
    for name, read in (("config", _of_transformers), ("open_clip_config", _of_open_clip)):
        document = _document(folder, name)
        if not document or config:
            continue
        fields, theirs, more = read(document, family, kind)
        if not fields and theirs is None:
            continue
        if theirs not in (None, width):
            said = f"{name}.json is of a model of width {theirs}, the weights are of width {width}"
            if source.is_dir():
                raise CheckpointError(said)
            steps.append(f"{said}; it was not read")
            continue
        config, seen = fields, more
        classes = _labels(document, kind)
        steps.append(f"read {name}.json")
    if not source.is_dir() and not config:
        # Beside a lone file a processor without its model's config may be anybody's.
        return Beside(steps=tuple(steps))
    if processor := _document(folder, "preprocessor_config"):
        seen = {**seen, **_processor_fields(processor)}
        steps.append("read preprocessor_config.json")
    return Beside(config=config, preprocessing=seen, classes=classes, steps=tuple(steps))


def untold(
    family: str,
    told: Mapping[str, Any],
    config: Mapping[str, Any],
    kind: str,
    known: Mapping[str, Any],
) -> list[str]:
    """Name what neither shapes nor files nor the caller told, with what was taken instead.

    Args:
        family: Of the weights.
        told: Fields that a file or the caller gave, nested.
        config: The whole configuration as a JSON value.
        kind: Of the model.
        known: Further fields of the video encoder that are certain.
    """
    is_clip = family in _TOWERS
    part = _part(kind, is_clip)
    fields = ["num_heads", "activation"] if is_clip else ["num_heads", "num_frames", "side_px"]
    if not is_clip and _at(config, part).get("positions") != "sine":
        fields = ["num_heads"]
    given, taken = {**_at(told, part), **known}, _at(config, part)
    missing = [name for name in fields if name not in given and name in taken]
    if not missing:
        return []
    settings = ", ".join(f"{'.'.join((*part, name))}={taken[name]}" for name in missing)
    return [f"not told by the file, taken as usual: {settings}; change with --set"]


def _part(kind: str, is_clip: bool) -> tuple[str, ...]:
    """Where the video encoder's configuration lies in that of a model."""
    if kind == "question-answerer":
        return ("encoder", "video")
    if kind in ("video-classifier", "masked-autoencoder"):
        return ("encoder",)
    return ("video",) if is_clip and kind != "uniformer" else ()


def _at(document: Mapping[str, Any], path: tuple[str, ...]) -> Mapping[str, Any]:
    for name in path:
        found = document.get(name)
        document = found if isinstance(found, Mapping) else {}
    return document


_Read = tuple[dict[str, Any], int | None, dict[str, Any]]


def _of_transformers(document: Mapping[str, Any], family: str, kind: str) -> _Read:
    """Fields, the width that they are for, and preprocessing, of a config.json."""
    is_theirs = "model_type" in document or "architectures" in document
    if "kind" in document or not (is_theirs or family.startswith("transformers")):
        return {}, None, {}
    if family in ("openai-clip", "transformers-clip"):
        if "vision_config" not in document:
            return {}, None, {}
        vision = document["vision_config"]
        width = vision.get("hidden_size") if isinstance(vision, Mapping) else None
        return clip_config_fields(document), width, {}
    if family not in ("videomae", "transformers-videomae"):
        return {}, None, {}
    inner = document.get("model_config")
    if isinstance(inner, Mapping):  # VideoMAE V2 on the hub
        names = {"num_frames": "all_frames", "side_px": "img_size", "num_heads": "num_heads"}
        encoder = {ours: inner[theirs] for ours, theirs in names.items() if theirs in inner}
        fields = encoder if kind == "masked-encoder" else {"encoder": encoder}
        return fields, inner.get("embed_dim"), {}
    return videomae_config_fields(document, kind), document.get("hidden_size"), {}


def _of_open_clip(document: Mapping[str, Any], family: str, kind: str) -> _Read:
    model = document.get("model_cfg")
    if family != "openai-clip" or not isinstance(model, Mapping):
        return {}, None, {}
    seen, processor = {}, document.get("preprocess_cfg")
    if isinstance(processor, Mapping):
        # It resizes the short side to the size of the model unless told otherwise.
        seen = {name: processor[name] for name in ("mean", "std") if name in processor}
        seen |= {"crop": 1.0} if processor.get("resize_mode", "shortest") == "shortest" else {}
    vision = model.get("vision_cfg")
    width = vision.get("width") if isinstance(vision, Mapping) else None
    return open_clip_config_fields(model), width, seen


def _processor_fields(processor: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of `Preprocessing`; sizes that are not given say nothing."""
    fields: dict[str, Any] = {}
    short = _side(processor.get("size"), "shortest_edge")
    cropped = _side(processor.get("crop_size"), "height")
    if not processor.get("do_center_crop", True):
        fields["crop"] = 1.0
    elif short and processor.get("do_resize", True):
        fields["crop"] = min(1.0, (cropped or short) / short)
    # Ours divides by 255 always; another factor goes into mean and deviation.
    factor = processor.get("rescale_factor", 1 / _BYTE) if processor.get("do_rescale", True) else 1
    if processor.get("do_normalize", True):
        mean, std = processor.get("image_mean"), processor.get("image_std")
    else:
        mean, std = (0.0,) * 3, (1.0,) * 3
    scale = 1 / (_BYTE * factor) if _is_number(factor) and factor > 0 else 1.0
    scale = 1.0 if abs(scale - 1) < 1e-6 else scale
    for name, values in (("mean", mean), ("std", std)):
        if isinstance(values, list | tuple) and all(map(_is_number, values)):
            fields[name] = tuple(value * scale for value in values)
    return fields


def _side(size: Any, name: str) -> int | None:
    if isinstance(size, Mapping):
        size = size.get(name, size.get("height"))
    return size if isinstance(size, int) and size > 0 else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _labels(config: Mapping[str, Any], kind: str) -> tuple[str, ...]:
    """Class names by number; the placeholders of `transformers` are none."""
    names = config.get("id2label") if kind == "video-classifier" else None
    if not isinstance(names, Mapping) or not all(str(key).isdecimal() for key in names):
        return ()
    labels = tuple(str(names[key]) for key in sorted(names, key=int))
    is_named = any(label != f"LABEL_{place}" for place, label in enumerate(labels))
    return labels if is_named else ()


def _document(folder: Path, name: str) -> dict[str, Any]:
    """A JSON object of a folder; nothing where there is none."""
    path = folder / f"{name}.json"
    if not path.is_file():
        return {}
    try:
        found = read_json_document(path)
    except ValueError as error:
        raise CheckpointError(f"{name}.json: is no JSON ({error})") from error
    return found if isinstance(found, dict) else {}
