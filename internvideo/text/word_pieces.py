"""A string becomes BERT's word pieces: words cut into the longest pieces that its vocabulary has.

Source: Devlin et al. 2019, "BERT" (arXiv:1810.04805), `tokenization.py` of the released code, for
vocabularies without capitals. Ids = [CLS], pieces, [SEP], then [PAD] = 0.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxtyping import Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.reading import read_document_text
from internvideo.text.tokenizer import Tokenizer

_CLASS, _SEPARATOR, _PADDING, _UNKNOWN = "[CLS]", "[SEP]", "[PAD]", "[UNK]"
_LONGEST_WORD = 100


class WordPieces(Tokenizer):
    """BERT's tokenizer for texts without capitals.

    Args:
        pieces: The vocabulary in the order of its ids; [PAD] comes first.
    """

    def __init__(self, pieces: Sequence[str]) -> None:
        super().__init__(())
        self._symbols = list(pieces)
        self._ids = {piece: place for place, piece in enumerate(pieces)}
        missing = {_CLASS, _SEPARATOR, _UNKNOWN} - self._ids.keys()
        if missing or self._ids.get(_PADDING) != 0:
            raise ConfigError(
                f"a vocabulary of {len(self._symbols)} word pieces lacks "
                f"{sorted(missing) or '[PAD] in the first place'}; take vocab.txt of a BERT model"
            )

    @staticmethod
    def read(path: str | Path) -> WordPieces:
        """Read vocab.txt, a piece a line.

        Raises:
            ConfigError: There is no such file, or it is no vocabulary of BERT.
        """
        try:
            return WordPieces(read_document_text(Path(path)).splitlines())
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
        except ValueError as error:
            raise ConfigError(f"{path}: cannot be read as word pieces ({error})") from error

    @property
    def start_id(self) -> int:
        return self._ids[_CLASS]

    @property
    def end_id(self) -> int:
        return self._ids[_SEPARATOR]

    def encode(self, text: str) -> list[int]:
        """Turn one text into ids, without start and end."""
        return [piece for word in _words(text) for piece in self._pieces(word)]

    def decode(
        self, ids: Iterable[int] | Int64[Tensor, " l"], *, keeps_special: bool = False
    ) -> str:
        """Turn ids into text, words set apart by spaces."""
        special = {_CLASS, _SEPARATOR, _PADDING}
        pieces = [self._symbols[int(token)] for token in ids]
        kept = [piece for piece in pieces if keeps_special or piece not in special]
        return " ".join(kept).replace(" ##", "")

    def to_document(self) -> dict[str, Any]:
        return {"vocabulary": "word-pieces", "pieces": self._symbols}

    @staticmethod
    def from_document(document: Mapping[str, Any]) -> Tokenizer:
        """Make the tokenizer, of either kind, that `to_document` described."""
        match document:
            case {"vocabulary": "word-pieces", "pieces": list(pieces)}:
                return WordPieces([str(piece) for piece in pieces])
        return Tokenizer.from_document(document)

    def __reduce__(self) -> tuple[Any, ...]:
        return WordPieces, (self._symbols,)

    def _pieces(self, word: str) -> list[int]:
        """The longest pieces from the left; [UNK] for a word that cannot be made of any."""
        if len(word) > _LONGEST_WORD:
            return [self._ids[_UNKNOWN]]
        found, start = [], 0
        while start < len(word):
            for end in range(len(word), start, -1):
                piece = ("##" if start else "") + word[start:end]
                if piece in self._ids:
                    found.append(self._ids[piece])
                    start = end
                    break
            else:
                return [self._ids[_UNKNOWN]]
        return found


def _words(text: str) -> list[str]:
    """Lower-case words without accents; every sign and every Chinese character stands alone."""
    letters = []
    for letter in unicodedata.normalize("NFD", text.lower()):
        category = unicodedata.category(letter)
        if (
            category == "Mn"
            or letter == "\ufffd"
            or (category[0] == "C" and letter not in "\t\n\r")
        ):
            continue
        is_sign = category[0] == "P" or (letter.isascii() and category[0] == "S")
        stands_alone = is_sign or 0x4E00 <= ord(letter) <= 0x9FFF
        letters.append(f" {letter} " if stands_alone else letter)
    return "".join(letters).split()
