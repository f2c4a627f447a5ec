"""Similarities of texts and videos beyond one vector each: mean of frames, token by token.

Source: `CLIP4Clip` in `modules/modeling.py` of Video-Text-Retrieval in the InternVideo release;
Wang et al. 2022, "Disentangled Representation Learning for Text-Video Retrieval"
(arXiv:2203.07111), section 3.2. The released fine-tuning uses the mean.
Shapes: text tokens (b, l, d), frames (v, t, d) -> similarity (b, v), a cosine in [-1, 1].
Differs from the released code: never multiplied by the logit scale here (there only in some modes).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Bool, Float
from torch import Tensor, nn


def mean_frame_similarity(
    text: Float[Tensor, "b d"], frames: Float[Tensor, "v t d"], padded: Bool[Tensor, "v t"]
) -> Float[Tensor, "b v"]:
    """Compare each text with the mean of each video's frames, taken before normalising."""
    kept = (~padded)[..., None]
    mean = (frames * kept).sum(1) / kept.sum(1).clamp(min=1)
    return F.normalize(text, dim=-1) @ F.normalize(mean, dim=-1).T


def token_similarity(
    tokens: Float[Tensor, "b l d"],
    frames: Float[Tensor, "v t d"],
    *,
    token_weights: Float[Tensor, "b l"],
    frame_weights: Float[Tensor, "v t"],
    padded_tokens: Bool[Tensor, "b l"],
    padded_frames: Bool[Tensor, "v t"],
) -> Float[Tensor, "b v"]:
    """Average every token's best frame and every frame's best token, by the given weights.

    Padding scores 0 and not minus infinity in these maxima, as in the released code.
    """
    tokens = F.normalize(tokens, dim=-1) * (~padded_tokens)[..., None]
    frames = F.normalize(frames, dim=-1) * (~padded_frames)[..., None]
    cosine = einsum(tokens, frames, "b l d, v t d -> b v l t")
    of_tokens = einsum(cosine.amax(3), token_weights, "b v l, b l -> b v")
    of_frames = einsum(cosine.amax(2), frame_weights, "b v t, v t -> b v")
    return (of_tokens + of_frames) / 2


def equal_weights(padded: Bool[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    """Weigh all that is not padding the same."""
    return (~padded).float() / (~padded).sum(1, keepdim=True).clamp(min=1)


class TokenWeights(nn.Module):
    """Learned weights of text tokens and frames: a linear score each, softmax over what counts."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.text_weight_fc = nn.Linear(width, 1)
        self.video_weight_fc = nn.Linear(width, 1)

    def of_tokens(
        self, tokens: Float[Tensor, "b l d"], padded: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b l"]:
        return _softmax(self.text_weight_fc(tokens), padded)

    def of_frames(
        self, frames: Float[Tensor, "v t d"], padded: Bool[Tensor, "v t"]
    ) -> Float[Tensor, "v t"]:
        return _softmax(self.video_weight_fc(frames), padded)


def _softmax(scores: Float[Tensor, "b n 1"], padded: Bool[Tensor, "b n"]) -> Float[Tensor, "b n"]:
    return scores.squeeze(-1).masked_fill(padded, -torch.inf).softmax(-1)
