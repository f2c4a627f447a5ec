"""Muon (Jordan et al. 2024): each step is the momentum of a matrix, made nearly orthogonal.

The rule is `torch.optim.Muon`'s with its usual settings, and so is the state; steps are scaled to
the size of AdamW's (arXiv:2502.16982). Differs: matrices of one shape are made orthogonal together,
and in fp32 on processors that do not multiply bf16, where torch's bf16 takes several times as long
(`benchmarks/muon-2026-11-29-1core.md`).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from internvideo.training.precision import resolve_precision


class Muon(torch.optim.Muon):
    """See the top of this file; every group brings its `weight_decay`."""

    def __init__(self, groups: Iterable[dict], *, lr: float) -> None:
        super().__init__(groups, lr=lr, adjust_lr_fn="match_rms_adamw")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        if closure is not None:
            raise ValueError("a closure is not supported; compute gradients before the step")
        for group in self.param_groups:
            of_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for parameter in group["params"]:
                if parameter.grad is not None:
                    of_shape[parameter.shape].append(parameter)
            for shape, parameters in of_shape.items():
                moments = [self._moment(p, group["momentum"]) for p in parameters]
                updates = orthogonal(
                    torch.stack(moments), group["ns_coefficients"], group["ns_steps"]
                )
                size = 0.2 * math.sqrt(max(shape))
                torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
                torch._foreach_add_(parameters, updates.unbind(), alpha=-group["lr"] * size)
        return None

    def _moment(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum of the gradient."""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        moment = state["momentum_buffer"].lerp_(gradient, 1 - momentum)
        return gradient.lerp(moment, momentum)


def orthogonal(
    matrices: Float[Tensor, "n rows columns"],
    coefficients: Sequence[float],
    num_steps: int,
) -> Float[Tensor, "n rows columns"]:
    """Bring all singular values near 1, by Newton and Schulz's iteration of fifth order."""
    a, b, c = coefficients
    is_tall = matrices.shape[1] > matrices.shape[2]
    found = matrices.mT if is_tall else matrices
    if resolve_precision("auto", matrices.device) == "bf16":
        found = found.bfloat16()
    found = found / found.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(num_steps):
        gram = found @ found.mT
        found = torch.baddbmm(
            found, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), found, beta=a
        )
    return (found.mT if is_tall else found).to(matrices.dtype)
