"""What an index asks of a model: vectors of clips or pictures and of sentences, in one space.

Encoder B, ViCLIP and what `transformers` has (CLIP, SigLIP, X-CLIP) are given this form. A model of
single pictures is a model of clips of one frame; its windows are the mean of their frames' vectors.
Shapes: frames (t, h, w, 3) uint8 -> prepared (...) -> vectors (b, e) of length 1.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from internvideo.data import centre_view
from internvideo.hub import load_pretrained, saw_generated_videos
from internvideo.models.export import parts_of
from internvideo.reading import read_json_document
from internvideo.tasks import VideoTextModel
from internvideo.training import choose_device
from internvideo.video.transforms import normalise
from internvideo.weights import weights_sha256


@runtime_checkable
class SearchModel(Protocol):
    """A model that places clips and sentences in one space.

    `num_frames` are those of a clip, 1 for models of pictures; `short_side_px` is the size at which
    frames are decoded; `scale` is what cosines are multiplied by before a softmax over texts;
    `trained_on_generated` is said wherever the model answers.
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
    def scale(self) -> float: ...
    @property
    def trained_on_generated(self) -> bool: ...

    def prepare(self, frames: UInt8[Tensor, "t h w 3"]) -> Tensor:
        """Crop and scale the frames of one clip, so that clips of all videos can be stacked."""
        ...

    def embed(self, prepared: Tensor) -> Float[Tensor, "b e"]:
        """Place a stack of prepared clips."""
        ...

    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]: ...


class Tower(ABC):
    """The visual side of a `SearchModel`: a network that may also run elsewhere (`runtime`).

    `input_shapes` are those of the network's inputs for one clip, by name; `run` takes them in
    batches and gives vectors of any length.
    """

    def __init__(self, network: nn.Module, input_shapes: Mapping[str, tuple[int, ...]]) -> None:
        self.network, self.input_shapes = network.eval(), dict(input_shapes)
        self.run: Callable[[tuple[Tensor, ...]], Tensor] = self._in_torch

    @abstractmethod
    def inputs(self, prepared: Tensor) -> tuple[Tensor, ...]:
        """What the network receives of a stack of prepared clips."""

    def embed(self, prepared: Tensor) -> Float[Tensor, "b e"]:
        return F.normalize(self.run(self.inputs(prepared)).float(), dim=1)

    @torch.no_grad()
    def _in_torch(self, inputs: tuple[Tensor, ...]) -> Tensor:
        device = next(self.network.parameters()).device
        return self.network(*(one.to(device) for one in inputs)).cpu()


class EncoderSearch(Tower):
    """Encoder B or ViCLIP as a `SearchModel`."""

    def __init__(self, model: VideoTextModel, *, name: str, trained_on_generated: bool) -> None:
        parts = parts_of(model.model, num_frames=model.num_frames, side_px=model.side_px)
        side_px = model.side_px
        super().__init__(parts["video"].network, {"clip": (3, model.num_frames, side_px, side_px)})
        self.model, self.name, self.trained_on_generated = model, name, trained_on_generated
        self.num_frames = model.num_frames
        self.short_side_px = round(side_px / model.crop)
        self.scale = float(model.logit_scale.exp())
        self.sha256 = weights_sha256(model.model)
        self.width = self.embed_texts(["a"]).shape[1]

    def prepare(self, frames: UInt8[Tensor, "t h w 3"]) -> Tensor:
        return centre_view(frames, self.model.side_px, self.model.crop)

    def inputs(self, prepared: Tensor) -> tuple[Tensor, ...]:
        return (normalise(prepared, mean=self.model.mean, std=self.model.std),)

    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]:
        return F.normalize(self.model.embed_texts(list(sentences)).float().cpu(), dim=1)


def open_search_model(source: str | Path, *, device: str = "auto") -> SearchModel:
    """Open a model for search.

    Args:
        source: A run, checkpoint or saved model with words; a name of `weights list`; a folder that
            `transformers` wrote or the name of one on the Hugging Face hub (`owner/name`).
        device: auto, cpu, cuda or cuda:N.

    Raises:
        CheckpointError: There is none, or it knows no words.
        ConfigError: It is neither there nor a known name, or an extra is missing.
    """
    if is_of_transformers(source):
        from internvideo.search.transformers_model import open_transformers

        return open_transformers(source, device=choose_device(device))
    pretrained = load_pretrained(source)
    pretrained.model.to(choose_device(device))
    return EncoderSearch(
        VideoTextModel.from_pretrained(pretrained, source=str(source)),
        name=str(source),
        trained_on_generated=saw_generated_videos(source),
    )


def is_of_transformers(source: str | Path) -> bool:
    """Whether this is a folder of `transformers`, or `owner/name` on the hub."""
    path = Path(source)
    if path.exists():
        return "model_type" in _config(path)
    return len(path.parts) == 2 and not path.is_absolute() and path.parts[0] not in (".", "..")


def _config(folder: Path) -> dict[str, Any]:
    """What config.json says in a folder; nothing where there is none."""
    try:
        found = read_json_document(folder / "config.json")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def image_clip(
    frames: UInt8[Tensor, "t h w 3"], num_frames: int
) -> UInt8[Tensor, "{num_frames} h w 3"]:
    """Spread or repeat frames to a clip of so many."""
    return frames[torch.arange(num_frames) * len(frames) // num_frames]
