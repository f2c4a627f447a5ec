"""What UniFormerV2 adds to CLIP's blocks: local branches along time, global blocks over a clip.

Source: Li et al. 2022, "UniFormerV2" (arXiv:2211.09552), and its released code.
Shapes: tokens (b, t, 1 + k, d), for every frame its class token and the patches at k visible of the
(rows x columns) places, the same places in all frames of a clip.
Differs from the released code, with the same numbers: the three convolutions of a local branch are
products and sums on tokens, since they reach along time only; a global block has one query, so keys
and values are never formed (see `attend_once`).
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


def stem_layers(width: int, patch_px: int) -> list[tuple[int, int, int]]:
    """Channels in, channels out and stride of the convolutions that make patches of a stem.

    Rows and columns are halved until a patch is one place; the second and third halving double the
    channels, and after the second one convolution keeps both.
    """
    layers, narrow = [], 3
    for i in range(patch_px.bit_length() - 1):
        wide = width * 2 ** min(i, 2)
        layers += [(narrow, wide, 2), *([(wide, wide, 1)] if i == 1 else [])]
        narrow = wide
    return layers


class FrameNorm(nn.InstanceNorm2d):
    """Normalise every channel of a frame.

    In exported files it is written out so that an empty frame gives zeros everywhere: rounding
    errors of its mean would be divided by almost nothing.
    """

    def forward(self, maps: Float[Tensor, "b d h w"]) -> Float[Tensor, "b d h w"]:
        if not torch.compiler.is_exporting():
            return super().forward(maps)
        maps = maps - maps[:, :, :1, :1]
        centred = maps - maps.mean((2, 3), keepdim=True)
        scale = torch.rsqrt(centred.square().mean((2, 3), keepdim=True) + self.eps)
        return centred * scale * self.weight[:, None, None] + self.bias[:, None, None]


class Convolution(nn.Linear):
    """A 3 x 3 convolution, its kernel kept as a matrix (out, in x 3 x 3) that Muon can move."""

    def __init__(self, narrow: int, wide: int, stride: int) -> None:
        super().__init__(narrow * 9, wide)
        self.stride = stride

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d rows columns"]:
        kernel = self.weight.unflatten(1, (-1, 3, 3))
        return F.conv2d(maps, kernel, self.bias, self.stride, padding=1)


class ConvolutionalStem(nn.Module):
    """Overlapping 3 x 3 convolutions on every frame: (b, c, t, h, w) -> (b, d, t, rows, columns).

    Every channel of a frame is normalised by itself, so samples do not mix.
    """

    def __init__(self, width: int, patch_px: int) -> None:
        super().__init__()
        shapes = stem_layers(width, patch_px)
        self.out_width = shapes[-1][1]
        self.layers = nn.Sequential()
        for narrow, wide, stride in shapes:
            self.layers.append(Convolution(narrow, wide, stride))
            self.layers.append(FrameNorm(wide, affine=True))
            self.layers.append(nn.GELU())

    def forward(self, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b d t rows columns"]:
        frames = rearrange(clip, "b c t h w -> (b t) c h w")
        maps = self.layers(frames.contiguous(memory_format=torch.channels_last))
        return rearrange(maps, "(b t) d h w -> b d t h w", t=clip.shape[2])


class LocalBranch(nn.Module):
    """norm -> narrower -> neighbours -> back; starts as zero.

    Neighbours are the same place in three frames, or with `in_space` also the eight places around.
    """

    def __init__(
        self,
        width: int,
        reduced_width: int,
        *,
        norm: LocalNorm = "batch",
        in_space: bool = False,
        norm_eps: float = 1e-5,
    ) -> None:
        super().__init__()
        norm_type = nn.BatchNorm1d if norm == "batch" else nn.LayerNorm
        self.norm = norm_type(width, eps=norm_eps)
        self.down = nn.Linear(width, reduced_width)
        # Its layout, here and in a global block, is that of the official convolution.
        side = 3 if in_space else 1
        self.time = nn.Conv3d(
            reduced_width,
            reduced_width,
            (3, side, side),
            padding=(1, side // 2, side // 2),
            groups=reduced_width,
        )
        self.up = nn.Linear(reduced_width, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(
        self,
        patches: Float[Tensor, "b t k d"],
        grid: tuple[int, int],
        visible_index: Int64[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t k d"]:
        normalised = self.norm(patches.flatten(0, 2)).view(patches.shape)
        reduced = self.down(normalised)
        if self.time.kernel_size[1] > 1:
            return self.up(convolve_on_grid(reduced, self.time, grid, visible_index))
        before, here, after = self.time.weight.flatten(1).unbind(1)
        padded = F.pad(reduced, (0, 0, 0, 0, 1, 1))
        mixed = padded[:, :-2] * before + reduced * here + padded[:, 2:] * after + self.time.bias
        return self.up(mixed)


class BackboneBlock(ClipBlock):
    """A block of CLIP on every frame by itself, with local branches before its two parts."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_width: int,
        *,
        local1: LocalBranch | None = None,
        local2: LocalBranch | None = None,
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

    def forward(
        self,
        tokens: Float[Tensor, "b t n d"],
        grid: tuple[int, int],
        visible_index: Int64[Tensor, "b k"] | None = None,
    ) -> Float[Tensor, "b t n d"]:
        def add_local(local: LocalBranch | None, tokens: Tensor) -> Tensor:
            if local is None:
                return tokens
            classes, patches = tokens[:, :, :1], tokens[:, :, 1:]
            branch = self.drop_path(local(patches, grid, visible_index))
            return torch.cat([classes, patches + branch], dim=2)

        tokens = add_local(self.local1, tokens)
        tokens = tokens + self.drop_path(self.attn(self.norm1(tokens)))
        tokens = add_local(self.local2, tokens)
        return tokens + self.drop_path(self.mlp(self.norm2(tokens)))


