"""Muon (Jordan et al. 2024): each step is the momentum of a matrix, made nearly orthogonal.

The rule is `torch.optim.Muon`'s with its usual settings, and so is the state; steps are scaled to
the size of AdamW's (arXiv:2502.16982). Differs: matrices of one shape are made orthogonal together,
and in fp32 on processors that do not multiply bf16, where torch's bf16 takes several times as long
(`benchmarks/muon-2026-11-29-1core.md`). Among ranks each makes its share of the matrices
orthogonal, and they exchange them; sharded matrices are gathered for it, shape by shape.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from internvideo.training.gradients import local
from internvideo.training.parallel import is_distributed
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
                moments = [_whole(self._moment(p, group["momentum"])) for p in parameters]
                updates = _orthogonal_among_ranks(
                    torch.stack(moments), group["ns_coefficients"], group["ns_steps"]
                )
                alike = zip(updates, parameters, strict=True)
                own = [_part_like(update, parameter) for update, parameter in alike]
                size, lr = 0.2 * math.sqrt(max(shape)), group["lr"]
                taken = self._taken()
                parts = [local(parameter) for parameter in parameters]
                if taken is None:
                    torch._foreach_mul_(parts, 1 - lr * group["weight_decay"])
                    torch._foreach_add_(parts, own, alpha=-lr * size)
                else:
                    torch._foreach_mul_(parts, 1 - taken * lr * group["weight_decay"])
                    torch._foreach_mul_(own, taken * -lr * size)
                    torch._foreach_add_(parts, own)
        return None

    def _taken(self) -> Tensor | None:
        """1 where the step is taken and 0 where not; None where nobody asked (see `StepGuard`)."""
        bad = getattr(self, "found_inf", None)
        return None if bad is None else 1 - bad

    def _moment(self, parameter: Tensor, momentum: float) -> Tensor:
        """Nesterov's momentum of the gradient."""
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        weight: Any = 1 - momentum
        if (taken := self._taken()) is not None:
            own = local(gradient)
            own.copy_(torch.where(taken > 0, own, 0.0))  # what is not finite stays out
            local(state["momentum_buffer"]).lerp_(own, weight * taken)
        else:
            state["momentum_buffer"].lerp_(gradient, weight)
        return gradient.lerp(state["momentum_buffer"], momentum)


def _whole(tensor: Tensor) -> Tensor:
    """A matrix of which each rank has a part, gathered."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def _part_like(update: Float[Tensor, "rows columns"], parameter: Tensor) -> Tensor:
    """Of an update, the part that this rank has of the parameter."""
    if not isinstance(parameter, DTensor):
        return update.clone()
    mesh, placements = parameter.device_mesh, parameter.placements
    # Every rank has the whole update already: nothing is sent.
    return distribute_tensor(update, mesh, placements, src_data_rank=None).to_local().clone()


def _orthogonal_among_ranks(
    matrices: Float[Tensor, "n rows columns"], coefficients: Sequence[float], num_steps: int
) -> Float[Tensor, "n rows columns"]:
    """`orthogonal`, each rank doing every k-th matrix."""
    if not is_distributed():
        return orthogonal(matrices, coefficients, num_steps)
    rank, count = dist.get_rank(), dist.get_world_size()
    each = -(-len(matrices) // count)
    own = matrices.new_zeros(each, *matrices.shape[1:])
    mine = matrices[rank::count]
    if len(mine):
        own[: len(mine)] = orthogonal(mine, coefficients, num_steps)
    parts = [torch.empty_like(own) for _ in range(count)]
    dist.all_gather(parts, own)
    return torch.stack(parts, dim=1).flatten(0, 1)[: len(matrices)]


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
