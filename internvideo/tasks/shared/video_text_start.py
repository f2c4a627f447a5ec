"""What fine-tuning of encoder B on sentences starts from, and which of its parameters are trained.

Source: `main_task_retrieval.py` of Video-Text-Retrieval in the InternVideo release.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from internvideo.errors import CheckpointError
from internvideo.heads import Retriever
from internvideo.text import Tokenizer, load_clip_tokenizer
from internvideo.training import load
from internvideo.weights import (
    OPENAI_CLIP,
    load_weights,
    merge_with_clip,
    read_document,
    read_state,
)
from internvideo.weights import read_weights as read_clip

Trained = Literal["all", "last", "head", "as-released"]

_log = logging.getLogger(__name__)

_HEAD = r"(norm_post\.|(video|text)_projection$|text\.norm\.|logit_scale$|token_weights\.)"
# The release trains what starts with CLIP's names of these; it calls two of them otherwise
# (visual_ln_post, visual_proj), and so these and all embeddings stay as they were.
_RELEASED = (
    r"(text\.norm\.|text_projection$|logit_scale$|token_weights\."
    r"|(video|text)\.(global_)?blocks\.)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoTextStart:
    """Weights of encoder B, or of a retriever, under our names; None where a vocabulary is new."""

    weights: Mapping[str, Tensor]
    tokenizer: Tokenizer | None


def read_start(
    path: Path, *, merge_clip: str | None = None, clip_share: float = 0.5
) -> VideoTextStart:
    """Read encoder B from a run, a checkpoint, a saved model or released weights.

    Args:
        path: Where it is.
        merge_clip: A file of CLIP's weights to mix in by the rule of retrieval.
        clip_share: Their share.

    Raises:
        CheckpointError: It is not there, or knows no words.
    """
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such run, checkpoint or file to start from; train it first, or set "
            "stage.initial_weights to another one, or to none"
        )
    if path.is_file():
        weights, tokenizer = read_state(read_document(path)).tensors, load_clip_tokenizer()
    else:
        kept = (path / "checkpoints" / name for name in ("best", "last"))
        loaded = load(next((folder for folder in kept if folder.exists()), path))
        weights, document = loaded.model, loaded.documents.get("tokenizer")
        tokenizer = Tokenizer.from_document(document) if document else None
    weights = {re.sub(r"^encoder\.", "", name): value for name, value in weights.items()}
    if "text_projection" not in weights or tokenizer is None:
        raise CheckpointError(
            f"{path}: is no encoder B with its vocabulary; take a run of multimodal pretraining, a "
            "fine-tuned retriever, or released weights of InternVideo-MM"
        )
    if merge_clip is not None:
        clip = OPENAI_CLIP.read(read_clip(Path(merge_clip)))
        weights = merge_with_clip(weights, clip, clip_share=clip_share, rule="retrieval")
    return VideoTextStart(weights=weights, tokenizer=tokenizer)


def fill(retriever: Retriever, start: VideoTextStart, source: str) -> None:
    """Fill encoder and token weights; a caption decoder, which nothing reads here, is left out.

    Raises:
        CheckpointError: A tensor is missing or does not fit.
    """
    own = {name for name, _ in retriever.encoder.named_parameters()}
    own |= {name for name, _ in retriever.encoder.named_buffers()}
    used = {name: value for name, value in start.weights.items() if name in own}
    left = sorted({name.split(".")[0] for name in start.weights.keys() - used.keys()})
    try:
        report = load_weights(retriever.encoder, used)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from error
    if retriever.token_weights is not None and "token_weights" in left:
        prefix = "token_weights."
        load_weights(
            retriever.token_weights,
            {k.removeprefix(prefix): v for k, v in start.weights.items() if k.startswith(prefix)},
        )
        left.remove("token_weights")
    _log.info("%s: %s%s", source, report, f"; not used: {', '.join(left)}" if left else "")


def freeze(retriever: Retriever, trained: Trained) -> None:
    """Leave untrained what `trained` does not name, and tell how much that is."""
    config = retriever.config.encoder
    last = r"|".join(
        rf"{tower}\.blocks\.{number}\."
        for tower, depth in (("video", config.video.depth), ("text", config.text.depth))
        for number in range(depth - max(1, depth // 4), depth)
    )
    pattern = {
        "all": r"",
        "head": _HEAD,
        "last": rf"({_HEAD}|video\.global_blocks\.|{last})",
        "as-released": _RELEASED,
    }[trained]
    for name, parameter in retriever.named_parameters():
        own_name = name.removeprefix("encoder.")
        # A mask token takes part in no loss; no rank may wait for its gradient.
        if not re.match(pattern, own_name) or own_name == "text.mask_token":
            parameter.requires_grad_(False)
    counts = num_parameters(retriever), num_parameters(retriever, trained_only=True)
    if trained != "all":
        _log.info(
            "trained=%s: %d of %d parameters stay as they are%s",
            trained,
            counts[0] - counts[1],
            counts[0],
            ", as in the release, where it follows from how layers are called"
            if trained == "as-released"
            else "",
        )


def num_parameters(model: nn.Module, *, trained_only: bool = False) -> int:
    """Count the parameters of a model."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad or not trained_only)
