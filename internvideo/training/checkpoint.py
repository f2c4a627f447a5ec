"""Checkpoints: folders that are complete or absent, and never execute anything when read.

    checkpoints/step-120/
      model.safetensors      weights, under the model's own names
      config.json            the model and the run that made it; rebuilds the model
      labels.json            class names, which travel with the weights
      provenance.json        code revision, data hash, metrics
      optimiser.safetensors  exp_avg, exp_avg_sq and step of every parameter   | to resume
      ema.safetensors        the moving average, where the run keeps one       |
      training.json          step, loss scale, state of the stage              |
    checkpoints/last -> step-120
    checkpoints/best -> step-80                 where the run keeps its best

With `sharded_checkpoints` a folder holds `shards/` (see sharded.py) in place of the three arrays,
but for the last one of a run.

A folder is written beside its place and renamed, and `last` is replaced in one operation, so a cut
(a kill, a full disk) leaves the previous checkpoint as it was. Every random choice of a step is a
function of (seed, step, sample), so no generator state has to be kept.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)

from internvideo.errors import CheckpointError, TrainingError
from internvideo.reading import read_json_document, why_no_file
from internvideo.training.sharded import (
    SHARDS,
    model_shards,
    optimiser_shards,
    read_into,
    read_whole,
)

_log = logging.getLogger(__name__)

_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What is written and read; `documents` are JSON files by name without suffix."""

    model: Mapping[str, Tensor]
    documents: Mapping[str, Any]
    optimiser: Mapping[str, Tensor] | None = None
    ema: Mapping[str, Tensor] | None = None


def model_state(model: nn.Module) -> dict[str, Tensor]:
    """Whole weights on the processor of the first rank; every rank must call it."""
    state = get_model_state_dict(model, options=_WHOLE)
    return {name: value.contiguous() for name, value in state.items()}


def optimiser_state(
    model: nn.Module, optimisers: Sequence[torch.optim.Optimizer]
) -> dict[str, Tensor]:
    """Moments and step counts by `<parameter>.<moment>`, as `model_state` gives weights."""
    state = get_optimizer_state_dict(model, optimisers, options=_WHOLE).get("state", {})
    return {
        f"{name}.{moment}": value.contiguous()
        for name, moments in state.items()
        for moment, value in moments.items()
    }


