"""Several processes on one run: joining, wrapping a model, summing, and staying in step.

Started by torchrun, which sets RANK, WORLD_SIZE and LOCAL_RANK; without them a run is one process.
Distribution wraps a stage from outside: the stage's `losses` runs inside a module whose `forward`
DDP and FSDP2 can hook into, and the model itself is never changed or renamed.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import (
    FSDPModule,
    MixedPrecisionPolicy,
    fully_shard,
    register_fsdp_forward_method,
)
from torch.nn.parallel import DistributedDataParallel

from internvideo.errors import ConfigError
from internvideo.processes import end_with_agent
from internvideo.values import Share

# All on every rank; a share on each rank (FSDP2); a share on each of a group of ranks, of which
# there are several.
Strategy = Literal["ddp", "fsdp", "hybrid"]
Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, slots=True)
class Process:
    """This process among those of the run, and the device it works on."""

    share: Share
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.share.index == 0


@contextlib.contextmanager
def joined(device: str = "auto") -> Iterator[Process]:
    """Join the run's process group where torchrun started several, and leave it at the end.

    Raises:
        ConfigError: If the variables of the launcher do not fit together, or its port is taken.
    """
    world_size = launched_processes()
    end_with_agent()
    chosen = choose_device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if world_size == 1:
        yield Process(share=Share(), device=chosen)
        return
    try:
        # Met first: a meeting that fails inside `init_process_group` counts as a group of this
        # process alone, and the next one would wait for the others under another name.
        store, rank, _ = next(iter(dist.rendezvous("env://")))
        dist.init_process_group(
            "nccl" if chosen.type == "cuda" else "gloo",
            store=store,
            rank=rank,
            world_size=world_size,
        )
    except (RuntimeError, ValueError) as error:  # of the store: a port in use, an unknown host
        reason = " ".join(str(error).split())[:200]
        where = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise ConfigError(
            f"the {world_size} processes cannot meet at {where} ({reason}); start them with "
            "torchrun, or give a free MASTER_PORT"
        ) from error
    try:
        share = Share(index=dist.get_rank(), count=dist.get_world_size())
        yield Process(share=share, device=chosen)
    finally:
        gc.collect()  # a wrapped module that outlives its group can hang when it is torn down
        dist.destroy_process_group()


def launched_processes() -> int:
    """How many processes the launcher started, this one among them; 1 without a launcher.

    Raises:
        ConfigError: If what it says in the environment is incomplete or contradicts itself.
    """
    said = {}
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_PORT"):
        if (text := os.environ.get(name)) is not None:
            if not re.fullmatch(r"\d{1,9}", text):
                raise ConfigError(f"the environment has {name}={text!r}, expected a whole number")
            said[name] = int(text)
    world_size, rank = said.get("WORLD_SIZE"), said.get("RANK")
    if world_size is None:
        if rank is not None:
            raise ConfigError(
                f"the environment has RANK={rank} and no WORLD_SIZE; start with torchrun, or unset "
                "RANK"
            )
        return 1
    if world_size == 1 and not rank:
        return 1
    missing = [n for n in ("RANK", "MASTER_ADDR", "MASTER_PORT") if n not in os.environ]
    if missing or rank is None:
        raise ConfigError(
            f"the environment has WORLD_SIZE={world_size} and no {' or '.join(missing)}; start "
            "with torchrun, or unset WORLD_SIZE"
        )
    if rank >= world_size or not 0 < said["MASTER_PORT"] < 1 << 16:
        raise ConfigError(
            f"the environment has RANK={rank} of WORLD_SIZE={world_size} and "
            f"MASTER_PORT={said['MASTER_PORT']}; ranks count from 0, ports are below 65536"
        )
    return world_size


def choose_device(name: str) -> torch.device:
    """The device of a name; "auto" is the best there is."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {name!r}; use auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {name!r} trains nothing here; use auto, cpu, cuda or cuda:N")
    if device.type == "cuda":
        if not torch.cuda.is_available():
            raise ConfigError(f"device {name!r} was asked for, but torch sees no CUDA device")
        if device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
        if device.index >= (count := torch.cuda.device_count()):
            raise ConfigError(
                f"there is no device {device} (of --device {name}, or LOCAL_RANK); there are "
                f"{count}, counted from 0"
            )
    return device


class LossModule(nn.Module):
    """A stage's losses behind `forward`, where data-parallel wrappers hook in."""

    def __init__(self, model: nn.Module, losses: Callable[..., dict[str, Tensor]]) -> None:
        super().__init__()
        self.model = model
        self._losses = losses

    def forward(self, batch: object, generator: torch.Generator) -> dict[str, Tensor]:
        return self._losses(batch, generator)


