"""The public families of weights: how each is recognised, and read into our names.

A file is recognised by what it holds and not by what it is called: first the state dict is found
among whatever else was saved with it, then wrappers' prefixes (`module.`, `backbone.`, ...) are
taken off until the names of a family show.
Source: the released state dicts, and the key layouts of `transformers`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from internvideo.errors import CheckpointError, unknown_name
from internvideo.models.positions import sine_table
from internvideo.weights.clip_layouts import (
    INTERNVIDEO_MM,
    OPENAI_CLIP,
    UNIFORMER_V2_CLASSIFIER,
    VICLIP,
    from_transformers_clip,
)
from internvideo.weights.videomae import from_official_classifier, from_transformers

State = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """`marks` are names that every file of the family has; `unused` are names, ours, that some
    have and that no model of ours needs."""

    about: str
    marks: tuple[str, ...]
    read: Callable[[State], dict[str, Tensor]]
    unused: str = r"(?!)"


# What mmaction2 calls otherwise than the official code.
_MMACTION = (
    ("cls_head.fc_cls.", "head."),
    ("patch_embed.projection.", "patch_embed.proj."),
    (".mlp.layers.0.0.", ".mlp.fc1."),
    (".mlp.layers.1.", ".mlp.fc2."),
)


def _read_videomae(state: State) -> dict[str, Tensor]:
    renamed = {}
    for name, value in state.items():
        for theirs, official in _MMACTION:
            name = name.replace(theirs, official)
        renamed[name] = value
    return from_official_classifier(renamed)


def _read_transformers_videomae(state: State) -> dict[str, Tensor]:
    """Read it also where the encoder was saved alone, without `videomae.` before its names."""
    alone = ("embeddings.", "encoder.layer.", "layernorm.")
    whole = {f"videomae.{k}" if k.startswith(alone) else k: v for k, v in state.items()}
    return from_transformers(whole)


def _read_internvideo(state: State) -> dict[str, Tensor]:
    read = INTERNVIDEO_MM.read(state)
    return {name.replace("vqa_classifier.", "classifier."): value for name, value in read.items()}


# Beside a classifier nobody needs what pretraining had; an encoder's norm is then of its tokens.
_PRETRAINING_ONLY = r"decoder\.|encoder_to_decoder\.|mask_token$"

FAMILIES: dict[str, Family] = {
    "videomae": Family(
        about="VideoMAE and VideoMAE V2: pretraining or fine-tuned, official names or mmaction2's",
        marks=(
            r"(encoder\.)?patch_embed\.proj(ection)?\.weight",
            r"(encoder\.)?blocks\.0\.attn\.qkv\.weight",
        ),
        read=_read_videomae,
        unused=_PRETRAINING_ONLY,
    ),
    "transformers-videomae": Family(
        about="VideoMAE of `transformers`: pretraining or classifier",
        marks=(r"(videomae\.)?embeddings\.patch_embeddings\.projection\.weight",),
        read=_read_transformers_videomae,
        unused=_PRETRAINING_ONLY,
    ),
    "uniformerv2": Family(
        about="UniFormerV2: classifier on CLIP with global blocks",
        marks=("conv1.weight", r"transformer\.resblocks\.0\.attn\.in_proj_weight"),
        read=UNIFORMER_V2_CLASSIFIER.read,
    ),
    "internvideo-mm": Family(
        about="InternVideo multimodal: both towers, with or without caption decoder or task head",
        marks=(
            r"visual\.transformer\.dec\.0\.attn\.in_proj_weight",
            r"visual\.conv1\.weight",
            r"token_embedding\.weight",
        ),
        read=_read_internvideo,
        # Further heads of pretraining and retrieval; the released loader, too, keeps the towers.
        unused=r"(?!video|visual|text|transformer|captioner|classifier|norm_post)\w+\.",
    ),
    "viclip": Family(
        about="ViCLIP: joint space-time tower and text tower",
        marks=(r"vision_encoder\.conv1\.weight", r"text_encoder\.token_embedding\.weight"),
        read=VICLIP.read,
    ),
    "openai-clip": Family(
        about="CLIP with a ViT, OpenAI's names",
        marks=(r"visual\.class_embedding", r"visual\.proj", r"token_embedding\.weight"),
        read=OPENAI_CLIP.read,
    ),
    "transformers-clip": Family(
        about="CLIP of `transformers`",
        marks=(r"vision_model\.embeddings\.class_embedding", r"text_model\.final_layer_norm\.bias"),
        read=lambda state: OPENAI_CLIP.read(from_transformers_clip(state)),
    ),
}

# What training scripts and libraries put before all names of a model.
_PREFIXES = ("module.", "model.", "_orig_mod.", "net.", "backbone.", "encoder.", "clip.")
# Averaged copies; they count only where there is nothing else.
_AVERAGED = re.compile(r"ema|averag", re.IGNORECASE)
_PARTS = (
    (re.compile(r"\b(query|key|value)(?=\.weight$)"), ("query", "key", "value")),
    (re.compile(r"\b[qkv](?=_proj\.(weight|bias)$)"), ("q", "k", "v")),
)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ReadWeights:
    """Weights under our names, and how they were found.

    `sources` has the names in the file for each of ours, `dropped` a reason for each name in the
    file that became nothing, `steps` says in words what was taken off.
    """

    family: str
    tensors: dict[str, Tensor]
    sources: dict[str, tuple[str, ...]]
    dropped: dict[str, str]
    steps: tuple[str, ...]

    def without(self, names: Collection[str], reason: str) -> ReadWeights:
        """Drop tensors, by our names."""
        lost = {source: reason for name in names for source in self.sources[name]}
        return replace(
            self,
            tensors={k: v for k, v in self.tensors.items() if k not in names},
            sources={k: v for k, v in self.sources.items() if k not in names},
            dropped=self.dropped | lost,
        )

    def out_of(self, start: str) -> ReadWeights:
        """Take `start` off our names."""
        return replace(
            self,
            tensors={k.removeprefix(start): v for k, v in self.tensors.items()},
            sources={k.removeprefix(start): v for k, v in self.sources.items()},
        )


def read_state(document: Mapping[str, Any], family: str | None = None) -> ReadWeights:
    """Find the state dict in what a file holds and read it into our names.

    Args:
        document: Tensors by name, perhaps in another dictionary among counts and optimisers.
        family: A name of `FAMILIES`, to insist on it; by default it is recognised.

    Raises:
        CheckpointError: No state dict, or of no known family or not the one insisted on.
    """
    if family is not None and family not in FAMILIES:
        raise unknown_name("family of weights", family, FAMILIES)
    state, steps = _find_state(document, family)
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    dropped = dict.fromkeys(state.keys() - tensors.keys(), "no tensor")
    found, short, prefixes = _recognise(tensors, family)
    steps += [f"took off the prefix {prefix!r}" for prefix in prefixes]
    steps += [f"recognised {FAMILIES[found].about} ({found})"]
    ours = FAMILIES[found].read({short[name]: value for name, value in tensors.items()})
    sources: dict[str, tuple[str, ...]] = {}
    for name in tensors:
        if (own := _our_name(found, short[name])) is None:
            dropped[name] = "no weight"
        else:
            sources[own] = (*sources.get(own, ()), name)
    table = ours.get("encoder.pos_embed")
    if table is not None and _is_fixed(table):
        del ours["encoder.pos_embed"]
        for name in sources.pop("encoder.pos_embed"):
            dropped[name] = "the fixed table, which the model makes itself"
    return ReadWeights(
        family=found, tensors=ours, sources=sources, dropped=dropped, steps=tuple(steps)
    )


def _find_state(document: Mapping[str, Any], family: str | None) -> tuple[State, list[str]]:
    """The dictionary of tensors that is a family's; an average only where it is the only one."""
    found = sorted(_states(document), key=lambda pair: bool(_AVERAGED.search(".".join(pair[0]))))
    if not found:
        kept = ", ".join(map(str, list(document)[:6])) or "nothing"
        raise CheckpointError(f"there is no state dict (names with tensors) in it, but {kept}")
    largest = max(found, key=lambda pair: len(pair[1]))
    path, state = next((pair for pair in found if _matches(pair[1], family)), largest)
    return state, [f"took the weights from {'.'.join(path)!r}"] if path else []


