"""What a question answerer starts from: an encoder B with its decoder, or a question answerer.

Either may be a run or checkpoint of ours, a saved model, or a file of released weights.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from internvideo.errors import CheckpointError
from internvideo.heads import QuestionAnswerer, QuestionAnswererConfig
from internvideo.text import Tokenizer
from internvideo.training import load
from internvideo.weights import load_weights, read_document, read_state

logger = logging.getLogger(__name__)

# Of an encoder B, what nothing reads when questions are answered.
_IDLE = re.compile(r"(text|video)_projection$|logit_scale$|captioner\.predictor\.")
_NEW = r"^classifier\.|^captioner\.predictor\.|^text\.mask_token$"
# Fields of the towers that may differ from those they were trained with.
_FREE = {"side_px", "recompute_activations", "frozen_backbone", "mask_token"} | {
    *("drop_path", "global_dropout", "global_drop_path"),
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class AnswererStart:
    """Weights as they were read, with the answers and the tokenizer that lay beside them."""

    path: Path | None
    weights: Mapping[str, Tensor]
    answers: tuple[str, ...] = ()
    tokenizer: Tokenizer | None = None
    pair: Mapping[str, Tensor] | None = None


def read_answerer_start(
    path: str | None, pair: str | None, config: QuestionAnswererConfig
) -> AnswererStart | None:
    """Read what to start from, before anything else is opened; None where there is nothing.

    Raises:
        CheckpointError: There are no weights, or they are of a model of another kind.
    """
    of_pair = None if pair is None else _read(Path(pair), "stage.pair_weights")[0]
    if path is None:
        if of_pair is None:
            return None
        return AnswererStart(path=None, weights={}, pair=of_pair)
    weights, documents = _read(Path(path), "stage.initial_weights")
    if "text.token_embed.weight" not in weights or "captioner.text_norm.weight" not in weights:
        raise CheckpointError(
            f"{path}: holds no encoder B with a caption decoder; take a run of "
            "multimodal-pretraining or question-answering"
        )
    _check_encoder(path, documents.get("config"), config)
    tokenizer = documents.get("tokenizer")
    return AnswererStart(
        path=Path(path),
        weights=weights,
        answers=tuple(documents.get("labels") or ()),
        tokenizer=Tokenizer.from_document(tokenizer) if tokenizer else None,
        pair=of_pair,
    )


def initialise_answerer(
    model: QuestionAnswerer, start: AnswererStart, answers: Sequence[str]
) -> None:
    """Fill a question answerer; its classifier only where it was trained on the same answers.

    Raises:
        CheckpointError: The weights do not fit the network.
    """
    own = model.state_dict().keys()
    kept = {
        name: value
        for name, value in start.weights.items()
        if name in own or not (_IDLE.match(name) or name == "text.mask_token")
    }
    if start.answers != tuple(answers):
        kept = {name: value for name, value in kept.items() if not name.startswith("classifier.")}
    new = _NEW
    if start.pair is not None:
        kept = {name: value for name, value in kept.items() if not name.startswith("video.")}
        kept |= {f"pair.{name}": value for name, value in start.pair.items()}
    if start.path is None:
        new = r"^(?!pair\.)"
    try:
        report = load_weights(model, kept, may_be_new=new)
    except CheckpointError as error:
        raise CheckpointError(f"{start.path or 'the pair'}: {error}") from error
    logger.info("%s: %s", start.path or "the pair", report)


def _check_encoder(path: str, document: Any, config: QuestionAnswererConfig) -> None:
    """Compare with the encoder that was trained: most of its fields leave no trace in shapes."""
    saved = document.get("config") if isinstance(document, Mapping) else None
    if not isinstance(saved, Mapping):
        return  # released weights; their configuration is that of their shapes
    trained = saved.get("encoder", saved)
    ours = json.loads(json.dumps(asdict(config.encoder)))
    parts = ("text", "captioner") if config.pair is not None else ("video", "text", "captioner")
    unlike = [
        f"{part}.{name}={ours[part][name]} instead of {value}"
        for part in parts
        for name, value in (trained.get(part) or {}).items()
        if name in ours[part] and name not in _FREE and ours[part][name] != value
    ]
    front_end = None if config.front_end is None else asdict(config.front_end)
    if config.pair is None and saved.get("front_end") != front_end:
        unlike.append(f"front_end={front_end} instead of {saved.get('front_end')}")
    if unlike:
        raise CheckpointError(
            f"{path}: its encoder is another one than model.encoder, which has {', '.join(unlike)}"
        )


def _read(path: Path, where: str) -> tuple[Mapping[str, Tensor], Mapping[str, Any]]:
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such run, checkpoint or file to start from; train it first, or set "
            f"{where} to another one, or to none"
        )
    if path.is_dir():
        last = path / "checkpoints" / "last"
        loaded = load(last if (last / "model.safetensors").exists() else path)
        return loaded.model, loaded.documents
    try:
        return read_state(read_document(path)).tensors, {}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
