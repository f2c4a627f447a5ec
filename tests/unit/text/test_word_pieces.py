"""Word pieces equal those of BERT's own tokenizer."""

from __future__ import annotations

import json

import pytest

from internvideo.errors import ConfigError
from internvideo.text import WordPieces

PIECES = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] walk ##ing ##s down the hall , . ! ' - cafe sofa 中 turn left"
)


@pytest.fixture
def vocabulary(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(PIECES.split(" ")) + "\n", encoding="utf-8")
    return path


TEXTS = [
    "Walking down the hall.",
    "Turn LEFT, walks!  the\tCafé",
    "unknown words xyz",
    "the中hall-'s",
    "",
    "walk\u200bing",
]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_equal_those_of_transformers(vocabulary, text):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    theirs = transformers.BertTokenizer(str(vocabulary))

    ids = WordPieces.read(vocabulary)([text], context_length=24)[0]

    expected = theirs(text)["input_ids"]
    assert ids.tolist() == expected + [0] * (24 - len(expected))


def test_it_becomes_a_document_and_back(vocabulary):
    tokenizer = WordPieces.read(vocabulary)

    again = WordPieces.from_document(json.loads(json.dumps(tokenizer.to_document())))

    ids = tokenizer(["walking down"], context_length=8)
    assert (again(["walking down"], context_length=8) == ids).all()
    assert again.decode(ids[0]) == "walking down"
    assert tokenizer.padding_mask(ids)[0].tolist() == [False] * 5 + [True] * 3
    assert tokenizer.vocabulary_size == 21


def test_other_files_are_refused(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\nb\n")

    with pytest.raises(ConfigError, match=r"vocab\.txt: a vocabulary of 2 word pieces lacks"):
        WordPieces.read(tmp_path / "vocab.txt")
    with pytest.raises(ConfigError, match="cannot be read as word pieces"):
        WordPieces.read(tmp_path / "none.txt")
