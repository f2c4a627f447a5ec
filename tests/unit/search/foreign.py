"""Tiny random models as `transformers` saves them: network, preprocessing, tokenizer."""

from __future__ import annotations

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

_WORDS = [
    "<pad>",
    "<start>",
    "<end>",
    "<unknown>",
    "a",
    "the",
    "red",
    "green",
    "blue",
    "dog",
    "jumps",
    "into",
    "water",
]
_TEXT = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "vocab_size": len(_WORDS),
    "max_position_embeddings": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_VISION = {
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def _tokenizer():
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(_WORDS)}, "<unknown>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token="<pad>",
        bos_token="<start>",
        eos_token="<end>",
        unk_token="<unknown>",
    )


def _clip():
    config = transformers.CLIPConfig(text_config=_TEXT, vision_config=_VISION, projection_dim=12)
    return transformers.CLIPModel(config), transformers.CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )


def _siglip():
    config = transformers.SiglipConfig(
        text_config={**_TEXT, "projection_size": 16}, vision_config=_VISION
    )
    return transformers.SiglipModel(config), transformers.SiglipImageProcessorPil(
        size={"height": 32, "width": 32}
    )


def _siglip2():
    vision = {k: v for k, v in _VISION.items() if k != "image_size"}
    config = transformers.Siglip2Config(
        text_config={**_TEXT, "projection_size": 16},
        vision_config={**vision, "num_patches": 16},
    )
    return transformers.Siglip2Model(config), transformers.Siglip2ImageProcessorPil(
        patch_size=8, max_num_patches=16
    )


def _x_clip():
    vision = {**_VISION, "num_frames": 4, "mit_hidden_size": 12, "mit_intermediate_size": 24}
    vision |= {"mit_num_hidden_layers": 1, "mit_num_attention_heads": 2}
    config = transformers.XCLIPConfig(
        text_config=_TEXT, vision_config=vision, projection_dim=12, prompt_num_attention_heads=2
    )
    return transformers.XCLIPModel(config), transformers.VideoMAEImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    )


FOREIGN = {"clip": _clip, "siglip": _siglip, "siglip2": _siglip2, "x-clip": _x_clip}


def save_foreign(kind, folder):
    """Write a random model of a kind, always the same."""
    torch.manual_seed(0)
    model, processor = FOREIGN[kind]()
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    _tokenizer().save_pretrained(folder)
    return folder
