"""A string becomes token ids: CLIP's byte-pair encoder, with CLIP's vocabulary or one's own.

Source: `clip/simple_tokenizer.py` and `tokenize` of `clip/clip.py` in openai/CLIP; Sennrich et al.
2016, "Neural Machine Translation of Rare Words with Subword Units" (arXiv:1508.07909).
Shapes: ids (b, l) int64 = start, tokens, end, then 0. The end token has the largest id.
Differs from the released code: merging takes n log n steps for a word of n bytes and not n squared,
with the same result. An own vocabulary keeps id 0 for padding; in CLIP's it is also an exclamation
mark inside a run of signs, so what is padding is asked of `padding_mask` and not of the id.
"""

from __future__ import annotations

import gzip
import heapq
import html
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from itertools import islice, pairwise
from typing import Any, Literal

import ftfy
import numpy as np
import regex
import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from internvideo.errors import ConfigError

START, END, PADDING = "<|startoftext|>", "<|endoftext|>", "<|padding|>"
END_OF_WORD = "</w>"

_WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d"
    r"|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+",
    regex.IGNORECASE,
)
_CLIP_MERGES = 49152 - 256 - 2
_CACHED_WORDS, _CACHED_LETTERS = 2**17, 64  # some 20 MB at most, whatever comes in


