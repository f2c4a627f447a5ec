"""A classifier starts from the weights of a pretraining, or of a classifier with other classes.

Source: `run_class_finetuning.py` and `utils.load_state_dict` of VideoMAE in the release. Names are
those of `heads.VideoClassifier`: the encoder's below `encoder.`, then `fc_norm.` and `head.`.
Differs from the released code: a part of the encoder that the checkpoint lacks, and a block that
has no place in the model, are errors and not lines in the log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from internvideo.errors import CheckpointError
from internvideo.models.masked_encoder import MaskedEncoder
from internvideo.models.positions import resize_positions
from internvideo.values import TokenGrid
from internvideo.weights.families import read_state
from internvideo.weights.loading import NEW_TO_CLIP, load_weights

_HEAD = ("head.weight", "head.bias")
# Encoder B's tower alone, in a classifier, among others; A's names are those of a public family.
_OWN_B = {"class_token", "encoder.class_token", "video.class_token"}
# What a classifier has beyond its encoder; the norm of tokens is the other pooling's.
_NEW_TO_ENCODERS = r"^(fc_norm|pool|head|encoder\.norm)\."
# A part of an encoder that has learned and would be lost.
_OF_ENCODERS = ("encoder.blocks.", "encoder.global_", "encoder.patch_embed.")


@dataclass(frozen=True, kw_only=True, slots=True)
class StartReport:
    """What became of a checkpoint: tensors of the model that it filled, those that stayed new, and
    tensors of the checkpoint that had no use, all under our names."""

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    unused: tuple[str, ...]

    def __str__(self) -> str:
        new = f", new: {', '.join(self.new)}" if self.new else ""
        unused = f", {len(self.unused)} without use" if self.unused else ""
        return f"{len(self.loaded)} tensors loaded{unused}{new}"


def classifier_weights(document: Mapping[str, Any]) -> dict[str, Tensor]:
    """Give weights of encoder A or B the names of our classifier.

    Args:
        document: Our weights of a pretraining, a classifier or a tower alone; or what a file of a
            public family holds, wrapped and prefixed in whatever way (`read_state`).

    Raises:
        CheckpointError: They are neither.
    """
    weights = document if _OWN_B & document.keys() else read_state(document).tensors
    if "class_token" in weights:
        return {f"encoder.{name}": value for name, value in weights.items()}
    return {re.sub(r"^video\.", "encoder.", name): value for name, value in weights.items()}


def initialise_classifier(
    model: nn.Module, document: Mapping[str, Any], *, new: str = r"(?!)"
) -> StartReport:
    """Fill a classifier with what a checkpoint has for it; the rest keeps its start.

    A head of another number of classes is left out, but for Kinetics-710's, whose first 400 rows
    are Kinetics-400's. For other label sets choose its rows first (`heads.map_head_rows`).

    Args:
        model: A `heads.VideoClassifier`, filled in place once everything is known to fit.
        document: What `classifier_weights` reads.
        new: Regular expression for further names that may stay as they are initialised.

    Raises:
        CheckpointError: The encoder is not, or not wholly, in the checkpoint, or is another one.
    """
    own, weights = model.state_dict(), classifier_weights(document)
    known, wanted = (
        len(part["head.weight"]) if "head.weight" in part else 0 for part in (weights, own)
    )
    for name in _HEAD:
        if (known, wanted) == (710, 400):
            weights[name] = weights[name][:wanted]
        elif known != wanted:
            weights.pop(name, None)
    _fit_positions(model, weights)
    unused = tuple(name for name in weights if name not in own)
    if lost := [name for name in unused if name.startswith(_OF_ENCODERS)]:
        raise CheckpointError(
            f"{len(lost)} tensors of the checkpoint's encoder have no place in the model "
            f"({lost[0]}, ...); configure the encoder as it was pretrained"
        )
    may_be_new = f"{_NEW_TO_ENCODERS}|{new}"
    if "encoder.query_token" not in weights:
        may_be_new = f"{may_be_new}|^encoder\\..*{NEW_TO_CLIP}"
    used = {name: value for name, value in weights.items() if name in own}
    report = load_weights(model, used, may_be_new=may_be_new)
    return StartReport(
        loaded=(*report.loaded, *report.inflated, *report.resized), new=report.new, unused=unused
    )


def _fit_positions(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Resize encoder A's learned table to other places; its slots are taken for the model's."""
    name, encoder = "encoder.pos_embed", model.get_submodule("encoder")
    if name not in weights or not isinstance(encoder, MaskedEncoder):
        return
    grid, (_, count, width) = encoder.config.grid, weights[name].shape
    side = round((count / grid.time) ** 0.5)
    if count != grid.num_tokens and count == grid.time * side**2 and width == encoder.config.width:
        old = TokenGrid(time=grid.time, height=side, width=side)
        weights[name] = resize_positions(weights[name][0].float(), old, grid)[None]
