"""What values fields of configurations may have, by their names: one table for all of them.

Configurations check what their fields mean together themselves. Here stands what no network, clip
or machine has: every number that comes from outside (files, `--set`, options) is looked up, so that
an impossible one is a line before anything is built. Numbers not listed are finite all the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from internvideo.errors import ConfigError

_SIZE = (1, 1 << 16)
_DEPTH = (0, 1024)
_SHARE = (0.0, 1.0)

# Least and greatest value of a field of this name, wherever it occurs.
RANGES: dict[str, tuple[float, float]] = {
    # networks
    "width": _SIZE,
    "embed_dim": _SIZE,
    "head_width": _SIZE,
    "context_width": _SIZE,
    "input_width": _SIZE,
    "num_heads": (1, 1024),
    "num_global_heads": (1, 1024),
    "num_channels": (1, 4096),
    "depth": _DEPTH,
    "local_depth": _DEPTH,
    "num_queries": (0, 1 << 16),
    "vocabulary_size": (1, 1 << 24),
    "context_length": _SIZE,
    "num_classes": (0, 1_000_000),
    "num_answers": (1, 1_000_000),
    "mlp_ratio": (0.0, 64.0),
    "global_mlp_ratio": (0.0, 64.0),
    "ff_multiple": (0, 64),
    "local_reduction": (0.0, 1e4),
    "max_length": (1, 1 << 24),
    "norm_eps": (0.0, 1.0),
    "final_norm_eps": (0.0, 1.0),
    "eps": (0.0, 1.0),
    "drop_path": (0.0, 1.0),
    "dropout": _SHARE,
    "init_scale": (0.0, 1e4),
    "layer_scale_init": (0.0, 1e4),
    # clips
    "num_frames": (1, 1 << 16),
    "side_px": (1, 1 << 14),
    "short_side_px": (1, 1 << 14),
    "patch_px": (1, 1 << 14),
    "time": (1, 1 << 16),
    "height": (1, 1 << 14),
    "stride_frames": (-1, 1 << 20),  # -1: features resized to cover their video
    "views_per_video": (1, 1024),
    "num_clips": (1, 4096),
    "num_crops": (1, 4096),
    "crop": _SHARE,
    "eval_crop": _SHARE,
    "rate_fps": (0.0, 1000.0),
    # training
    "lr": (0.0, 1e4),
    "final_lr": (0.0, 1e4),
    "start_lr": (0.0, 1e4),
    "weight_decay": (0.0, 1e4),
    "num_steps": (1, 10**10),
    "warmup_steps": (0, 10**10),
    "batch_size": (1, 1 << 24),
    "accumulation": (1, 1 << 20),
    "num_workers": (0, 1024),
    "cpu_processes": (1, 1024),
    "cache_mb": (0, 1 << 24),
    "workers": (0, 1024),
    "top": (0, 10**6),
    "fps": (-1000.0, 1000.0),
    "window_frames": (0, 1 << 20),
    "window_s": (-1e9, 1e9),
    "stride_s": (-1e9, 1e9),
    "max_shard_mb": (0, 1 << 20),
    "num_stills": (-1, 10**9),
    "seed": (-(1 << 63), (1 << 63) - 1),
    "num_layers": _DEPTH,
}


def check_ranges(configuration: Any, where: str = "") -> None:
    """Raise `ConfigError` naming the first number of a configuration that cannot be.

    Args:
        configuration: A dataclass, or the mapping that it is made from, with others inside.
        where: Its own path, put in front of those of its fields.
    """
    for path, name, value in _numbers(configuration, where, ""):
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{path} is {value}, expected a finite number")
        least, most = RANGES.get(name, (-math.inf, math.inf))
        if not least <= value <= most:
            found = value if abs(value) < 1e15 else f"{float(value):.3g}"
            limit = f"{least:g} or more" if value < least else f"at most {most:g}"
            raise ConfigError(f"{path} is {found}, expected {limit}")


def _numbers(value: Any, path: str, name: str) -> Any:
    if isinstance(value, bool) or value is None:
        return
    if isinstance(value, int | float):
        yield path, name, value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            inner = f"{path}.{field.name}" if path else field.name
            yield from _numbers(getattr(value, field.name), inner, field.name)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _numbers(item, f"{path}.{key}" if path else str(key), str(key))
    elif isinstance(value, tuple | list):
        for place, item in enumerate(value):
            yield from _numbers(item, f"{path}[{place}]", name)
