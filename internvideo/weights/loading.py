"""Loading weights strictly: each tensor is loaded, inflated, resized, left new, or an error.

Source: the released UniFormerV2 code (a 2-D patch kernel goes to the central frame of a 3-D one);
position tables are resized as in positions.py, which the released code leaves to the user.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.errors import CheckpointError
from internvideo.models.positions import resize_positions
from internvideo.models.uniformer import UniFormer
from internvideo.values import TokenGrid
from internvideo.weights.clip_layouts import OPENAI_CLIP

# What encoder B has and CLIP has not.
NEW_TO_CLIP = (
    r"(global_blocks\.|query_token$|balance$|mask_token$|time_positions$"
    r"|captioner\.|\.local\d\.)"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """What became of the tensors of a model: names of ours, in its order."""

    loaded: tuple[str, ...]
    inflated: tuple[str, ...]  # patch kernels of images, put to the central frame
    resized: tuple[str, ...]  # position tables of another grid or a longer context
    new: tuple[str, ...]  # not in the file, left as they were

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded"]
        for what in ("inflated", "resized", "new"):
            names = getattr(self, what)
            parts += [f"{len(names)} {what} ({_shortened(names)})"] if names else []
        return ", ".join(parts)


def initialise_from_clip(model: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Start a `MultimodalEncoder`, a `Viclip` or a `UniFormer` from CLIP's weights.

    Global blocks and local branches start as identity, so a video then embeds as the mean of what
    CLIP's last layer makes of its frames.

    Args:
        model: Filled in place; a `UniFormer` takes the image tower alone.
        state: CLIP's state dict in the layout of its own release (for `transformers`, call
            `from_transformers_clip` first), on any device, in any precision.

    Raises:
        CheckpointError: A tensor of CLIP is missing, left over or does not fit.
    """
    ours = OPENAI_CLIP.read(state)
    if isinstance(model, UniFormer):
        ours = {k.removeprefix("video."): v for k, v in ours.items() if k.startswith("video.")}
    elif not hasattr(model, "norm_post"):  # ViCLIP's tower ends in its norm
        ours = {k.replace("norm_post.", "video.norm."): v for k, v in ours.items()}
    return load_weights(model, ours, may_be_new=NEW_TO_CLIP)


@torch.no_grad()
def load_weights(
    model: nn.Module, state: Mapping[str, Tensor], *, may_be_new: str = r"(?!)"
) -> LoadReport:
    """Fill a model from a state dict under our names.

    Args:
        model: Filled in place, once everything is known to fit.
        state: Tensors in any precision; patch kernels and position tables may have other sizes.
        may_be_new: Regular expression for names that the state may lack; by default none may.

    Raises:
        CheckpointError: A tensor is missing, left over or does not fit.
    """
    own = model.state_dict()
    fitted, values = _fitted(own, state, may_be_new)
    _check_values(model, values)
    model.load_state_dict(values, strict=False)
    missing = tuple(name for name in own if name not in state)
    return LoadReport(**{k: tuple(v) for k, v in fitted.items()}, new=missing)


def check_weights(
    model: nn.Module, state: Mapping[str, Tensor], *, may_be_new: str = r"(?!)"
) -> None:
    """Raise what `load_weights` would for names and shapes; the model may be on "meta"."""
    _fitted(model.state_dict(), state, may_be_new)


def _fitted(
    own: Mapping[str, Tensor], state: Mapping[str, Tensor], may_be_new: str
) -> tuple[dict[str, list[str]], dict[str, Tensor]]:
    """What is done to each tensor, and their values as the model takes them."""
    missing = [name for name in own if name not in state]
    if unexpected := [name for name in missing if not re.search(may_be_new, name)]:
        raise CheckpointError(
            f"{len(unexpected)} tensors of the model are missing from the weights "
            f"({_shortened(unexpected)}); is this the checkpoint of another model or depth?"
        )
    if left_over := [name for name in state if name not in own]:
        raise CheckpointError(
            f"{len(left_over)} tensors of the weights have no place in the model "
            f"({_shortened(left_over)}); configure the model to match, or remove them"
        )
    fitted: dict[str, list[str]] = {"loaded": [], "inflated": [], "resized": []}
    values = {}
    for name in own:
        if name in state:
            value, dtype = state[name], own[name].dtype
            if value.is_floating_point() != dtype.is_floating_point or value.is_complex():
                raise CheckpointError(
                    f"{name}: the weights are {value.dtype}, the model needs {dtype}; numbers of "
                    "another kind (quantised, or of something else) are not weights"
                )
            how, values[name] = _fit(name, value.to(dtype), own[name])
            fitted[how].append(name)
    return fitted, values


def _check_values(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    """Refuse weights that are not finite; buffers may hold infinities, such as masks."""
    parameters = dict(model.named_parameters())
    for name, value in values.items():
        if not value.is_floating_point():
            continue
        is_fine = value.isfinite() if name in parameters else ~value.isnan()
        if not bool(is_fine.all()):
            raise CheckpointError(
                f"{name}: {int((~is_fine).sum())} of its {value.numel()} weights are not finite; "
                "the file is damaged or its training diverged"
            )


def inflate_kernel(
    kernel: Float[Tensor, "d c dh dw"], num_frames: int, *, centre: bool = True
) -> Float[Tensor, "d c dt dh dw"]:
    """Let a kernel of images read clips: the central frame alone, or the mean of all frames."""
    if not centre:
        return kernel[:, :, None].expand(-1, -1, num_frames, -1, -1) / num_frames
    inflated = kernel.new_zeros(*kernel.shape[:2], num_frames, *kernel.shape[2:])
    inflated[:, :, num_frames // 2] = kernel
    return inflated


def _fit(name: str, value: Tensor, own: Tensor) -> tuple[str, Tensor]:
    shape = own.shape
    if value.shape == shape:
        return "loaded", value
    if name.endswith("patch_embed.weight") and value.ndim == 4:
        inflated = inflate_kernel(value, shape[2])
        if inflated.shape == shape:
            return ("loaded" if shape[2] == 1 else "inflated"), inflated
    if name.endswith("time_positions") and value.ndim == 2 and value.shape[1] == shape[1]:
        old, new = (TokenGrid(time=rows, height=1, width=1) for rows in (len(value), shape[0]))
        return "resized", resize_positions(value, old, new)
    if name.endswith("positions") and value.ndim == 2 and value.shape[1] == shape[1]:
        if name.startswith("text.") and len(value) > shape[0]:
            return "resized", value[: shape[0]]
        sides = [round((rows - 1) ** 0.5) for rows in (len(value), shape[0])]
        if not name.startswith("text.") and sides[0] ** 2 + 1 == len(value):
            old, new = (TokenGrid(time=1, height=side, width=side) for side in sides)
            return "resized", torch.cat([value[:1], resize_positions(value[1:], old, new)])
    raise CheckpointError(
        f"{name}: the weights have shape {tuple(value.shape)}, the model needs {tuple(shape)}"
    )


def _shortened(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