def wrap(
    model: nn.Module,
    losses: Callable[..., dict[str, Tensor]],
    *,
    strategy: Strategy,
    precision: str,
    process: Process,
    shard_size: int | None = None,
    entry_points: Sequence[str] = (),
) -> nn.Module:
    """Return the callable module of one forward pass, distributed if the run is.

    `shard_size` is the number of ranks that share one copy with "hybrid"; without it those of a
    machine, or half of them where all are of one. `entry_points` are methods of `model` that are
    called besides `forward`.
    """
    module = LossModule(model, losses)
    if process.share.count == 1:
        return module
    if strategy == "ddp":
        # Of a kernel whose axes are permuted where it is used; one small copy.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(module)
    # Outputs that are views must not be changed in place, and none is.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    mesh = _mesh(process, shard_size) if strategy == "hybrid" else None
    shard(model, precision=precision, mesh=mesh)
    for name in entry_points:
        register_fsdp_forward_method(model, name)
    return module


def _mesh(process: Process, shard_size: int | None) -> DeviceMesh:
    """Ranks in rows that share one copy: the second axis shards, the first repeats."""
    count = process.share.count
    of_machine = int(os.environ.get("LOCAL_WORLD_SIZE", str(count)))
    size = shard_size or (of_machine if of_machine < count else max(1, count // 2))
    if count % size:
        raise ConfigError(
            f"shard_size {size} does not divide the {count} ranks; choose one of its divisors"
        )
    return init_device_mesh(
        process.device.type, (count // size, size), mesh_dim_names=("replicate", "shard")
    )


def shard(model: nn.Module, *, precision: str, mesh: DeviceMesh | None = None) -> None:
    """Split parameters over the ranks with FSDP2: each block of a stack alone, then the rest.

    Single numbers (a scale, a gate) stay whole on every rank, see `average_whole_gradients`.
    """
    policy = MixedPrecisionPolicy()
    if precision == "bf16":
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    whole = {parameter for parameter in model.parameters() if parameter.numel() == 1}
    options: dict[str, Any] = {"mp_policy": policy, "ignored_params": whole, "mesh": mesh}
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    for stack in reversed(stacks):  # inner ones first
        for block in stack:
            fully_shard(block, **options)
    fully_shard(model, **options)


def average_whole_gradients(model: nn.Module) -> None:
    """Average over the ranks the gradients that FSDP2 was told to leave alone."""
    if not isinstance(model, FSDPModule):
        return
    gradients = [p.grad for p in model.parameters() if p.numel() == 1 and p.grad is not None]
    if gradients:
        mean = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
        for gradient, value in zip(gradients, mean, strict=True):
            gradient.copy_(value.view_as(gradient))


def keep_whole(model: nn.Module) -> None:
    """Gather what is sharded and leave it so, that one rank alone may use the model; collective."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()


@contextlib.contextmanager
def gradients_synchronised(module: nn.Module, model: nn.Module, wanted: bool) -> Iterator[None]:
    """Sum gradients over the ranks in this backward pass only if wanted (accumulation)."""
    if isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(wanted)
        yield
    elif isinstance(module, DistributedDataParallel) and not wanted:
        with module.no_sync():
            yield
    else:
        yield


def is_distributed() -> bool:
    return dist.is_available() and dist.is_initialized()


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum a tensor over all ranks; the tensor itself in a run of one process."""
    if is_distributed():
        values = values.clone()
        dist.all_reduce(values)
    return values


def gather_rows(rows: Float[Tensor, "b ..."]) -> Float[Tensor, "g ..."]:
    """All-gather with gradients: the rows of all ranks, equally many each, in the order of ranks.

    Gradients flow back: a rank's rows get the sum of what all ranks made of them.
    """
    return _GatherRows.apply(rows) if is_distributed() else rows


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:
        ctx.num_rows, rows = len(rows), rows.contiguous()
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        first = dist.get_rank() * ctx.num_rows
        return gradient[first : first + ctx.num_rows]


def gather_objects(item: Item) -> list[Item]:
    """Give every rank the items of all, in order; small ones, such as scores and names."""
    if not is_distributed():
        return [item]
    items: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(items, item)
    return items


def any_rank(flag: bool, device: torch.device) -> bool:
    """Whether the flag is up on any rank, so that all take the same branch."""
    if not is_distributed():
        return flag
    return bool(sum_over_ranks(torch.tensor(float(flag), device=device)) > 0)


def in_step(items: Iterable[Item], device: torch.device) -> Iterator[tuple[Item, bool]]:
    """Yield items with True, and repeat the last with False until every rank has run out.

    Ranks with fewer evaluation batches than others would otherwise leave them waiting for ever in
    a collective operation. Repeated items must not be counted. A rank without any item repeats
    one of another rank's.
    """
    iterator = iter(items)
    item = next(iterator, None)
    counted = item is not None
    if any_rank(not counted, device):
        item = next((one for one in gather_objects(item) if one is not None), None)
    while any_rank(counted, device):
        yield item, counted
        following = next(iterator, None) if counted else None
        counted = following is not None
        item = following if counted else item