class GlobalBlock(nn.Module):
    """One query token of the clip reads all tokens of one layer; starts as identity."""

    def __init__(
        self,
        width: int,
        num_heads: int,
        hidden_width: int,
        *,
        activation: Activation = "quick-gelu",
        dropout: float = 0.0,
        drop_path: float = 0.0,
        reads_looks: bool = False,
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
        self.looks: nn.Sequential | None = None
        if reads_looks:
            self.looks = nn.Sequential(
                nn.LayerNorm(width, eps=norm_eps), nn.Linear(width, width, bias=False)
            )
            nn.init.xavier_uniform_(self.looks[1].weight)
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
        visible_index: Int64[Tensor, "b k"] | None = None,
        looks: Float[Tensor, "b t n d"] | None = None,
    ) -> Float[Tensor, "b d"]:
        """Update the query; `grid` counts the rows and columns of places, visible or not.

        With `reads_looks` a token's value is also of its `looks`, and its key is not.
        """
        classes, patches = tokens[:, :, :1], tokens[:, :, 1:]
        neighbours = convolve_on_grid(patches, self.positions, grid, visible_index)
        context = torch.cat([classes, patches + neighbours], dim=2).flatten(1, 2)
        more = None
        if self.looks is not None:
            assert looks is not None
            more = self.looks[0](looks.flatten(1, 2)), self.looks[1].weight
        attended = attend_once(self.attn, self.norm1(query), self.norm_context(context), more)
        query = query + self.drop_path(attended)
        return query + self.drop_path(self.mlp(self.norm2(query)))


def convolve_on_grid(
    patches: Float[Tensor, "b t k d"],
    convolution: nn.Conv3d,
    grid: tuple[int, int],
    visible_index: Int64[Tensor, "b k"] | None,
) -> Float[Tensor, "b t k d"]:
    """Convolve on the whole grid, where hidden places hold zeros, and keep the visible ones."""
    b, t, k, d = patches.shape
    where = None
    if visible_index is not None:
        where = visible_index[:, None, :, None].expand(b, t, k, d)
        whole = patches.new_zeros(b, t, grid[0] * grid[1], d)
        patches = whole.scatter(2, where, patches)
    mixed = convolve_depthwise(patches.unflatten(2, grid), convolution).flatten(2, 3)
    return mixed if where is None else mixed.gather(2, where)


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
    attention: ClipAttention,
    query: Float[Tensor, "b d"],
    context: Float[Tensor, "b n d"],
    more: tuple[Float[Tensor, "b n e"], Float[Tensor, "d e"]] | None = None,
) -> Float[Tensor, "b d"]:
    """Attend from one token to all of `context`, without a key or value of any of them.

    q . (W_k x) = (W_k^T q) . x and sum_n p_n W_v x_n = W_v sum_n p_n x_n: with one query both
    products are cheaper on the right. A key bias adds the same to all scores and changes nothing.
    `more` is of the same tokens and has a matrix of its own; its product joins their values.
    """
    a, d = attention.num_heads, query.shape[1]
    of_query, of_key, of_value = attention.qkv.weight.unflatten(0, (3, a, d // a)).unbind(0)
    bias = attention.qkv.bias
    asked = F.linear(query, of_query.flatten(0, 1), bias[:d]).unflatten(1, (a, -1))
    asked = torch.einsum("bae,aed->bad", asked * (d // a) ** -0.5, of_key)
    weights = torch.softmax(asked @ context.mT, dim=-1)
    seen = torch.einsum("bad,aed->bae", weights @ context, of_value)
    if more is not None:
        features, of_more = more
        of_more = of_more.unflatten(0, (a, d // a))
        seen = seen + torch.einsum("bad,aed->bae", weights @ features, of_more)
    return attention.proj(seen.flatten(1) + bias[2 * d :])
