"""Memory of one rank, from a step that is carried out without any numbers.

The network is built of fake tensors, which have shapes and no memory, and goes forward and backward
once under the run's precision while all storage that is alive is counted. So activations are those
that autograd really keeps, whatever the network is made of.
Not counted: kernels' own workspace, fragments of the allocator, the CUDA context (about half a GB).
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from internvideo.models import fused_attention_only
from internvideo.training.parallel import Strategy
from internvideo.training.precision import Precision, autocast

# A loss of the micro-batch, from a network on the device that `torch.device` says.
Example = Callable[[nn.Module, int], Tensor]


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of all storage that operations made and that is alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._count(leaf.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)
        if key in self._sizes:
            return
        self._sizes[key] = storage.nbytes()
        self.now += storage.nbytes()
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepMemory:
    """What one process needs for a step, in bytes; nothing is sharded yet.

    `activations` are alive when the forward pass ends, `peak` is beside the weights and includes
    gradients as they come. `largest_blocks` are the weights of the two largest blocks of stacks,
    `outside` those of no stack.
    """

    weights: int
    buffers: int
    trained: int
    activations: int
    peak: int
    forward_peak: int
    largest_blocks: int
    outside: int
    cast: int


def step_memory(
    build: Callable[[], nn.Module],
    example: Example,
    batch_size: int,
    *,
    precision: Precision,
    as_on_gpu: bool = False,
    accumulates: bool = False,
) -> StepMemory:
    """Carry out a step on `batch_size` clips with fake tensors.

    Args:
        build: Makes the network, with what is frozen; called where tensors have no memory.
        example: The loss of so many clips.
        batch_size: Clips of a micro-batch on one rank.
        precision: Not `auto`.
        as_on_gpu: Take the attention of a GPU instead of this processor's.
        accumulates: Whether gradients of an earlier micro-batch are there already.
    """
    with torch.device("meta"):
        model = build()
    cpu = torch.device("cpu")
    attention = fused_attention_only() if as_on_gpu else contextlib.nullcontext()
    with FakeTensorMode(), cpu, attention, _LiveBytes() as live:
        model._apply(lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype))
        model.train()
        held = live.now
        for _ in range(2 if accumulates else 1):
            live.peak = live.now
            with autocast(precision, cpu):
                loss = example(model, batch_size).float()
            after, forward_peak = live.now, live.peak
            loss.backward()
            del loss
        peak = live.peak
    return _described(model, held, after, forward_peak, peak, precision)


def _described(
    model: nn.Module, held: int, after: int, forward_peak: int, peak: int, precision: Precision
) -> StepMemory:
    weights = sum(map(_num_bytes, model.parameters()))
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    blocks = sorted(sum(map(_num_bytes, block.parameters())) for stack in stacks for block in stack)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return StepMemory(
        weights=weights,
        buffers=held - weights,
        trained=sum(map(_num_bytes, trained)),
        activations=after - held,
        peak=peak - held,
        forward_peak=forward_peak - held,
        largest_blocks=sum(blocks[-2:]),
        outside=weights - sum(blocks),
        # Autocast keeps copies of the matrices that are trained until the step ends.
        cast=0 if precision == "fp32" else sum(p.numel() * 2 for p in trained if p.ndim > 1),
    )


def _num_bytes(parameter: Tensor) -> int:
    return parameter.numel() * parameter.element_size()


@dataclass(frozen=True, kw_only=True, slots=True)
class RankMemory:
    """Bytes of one rank by part; `peak` is less than their sum where gradients come as
    activations go."""

    weights: int
    gradients: int
    moments: int
    average: int
    activations: int
    exchange: int  # buckets of DDP, or blocks that FSDP2 has gathered
    peak: int


def rank_memory(
    step: StepMemory,
    strategy: Strategy,
    num_shards: int,
    *,
    moments_per_weight: float = 2.0,
    keeps_average: bool = False,
) -> RankMemory:
    """Memory of one of several ranks; with DDP all have everything, with FSDP2 a shard each."""
    moments = int(step.trained * moments_per_weight)
    average = step.trained * keeps_average
    held = step.weights + step.buffers
    if strategy == "ddp" or num_shards == 1:
        buckets = step.trained if num_shards > 1 else 0
        return RankMemory(
            weights=held,
            gradients=step.trained,
            moments=moments,
            average=average,
            activations=step.activations,
            exchange=buckets,
            peak=held + moments + average + buckets + max(step.peak, step.trained),
        )
    share = 1 / num_shards
    halved = 2 if step.cast else 1  # gathered in bf16
    gathered = (step.outside + step.largest_blocks) // halved + step.largest_blocks // 2
    activations = step.activations - step.cast
    parts = [int(size * share) for size in (step.weights, step.trained, moments, average)]
    weights, gradients, moments, average = parts
    working = step.forward_peak - step.activations
    return RankMemory(
        weights=weights + step.buffers,
        gradients=gradients,
        moments=moments,
        average=average,
        activations=activations,
        exchange=gathered,
        peak=sum(parts) + step.buffers + activations + gathered + working,
    )
