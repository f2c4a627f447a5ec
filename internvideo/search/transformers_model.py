"""Models of `transformers` with image and text features: CLIP, SigLIP, SigLIP 2, X-CLIP.

Everything comes from the model's own files: preprocessing, tokenizer, network; vectors are those of
its `get_image_features` (or `get_video_features`) and `get_text_features`, of length 1. Frames are
preprocessed by Pillow, so torchvision is never needed. Nothing in such a folder is executed.
Differs: X-CLIP's text vectors are not refined by each video, which an index cannot do.
Needs the extra `transformers`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.search.model import Tower
from internvideo.weights import weights_sha256

_FILES = "config.json, model.safetensors, preprocessor_config.json and the tokenizer's files"


class _VisualNetwork(nn.Module):
    """The visual tower alone: what preprocessing gives in, vectors out."""

    def __init__(self, model: Any, method: str) -> None:
        super().__init__()
        self.model, self._method = model, method

    def forward(
        self,
        pixel_values: Tensor,
        pixel_attention_mask: Tensor | None = None,
        spatial_shapes: Tensor | None = None,
    ) -> Tensor:
        given: dict[str, Tensor] = {"pixel_values": pixel_values}
        if pixel_attention_mask is not None and spatial_shapes is not None:  # of variable size
            given["pixel_attention_mask"] = pixel_attention_mask
            given["spatial_shapes"] = spatial_shapes.long()
        return _tensor(getattr(self.model, self._method)(**given))


class TransformersSearch(Tower):
    """A `SearchModel` around a model of `transformers`; opened by `open_transformers`."""

    trained_on_generated = False

    def __init__(self, model: Any, processor: Any, tokenizer: Any, *, name: str) -> None:
        self.model, self.name = model.eval(), name
        self._processor, self._tokenizer = processor, tokenizer
        takes_clips = hasattr(model, "get_video_features")
        vision = model.config.vision_config
        self.num_frames = int(vision.num_frames) if takes_clips else 1
        self.short_side_px = _short_side(processor, vision)
        blank = torch.zeros(self.num_frames, self.short_side_px, self.short_side_px, 3)
        given = self._processed(blank.to(torch.uint8))
        shapes = {key: tuple(value.shape) for key, value in given.items()}
        method = "get_video_features" if takes_clips else "get_image_features"
        super().__init__(_VisualNetwork(model, method), shapes)
        self.scale = float(model.logit_scale.detach().exp())
        described = json.dumps(processor.to_dict(), sort_keys=True, default=str)
        self.sha256 = hashlib.sha256((weights_sha256(model) + described).encode()).hexdigest()
        self.width = self.embed_texts(["a"]).shape[1]

    def prepare(self, frames: UInt8[Tensor, "t h w 3"]) -> Tensor:
        """Preprocess as the model's own files say; all inputs of a clip in one row."""
        return torch.cat([value.flatten() for value in self._processed(frames).values()])

    def inputs(self, prepared: Tensor) -> tuple[Tensor, ...]:
        sizes = [math.prod(shape) for shape in self.input_shapes.values()]
        parts = prepared.split(sizes, dim=1)
        shapes = self.input_shapes.values()
        return tuple(part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True))

    @torch.no_grad()
    def embed_texts(self, sentences: Sequence[str]) -> Float[Tensor, "b e"]:
        length = self.model.config.text_config.max_position_embeddings
        # SigLIP was trained on sentences filled up to its whole context.
        fills = "siglip" in self.model.config.model_type
        given = self._tokenizer(
            list(sentences),
            padding="max_length" if fills else True,
            truncation=True,
            max_length=length,
            return_tensors="pt",
        )
        device = next(self.model.parameters()).device
        given = {key: value.to(device) for key, value in given.items() if key != "token_type_ids"}
        return F.normalize(_tensor(self.model.get_text_features(**given)).float().cpu(), dim=1)

    def _processed(self, frames: UInt8[Tensor, "t h w 3"]) -> dict[str, Tensor]:
        images = list(frames.numpy())
        given = self._processor(images if self.num_frames == 1 else [images], return_tensors="pt")
        return {key: value[0].float() for key, value in sorted(given.items(), key=_place)}


def open_transformers(source: str | Path, *, device: torch.device) -> TransformersSearch:
    """Open a folder that `transformers` wrote, or a model of the Hugging Face hub.

    Raises:
        ConfigError: The extra is missing.
        CheckpointError: It cannot be read or fetched, or has no image or text features; the message
            says which files to put where.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError(
            f"{source}: opening it needs the package 'transformers': pip install "
            "'internvideo[transformers]'"
        ) from error
    name, is_folder = str(source), Path(source).is_dir()
    try:
        with _quiet():
            model = transformers.AutoModel.from_pretrained(name, dtype=torch.float32)
            processor = transformers.AutoImageProcessor.from_pretrained(name)
            tokenizer = transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        todo = (
            f"it should hold {_FILES}"
            if is_folder
            else f"fetch {_FILES} from https://huggingface.co/{name} into a folder, and give that"
        )
        raise CheckpointError(f"{name}: cannot be opened ({reason}); {todo}") from error
    if not hasattr(model, "get_text_features") or not (
        hasattr(model, "get_image_features") or hasattr(model, "get_video_features")
    ):
        raise CheckpointError(
            f"{name}: a {model.config.model_type} model has no features of both images and texts; "
            "take a CLIP, SigLIP or X-CLIP"
        )
    return TransformersSearch(model.to(device), processor, tokenizer, name=name)


def _place(item: tuple[str, Any]) -> tuple[bool, str]:
    """Pixels come first, then the others by name."""
    return item[0] != "pixel_values", item[0]


def _tensor(output: Any) -> Tensor:
    """Features as every version gives them."""
    return output if isinstance(output, Tensor) else output.pooler_output


def _short_side(processor: Any, vision: Any) -> int:
    """The size to which the model's own preprocessing brings frames."""
    size = dict(getattr(processor, "size", None) or {})
    for key in ("shortest_edge", "height"):
        if size.get(key):
            return int(size[key])
    if getattr(vision, "image_size", None):
        return int(vision.image_size)
    # Of variable shape: as many patches as it takes, were the frame square.
    return int(math.sqrt(getattr(processor, "max_num_patches", 256)) * vision.patch_size)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep its progress bars and its advice on other backends from the terminal."""
    from transformers.utils import logging

    level, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if had_bars:
            logging.enable_progress_bar()