def restore_model(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put whole weights into a model, sharded or not; every name must match."""
    set_model_state_dict(model, dict(state), options=_WHOLE)


def restore_optimiser(
    model: nn.Module, optimisers: Sequence[torch.optim.Optimizer], state: Mapping[str, Tensor]
) -> None:
    """Put saved moments back; rates and decays stay as the optimisers were built with."""
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = [
        {**group, "params": [names[parameter] for parameter in group["params"]]}
        for optimiser in optimisers
        for group in optimiser.param_groups
    ]
    moments: dict[str, dict[str, Tensor]] = defaultdict(dict)
    for name, value in state.items():
        parameter, moment = name.rsplit(".", 1)
        moments[parameter][moment] = value
    unlike = sorted(set(moments).symmetric_difference(n for g in groups for n in g["params"]))
    if unlike:
        raise CheckpointError(f"optimiser state fits another model: {', '.join(unlike[:5])}, ...")
    set_optimizer_state_dict(
        model, optimisers, {"state": moments, "param_groups": groups}, options=_WHOLE
    )


def restore_shards(
    model: nn.Module, optimisers: Sequence[torch.optim.Optimizer], folder: Path
) -> None:
    """Read this rank's part of weights and moments from a sharded checkpoint, in place.

    Raises:
        CheckpointError: If it is of another model.
    """
    read_into(model_shards(model) | optimiser_shards(model, optimisers), folder / SHARDS)


def save(
    checkpoint: Checkpoint, folder: Path, *, step: int, keep: int, is_best: bool = False
) -> Path:
    """Write `folder/step-<step>`, point `folder/last` to it, and delete all but `keep` older ones.

    With `is_best`, `folder/best` points to it too; what that points to is never deleted.

    Raises:
        TrainingError: If the disk is full or the folder cannot be written; what was there remains.
    """
    try:
        beside = begin(folder, step=step)
        for name in ("model", "optimiser", "ema"):
            tensors = getattr(checkpoint, name)
            if tensors is not None:
                save_file(dict(tensors), beside / f"{name}.safetensors")
    except (OSError, SafetensorError) as error:
        raise _unwritten(folder, step, error) from error
    return commit(folder, checkpoint.documents, step=step, keep=keep, is_best=is_best)


def begin(folder: Path, *, step: int) -> Path:
    """Make an empty folder in which a checkpoint is written; `commit` gives it its name."""
    beside = folder / f".writing-step-{step}"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    return beside


def commit(
    folder: Path, documents: Mapping[str, Any], *, step: int, keep: int, is_best: bool = False
) -> Path:
    """Add the documents to what was written since `begin`, and make it the last checkpoint.

    Raises:
        TrainingError: If something cannot be written; what was there remains.
    """
    target, beside = folder / f"step-{step}", folder / f".writing-step-{step}"
    try:
        for name, document in documents.items():
            text = json.dumps(document, indent=2, ensure_ascii=False)
            (beside / f"{name}.json").write_text(text + "\n", encoding="utf-8")
        for path in [*beside.rglob("*"), beside]:
            _flush(path)
        replaced = folder / f".replaced-step-{step}"
        if target.exists():
            target.rename(replaced)
        beside.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
        _point(folder / "last", target.name)
        if is_best:
            _point(folder / "best", target.name)
        _flush(folder)
    except OSError as error:
        raise _unwritten(folder, step, error) from error
    _delete_older(folder, keep=keep)
    return target


def _unwritten(folder: Path, step: int, error: Exception) -> TrainingError:
    """Clear what is half there, and make the error that says so."""
    shutil.rmtree(folder / f".writing-step-{step}", ignore_errors=True)
    return TrainingError(
        f"{folder / f'step-{step}'}: the checkpoint could not be written ({error}); earlier "
        "checkpoints are untouched; make room or choose another --out, then continue with --resume"
    )


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint folder (`.../last` or `.../step-<n>`).

    Raises:
        CheckpointError: If the folder or its weights are missing or damaged.
    """
    weights = folder / "model.safetensors"
    if not weights.is_file() and (folder / SHARDS).is_dir():
        found = read_whole(folder / SHARDS)
        return Checkpoint(
            documents=read_documents(folder),
            model=found["model"],
            optimiser=found["optimiser"],
            ema=found["ema"] or None,
        )
    if not weights.is_file():
        found = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else "no folder"
        raise CheckpointError(f"{folder}: no model.safetensors there (found: {found})")
    try:
        tensors = {
            name: load_file(path) if (path := folder / f"{name}.safetensors").is_file() else None
            for name in ("model", "optimiser", "ema")
        }
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{folder}: the checkpoint is damaged ({error})") from error
    return Checkpoint(documents=read_documents(folder), **tensors)


def read_documents(folder: Path) -> dict[str, Any]:
    """The JSON documents of a checkpoint folder, by name."""
    try:
        return {path.stem: read_json_document(path) for path in sorted(folder.glob("*.json"))}
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: the checkpoint is damaged ({error})") from error


def merge_shards(folder: Path) -> Path:
    """Write the whole weights of a sharded checkpoint beside its parts, as one file.

    Raises:
        CheckpointError: If the folder has no parts, or they are damaged.
    """
    if not (folder / SHARDS).is_dir():
        raise CheckpointError(f"{folder}: has no {SHARDS}/; it is no sharded checkpoint")
    target = folder / "model.safetensors"
    beside = folder / ".model.safetensors-writing"
    save_file(read_whole(folder / SHARDS)["model"], beside)
    beside.replace(target)
    return target


def last_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint below `folder`, or None where there is none at all.

    That is the one that `last` points to, or, where `last` is gone or something else, or what it
    points to is damaged, the newest whole `step-*`; the log then names both.

    Raises:
        CheckpointError: If there are checkpoints and none of them is whole.
    """
    last = folder / "last"
    steps = _steps(folder)
    problem = damage(last)
    if problem is None:
        return last.resolve()
    if not steps:
        if last.is_symlink() or last.exists():
            raise CheckpointError(f"{last}: {problem}, and no step-* is beside it; start anew")
        return None
    problems = []
    for path in reversed(steps):
        if (found := damage(path)) is None:
            _log.warning("%s: %s; going on from %s, the newest that is whole", last, problem, path)
            return path.resolve()
        problems.append(f"{path.name}: {found}")
    raise CheckpointError(
        f"{folder}: no checkpoint there is whole ({'; '.join(problems[:3])}); copy them from "
        "elsewhere, or start anew with another --out"
    )


def damage(folder: Path) -> str | None:
    """Say what keeps a checkpoint folder from being read, None where it is whole."""
    if folder.is_symlink() and not folder.exists():
        return f"points to {folder.readlink()}, which is not there"
    if not folder.exists():
        return "is not there"
    if not folder.is_dir():
        return "is a file, not a checkpoint folder"
    is_sharded = (folder / SHARDS).is_dir()
    if not is_sharded and not (folder / "model.safetensors").is_file():
        return "holds no model.safetensors"
    try:
        for path in [*folder.glob("*.safetensors"), *folder.glob(f"{SHARDS}/*.safetensors")]:
            if (why := why_no_file(path)) is not None:
                return f"{path.name} cannot be read ({why})"
            with safe_open(path, "pt"):  # compares its header with the size of the file
                pass
        for path in folder.glob("*.json"):
            read_json_document(path)
    except (OSError, ValueError, SafetensorError) as error:
        return f"{path.name} is damaged ({error})"
    return None


def _steps(folder: Path) -> list[Path]:
    """Checkpoints by step, the oldest first."""
    return sorted(
        (path for path in folder.glob("step-*") if path.name.removeprefix("step-").isdecimal()),
        key=lambda path: int(path.name.removeprefix("step-")),
    )


def not_finite(state: Mapping[str, Tensor], *, parameters: Collection[str]) -> list[str]:
    """Names of the tensors that are NaN or, where they are parameters or moments, infinite.

    Buffers may hold infinities on purpose, such as a mask of attention.
    """
    bad = []
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        is_ok = torch.isfinite(value) if name in parameters else ~torch.isnan(value)
        if not bool(is_ok.all()):
            bad.append(name)
    return bad


def _point(link: Path, target: str) -> None:
    """Make `link` a relative symbolic link to `target`, replacing an older one in one operation."""
    beside = link.with_name(f".{link.name}-writing")
    beside.unlink(missing_ok=True)
    beside.symlink_to(target, target_is_directory=True)
    beside.replace(link)


def _flush(path: Path) -> None:
    """Have the file system write a file or folder through to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete_older(folder: Path, *, keep: int) -> None:
    steps = _steps(folder)
    pointed_to = {(folder / name).resolve().name for name in ("last", "best")}
    for path in steps[:-keep]:
        if path.name not in pointed_to:
            shutil.rmtree(path)
