"""A string becomes token ids: tokenizers, CLIP's and trained ones, and prompts for class names."""

from internvideo.text.opposites import PairKind, false_sentences, negated, opposite, time_pairs
from internvideo.text.prompts import PROMPTS, fill, readable_name
from internvideo.text.tokenizer import Tokenizer, load_clip_tokenizer
from internvideo.text.training import train_tokenizer
from internvideo.text.word_pieces import WordPieces

__all__ = [
    "PROMPTS",
    "PairKind",
    "Tokenizer",
    "false_sentences",
    "WordPieces",
    "fill",
    "load_clip_tokenizer",
    "negated",
    "opposite",
    "readable_name",
    "time_pairs",
    "train_tokenizer",
]
