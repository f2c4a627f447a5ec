"""What a stage computes in a step, on clips of zeros: network, loss, and the cost of its parts.

One entry a kind of stage; others are planned from their parameters and their own cost alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from internvideo.heads import CoordinatedClassifier, VideoClassifier
from internvideo.models import (
    MaskedAutoencoder,
    MultimodalEncoder,
    UniFormerConfig,
    autoencoder_macs,
    caption_macs,
    encoder_macs,
    gather_tokens,
    sample_masks,
    text_macs,
)
from internvideo.objectives import (
    classification_loss,
    contrastive_loss,
    per_sample_error,
    pixel_targets,
)
from internvideo.planner.memory import Example
from internvideo.stages import CoordinationTraining, MaskedPretraining, MultimodalPretraining
from internvideo.tasks import ActionRecognitionTraining
from internvideo.tiny import build_masked_autoencoder, build_multimodal, front_end_macs


@dataclass(frozen=True, kw_only=True, slots=True)
class StageExample:
    """`forward_macs` by part. Papers count `published_macs`, where they do what we do not: the
    released masked encoder embeds masked tubelets as well before it drops them."""

    build: Callable[[], nn.Module]
    loss: Example
    forward_macs: Mapping[str, int]
    published_macs: int


@singledispatch
def stage_example(stage: Any) -> StageExample | None:
    """The example of a stage's configuration; None where this kind is not known here."""
    return None


@stage_example.register
def _masked(stage: MaskedPretraining) -> StageExample:
    masks = sample_masks(stage.masking, stage.encoder.grid, torch.zeros(1, dtype=torch.int64))
    num_visible = masks.visible_index.shape[1]
    num_predicted = masks.predicted_index.shape[1]

    def loss(model: nn.Module, batch_size: int) -> Tensor:
        assert isinstance(model, MaskedAutoencoder)
        shape = (batch_size, stage.encoder.grid.num_tokens, stage.encoder.num_pixels)
        patches = torch.zeros(shape, dtype=torch.uint8)
        visible = torch.zeros(batch_size, num_visible, dtype=torch.int64)
        predicted = torch.zeros(batch_size, num_predicted, dtype=torch.int64)
        counted = torch.ones(batch_size, num_predicted, dtype=torch.bool)
        target = pixel_targets(
            gather_tokens(patches, predicted), normalised=stage.target == "tubelet"
        )
        found = model(gather_tokens(patches, visible), visible, predicted)
        return per_sample_error(found, target, counted).mean()

    macs = autoencoder_macs(
        stage.encoder, stage.decoder, num_visible=num_visible, num_predicted=num_predicted
    )
    encoder = encoder_macs(stage.encoder, num_visible)
    n, ratio = stage.encoder.grid.num_tokens, stage.masking.decoder_mask_ratio
    published = autoencoder_macs(
        stage.encoder,
        stage.decoder,
        num_visible=num_visible,
        # Dual masking as published predicts visible tokens as well.
        num_predicted=round((1 - ratio) * n) if ratio else num_predicted,
        num_embedded=n,
    )
    return StageExample(
        build=lambda: build_masked_autoencoder(stage.encoder, stage.decoder, stage.front_end),
        loss=loss,
        forward_macs={"encoder": encoder, "decoder": macs - encoder},
        published_macs=published,
    )


@stage_example.register
def _multimodal(stage: MultimodalPretraining) -> StageExample:
    video, text, captioner = stage.encoder.video, stage.encoder.text, stage.encoder.captioner
    captions = captioner is not None and stage.captioning_weight > 0

    def build() -> nn.Module:
        model = build_multimodal(stage.encoder, stage.front_end)
        if stage.freeze_text:
            model.text.requires_grad_(False)
            model.text_projection.requires_grad_(False)
        return model

    def loss(model: nn.Module, batch_size: int) -> Tensor:
        assert isinstance(model, MultimodalEncoder)
        clip = torch.zeros(batch_size, 3, stage.num_frames, video.side_px, video.side_px)
        ids = torch.zeros(batch_size, text.context_length, dtype=torch.int64)
        seen, said = model.encode_video(clip), model.encode_text(ids)
        total = contrastive_loss(seen.embedding, said.embedding, model.logit_scale)
        if captions:
            logits = model.caption_logits(said.tokens, seen.tokens)
            # The captioning loss of texts without padding, a number of which fake tensors have not.
            scores = logits.flatten(0, 1).clone().float()
            total = total + F.cross_entropy(scores, ids[:, 1:].flatten())
        return total

    macs = {
        "video": front_end_macs(video, stage.front_end, stage.num_frames),
        "text": text_macs(text),
    }
    if captions:
        num_tokens = stage.grid.num_tokens + stage.grid.time
        macs["captions"] = caption_macs(captioner, num_tokens, text.context_length - 1)
    return StageExample(
        build=build, loss=loss, forward_macs=macs, published_macs=sum(macs.values())
    )


@stage_example.register
def _recognition(stage: ActionRecognitionTraining) -> StageExample:
    encoder = stage.model.encoder

    def loss(model: nn.Module, batch_size: int) -> Tensor:
        side_px = encoder.side_px
        clip = torch.zeros(batch_size, 3, stage.clip_frames, side_px, side_px)
        return classification_loss(model(clip), torch.zeros(batch_size, dtype=torch.int64))

    def build() -> nn.Module:
        model = VideoClassifier(stage.model)
        stage.freeze(model)
        return model

    macs = (
        front_end_macs(encoder, stage.model.front_end, stage.clip_frames)
        if isinstance(encoder, UniFormerConfig)
        else encoder_macs(encoder, stage.model.num_salient_tubelets or None)
    )
    return StageExample(build=build, loss=loss, forward_macs={"encoder": macs}, published_macs=macs)


@stage_example.register
def _coordination(stage: CoordinationTraining) -> StageExample:
    a, b = stage.pair.encoders

    def loss(model: nn.Module, batch_size: int) -> Tensor:
        assert isinstance(model, CoordinatedClassifier)
        clip = torch.zeros(batch_size, 3, stage.clip_frames, a.side_px, a.side_px)
        with torch.no_grad():
            features = model.read(clip)
        labels = torch.zeros(batch_size, dtype=torch.int64)
        return classification_loss(model.score(features).fused, labels)

    frames = len(range(0, stage.clip_frames, stage.pair.coordination.frame_step))
    macs = {
        "encoder A": encoder_macs(a),
        "encoder B": front_end_macs(b, stage.pair.multimodal.front_end, frames),
    }
    return StageExample(
        build=lambda: CoordinatedClassifier(stage.pair),
        loss=loss,
        forward_macs=macs,
        published_macs=sum(macs.values()),
    )
