"""A string becomes token ids: CLIP's tokenizer, tokenizers trained on one's own captions."""

from internvideo.text.tokenizer import Tokenizer, load_clip_tokenizer

__all__ = ["Tokenizer", "load_clip_tokenizer"]
