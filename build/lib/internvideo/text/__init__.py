"""A string becomes token ids: tokenizers, CLIP's and trained ones, and prompts for class names."""

from internvideo.text.prompts import PROMPTS, fill, readable_name
from internvideo.text.tokenizer import Tokenizer, load_clip_tokenizer
from internvideo.text.training import train_tokenizer

__all__ = [
    "PROMPTS",
    "Tokenizer",
    "fill",
    "load_clip_tokenizer",
    "readable_name",
    "train_tokenizer",
]
