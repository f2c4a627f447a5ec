"""A classifier starts from the weights of a pretraining, or of a classifier with other classes.

Source: `run_class_finetuning.py` and `utils.load_state_dict` of VideoMAE in the release. Names are
those of `heads.VideoClassifier`: the encoder's below `encoder.`, then `fc_norm.` and `head.`.
Differs from the released code: a part of the encoder that the checkpoint lacks, and a block that
has no place in the model, are errors and not lines in the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from internvideo.errors import CheckpointError
from internvideo.models.masked_encoder import MaskedEncoder
from internvideo.models.positions import resize_positions
from internvideo.models.weights.layouts import INTERNVIDEO_MM, UNIFORMER_V2
from internvideo.models.weights.loading import NEW_TO_CLIP, load_weights
from internvideo.models.weights.masked_encoder import from_official_classifier, from_transformers
from internvideo.values import TokenGrid

_WRAPPERS = ("model", "module", "state_dict", "model_state")
_PREFIXES = ("backbone.", "encoder.")
_HEAD = ("head.weight", "head.bias")
_HEAD_OF_UNIFORMER = (("head.norm.", "fc_norm."), ("head.linear.", "head."))
# What a classifier has beyond its encoder; the norm of tokens is the other pooling's.
_NEW_TO_ENCODERS = r"^(fc_norm|pool|head|encoder\.norm)\."


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


def unwrap(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Find the state dict in a training checkpoint; a state dict is returned as it is."""
    return next((found[name] for name in _WRAPPERS if isinstance(found.get(name), Mapping)), found)


def strip_prefixes(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Remove `backbone.` or `encoder.` before names, once; names of a decoder stay."""
    prefixes = {name: next((p for p in _PREFIXES if name.startswith(p)), "") for name in state}
    return {name.removeprefix(prefixes[name]): value for name, value in state.items()}


def classifier_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give weights of encoder A or B, in any layout that we know, the names of our classifier.

    These are ours, of pretraining or of a classifier, VideoMAE's release and `transformers`,
    UniFormerV2's release, and towers of CLIP and InternVideo-MM.
    """
    if any(".resblocks." in name for name in state):
        if not any(name.removeprefix("clip.").startswith("visual.") for name in state):
            return from_official_uniformer(state)
        state = INTERNVIDEO_MM.read(state)
    if any(name.startswith("video.") for name in state):
        return {
            f"encoder.{name.removeprefix('video.')}" if name.startswith("video.") else name: value
            for name, value in state.items()
        }
    if any(name.startswith("videomae.") for name in state):
        return from_transformers(state)
    if "class_token" in state:
        return {f"encoder.{name}": value for name, value in state.items()}
    if "encoder.class_token" in state:
        return dict(state)
    return from_official_classifier(strip_prefixes(state))


def from_official_uniformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename a state of UniFormerV2's release to a classifier's with pooling "query"."""
    renamed = {}
    for name, value in UNIFORMER_V2.read(state).items():
        for theirs, ours in _HEAD_OF_UNIFORMER:
            if name.startswith(theirs):
                renamed[ours + name.removeprefix(theirs)] = value
                break
        else:
            renamed[f"encoder.{name}"] = value
    return renamed


def to_official_uniformer(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `from_official_uniformer`."""
    renamed = {}
    for name, value in state.items():
        for theirs, ours in _HEAD_OF_UNIFORMER:
            if name.startswith(ours):
                renamed[theirs + name.removeprefix(ours)] = value
                break
        else:
            renamed[name.removeprefix("encoder.")] = value
    return UNIFORMER_V2.write(renamed)


def initialise_classifier(model: nn.Module, state: Mapping[str, Tensor]) -> StartReport:
    """Fill a classifier with what a checkpoint has for it; the rest keeps its start.

    A head of another number of classes is left out, but for Kinetics-710's, whose first 400 rows
    are Kinetics-400's. For other label sets choose its rows first (`heads.map_head_rows`).

    Args:
        model: A `heads.VideoClassifier`, filled in place once everything is known to fit.
        state: Weights in a layout that `classifier_weights` knows.

    Raises:
        CheckpointError: The encoder is not, or not wholly, in the checkpoint, or is another one.
    """
    own, weights = model.state_dict(), classifier_weights(state)
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
    if blocks := [
        name for name in unused if name.startswith(("encoder.blocks.", "encoder.global_"))
    ]:
        raise CheckpointError(
            f"{len(blocks)} tensors of the checkpoint's encoder have no place in the model "
            f"({blocks[0]}, ...); configure the encoder as it was pretrained"
        )
    may_be_new = _NEW_TO_ENCODERS
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
