"""How the weights of a recorded case get into a model: renamed in memory, or imported from a file.

Through the import they are written to a file as published, recognised and configured by what it
holds, saved as a folder of ours, and read back; the check then runs on the model that came out.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from internvideo.hub import ImportOptions, import_weights, save_pretrained
from internvideo.hub.pretrained import ModelConfig, read_saved_model, to_json
from internvideo.weights import load_weights
from tests.parity.case import Case

# Fields that names and shapes do not tell: whoever imports a model of no published size says them.
_UNTOLD = {
    "num_frames",
    "side_px",
    "num_heads",
    "num_global_heads",
    "global_layers",
    "pixel_mean",
    "pixel_std",
    "layer_scale_init",
    "init_scale",
    "local_reduction",
}


def filled(
    case: Case,
    model: nn.Module,
    config: ModelConfig,
    read: Callable[[dict[str, Tensor]], dict[str, Tensor]],
    *,
    of_transformers: dict[str, Any] | None = None,
) -> Any:
    """Give the model with the weights of the case, in evaluation.

    Args:
        case: Its group `weights` is the official state dict.
        model: Made of `config`; filled and returned, unless the case goes through the import.
        config: What the import must find by itself, up to what shapes do not tell.
        read: Turns official names into ours.
        of_transformers: The `config.json` beside the weights, which tells all that shapes do not.
    """
    weights = case.group("weights")
    if not case.through_import:
        load_weights(model, read(weights))
        return model.eval()
    with tempfile.TemporaryDirectory() as folder:
        source, options = Path(folder), ImportOptions()
        if of_transformers is not None:
            (source / "config.json").write_text(json.dumps(of_transformers))
            save_file(weights, source / "model.safetensors")
        else:
            source, options = source / "weights.pth", _options(config)
            torch.save({"model": weights, "epoch": 1}, source)
        imported = import_weights(source, options)
        found = read_saved_model(save_pretrained(imported.pretrained, Path(folder) / "saved"))
    told = {source for entry in imported.tensors for source in entry.sources}
    case.equal("tensors told of", sorted(told), sorted(weights))
    case.equal("configuration", _plain(found.config), _plain(config))
    case.num_imported += 1
    return found.model


def _options(config: ModelConfig) -> ImportOptions:
    """Facts of the configuration; a resized table is asked for, and not described."""
    fields = _untold(to_json(config))
    encoder = getattr(config, "encoder", None)
    made_for = getattr(encoder, "positions_from", None)
    if made_for is None:
        return ImportOptions(config=fields)
    fields["encoder"] |= {"num_frames": made_for[0], "side_px": made_for[1]}
    return ImportOptions(config=fields, num_frames=encoder.num_frames, side_px=encoder.side_px)


def _untold(document: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _untold(value) if isinstance(value, dict) else value
        for name, value in document.items()
        if name in _UNTOLD or (isinstance(value, dict) and name != "tubelet")
    }


def _plain(config: ModelConfig) -> Any:
    return json.loads(json.dumps(to_json(config)))
