"""What the `config.json` of a model says that shapes of its weights do not.

Source: `VideoMAEConfig` and `CLIPConfig` of `transformers`, `model_configs` of OpenCLIP, whose
defaults stand in for what a file leaves out. In the first VideoMAE's blocks normalise with 1e-12
unless told otherwise, and its classifier and decoder end in norms with torch's own 1e-5; the
official code has 1e-6 everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_TORCH_EPS = 1e-5
_ACTIVATIONS = {"quick_gelu": "quick-gelu", "gelu": "gelu"}


def videomae_config_fields(config: Mapping[str, Any], kind: str) -> dict[str, Any]:
    """Fields of our configuration of a "masked-autoencoder", "video-classifier" or
    "masked-encoder"."""
    eps = config.get("layer_norm_eps", 1e-12)
    encoder = {
        "num_frames": config.get("num_frames", 16),
        "side_px": config.get("image_size", 224),
        "num_heads": config.get("num_attention_heads", 12),
        "norm_eps": eps,
    }
    if kind == "masked-encoder":
        return encoder
    if kind == "video-classifier":
        return {"encoder": encoder, "norm_eps": _TORCH_EPS}
    decoder = {
        "num_heads": config.get("decoder_num_attention_heads", 6),
        "norm_eps": eps,
        "final_norm_eps": _TORCH_EPS,
    }
    return {"encoder": encoder, "decoder": decoder}


def clip_config_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of our configuration of a "multimodal-encoder"."""
    vision = _tower(_mapping(config.get("vision_config")), num_heads=12)
    heads = vision["num_heads"]
    return {
        "video": {**vision, "num_global_heads": heads},
        "text": _tower(_mapping(config.get("text_config")), num_heads=8),
    }


def open_clip_config_fields(config: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of our configuration of a "multimodal-encoder", of OpenCLIP's `model_cfg`.

    There an image tower has a head for every `head_width` (64) channels, and GELU unless
    `quick_gelu` says otherwise.
    """
    activation = "quick-gelu" if config.get("quick_gelu") else "gelu"
    vision, text = (_mapping(config.get(f"{name}_cfg")) for name in ("vision", "text"))
    heads = max(1, vision.get("width", 768) // vision.get("head_width", 64))
    return {
        "video": {"num_heads": heads, "num_global_heads": heads, "activation": activation},
        "text": {"num_heads": text.get("heads", 8), "activation": activation},
    }


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tower(config: Mapping[str, Any], *, num_heads: int) -> dict[str, Any]:
    activation = config.get("hidden_act", "quick_gelu")
    return {
        "num_heads": config.get("num_attention_heads", num_heads),
        "norm_eps": config.get("layer_norm_eps", 1e-5),
        "activation": _ACTIVATIONS.get(activation, activation),
    }
