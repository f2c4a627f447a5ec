"""The overfit check: can a network memorise a handful of clips? If not, training is in vain.

Shapes: logits (b, y), labels (b,).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Int64
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True, slots=True)
class OverfitCheck:
    """How far it came: updates done, and the loss and right answers before and after them."""

    num_clips: int
    num_right: int
    num_steps: int
    first_loss: float
    last_loss: float
    out_of_time: bool = False

    @property
    def succeeded(self) -> bool:
        return self.num_right == self.num_clips

    def __str__(self) -> str:
        losses = f"loss {self.first_loss:.3g} to {self.last_loss:.3g} in {self.num_steps} steps"
        if self.succeeded:
            return f"memorised {self.num_clips} clips: {losses}"
        if not math.isfinite(self.last_loss):
            why = "the loss is not finite: lower the learning rate, or use training.precision=fp32"
        elif self.last_loss < 0.7 * self.first_loss:
            why = "it was still learning; " + (
                "its time was up, nothing looks wrong"
                if self.out_of_time
                else "expect slow training, or raise the learning rate"
            )
        elif self.out_of_time:
            why = "its time was up; this tells nothing either way"
        else:
            why = (
                "it learns nothing from them: check that they differ and that their labels are "
                "right, then try another preset or learning rate"
            )
        return f"memorised only {self.num_right} of {self.num_clips} clips: {losses}; {why}"


def overfit_check(
    logits: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    labels: Int64[Tensor, " b"],
    *,
    lr: float,
    most_steps: int = 100,
    limit_s: float = 60.0,
) -> OverfitCheck:
    """Train on the same clips until all of them are right; the parameters are changed.

    Args:
        logits: Scores the clips.
        parameters: What may be learned; those that are frozen are left alone.
        labels: Of the clips.
        lr: Rate of AdamW, constant.
        most_steps: Updates after which to give up.
        limit_s: Seconds after which to give up.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=lr, weight_decay=0.0)
    losses: list[float] = []
    deadline = time.monotonic() + limit_s
    while True:
        scores = logits().float()
        loss = F.cross_entropy(scores, labels)
        losses.append(loss.item())
        num_right = int((scores.argmax(1) == labels).sum())
        num_steps, late = len(losses) - 1, time.monotonic() > deadline
        done = num_right == len(labels) and losses[-1] < 0.9 * losses[0]
        if done or late or num_steps == most_steps or not math.isfinite(losses[-1]):
            return OverfitCheck(
                num_clips=len(labels),
                num_right=num_right,
                num_steps=num_steps,
                first_loss=losses[0],
                last_loss=losses[-1],
                out_of_time=late,
            )
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
