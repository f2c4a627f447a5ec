"""The two blocks of UniFormerV2: local UniBlocks in the backbone, global UniBlocks beside it.

Source: Li et al. 2022, "UniFormerV2" (arXiv:2211.09552), section 3, and its released code.
Shapes: tokens (b, t, 1 + k, d): of every frame its class token and k patches, the same k of the
(rows x columns) positions in all frames of a clip; published models read all of them.
Differs from the released code, with the same numbers: the convolutions of a local MHRA are products
and sums on tokens, since they reach along time only; a global block has one query, so keys and
values are never formed (see `attend_once`). Not the same numbers: a local MHRA may normalise each
token by itself, so that ranks and micro-batches do not change the result.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.models.clip_blocks import Activation, ClipAttention, ClipBlock, ClipMlp
from internvideo.models.layers import StochasticDepth

LocalNorm = Literal["batch", "layer"]


class LocalMHRA(nn.Module):
    """Local multi-head relation aggregator: each patch and its two neighbours in time.

    norm -> 1 x 1 x 1 to fewer channels -> depthwise 3 x 1 x 1 -> 1 x 1 x 1 back, which starts as
    zero, so that the branch starts as identity.
    """

    def __init__(
        self,
        width: int,
        reduced_width: int,
        *,
        norm: LocalNorm = "batch",
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        norm_type = nn.BatchNorm1d if norm == "batch" else nn.LayerNorm
        self.norm = norm_type(width, eps=norm_eps)
        self.down = nn.Linear(width, reduced_width)
        # Its layout is that of the official convolution.
        self.time = nn.Conv3d(
            reduced_width, reduced_width, (3, 1, 1), padding=(1, 0, 0), groups=reduced_width
        )
        self.up = nn.Linear(reduced_width, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, patches: Float[Tensor, "b t k d"]) -> Float[Tensor, "b t k d"]:
        normalised = self.norm(patches.flatten(0, 2)).view(patches.shape)
        reduced = self.down(normalised)
        before, here, after = self.time.weight.flatten(1).unbind(1)
        padded = F.pad(reduced, (0, 0, 0, 0, 1, 1))
        mixed = padded[:, :-2] * before + reduced * here + padded[:, 2:] * after + self.time.bias
        return self.up(mixed)


class LocalBlock(ClipBlock):
    """Local UniBlock: a block of CLIP on every frame, and at most two local MHRA on its patches.

    The first stands before attention, the second before the feed-forward. Without them it is the
    block of CLIP.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_width: int,
        *,
        local1: LocalMHRA | None = None,
        local2: LocalMHRA | None = None,
        activation: Activation = "quick-gelu",
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__(
            width,
            num_heads,
            hidden_width,
            activation=activation,
            drop_path=drop_path,
            norm_eps=norm_eps,
        )
        self.local1, self.local2 = local1, local2

    def forward(self, tokens: Float[Tensor, "b t n d"]) -> Float[Tensor, "b t n d"]:
        def add_local(local: LocalMHRA | None, tokens: Tensor) -> Tensor:
            if local is None:
                return tokens
            classes, patches = tokens[:, :, :1], tokens[:, :, 1:]
            return torch.cat([classes, patches + self.drop_path(local(patches))], dim=2)

        tokens = add_local(self.local1, tokens)
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        tokens = add_local(self.local2, tokens)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class GlobalBlock(nn.Module):
    """Global UniBlock: the video token attends to all tokens of one backbone layer.

    `positions` is the dynamic position embedding (DPE), a depthwise 3 x 3 x 3 convolution of the
    patches; the backbone goes on without it. The block starts as identity.
    """

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_width: int,
        *,
        activation: Activation = "quick-gelu",
        dropout: float = 0.0,
        drop_path: float = 0.0,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        self.positions = nn.Conv3d(width, width, 3, padding=1, groups=width)
        self.norm1 = nn.LayerNorm(width, eps=norm_eps)
        self.norm_context = nn.LayerNorm(width, eps=norm_eps)
        self.attn = ClipAttention(width, num_heads)
        self.norm2 = nn.LayerNorm(width, eps=norm_eps)
        self.mlp = ClipMlp(width, hidden_width, activation=activation, dropout=dropout)
        self.drop_path = StochasticDepth(drop_path)
        nn.init.zeros_(self.positions.bias)
        for layer in (self.attn.qkv, self.mlp.fc1):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)
        for layer in (self.attn.proj, self.mlp.fc2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(
        self,
        query: Float[Tensor, "b d"],
        tokens: Float[Tensor, "b t n d"],
        grid: tuple[int, int],
        patch_index: Int64[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b d"]:
        """Update the video token; `grid` counts rows and columns of all patches, read or not."""
        classes, patches = tokens[:, :, :1], tokens[:, :, 1:]
        patches = patches + convolve_on_grid(patches, self.positions, grid, patch_index)
        context = torch.cat([classes, patches], dim=2).flatten(1, 2)
        attended = attend_once(self.attn, self.norm1(query), self.norm_context(context))
        query = query + self.drop_path(attended)
        return query + self.drop_path(self.mlp(self.norm2(query)))


def scatter_patches(
    patches: Float[Tensor, "b t k d"], patch_index: Int64[Tensor, "b k"], num_patches: int
) -> Float[Tensor, "b t n d"]:
    """Put the patches that were read at their positions in a frame, with zeros elsewhere."""
    whole = patches.new_zeros(*patches.shape[:2], num_patches, patches.shape[3])
    return whole.scatter(2, patch_index[:, None, :, None].expand_as(patches), patches)


def convolve_on_grid(
    patches: Float[Tensor, "b t k d"],
    convolution: nn.Conv3d,
    grid: tuple[int, int],
    patch_index: Int64[Tensor, "b k"] | None,
) -> Float[Tensor, "b t k d"]:
    """Convolve on the whole grid, with zeros where no patch was read, and keep those that were."""
    if patch_index is None:
        return convolve_depthwise(patches.unflatten(2, grid), convolution).flatten(2, 3)
    whole = scatter_patches(patches, patch_index, grid[0] * grid[1])
    mixed = convolve_depthwise(whole.unflatten(2, grid), convolution).flatten(2, 3)
    return mixed.gather(2, patch_index[:, None, :, None].expand_as(patches))


def convolve_depthwise(
    patches: Float[Tensor, "b t h w d"], convolution: nn.Conv3d
) -> Float[Tensor, "b t h w d"]:
    """Apply a depthwise 3 x 3 x 3 convolution as three over frames, whose outputs shift in time.

    On processors that is two to four times faster than torch's 3-D one, and float32 much faster
    than bfloat16.
    """
    b, t = patches.shape[:2]
    with torch.autocast(patches.device.type, enabled=False):
        weight = convolution.weight
        frames = rearrange(patches.to(weight.dtype), "b t h w d -> (b t) d h w")
        frames = frames.contiguous(memory_format=torch.channels_last)

        def tap(i: int, bias: Tensor | None = None) -> Tensor:
            mixed = F.conv2d(frames, weight[:, :, i], bias, padding=1, groups=len(weight))
            return rearrange(mixed, "(b t) d h w -> b t h w d", b=b)

        mixed = tap(1, convolution.bias)
        if t > 1:  # an image has no frame before or after
            rows = (0, 0, 0, 0, 0, 0)
            mixed = mixed + F.pad(tap(0)[:, :-1], (*rows, 1, 0))
            mixed = mixed + F.pad(tap(2)[:, 1:], (*rows, 0, 1))
        return mixed


def attend_once(
    attention: ClipAttention, query: Float[Tensor, "b d"], context: Float[Tensor, "b n d"]
) -> Float[Tensor, "b d"]:
    """Attend from one token to all of `context`, without a key or value of any of them.

    q . (W_k x) = (W_k^T q) . x and sum_n p_n W_v x_n = W_v sum_n p_n x_n: with one query both
    products are cheaper on the right. A key bias adds the same to all scores and changes nothing.
    """
    a, d = attention.num_heads, query.shape[1]
    to_query, to_key, to_value = attention.qkv.weight.unflatten(0, (3, a, d // a)).unbind(0)
    bias = attention.qkv.bias
    query = F.linear(query, to_query.flatten(0, 1), bias[:d]).unflatten(1, (a, -1))
    query = torch.einsum("bae,aed->bad", query * (d // a) ** -0.5, to_key)
    weights = torch.softmax(query @ context.mT, dim=-1)
    attended = torch.einsum("bad,aed->bae", weights @ context, to_value)
    return attention.proj(attended.flatten(1) + bias[2 * d :])
