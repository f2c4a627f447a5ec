"""Gradients of a whole step: their norm, clipping, and steps that must not be taken.

Parameters may be sharded (DTensors), whole, or some of each. Nothing here waits for the device:
whether a step is taken is a number on the device that the optimisers are given.
Source of skipping: loss spikes as in PaLM (arXiv:2204.02311, section 5.1), where the batches of a
spike are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from internvideo.training.parallel import sum_over_ranks

_WINDOW = 50  # steps whose losses the next one is compared with
_LEAST = 10  # and how many of them there must be


def total_norm(parameters: Iterable[nn.Parameter]) -> Float[Tensor, ""]:
    """Euclidean norm of all gradients, the same on every rank."""
    sharded: list[Tensor] = []
    whole: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is not None:
            (sharded if isinstance(parameter.grad, DTensor) else whole).append(parameter.grad)
    norms = []
    if sharded:
        norms.append(nn.utils.get_total_norm(sharded).full_tensor())
    if whole:
        norms.append(nn.utils.get_total_norm(whole))
    return norms[0] if len(norms) == 1 else torch.stack(norms).norm()


@torch.no_grad()
def clip(parameters: Iterable[nn.Parameter], limit: float, norm: Float[Tensor, ""]) -> None:
    """Scale gradients so that their norm is at most `limit`."""
    gradients = [local(p.grad) for p in parameters if p.grad is not None]
    torch._foreach_mul_(gradients, (limit / (norm + 1e-6)).clamp(max=1.0))


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a sharded tensor, which shares its memory; another tensor itself."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


class StepGuard:
    """Says which steps must not be taken, and counts them.

    A step is bad where its loss or the norm of its gradients is not finite, or where its loss is
    more than `jump` times the median of the last steps.
    """

    def __init__(self, jump: float | None, device: torch.device) -> None:
        self._jump = jump
        self._losses = torch.full((_WINDOW,), torch.nan, device=device)
        self._position = 0
        self.num_skipped = torch.zeros((), device=device)

    def is_bad(self, loss: Float[Tensor, ""], norm: Float[Tensor, ""]) -> Float[Tensor, ""]:
        """1.0 where the step must not be taken, 0.0 where it may; the same on every rank."""
        loss = sum_over_ranks(loss.detach().float())
        bad = ~(loss.isfinite() & norm.isfinite())
        if self._jump is not None:
            known = self._losses.isfinite().sum() >= _LEAST
            bad = bad | (known & (loss > self._jump * self._losses.nanmedian()))
        self._losses[self._position] = torch.where(bad, torch.nan, loss)
        self._position = (self._position + 1) % _WINDOW
        self.num_skipped += bad
        return bad.float()


def tell(optimisers: Sequence[torch.optim.Optimizer], bad: Float[Tensor, ""] | None) -> None:
    """Give optimisers the number that makes them leave everything as it is; None takes it away."""
    for optimiser in optimisers:
        optimiser.found_inf = bad
