"""Clips into tubelets and back.

Tokens are time-major; the pixels of one tubelet are ordered (dt, dh, dw, c), channel fastest, which
is the order of the official reconstruction target (and not that of a convolution's weight).
Both a float clip (b, c, t, h, w) and decoded bytes (b, t, h, w, c) give the same token order.
"""

from __future__ import annotations

from einops import rearrange
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor

from internvideo.values import TokenGrid, Tubelet


def _extents(tubelet: Tubelet) -> dict[str, int]:
    return {"dt": tubelet.time, "dh": tubelet.height, "dw": tubelet.width}


def patchify(clip: Shaped[Tensor, "b c t h w"], tubelet: Tubelet) -> Shaped[Tensor, "b n pixels"]:
    """Cut a clip into tubelets; inverse of `unpatchify`."""
    return rearrange(
        clip, "b c (t dt) (h dh) (w dw) -> b (t h w) (dt dh dw c)", **_extents(tubelet)
    )


def patchify_frames(
    frames: UInt8[Tensor, "b t h w c"], tubelet: Tubelet
) -> UInt8[Tensor, "b n pixels"]:
    """Cut decoded frames into tubelets while they are still bytes."""
    return rearrange(
        frames, "b (t dt) (h dh) (w dw) c -> b (t h w) (dt dh dw c)", **_extents(tubelet)
    )


def unpatchify(
    patches: Shaped[Tensor, "b n pixels"], grid: TokenGrid, tubelet: Tubelet
) -> Shaped[Tensor, "b c t h w"]:
    """Put tubelets back to their places; inverse of `patchify`."""
    return rearrange(
        patches,
        "b (t h w) (dt dh dw c) -> b c (t dt) (h dh) (w dw)",
        t=grid.time,
        h=grid.height,
        w=grid.width,
        **_extents(tubelet),
    )


def gather_tokens(
    tokens: Shaped[Tensor, "b n d"], index: Int64[Tensor, "b k"]
) -> Shaped[Tensor, "b k d"]:
    """Take the tokens at `index` of each sample, in that order."""
    return tokens.gather(1, index[:, :, None].expand(-1, -1, tokens.shape[2]))


def place_tokens(
    tokens: Float[Tensor, "b k d"], index: Int64[Tensor, "b k"], count: int
) -> Float[Tensor, "b count d"]:
    """Put tokens back to their places among `count`, with zeros elsewhere; undoes gathering."""
    whole = tokens.new_zeros(tokens.shape[0], count, tokens.shape[2])
    return whole.scatter(1, index[:, :, None].expand_as(tokens), tokens)
