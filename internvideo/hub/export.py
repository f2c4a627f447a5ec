"""Write an opened model, or a part of it, as ONNX or as a program of `torch.export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifierConfig
from internvideo.hub.pretrained import Pretrained, to_json
from internvideo.models.export import Exported, Format, Part, export_part, parts_of


def export_model(
    pretrained: Pretrained,
    out: str | Path,
    *,
    to: Format,
    part: str | None = None,
    tolerance: float = 1e-4,
) -> Exported:
    """Write one part of a model to a file that says all about its use, and compare the two.

    Args:
        pretrained: From `load_pretrained`.
        out: File to write, ending in `.onnx` or `.pt2`.
        to: Format.
        part: "encoder", "classifier", or one of the towers "video" and "text"; None where the
            model has a single part.
        tolerance: Largest difference from the model on random input; beyond it nothing is written.

    Raises:
        ConfigError: There is no such part, several to choose from, or the extra is missing.
        CheckpointError: The file computes something else than the model.
    """
    preprocessing = pretrained.preprocessing
    parts = parts_of(
        pretrained.model, num_frames=preprocessing.num_frames, side_px=preprocessing.side_px
    )
    if part is None and len(parts) == 1:
        part = next(iter(parts))
    if part not in parts:
        what = "choose a part" if part is None else f"there is no part {part!r}"
        raise ConfigError(f"a {pretrained.kind} is exported by parts, {what}: {', '.join(parts)}")
    metadata = _metadata(pretrained, part, parts[part])
    return export_part(parts[part], Path(out), to=to, metadata=metadata, tolerance=tolerance)


def _metadata(pretrained: Pretrained, name: str, part: Part) -> dict[str, Any]:
    metadata = {
        "kind": pretrained.kind,
        "part": name,
        "classes": list(pretrained.classes) if "logits" in part.outputs else [],
        "provenance": dict(pretrained.provenance),
    }
    if isinstance(pretrained.config, VideoClassifierConfig):
        metadata["multi_label"] = pretrained.config.multi_label
    if "ids" in part.inputs:
        tokenizer = pretrained.tokenizer
        metadata["tokenizer"] = None if tokenizer is None else tokenizer.to_document()
        return metadata
    layout = {"layout": "b c t h w", "colours": "RGB", "pixels": "(byte / 255 - mean) / std"}
    return {**metadata, "preprocessing": {**to_json(pretrained.preprocessing), **layout}}
