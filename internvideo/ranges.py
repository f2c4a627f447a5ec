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
_WIDTH_OR_NONE = (0, 1 << 16)
_DEPTH = (0, 1024)
_SHARE = (0.0, 1.0)
_SCALE = (0.0, 1e4)
_COUNT = (0, 10**10)
# Where the option or task says itself what it takes, and only the absurd is left to the table.
_ANY = (-1e12, 1e12)

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
    **dict.fromkeys(("num_answers", "num_nouns", "num_verbs"), (1, 1_000_000)),
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
    **dict.fromkeys(("base_width", "depth_width", "pyramid_width", "stem_width", "hidden"), _SIZE),
    **dict.fromkeys(("max_steps", "max_decisions", "features", "num_groups", "reduction"), _SIZE),
    **dict.fromkeys(("image_width", "video_width", "max_candidates"), _WIDTH_OR_NONE),
    **dict.fromkeys(("num_branch_blocks", "num_cross_layers", "num_embedding_layers"), _DEPTH),
    **dict.fromkeys(("num_head_layers", "num_panorama_layers", "num_stem_blocks"), _DEPTH),
    **dict.fromkeys(("num_local", "num_trained_blocks", "blocks"), _DEPTH),
    **dict.fromkeys(("embedding_kernel", "head_kernel", "kernel"), (1, 1023)),
    **dict.fromkeys(("global_drop_path", "global_dropout", "view_dropout", "class_prior"), _SHARE),
    **dict.fromkeys(("mimetic_init_scale", "patch_scale", "residual_scale"), _SCALE),
    "global_layers": (-1024, 1024),
    "depth_channels": (1, 4096),
    "downsampling": (1, 1024),
    "num_salient_patches": (0, 1 << 20),
    "num_salient_tubelets": (0, 1 << 20),
    "output_size": (1, 1 << 20),
    "position_base": (0.0, 1e9),
    "windows": (-1, 1 << 20),  # -1: everywhere
    "regression_ranges": (0.0, 1e9),
    "depth_range_m": (0.0, 1e6),
    "frame_step": (1, 1 << 16),
    "temporal_patch_size": (1, 1 << 16),
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
    "clip_rate_fps": (0.0, 1000.0),
    **dict.fromkeys(("test_side_px", "frame_px"), (1, 1 << 14)),
    "stride_range": (1, 1 << 20),
    "resize_to": (1, 1 << 20),
    **dict.fromkeys(("erase_probability", "op_probability", "crop_ratio"), _SHARE),
    **dict.fromkeys(("held_back_share", "max_broken_share", "clip_share"), _SHARE),
    **dict.fromkeys(("erase_count", "num_ops"), (0, 1024)),
    **dict.fromkeys(("jitter", "magnitude", "magnitude_std"), (0.0, 1e3)),
    **dict.fromkeys(("saturation_shift", "value_shift"), (0.0, 1e3)),
    "hue_degrees": (0.0, 360.0),
    **dict.fromkeys(("pixel_mean", "masked_mean", "multimodal_mean"), (-1e3, 1e3)),
    **dict.fromkeys(("pixel_std", "masked_std", "multimodal_std"), (0.0, 1e3)),
    # training
    "lr": (0.0, 1e4),
    "final_lr": (0.0, 1e4),
    "start_lr": (0.0, 1e4),
    "weight_decay": (0.0, 1e4),
    "num_steps": (1, 10**10),
    "warmup_steps": (0, 10**10),
    "batch_size": (1, 1 << 24),
    "accumulation": (1, 1 << 20),
    "reference_batch": (1, 1 << 24),
    **dict.fromkeys(("betas", "ema_decay", "momentum", "label_smoothing", "layer_decay"), _SHARE),
    **dict.fromkeys(("ratio", "decoder_mask_ratio", "choose_share", "min_share"), _SHARE),
    **dict.fromkeys(("probability", "switch_probability", "teacher_share", "alpha"), _SHARE),
    **dict.fromkeys(("thresholds", "iou_threshold", "voting_threshold", "min_score"), _SHARE),
    "annealing_start": _SHARE,
    **dict.fromkeys(("rates", "muon", "cutmix", "mixup", "gamma", "sigma"), _SCALE),
    **dict.fromkeys(("contrastive_weight", "captioning_weight", "distance_weight"), _SCALE),
    **dict.fromkeys(("hard_negative_weight", "weight"), _SCALE),
    **dict.fromkeys(("clip_gradient", "initial_normaliser", "beta_px"), (0.0, 1e9)),
    **dict.fromkeys(("centre_radius", "min_length", "teacher_stop_m"), (0.0, 1e6)),
    **dict.fromkeys(("checkpoint_every", "evaluate_every", "log_every"), _COUNT),
    **dict.fromkeys(("max_skipped_steps", "teacher_decay_steps", "predicted_from"), _COUNT),
    **dict.fromkeys(("keep_checkpoints", "kept_epochs", "annealing_epochs"), (0, 10**6)),
    **dict.fromkeys(("max_segments", "top_k"), (0, 10**9)),
    "num_episodes": (1, 10**9),
    "num_eval_episodes": (0, 10**9),
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
    # options
    **dict.fromkeys(("limit_s", "attempts", "decode", "stills", "size", "videos", "steps"), _ANY),
    **dict.fromkeys(("tolerance", "held_back", "utilisation", "longer_than_s"), _ANY),
    **dict.fromkeys(("shorter_than_s", "limit", "per_video", "sure", "duplicates"), _ANY),
    **dict.fromkeys(("short_side", "gop", "crf", "accepted", "num_beams", "episode"), _ANY),
    **dict.fromkeys(("sliding_window_s", "every_s", "max_gap_s", "min_box_score"), _ANY),
    "num_at_once": _ANY,
    "port": (0, (1 << 16) - 1),
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
        for key, item in value.items():  # fields by their names, or entries of one field
            inner = str(key) if str(key) in RANGES else name
            if isinstance(item, Mapping | list | tuple):
                inner = str(key)
            yield from _numbers(item, f"{path}.{key}" if path else str(key), inner)
    elif isinstance(value, tuple | list):
        for place, item in enumerate(value):
            yield from _numbers(item, f"{path}[{place}]", name)
