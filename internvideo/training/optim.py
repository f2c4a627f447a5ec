"""Optimiser groups, layer-wise learning-rate decay and the learning-rate schedule.

Source: the released fine-tuning code of VideoMAE (facts in its `optim_factory` and `utils`), pinned
by the recorded case `optim_layer_decay_cosine`. Differs: nothing in the numbers; the schedule is a
function of the step and not a table, so that resuming needs only the step.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from internvideo.errors import ConfigError
from internvideo.training.muon import Muon

logger = logging.getLogger(__name__)

_BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
# Before the first block: what embeds tokens, and what is added to them.
_EMBEDDING = re.compile(
    r"(?:^|\.)(patch_embed\.|stem\.|norm_pre\.|(pos_embed|mask_token|class_token|positions)$)"
)
_OF_MUON = re.compile(r"(?:^|\.)(?:(?:(?:global_)?blocks|multimodal_layers)\.\d+|stem)\.")
_NEVER_DECAYED = re.compile(
    r"(?:^|\.)(pos_embed|mask_token|positions|visual_queries|token_embed\.weight)$"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimiserConfig:
    """AdamW with linear warm-up, then half a cosine or a line (`decay`) down to `final_lr`.

    The defaults are masked pretraining's.

    With `muon` the matrices inside blocks and of a stem follow Muon (Jordan et al. 2024), whose
    steps are scaled to the size of AdamW's (arXiv:2502.16982), at that multiple of the rate; the
    rest stays with AdamW. Small networks leave their first plateau in fewer steps with it.
    With `reference_batch` the rates are multiplied by videos per step / reference_batch (256 in the
    published recipes; repeated views of a video are not counted).
    `rates` multiplies the rate of parameters by name: {pattern: factor}, the first pattern found in
    a parameter's name counts. Single numbers, such as gates, need steps much larger than those of
    matrices. A pattern found in no name, as where that part is switched off, brings a warning.
    """

    lr: float = 1.5e-4
    final_lr: float = 1e-5
    start_lr: float = 0.0
    reference_batch: int | None = None
    warmup_steps: int = 0
    decay: Literal["cosine", "linear"] = "cosine"
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    layer_decay: float = 1.0
    clip_gradient: float | None = None
    muon: float | None = None
    rates: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ConfigError(f"learning rate lr is {self.lr}; it must be positive")
        if self.warmup_steps < 0:
            raise ConfigError(f"warmup_steps is {self.warmup_steps}; it must not be negative")
        if not 0 < self.layer_decay <= 1:
            raise ConfigError(f"layer_decay is {self.layer_decay}; it must lie in (0, 1]")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ConfigError(f"betas are {self.betas}; both must lie in [0, 1)")
        if self.clip_gradient is not None and self.clip_gradient <= 0:
            raise ConfigError(f"clip_gradient is {self.clip_gradient}; it must be positive or none")
        if self.muon is not None and self.muon <= 0:
            raise ConfigError(f"muon is {self.muon}; it must be positive or none")
        for pattern, factor in self.rates.items():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ConfigError(f"rates: {pattern!r} is not a pattern: {error}") from error
            if factor <= 0:
                raise ConfigError(f"rates: {pattern!r} has {factor}; it must be positive")
        if self.reference_batch is not None and self.reference_batch < 1:
            raise ConfigError(f"reference_batch is {self.reference_batch}; it must be at least 1")

    def lr_at(self, step: int, *, num_steps: int, videos_per_step: int) -> float:
        """Learning rate of optimiser step `step`, counted from 0."""
        scale = videos_per_step / self.reference_batch if self.reference_batch else 1.0
        schedule = linear_schedule if self.decay == "linear" else cosine_schedule
        return scale * schedule(
            step,
            base=self.lr,
            final=min(self.final_lr, self.lr),
            num_steps=num_steps,
            warmup_steps=self.warmup_steps,
            start=self.start_lr,
        )


def linear_schedule(
    step: int,
    *,
    base: float,
    final: float,
    num_steps: int,
    warmup_steps: int = 0,
    start: float = 0.0,
) -> float:
    """Value at `step`: a line from `start` to `base`, then one to `final` at `num_steps`.

    Source: `get_linear_schedule_with_warmup` of transformers, with a start and an end.
    """
    if step < warmup_steps:
        return start + (base - start) * step / warmup_steps
    return base + (final - base) * (step - warmup_steps) / max(1, num_steps - warmup_steps)


def cosine_schedule(
    step: int,
    *,
    base: float,
    final: float,
    num_steps: int,
    warmup_steps: int = 0,
    start: float = 0.0,
) -> float:
    """Value at `step`: a line from `start` that reaches `base`, then half a cosine to `final`.

    As published, the last warm-up step and the first cosine step both have the value `base`.
    """
    if step < warmup_steps:
        return start + (base - start) * (step / (warmup_steps - 1) if warmup_steps > 1 else 0.0)
    length = max(1, num_steps - warmup_steps)
    return final + (base - final) / 2 * (1 + math.cos(math.pi * (step - warmup_steps) / length))


def layer_index(name: str, *, num_layers: int) -> int:
    """Place a parameter in the stack: 0 embeddings, i + 1 block i, num_layers + 1 what follows."""
    if _EMBEDDING.search(name):
        return 0
    block = _BLOCK.search(name)
    return int(block.group(1)) + 1 if block else num_layers + 1


def parameter_groups(
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    *,
    weight_decay: float,
    layer_decay: float = 1.0,
    rates: Mapping[str, float] | None = None,
) -> list[dict]:
    """Group trainable parameters by weight decay, by distance from the output, and by `rates`.

    One-dimensional parameters, biases, position tables and mask tokens are not decayed. Each group
    has `params`, `names`, `weight_decay` and `lr_scale` = layer_decay ** (layers above it), times
    the factor of the first of `rates` whose pattern is found in the name.
    """
    rates = rates or {}
    trainable = [(name, p) for name, p in named_parameters if p.requires_grad]
    blocks = [int(match.group(1)) for name, _ in trainable if (match := _BLOCK.search(name))]
    num_layers = max(blocks, default=-1) + 1
    groups: dict[tuple[int, bool, bool, float], dict] = {}
    for name, parameter in trainable:
        exempt = _NEVER_DECAYED.search(name) is not None
        decayed = parameter.ndim > 1 and not name.endswith(".bias") and not exempt
        layer = layer_index(name, num_layers=num_layers) if layer_decay < 1 else 0
        above = num_layers + 1 - layer if layer_decay < 1 else 0
        factor = next((rates[pattern] for pattern in rates if re.search(pattern, name)), 1.0)
        group = groups.setdefault(
            (layer, decayed, exempt, factor),
            {
                "params": [],
                "names": [],
                "weight_decay": weight_decay if decayed else 0.0,
                "lr_scale": layer_decay**above * factor,
            },
        )
        group["params"].append(parameter)
        group["names"].append(name)
    return list(groups.values())


def build_optimisers(model: nn.Module, config: OptimiserConfig) -> list[torch.optim.Optimizer]:
    """Fused AdamW over the trainable parameters of `model`, and Muon for matrices if configured."""
    groups = parameter_groups(
        model.named_parameters(),
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        rates=config.rates,
    )
    for pattern in config.rates:
        if not any(re.search(pattern, name) for name, _ in model.named_parameters()):
            logger.warning("rates: %r is in no parameter's name and changes nothing", pattern)
    if not groups:
        raise ConfigError("the model has no trainable parameter; unfreeze a part of it")
    of_muon: list[dict] = []
    of_adamw: list[dict] = []
    for group in groups:
        pairs = list(zip(group.pop("names"), group.pop("params"), strict=True))
        for chosen, wanted in ((of_adamw, False), (of_muon, True)):
            parameters = [p for n, p in pairs if bool(config.muon and _is_matrix(n, p)) == wanted]
            # Sharded and whole ones do not go into one fused step.
            for is_sharded in (True, False):
                alike = [p for p in parameters if isinstance(p, DTensor) == is_sharded]
                if alike:
                    chosen.append({**group, "params": alike})
    for group in of_muon:
        group["lr_scale"] *= config.muon
    optimisers: list[torch.optim.Optimizer] = []
    if of_adamw:
        optimisers.append(
            torch.optim.AdamW(
                of_adamw,
                lr=config.lr,
                betas=config.betas,
                eps=config.eps,
                weight_decay=0.0,
                fused=True,
            )
        )
    if of_muon:
        optimisers.append(Muon(of_muon, lr=config.lr))
    return optimisers


def count_moments(
    named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimiserConfig
) -> int:
    """How many numbers the optimisers keep: two a trainable weight, one where Muon trains it."""
    return sum(
        parameter.numel() * (1 if config.muon and _is_matrix(name, parameter) else 2)
        for name, parameter in named_parameters
        if parameter.requires_grad
    )


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.ndim == 2 and _OF_MUON.search(name) is not None


def set_lr(optimisers: Iterable[torch.optim.Optimizer], lr: float) -> None:
    """Give every group its share of the step's learning rate."""
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = lr * group["lr_scale"]
