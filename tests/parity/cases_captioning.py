"""Checks of recorded cases: the caption decoder on encoder B, its losses, and CoCa."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.heads import QuestionAnswerer, QuestionAnswererConfig
from internvideo.models import CaptionDecoderConfig, MultimodalEncoder, unit_length
from internvideo.models.caption_blocks import (
    BiasFreeLayerNorm,
    CrossAttention,
    ParallelBlock,
    ParallelLayer,
    Residual,
)
from internvideo.objectives import (
    captioning_loss,
    clamp_logit_scale,
    contrastive_loss,
    queue_contrastive_loss,
    queue_logits,
)
from internvideo.weights import INTERNVIDEO_MM
from tests.parity.case import Case, Fields
from tests.parity.cases_multimodal import multimodal_config
from tests.parity.imports import filled


def captioner_config(config: Fields) -> CaptionDecoderConfig:
    """The caption decoder of an `internvideo_mm_*` case."""
    width, heads = config["text"]["width"], config["caption"]["heads"]
    return CaptionDecoderConfig(
        width=width,
        context_width=config["vision"]["width"],
        depth=config["caption"]["n_layers"],
        num_heads=heads,
        head_width=width // heads,
        num_queries=config["caption"]["num_visual_queries"],
        vocabulary_size=config["text"]["vocab_size"],
    )


def check_caption(case: Case) -> None:
    config = replace(multimodal_config(case.config), captioner=captioner_config(case.config))
    case.config.without_effect("answers")  # of question answering, which shares the configuration
    model = MultimodalEncoder(config).eval()
    model = filled(case, model, config, INTERNVIDEO_MM.read)
    hidden: dict[str, Tensor] = {}
    for name in case.group("expected/hidden"):

        def keep(_: nn.Module, given: Any, output: Tensor, name: str = name) -> None:
            hidden[name] = output

        model.captioner.get_submodule(name).register_forward_hook(keep)
    ids = case.tensor("inputs/text_ids").long()
    padded = case.tensor("inputs/special_tokens_mask").bool()
    clamp_logit_scale(model.logit_scale)

    video = model.video(case.tensor("inputs/video").transpose(1, 2))
    text = model.text(ids)
    logits = model.caption_logits(text.tokens, video.tokens)
    video_features = model.project_video(video.pooled)
    text_features = text.pooled @ model.text_projection
    videos, texts = unit_length(video_features), unit_length(text_features)
    caption_loss = captioning_loss(logits, ids, padded)
    pair_loss = contrastive_loss(videos, texts, model.logit_scale)
    (caption_loss + pair_loss).backward()

    for name, got in hidden.items():
        case.close(f"hidden/{name}", got)
    case.close("caption_logits", logits)
    case.close("video_features", video_features)
    case.close("text_features", text_features)
    case.close("caption_loss", caption_loss[None])
    case.close("contrastive_loss", pair_loss[None])
    case.close("contrastive_logits", model.logit_scale.exp() * videos @ texts.T)
    _check_gradients(case, model)
    _check_queue(case, videos, texts, model.logit_scale)


def _check_gradients(case: Case, model: MultimodalEncoder) -> None:
    gradients = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
    gradients = {
        name if name.startswith("caption_decoder.") else f"clip.{name}": gradient
        for name, gradient in INTERNVIDEO_MM.write(gradients).items()
    }
    order = case.data["expected"]["grad_norm_parameter_order"]
    case.equal("gradients", sorted(gradients), sorted(order))
    case.close("grad_norm", torch.stack([gradients[name].norm() for name in order]))


def _check_queue(case: Case, videos: Tensor, texts: Tensor, logit_scale: Tensor) -> None:
    momentum_video = unit_length(case.tensor("inputs/momentum_video_features"))
    momentum_text = unit_length(case.tensor("inputs/momentum_text_features"))
    queued_video, queued_text = (case.tensor(f"inputs/queue_{k}").T for k in ("visual", "text"))
    loss = queue_contrastive_loss(
        videos, texts, momentum_video, momentum_text, queued_video, queued_text, logit_scale
    )
    case.close("keys_enqueued_video", momentum_video)
    case.close("keys_enqueued_text", momentum_text)
    case.close("queue_contrastive_loss", loss[None])
    to_text = queue_logits(videos, momentum_text, queued_text, logit_scale)
    case.close("queue_image_logits", to_text)


class Coca(nn.Module):
    """CoCa of the released `coca.py`, put together from our blocks, without its image encoder.

    Text reads itself, a class token at its end reads all but padding, then text reads the image.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        width = config["dim"]
        heads = config["heads"], config["dim_head"]
        self.token_emb = nn.Embedding(config["num_tokens"], width)
        self.text_cls_token = nn.Parameter(torch.zeros(width))
        self.img_queries = nn.Parameter(torch.zeros(config["num_img_queries"] + 1, width))
        self.temperature = nn.Parameter(torch.ones(1))
        self.img_attn_pool = CrossAttention(width, config["image_dim"], *heads, context_normed=True)
        self.img_attn_pool_norm = BiasFreeLayerNorm(width)
        self.text_cls_norm = BiasFreeLayerNorm(width)
        self.unimodal_layers = nn.ModuleList(
            Residual(ParallelBlock(width, *heads, config["ff_mult"]))
            for _ in range(config["unimodal_depth"])
        )
        self.multimodal_layers = nn.ModuleList(
            ParallelLayer(width, width, *heads, config["ff_mult"])
            for _ in range(config["multimodal_depth"])
        )
        self.to_logits = nn.Sequential(
            BiasFreeLayerNorm(width), nn.Linear(width, config["num_tokens"], bias=False)
        )

    def embed_text(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        class_token = self.text_cls_token.expand(len(ids), 1, -1)
        tokens = torch.cat([self.token_emb(ids), class_token], dim=1)
        length = tokens.shape[1]
        allowed = torch.ones(len(ids), length, length, dtype=torch.bool)
        allowed[:, -1, :-1] = ids != 0
        for layer in self.unimodal_layers:
            tokens = layer(tokens, None, allowed)
        return self.text_cls_norm(tokens)[:, -1], tokens[:, :-1]

    def embed_image(self, image_tokens: Tensor) -> tuple[Tensor, Tensor]:
        queries = self.img_queries.expand(len(image_tokens), -1, -1)
        pooled = self.img_attn_pool_norm(self.img_attn_pool(queries, image_tokens))
        return pooled[:, 0], pooled[:, 1:]

    def caption_logits(self, text_tokens: Tensor, image_tokens: Tensor) -> Tensor:
        for layer in self.multimodal_layers:
            text_tokens = layer(text_tokens, image_tokens)
        return self.to_logits(text_tokens)


@torch.no_grad()
def check_coca(case: Case) -> None:
    model = Coca(case.config["coca"]).eval()
    model.load_state_dict(case.group("weights"))
    ids = case.tensor("inputs/text").long()

    text_embed, text_tokens = model.embed_text(ids[:, :-1])
    image_embed, pooled = model.embed_image(case.tensor("inputs/image_tokens"))
    logits = model.caption_logits(model.embed_text(ids)[1], pooled)
    caption = captioning_loss(model.caption_logits(text_tokens, pooled), ids, ids == 0)
    pairs = contrastive_loss(image_embed, text_embed, model.temperature[0])

    case.close("text_embed", text_embed)
    case.close("text_tokens", text_tokens)
    case.close("image_embed", image_embed)
    case.close("image_tokens_pooled", pooled)
    case.close("logits", logits)
    case.close("loss", (caption + pairs)[None])


@torch.no_grad()
def check_question_answering(case: Case) -> None:
    encoder = replace(multimodal_config(case.config), captioner=captioner_config(case.config))
    config = QuestionAnswererConfig(encoder=encoder, num_answers=case.config["answers"])

    def read(official: dict[str, Tensor]) -> dict[str, Tensor]:
        ours = INTERNVIDEO_MM.read(official)
        ours = {k.replace("vqa_classifier.", "classifier."): v for k, v in ours.items()}
        return {k: v for k, v in ours.items() if k in model.state_dict()}

    model = QuestionAnswerer(config)
    model = filled(case, model, config, read)
    ids = case.tensor("inputs/text_ids").long()
    labels = case.tensor("inputs/labels").long()
    padded = case.tensor("inputs/special_tokens_mask").bool()
    case.equal("padding", bool((ids[padded] == 0).all()), True)  # of the loss, which has no caption

    logits = model(case.tensor("inputs/video").transpose(1, 2), ids)

    case.close("vqa_logits", logits)
    case.close("vqa_loss", F.cross_entropy(logits, labels, ignore_index=-100)[None])


CHECKS: dict[str, Callable[[Case], None]] = {
    "internvideo_mm_vqa": check_question_answering,
    "internvideo_mm_caption": check_caption,
    "coca_reference": check_coca,
}
