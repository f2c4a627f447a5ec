"""Sharded checkpoints: every rank writes its own part, beside the training that goes on.

    step-120/shards/shard-00001-model-00001-of-00001.safetensors    one for each rank
    names inside: model.<parameter>, optimiser.<parameter>.<moment>, ema.<parameter>

Written and read by torch's distributed checkpoints in the safetensors form, which executes nothing
when it is read. They are read again by any number of ranks with any sharding; `read_whole` makes of
them what a whole checkpoint holds. Single numbers are stored as one row.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import (
    get_model_state_dict,
    get_optimizer_state_dict,
)

from internvideo.errors import CheckpointError, TrainingError
from internvideo.training.parallel import Process, any_rank

_log = logging.getLogger(__name__)

SHARDS = "shards"
_KINDS = ("model", "optimiser", "ema")


def model_shards(model: nn.Module, kind: str = "model") -> dict[str, Tensor]:
    """This rank's part of the weights, by their names in the file; they share memory."""
    state = get_model_state_dict(model)
    return {f"{kind}.{name}": _as_row(value) for name, value in state.items()}


def optimiser_shards(
    model: nn.Module, optimisers: Sequence[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """This rank's part of moments and step counts."""
    state: Any = get_optimizer_state_dict(model, list(optimisers)).get("state", {})
    return {
        f"optimiser.{name}.{moment}": _as_row(value)
        for name, moments in state.items()
        for moment, value in moments.items()
    }


def _as_row(value: Tensor) -> Tensor:
    return value.reshape(1) if value.ndim == 0 else value


class ShardedWriter:
    """Writes parts in a thread; `commit` is called on the first rank when all are written."""

    def __init__(self, process: Process) -> None:
        self._process = process
        several = process.share.count > 1
        # Its own group: the thread may not get among the collective operations of a step.
        self._group = dist.new_group(backend="gloo") if several else None
        # Said in the thread that writes, of a run of one process; it is meant so.
        warnings.filterwarnings("ignore", "torch.distributed is disabled")
        self._pending: Future[Any] | None = None
        self._failure: Exception | None = None

    def write(self, state: dict[str, Tensor], folder: Path, commit: Callable[[], None]) -> None:
        """Begin to write; the state is copied before this returns. Waits for the one before."""
        self.wait()
        with _quiet():
            pending = dcp.async_save(
                state,
                storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True),
                process_group=self._group,
                no_dist=self._group is None,
            )
        assert isinstance(pending, Future)
        self._pending = pending
        if self._process.is_first:
            pending.add_done_callback(lambda done: self._finish(done, commit))

    def wait(self) -> None:
        """Wait until all is written.

        Raises:
            TrainingError: On all ranks, if a part could not be written.
        """
        if self._pending is None:
            return
        try:
            self._pending.result()
        except Exception as error:  # of whatever the storage is; told below
            self._failure = self._failure or error
        self._pending = None
        if any_rank(self._failure is not None, self._process.device):
            raise TrainingError(
                f"a sharded checkpoint could not be written ({self._failure or 'on another rank'});"
                " earlier checkpoints are untouched; make room, then continue with --resume"
            ) from self._failure

    def _finish(self, done: Future[Any], commit: Callable[[], None]) -> None:
        try:
            if done.exception() is None:
                commit()
        except (OSError, TrainingError) as error:  # raised again by `wait`
            self._failure = error


def read_into(state: dict[str, Tensor], folder: Path) -> None:
    """Read this rank's part of what is named, in place.

    Raises:
        CheckpointError: If a name is missing or has another shape.
    """
    try:
        with _quiet():
            dcp.load(
                state,
                storage_reader=HuggingFaceStorageReader(str(folder)),
                no_dist=not dist.is_initialized(),
            )
    except (RuntimeError, ValueError, KeyError, dcp.api.CheckpointException) as error:
        first = str(error).strip().partition("\n")[0]
        raise CheckpointError(f"{folder}: does not fit this model ({first})") from error


def read_whole(folder: Path) -> dict[str, dict[str, Tensor]]:
    """All tensors by kind (`model`, `optimiser`, `ema`) and name, whole, in this process's memory.

    Raises:
        CheckpointError: If the parts are damaged or incomplete.
    """
    try:
        sizes = HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata
        state = {name: torch.empty(m.size, dtype=m.properties.dtype) for name, m in sizes.items()}
        with _quiet():
            dcp.load(state, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=True)
    except Exception as error:  # safetensors, DCP and the file system each have their own
        raise CheckpointError(f"{folder}: the checkpoint is damaged ({error})") from error
    found: dict[str, dict[str, Tensor]] = {kind: {} for kind in _KINDS}
    for name, value in state.items():
        kind, _, rest = name.partition(".")
        is_count = kind == "optimiser" and rest.endswith(".step")
        found[kind][rest] = value.reshape(()) if is_count else value
    return found


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Leave out torch's own remarks on its checkpoints, which no user can act on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
