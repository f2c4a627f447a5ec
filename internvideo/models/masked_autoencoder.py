"""VideoMAE: encoder A with the light decoder that reconstructs masked tubelets.

Source: Tong et al. 2022, "VideoMAE" (arXiv:2203.12602); dual masking: VideoMAE V2 (2303.16727).
Shapes: visible tubelets (b, k, pixels) with their token index (b, k), and the index (b, m) of those
to predict -> predicted tubelets (b, m, pixels), in the order of `predicted_index`.
Differs from the released code: the last decoder block leaves out what would be computed for visible
tokens after they have been read; the numbers are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn

from internvideo.models.masked_encoder import (
    MaskedEncoder,
    MaskedEncoderConfig,
    PatchEmbed,
    check_blocks,
    initialise,
    make_blocks,
    run_block,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class DecoderConfig:
    """The pixel decoder; the defaults belong to ViT-B. All else follows from the encoder.

    In the released code `mlp_ratio` is the encoder's: 48/11 makes 2,234 of ViT-g's width of 512.
    """

    width: int = 384
    depth: int = 4
    num_heads: int = 6
    mlp_ratio: float = 4.0
    norm_eps: float = 1e-6
    final_norm_eps: float = 1e-6

    def __post_init__(self) -> None:
        check_blocks("decoder", self.width, self.depth, self.num_heads)


@dataclass(frozen=True, kw_only=True, slots=True)
class AutoencoderConfig:
    """Encoder A with the decoder of its pretraining."""

    encoder: MaskedEncoderConfig = field(default_factory=MaskedEncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)


class Decoder(nn.Module):
    """Blocks over visible tokens and mask tokens, then a linear map to pixels."""

    def __init__(self, config: DecoderConfig, encoder: MaskedEncoderConfig) -> None:
        super().__init__()
        self.recompute = encoder.recompute_activations
        self.blocks = make_blocks(
            config.width,
            config.depth,
            config.num_heads,
            mlp_ratio=config.mlp_ratio,
            encoder=encoder,
            norm_eps=config.norm_eps,
        )
        self.norm = nn.LayerNorm(config.width, eps=config.final_norm_eps)
        self.head = nn.Linear(config.width, encoder.num_pixels)

    def forward(
        self, tokens: Float[Tensor, "b n d"], num_predicted: int
    ) -> Float[Tensor, "b m pixels"]:
        """Return the pixels of the last `num_predicted` tokens."""
        for block in self.blocks[:-1]:
            tokens = run_block(block, tokens, recompute=self.recompute)
        tokens = run_block(self.blocks[-1], tokens, num_predicted, recompute=self.recompute)
        return self.head(self.norm(tokens))


class MaskedAutoencoder(nn.Module):
    """See the top of this file."""

    def __init__(
        self,
        encoder: MaskedEncoderConfig,
        decoder: DecoderConfig,
        *,
        patch_embed: PatchEmbed | None = None,
    ) -> None:
        super().__init__()
        self.encoder = MaskedEncoder(encoder, patch_embed=patch_embed)
        self.encoder_to_decoder = nn.Linear(encoder.width, decoder.width, bias=False)
        self.mask_token = nn.Parameter(torch.empty(1, 1, decoder.width))
        self.decoder = Decoder(decoder, encoder)
        # The decoder's table is fixed even where the encoder's is learned, as in the released code.
        table = encoder.position_table(decoder.width)[None]
        self.register_buffer("pos_embed", table, persistent=False)
        self.encoder_to_decoder.apply(initialise)
        self.decoder.apply(initialise)
        nn.init.trunc_normal_(self.mask_token, std=0.02, a=-0.02, b=0.02)

    def forward(
        self,
        visible: Shaped[Tensor, "b k pixels"],
        visible_index: Int64[Tensor, "b k"],
        predicted_index: Int64[Tensor, "b m"],
    ) -> Float[Tensor, "b m pixels"]:
        """Predict the tubelets at `predicted_index` from visible bytes or normalised floats."""
        tokens = self.encoder_to_decoder(self.encoder.encode_patches(visible, visible_index))
        positions = self.pos_embed[0]
        seen = tokens + positions[visible_index]
        hidden = self.mask_token + positions[predicted_index]
        return self.decoder(torch.cat([seen, hidden], dim=1), predicted_index.shape[1])
