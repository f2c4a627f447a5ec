"""Released parts of a navigator: waypoint predictor, depth encoder, policy, and BERT's layers.

Sources of the names: `waypoint_pred/TRM_net.py` and `vilmodel_cmt.py` of the InternVideo release,
`ResNetEncoder` of habitat-baselines 0.1.7, BERT as `transformers` saves it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from internvideo.errors import CheckpointError
from internvideo.models.navigation import Hamt
from internvideo.models.navigation.depth_encoder import PUBLISHED_PREFIX
from internvideo.models.navigation.waypoint_predictor import UNUSED_WEIGHTS
from internvideo.weights.files import find_weights, read_document
from internvideo.weights.loading import load_weights

_log = logging.getLogger(__name__)
_FORMER_NAMES = {".gamma": ".weight", ".beta": ".bias"}  # of norms, in BERT's first release


def load_waypoint_predictor(model: nn.Module, path: str | Path) -> None:
    """Fill a predictor from `wp_pred/waypoint_predictor`, or a state dict with its names.

    Raises:
        CheckpointError: The file is none, or of other sizes.
    """
    state = _nested(_document(path), "predictor", "state_dict")
    state = {
        name.removeprefix("module."): value
        for name, value in state.items()
        if not name.removeprefix("module.").startswith(UNUSED_WEIGHTS)
    }
    _load(model, state, path)


def load_depth_encoder(model: nn.Module, path: str | Path) -> None:
    """Fill a depth encoder from a checkpoint of DD-PPO, whose other parts are left out.

    Raises:
        CheckpointError: The file is none, or of other sizes.
    """
    state = _nested(_document(path), "state_dict")
    inside = {k.removeprefix(PUBLISHED_PREFIX): v for k, v in state.items()}
    kept = {k: v for k, v in inside.items() if k.startswith(("backbone.", "compression."))}
    _load(model, kept, path)


def load_bert(model: Hamt, folder: str | Path) -> None:
    """Fill the policy's embeddings and text layers from the first layers of a BERT.

    Raises:
        CheckpointError: The folder holds no BERT, or one of other sizes.
    """
    state = {}
    for name, value in _document(folder).items():
        for former, name_now in _FORMER_NAMES.items():
            name = name.removesuffix(former) + name_now if name.endswith(former) else name
        state[name.removeprefix("bert.")] = value
    count = len(model.encoder["layer"])

    def is_read(name: str) -> bool:
        found = re.match(r"encoder\.layer\.(\d+)\.", name)
        return found is not None and int(found[1]) < count

    own = {
        k: v for k, v in state.items() if k.startswith("embeddings.") and "position_ids" not in k
    }
    own |= {k: v for k, v in state.items() if is_read(k)}
    _load(model, own, folder, may_be_new=r"^(?!embeddings\.|encoder\.layer\.)")


def load_policy(model: Hamt, path: str | Path) -> None:
    """Fill the policy from HAMT's pretraining: what has the same name and shape; the rest is told.

    Raises:
        CheckpointError: Nothing of it fits.
    """
    state = _nested(_document(path), "state_dict")
    ours = {name.removeprefix("module.").removeprefix("bert."): v for name, v in state.items()}
    own = model.state_dict()
    fitting = {k: v for k, v in ours.items() if k in own and own[k].shape == v.shape}
    if not fitting:
        raise CheckpointError(f"{path}: holds no tensor of a HAMT policy of these sizes")
    _log.info(
        "%s: %d of the policy's %d tensors; new: %s",
        *(path, len(fitting), len(own), ", ".join(sorted(own.keys() - fitting.keys())) or "none"),
    )
    model.load_state_dict(fitting, strict=False)


def _document(path: str | Path) -> Mapping[str, Any]:
    document: dict[str, Any] = {}
    for file in find_weights(Path(path)):
        document |= read_document(file)
    return document


def _nested(document: Mapping[str, Any], *names: str) -> dict[str, Tensor]:
    for name in names:
        inside = document.get(name)
        document = inside if isinstance(inside, Mapping) else document
    return {k: v for k, v in document.items() if isinstance(v, Tensor)}


def _load(
    model: nn.Module, state: Mapping[str, Tensor], path: str | Path, *, may_be_new: str = r"(?!)"
) -> None:
    try:
        load_weights(model, state, may_be_new=may_be_new)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