def _byte_symbols() -> dict[int, str]:
    """Give every byte a visible character: printable Latin-1 itself, the others from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {
        byte: chr(256 + place) for place, byte in enumerate(others)
    }


BYTE_SYMBOLS = _byte_symbols()
NUM_BASE_SYMBOLS = 2 * len(BYTE_SYMBOLS) + 3  # within and at the end of words; padding, start, end


class Tokenizer:
    """Byte-pair encoder over all of Unicode: nothing is unknown, at worst it becomes its bytes.

    Args:
        merges: Pairs of symbols that become one, the most important first.
        vocabulary: "clip" for CLIP's order of ids; "own" has a padding token in front of it.
    """

    def __init__(
        self,
        merges: Iterable[tuple[str, str]],
        *,
        vocabulary: Literal["clip", "own"] = "own",
    ) -> None:
        self._ranks = {pair: rank for rank, pair in enumerate(merges)}
        self._vocabulary = vocabulary
        self._symbols = [
            *([PADDING] if vocabulary == "own" else []),
            *BYTE_SYMBOLS.values(),
            *(symbol + END_OF_WORD for symbol in BYTE_SYMBOLS.values()),
            *map("".join, self._ranks),
            START,
            END,
        ]
        self._ids = {symbol: place for place, symbol in enumerate(self._symbols)}
        self._cache: dict[str, list[int]] = {}

    @property
    def vocabulary_size(self) -> int:
        return len(self._symbols)

    @property
    def start_id(self) -> int:
        return self.vocabulary_size - 2

    @property
    def end_id(self) -> int:
        """The largest id: where CLIP's text encoder reads the sentence."""
        return self.vocabulary_size - 1

    def __call__(
        self, texts: Sequence[str], *, context_length: int = 77, truncate: bool = False
    ) -> Int64[Tensor, "b l"]:
        """Turn texts (or a single one) into rows of `context_length` ids.

        Args:
            texts: Anything, empty strings included.
            context_length: Ids of a row, with start and end.
            truncate: Whether too long a text is cut and ended, or an error.
        """
        if context_length < 2:
            raise ConfigError(f"context_length {context_length} has no room for start and end")
        texts = [texts] if isinstance(texts, str) else texts
        rows = np.zeros((len(texts), context_length), dtype=np.int64)
        for place, text in enumerate(texts):
            ids = [self.start_id, *self.encode(text), self.end_id]
            if len(ids) > context_length:
                if not truncate:
                    raise ConfigError(
                        f"text {place} has {len(ids)} tokens with start and end, the context holds "
                        f"{context_length}; shorten it or pass truncate=True: {text[:80]!r}"
                    )
                ids = [*ids[: context_length - 1], self.end_id]
            rows[place, : len(ids)] = ids
        return torch.from_numpy(rows)

    def batch(
        self, texts: Sequence[str], *, context_length: int
    ) -> tuple[Int64[Tensor, "b l"], Bool[Tensor, "b l"]]:
        """Turn texts into ids as long as the longest, cut to the context, and say what is padding.

        A text tower reads up to the end token, so the missing columns change nothing.
        """
        ids = self(texts, context_length=context_length, truncate=True)
        padded = self.padding_mask(ids)
        longest = int((~padded).sum(1).max())
        return ids[:, :longest], padded[:, :longest]

    def encode(self, text: str) -> list[int]:
        """Turn one text into ids, without start and end.

        A start or end token that is written out in the text becomes its id, as in CLIP.
        """
        ids: list[int] = []
        for word in words(text):
            ids += self._cache.get(word) or self._encode_word(word)
        return ids

    def decode(
        self, ids: Iterable[int] | Int64[Tensor, " l"], *, keeps_special: bool = False
    ) -> str:
        """Turn ids into text; words are set apart by spaces, as they were found.

        Stops at the end token and leaves out start and padding; with `keeps_special` it writes
        these out and goes on. Bytes that are no UTF-8 become U+FFFD.
        """
        text = bytearray()
        for token in map(int, ids):
            if not 0 <= token < self.vocabulary_size:
                raise ConfigError(
                    f"id {token} is in no vocabulary of {self.vocabulary_size} tokens; "
                    "decode with the tokenizer that the model was trained with"
                )
            symbol = self._symbols[token]
            if symbol in (START, END, PADDING):
                if keeps_special:
                    text += symbol.encode()
                elif symbol == END:
                    break
                continue
            inner = symbol.removesuffix(END_OF_WORD)
            text += bytes(_BYTES[letter] for letter in inner)
            text += b" " * (inner != symbol)
        return text.decode(errors="replace").removesuffix(" ")

    def padding_mask(self, ids: Int64[Tensor, "b l"]) -> Bool[Tensor, "b l"]:
        """Mark what follows the last end token of each row (all of a row without one: nothing)."""
        is_end = ids == self.end_id
        ends_to_come = is_end.flip(1).cumsum(1).flip(1)
        return (ends_to_come == 0) & is_end.any(1, keepdim=True)

    def to_document(self) -> dict[str, Any]:
        """Give what JSON can hold; `from_document` makes the same tokenizer of it."""
        if self._vocabulary == "clip":
            return {"vocabulary": "clip"}
        return {"vocabulary": "own", "merges": [" ".join(pair) for pair in self._ranks]}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Tokenizer:
        """Make the tokenizer that `to_document` described."""
        match document:
            case {"vocabulary": "clip"}:
                return load_clip_tokenizer()
            case {"vocabulary": "own", "merges": list(merges)}:
                pairs = [tuple(str(merge).split(" ")) for merge in merges]
                if all(len(pair) == 2 for pair in pairs):
                    return Tokenizer(pairs)
        raise ConfigError(
            f"not the description of a tokenizer: {str(dict(document))[:80]}; expected "
            '{"vocabulary": "clip"} or {"vocabulary": "own", "merges": ["a b", ...]}'
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return Tokenizer.from_document, (self.to_document(),)

    def _encode_word(self, word: str) -> list[int]:
        if word in (START, END):
            return [self._ids[word]]
        ids = [self._ids[symbol] for symbol in merged(word_symbols(word), self._ranks)]
        if len(word) <= _CACHED_LETTERS:
            if len(self._cache) >= _CACHED_WORDS:
                self._cache.clear()
            self._cache[word] = ids
        return ids


@cache
def load_clip_tokenizer() -> Tokenizer:
    """Give CLIP's tokenizer with its 49,408 tokens; read once, from the package itself."""
    file = resources.files("internvideo.text") / "bpe_simple_vocab_16e6.txt.gz"
    with file.open("rb") as packed, gzip.open(packed, "rt", encoding="utf-8") as lines:
        merges = [tuple(line.split()) for line in islice(lines, 1, 1 + _CLIP_MERGES)]
    return Tokenizer(merges, vocabulary="clip")


def words(text: str) -> list[str]:
    """Clean a text as CLIP does and list its words, lower-cased.

    Cleaning repairs wrongly decoded text, lone surrogates and control characters (`ftfy`) and
    resolves HTML entities twice. Runs of letters, single digits and runs of signs are words.
    """
    # Printable ASCII without "&" is what cleaning leaves alone, and most captions are just that.
    if not (text.isascii() and text.isprintable() and "&" not in text):
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    # White space only sets words apart, so there is nothing to strip or collapse.
    return _WORDS.findall(text.lower())


def word_symbols(word: str) -> list[str]:
    """Spell a word in byte symbols; the last one carries the end-of-word mark."""
    symbols = [BYTE_SYMBOLS[byte] for byte in word.encode()]
    symbols[-1] += END_OF_WORD
    return symbols


def merged(symbols: list[str], ranks: Mapping[tuple[str, str], int]) -> list[str]:
    """Join neighbours, the pair of the lowest rank first, at all its places from left to right."""
    count = len(symbols)
    parts = [*symbols, ""]  # "" is what has been joined to the part before it, and the end
    before, after = [*range(-1, count)], [*range(1, count + 1), count]
    waiting = [(ranks[pair], i) for i, pair in enumerate(pairwise(symbols)) if pair in ranks]
    heapq.heapify(waiting)
    while waiting:
        rank, fresh = waiting[0][0], []
        while waiting and waiting[0][0] == rank:
            left = heapq.heappop(waiting)[1]
            right = after[left]
            if ranks.get((parts[left], parts[right])) != rank:
                continue  # one of the two was joined to something else
            parts[left] += parts[right]
            parts[right] = ""
            after[left], before[after[right]] = after[right], left
            fresh += [left, before[left]] if before[left] >= 0 else [left]
        for left in fresh:
            pair = (parts[left], parts[after[left]])
            if pair in ranks:
                heapq.heappush(waiting, (ranks[pair], left))
    return [part for part in parts if part]


_BYTES = {symbol: byte for byte, symbol in BYTE_SYMBOLS.items()}