def _states(
    document: Mapping[Any, Any], path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], State]]:
    if sum(isinstance(value, Tensor) for value in document.values()) * 2 > len(document):
        yield path, {str(name): value for name, value in document.items()}
    elif len(path) < 3:
        for name, value in document.items():
            if isinstance(value, Mapping):
                yield from _states(value, (*path, str(name)))


def _matches(state: State, family: str | None) -> bool:
    try:
        _recognise(state, family)
    except CheckpointError:
        return False
    return True


def _recognise(state: State, family: str | None) -> tuple[str, dict[str, str], list[str]]:
    """The family, the names without prefixes, and these prefixes, outermost first."""
    short, prefixes = {name: name for name in state}, []
    while True:
        names = list(short.values())
        for candidate in FAMILIES if family is None else [family]:
            marks = FAMILIES[candidate].marks
            if all(any(re.fullmatch(mark, name) for name in names) for mark in marks):
                return candidate, short, prefixes
        starts = Counter(start for name in names for start in _PREFIXES if name.startswith(start))
        if not starts:
            break
        prefix = starts.most_common(1)[0][0]
        prefixes.append(prefix)
        short = {name: left.removeprefix(prefix) for name, left in short.items()}
    asked = repr(family) if family else f"any family that we know ({', '.join(FAMILIES)})"
    first = ", ".join(list(state)[:3])
    raise CheckpointError(f"its {len(state)} tensors ({first}, ...) are not named as in {asked}")


def _our_name(family: str, name: str) -> str | None:
    """Ask a family's reading what becomes of one name, or of the three that are packed into one."""
    together = [name]
    for pattern, parts in _PARTS:
        if pattern.search(name):
            together = [pattern.sub(part, name) for part in parts]
    read = FAMILIES[family].read({each: torch.zeros(1, 1) for each in together})
    return next(iter(read), None)


def _is_fixed(table: Tensor) -> bool:
    if table.ndim != 3:
        return False
    return torch.allclose(table[0].float(), sine_table(*table.shape[1:]), atol=1e-5)
