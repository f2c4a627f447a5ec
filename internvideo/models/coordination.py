"""Coordination: gated cross-model attention (CMA) between the frozen encoders A and B.

Source: InternVideo, section 3.2 and figure 4 (arXiv:2212.03191). No code of it was ever released;
docs/explanation/coordination.md says what the figure settles and which choices are ours.

    B's tokens after a layer ----> module --+          A's final tokens
                                            v                  v
    A: tokens of the block before ----> [+ read] ----> block ... reversed module --> B's query token

Shapes: A's tokens (b, n, d); B's tokens (b, t, m, e) of t slots, each with its class token first;
B's query token (b, e). Each module is cross-attention and feed-forward, both behind a gate that
starts at tanh(0): at the start A and B give what they give alone. Only modules and B's query token
learn, so whatever comes before the first module is the same in every epoch: `FrozenFeatures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models.caption_blocks import HeadAttention
from internvideo.models.layers import Mlp, hidden_width
from internvideo.models.masked_encoder import (
    MaskedEncoder,
    MaskedEncoderConfig,
    initialise,
    run_block,
)
from internvideo.models.multimodal_encoder import MultimodalEncoder, unit_length
from internvideo.models.uniformer import UniFormer, UniFormerConfig, UniFormerOutput


@dataclass(frozen=True, kw_only=True, slots=True)
class CoordinationConfig:
    """Which tokens of B which blocks of A read, and how; no source settles any of it."""

    # Blocks of A before which a module stands: so many of the last ones, half of them, all, or
    # their numbers from 0. Each adds a fifth of both frozen forwards to a step of base-sized ones.
    blocks: int | Literal["half", "all"] | tuple[int, ...] = 2
    # The layer of B, from 0, that each reads. "end": both counted from the end, where B's global
    # layers are; "depth": at the same share of the depth; or one for each block.
    layers: Literal["end", "depth"] | tuple[int, ...] = "end"
    # A token of A reads all of B's tokens ("clip"), or those of its own moment ("slot").
    scope: Literal["clip", "slot"] = "clip"
    reversed_module: bool = True  # B's query token reads A's final tokens
    head_width: int = 64
    mlp_ratio: float = 4.0
    # B sees every second frame of A's, so that with tubelets of two frames their slots agree.
    frame_step: int = 2

    def __post_init__(self) -> None:
        if min(self.head_width, self.frame_step) < 1 or self.mlp_ratio <= 0:
            raise ConfigError(
                f"coordination: head_width {self.head_width}, frame_step {self.frame_step} and "
                f"mlp_ratio {self.mlp_ratio} must all be positive"
            )

    def pairs(
        self, masked: MaskedEncoderConfig, multimodal: UniFormerConfig
    ) -> tuple[tuple[int, int], ...]:
        """Each chosen block of A with the layer of B that is read before it.

        Raises:
            ConfigError: If these encoders cannot be coordinated so.
        """
        if not multimodal.global_layers:
            raise ConfigError(
                "coordination needs an encoder B with global_layers: without them it has no query "
                "token"
            )
        slots = multimodal.num_slots(len(range(0, masked.num_frames, self.frame_step)))
        if self.scope == "slot" and slots != masked.grid.time:
            raise ConfigError(
                f"scope='slot' needs as many temporal slots in both encoders, but A has "
                f"{masked.grid.time} and B {slots}; change frame_step {self.frame_step} or take "
                "scope='clip'"
            )
        blocks = self._blocks(masked.depth)
        layers = self._layers(blocks, masked.depth, multimodal.depth)
        for what, chosen, depth in (
            ("blocks", blocks, masked.depth),
            ("layers", layers, multimodal.depth),
        ):
            if outside := [i for i in chosen if not 0 <= i < depth]:
                raise ConfigError(f"coordination.{what}: {outside[0]} is not from 0 to {depth - 1}")
        if list(blocks) != sorted(set(blocks)) or len(blocks) != len(layers):
            raise ConfigError(
                f"coordination: blocks {blocks} must increase and have one layer each, not {layers}"
            )
        return tuple(zip(blocks, layers, strict=True))

    def _blocks(self, depth: int) -> Sequence[int]:
        if isinstance(self.blocks, tuple):
            return self.blocks
        named = {"half": (depth + 1) // 2, "all": depth}
        count = self.blocks if isinstance(self.blocks, int) else named[self.blocks]
        if not 0 <= count <= depth:
            raise ConfigError(f"coordination.blocks is {count}; A has {depth} blocks")
        return range(depth - count, depth)

    def _layers(self, blocks: Sequence[int], depth: int, depth_b: int) -> Sequence[int]:
        if isinstance(self.layers, tuple):
            return self.layers
        if self.layers == "end":
            return [max(0, depth_b - depth + block) for block in blocks]
        return [-(-(block + 1) * depth_b // depth) - 1 for block in blocks]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrozenFeatures:
    """What the frozen encoders make of clips, whatever a module has learned.

    `tokens` are A's before its block `first_block`, from `places` of its grid; `context` holds B's
    tokens after each layer that a module, a global block or the pooling reads: class tokens, and
    the patches that B read, at `patch_index` of its grid (None: all).
    """

    tokens: Float[Tensor, "b n d"]
    places: Int64[Tensor, "b n"]
    first_block: int
    context: dict[int, Float[Tensor, "b t m e"]]
    patch_index: Int64[Tensor, "b k"] | None = None

    def __getitem__(self, clips: slice | Tensor) -> FrozenFeatures:
        """The features of some of the clips."""
        return FrozenFeatures(
            tokens=self.tokens[clips],
            places=self.places[clips],
            first_block=self.first_block,
            context={layer: tokens[clips] for layer, tokens in self.context.items()},
            patch_index=None if self.patch_index is None else self.patch_index[clips],
        )

    def empty_like(self, num_clips: int) -> FrozenFeatures:
        """Features of so many clips, of the same shapes and not yet filled."""

        def empty(tensor: Tensor) -> Tensor:
            return tensor.new_empty(num_clips, *tensor.shape[1:])

        return FrozenFeatures(
            tokens=empty(self.tokens),
            places=empty(self.places),
            first_block=self.first_block,
            context={layer: empty(tokens) for layer, tokens in self.context.items()},
            patch_index=None if self.patch_index is None else empty(self.patch_index),
        )

    def fill(self, start: int, clips: FrozenFeatures) -> None:
        """Take over the features of clips, the first as clip number `start`."""
        for mine, theirs in zip(self._tensors(), clips._tensors(), strict=True):
            mine[start : start + len(theirs)] = theirs

    def _tensors(self) -> list[Tensor]:
        chosen = [] if self.patch_index is None else [self.patch_index]
        return [self.tokens, self.places, *self.context.values(), *chosen]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class CoordinatedOutput:
    """A's final tokens, which have read B's; and B's output, whose query has read A's."""

    tokens: Float[Tensor, "b n d"]
    multimodal: UniFormerOutput


class CrossModelAttention(nn.Module):
    """Tokens of one encoder read those of the other: x + tanh(g) attn(x), x + tanh(h) mlp(x)."""

    def __init__(self, width: int, context_width: int, config: CoordinationConfig) -> None:
        super().__init__()
        num_heads = max(1, width // config.head_width)
        self.norm1 = nn.LayerNorm(width)
        self.norm_context = nn.LayerNorm(context_width)
        self.attn = HeadAttention(width, context_width, num_heads, config.head_width)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = Mlp(width, hidden_width(width, config.mlp_ratio))
        # Of one element and not of none, which fsdp could not split.
        self.attn_gate = nn.Parameter(torch.zeros(1))
        self.mlp_gate = nn.Parameter(torch.zeros(1))
        # Output projections do not start at zero: two zero factors would never get a gradient.
        self.apply(initialise)

    def forward(
        self, tokens: Float[Tensor, "b n d"], context: Float[Tensor, "b m e"]
    ) -> Float[Tensor, "b n d"]:
        read = self.attn(self.norm1(tokens), self.norm_context(context))
        tokens = tokens + torch.tanh(self.attn_gate) * read
        return tokens + torch.tanh(self.mlp_gate) * self.mlp(self.norm2(tokens))

    def weights(
        self, tokens: Float[Tensor, "b n d"], context: Float[Tensor, "b m e"]
    ) -> Float[Tensor, "b n m"]:
        """How much each token reads of each token of the other encoder, mean over the heads."""
        attn = self.attn
        query = attn.to_q(self.norm1(tokens)).unflatten(2, (attn.num_heads, -1)).transpose(1, 2)
        keys = attn.to_kv(self.norm_context(context)).chunk(2, dim=2)[0]
        keys = keys.unflatten(2, (attn.num_heads, -1)).transpose(1, 2)
        scores = query @ keys.mT * query.shape[3] ** -0.5
        return scores.softmax(dim=-1).mean(1)


class Coordination(nn.Module):
    """The modules between two encoders, which are handed in with each call and stay theirs.

    The caller freezes the encoders and keeps them in evaluation mode. They may sit on different
    devices; `blocks` belong on A's, the `reversed_module` on B's.
    """

    def __init__(
        self,
        config: CoordinationConfig,
        masked: MaskedEncoderConfig,
        multimodal: UniFormerConfig,
    ) -> None:
        super().__init__()
        self.config = config
        self.pairs = config.pairs(masked, multimodal)
        a, b = masked.width, multimodal.width
        self.blocks = nn.ModuleList(CrossModelAttention(a, b, config) for _ in self.pairs)
        self.reversed_module: CrossModelAttention | None = None
        if config.reversed_module:
            self.reversed_module = CrossModelAttention(b, a, config)
        self.first_block = self.pairs[0][0] if self.pairs else masked.depth
        self.layers = {layer for _, layer in self.pairs} | {
            *multimodal.global_layers,
            multimodal.depth - 1,
        }

    @torch.no_grad()
    def read(
        self,
        masked: MaskedEncoder,
        multimodal: UniFormer,
        masked_clip: Float[Tensor, "b c t h w"],
        multimodal_clip: Float[Tensor, "b e t2 h2 w2"],
    ) -> FrozenFeatures:
        """Run what does not depend on the modules, each encoder once, without gradients."""
        patches, index = masked.patch_embed.select_tubelets(masked_clip)
        tokens = masked.embed_patches(patches, index)
        if index is None:
            index = torch.arange(tokens.shape[1], device=tokens.device).expand(tokens.shape[0], -1)
        for block in masked.blocks[: self.first_block]:
            tokens = block(tokens)
        context, patch_index = multimodal.backbone(multimodal_clip, self.layers)
        return FrozenFeatures(
            tokens=tokens,
            places=index,
            first_block=self.first_block,
            context=context,
            patch_index=patch_index,
        )

    def forward(
        self, masked: MaskedEncoder, multimodal: UniFormer, features: FrozenFeatures
    ) -> CoordinatedOutput:
        """Run the rest of A with the modules in it, then B's query token.

        `features` may begin before the first module and hold more layers than are read.
        """
        tokens, recompute = features.tokens, masked.config.recompute_activations
        modules = {
            block: (module, layer)
            for (block, layer), module in zip(self.pairs, self.blocks, strict=True)
        }
        for number in range(features.first_block, masked.config.depth):
            if number in modules:
                module, layer = modules[number]
                tokens = self._read_layer(module, tokens, features.context[layer])
            tokens = run_block(masked.blocks[number], tokens, recompute=recompute)
        tokens = masked.norm(tokens)
        output = self._reverse(multimodal, features, tokens)
        return CoordinatedOutput(tokens=tokens, multimodal=output)

    def gate_values(self) -> dict[str, Tensor]:
        """tanh of the gates of each module, from 0 (closed) to 1 or -1, by its block of A."""
        modules = {
            f"block{block}": m for (block, _), m in zip(self.pairs, self.blocks, strict=True)
        }
        if self.reversed_module is not None:
            modules["reversed"] = self.reversed_module
        return {
            f"{name}_{part}": torch.tanh(getattr(module, f"{part}_gate"))[0]
            for name, module in modules.items()
            for part in ("attn", "mlp")
        }

    @torch.no_grad()
    def attention_maps(
        self, masked: MaskedEncoder, multimodal: UniFormer, features: FrozenFeatures
    ) -> dict[int, Float[Tensor, "b n t m"]]:
        """By block of A, how much each of its tokens reads of each token of B; rows sum to 1."""
        slots = features.context[self.pairs[0][1]].shape[1] if self.pairs else 0
        same_slot = torch.eye(slots, device=features.tokens.device)[:, None, :, None]
        maps = {}

        def keep(block: int, module: CrossModelAttention, inputs: tuple[Tensor, Tensor]) -> None:
            weights = module.weights(*inputs)
            if self.config.scope == "clip":
                maps[block] = weights.unflatten(2, (slots, -1))
            else:
                weights = weights.unflatten(0, (-1, slots))[:, :, :, None]
                maps[block] = (weights * same_slot).flatten(1, 2)

        hooks = [
            module.register_forward_pre_hook(partial(keep, block))
            for (block, _), module in zip(self.pairs, self.blocks, strict=True)
        ]
        self(masked, multimodal, features)
        for hook in hooks:
            hook.remove()
        return maps

    def _read_layer(
        self,
        module: nn.Module,
        tokens: Float[Tensor, "b n d"],
        context: Float[Tensor, "b t m e"],
    ) -> Float[Tensor, "b n d"]:
        context, slots = context.to(tokens.device), context.shape[1]
        if self.config.scope == "clip":
            return module(tokens, context.flatten(1, 2))
        of_slots = tokens.unflatten(1, (slots, -1)).flatten(0, 1)  # each a sample of its own
        return module(of_slots, context.flatten(0, 1)).unflatten(0, (-1, slots)).flatten(1, 2)

    def _reverse(
        self,
        multimodal: UniFormer,
        features: FrozenFeatures,
        masked_tokens: Float[Tensor, "b n d"],
    ) -> UniFormerOutput:
        """Let B's query token read B's tokens, then those of A."""
        query = multimodal.read_layers(features.context, features.patch_index)
        assert query is not None  # `pairs` refuses an encoder B without a query token
        if self.reversed_module is not None:
            query = self.reversed_module(query[:, None], masked_tokens.to(query.device))[:, 0]
        final = features.context[multimodal.config.depth - 1]
        return UniFormerOutput(
            pooled=multimodal.pool(query, final),
            tokens=final,
            query=query,
            after={},
            patch_index=features.patch_index,
        )


def coordinated_embedding(
    encoder: MultimodalEncoder, output: CoordinatedOutput
) -> Float[Tensor, "b e"]:
    """Place coordinated clips in the space that encoder B shares with texts.

    `encoder.video` is the tower that was coordinated. How well they still meet the texts there is
    to be measured: nothing in the training of the modules asks for it.
    """
    return unit_length(encoder.project_video(output.multimodal.pooled))
