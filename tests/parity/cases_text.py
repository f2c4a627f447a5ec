"""Checks of recorded cases: a text becomes token ids and back."""

from __future__ import annotations

from collections.abc import Callable

from internvideo.errors import ConfigError
from internvideo.text import load_clip_tokenizer
from tests.parity.case import Case


def clip_tokenizer(case: Case) -> None:
    tokenizer = load_clip_tokenizer()
    config = case.config
    endings = {key.rpartition("_")[2] for one in case.data["expected"] for key in one}
    lengths = {int(ending) for ending in endings if ending.isdecimal()}
    case.equal("lengths", sorted(lengths), sorted(config["context_length"]))
    special = {"start": tokenizer.start_id, "end": tokenizer.end_id, "pad": 0}
    case.equal("special", special, {name: config[name] for name in special})
    for text, expected in zip(case.data["inputs"], case.data["expected"], strict=True):
        decoded = tokenizer.decode(expected["bpe_ids"], keeps_special=True)
        got = {"bpe_ids": tokenizer.encode(text), "decoded": decoded}
        # Ours does not end in the space that follows every word.
        stored = {"bpe_ids": expected["bpe_ids"], "decoded": expected["decoded"].removesuffix(" ")}
        for key, ids in expected.items():
            form, _, length = key.rpartition("_")
            if form in ("truncated", "ids_full_context"):
                stored[key] = ids
                got[key] = _row(text, int(length), truncate=form == "truncated")
        case.equal(repr(text), got, stored)


def _row(text: str, context_length: int, *, truncate: bool) -> list[int] | None:
    """Ids of a text without its padding, or None where it is too long."""
    tokenizer = load_clip_tokenizer()
    try:
        ids = tokenizer([text], context_length=context_length, truncate=truncate)
    except ConfigError:
        return None
    padded = tokenizer.padding_mask(ids)
    assert not ids[padded].any()
    return ids[~padded].tolist()


CHECKS: dict[str, Callable[[Case], None]] = {
    "clip_tokenizer": clip_tokenizer,
}
