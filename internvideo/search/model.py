"""What an index asks of a model: vectors of clips or pictures and of sentences, in one space.

Encoder B, ViCLIP and what `transformers` has (CLIP, SigLIP, X-CLIP) are given this form. A model of
single pictures is a model of clips of one frame; its windows are the mean of their frames' vectors.
Shapes: frames (t, h, w, 3) uint8 -> prepared (t, ...) -> vectors (b, e) of length 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.data import centre_view
from internvideo.hub import load_pretrained
from internvideo.tasks import FeatureEncoder, VideoTextModel
from internvideo.training import choose_device


@runtime_checkable
class SearchModel(Protocol):
    """A model that places clips and sentences in one space.

    `num_frames` are those of a clip, 1 for models of pictures; `short_side_px` is the size at which
    frames are decoded; `trained_on_generated` is said wherever the model answers.
    """

    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def num_frames(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def short_side_px(self) -> int: ...
    @property
    def trained_on_generated(self) -> bool: ...

    def prepare(self, frames: UInt8[Tensor, "t h w 3"]) -> Tensor:
        """Crop and scale the frames of one clip, so that clips of all videos can be stacked."""
        ...

    def embed(self, prepared: Tensor) -> Float[Tensor, "b e"]:
        """Place a stack of prepared clips."""
        ...

    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]: ...


class EncoderSearch:
    """Encoder B or ViCLIP as a `SearchModel`."""

    def __init__(self, model: VideoTextModel, *, name: str, trained_on_generated: bool) -> None:
        self.model, self.name, self.trained_on_generated = model, name, trained_on_generated
        self.num_frames = model.num_frames
        self.short_side_px = round(model.side_px / model.crop)
        self.sha256 = FeatureEncoder(
            model.model, num_frames=model.num_frames, side_px=model.side_px
        ).sha256
        self.width = self.embed_texts(["a"]).shape[1]

    def prepare(self, frames: UInt8[Tensor, "t h w 3"]) -> Tensor:
        return centre_view(frames, self.model.side_px, self.model.crop)

    def embed(self, prepared: Tensor) -> Float[Tensor, "b e"]:
        return F.normalize(self.model.embed_clips(prepared).float().cpu(), dim=1)

    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]:
        return F.normalize(self.model.embed_texts(list(sentences)).float().cpu(), dim=1)


def open_search_model(source: str | Path, *, device: str = "auto") -> SearchModel:
    """Open a model for search.

    Args:
        source: A run, checkpoint or saved model with words; a name of `weights list`.
        device: auto, cpu, cuda or cuda:N.

    Raises:
        CheckpointError: There is none, or it knows no words.
        ConfigError: It is neither there nor a known name.
    """
    pretrained = load_pretrained(source)
    pretrained.model.to(choose_device(device))
    return EncoderSearch(
        VideoTextModel.from_pretrained(pretrained, source=str(source)),
        name=str(source),
        trained_on_generated=saw_generated_videos(source),
    )


def saw_generated_videos(source: str | Path) -> bool:
    """Whether a run says that it was trained on the playground."""
    folder = Path(source)
    last = folder / "checkpoints" / "last"
    try:
        path = (last if last.exists() else folder) / "config.json"
        run = json.loads(path.read_text(encoding="utf-8")).get("run", {})
    except (OSError, ValueError, AttributeError):
        return False
    if "playground" in str(run.get("name", "")):
        return True
    return any((folder / "playground.json").is_file() for folder in _folders_of(run))


def _folders_of(document: Any) -> list[Path]:
    """Folders that the sources of a run's data lie in."""
    if isinstance(document, dict):
        here = [Path(document[k]) for k in ("source", "root") if isinstance(document.get(k), str)]
        nested = [folder for value in document.values() for folder in _folders_of(value)]
        return [*here, *(path.parent for path in here), *nested]
    if isinstance(document, list):
        return [folder for value in document for folder in _folders_of(value)]
    return []


def image_clip(
    frames: UInt8[Tensor, "t h w 3"], num_frames: int
) -> UInt8[Tensor, "{num_frames} h w 3"]:
    """Spread or repeat frames to a clip of so many."""
    places = torch.arange(num_frames) * len(frames) // num_frames
    return frames[places]
