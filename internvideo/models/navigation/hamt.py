"""The policy: an instruction, what was seen so far and what is around, to the next place to go.

Source: Chen et al. 2021, "History Aware Multimodal Transformer" (arXiv:2110.13309), in the variant
of VLN-CE in the InternVideo release (`vlnce_baselines/models/hamt/vilmodel_cmt.py`): depth and
distance are embedded too. Parameters are named as there.
Shapes: text (b, l, d), history (b, f, d), observation (b, s, d) -> a logit for each of s places.
Differs from the released code: embeddings of features start with biases, which new ones lack there;
the unused critic and progress monitor are left out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models.navigation.bert import (
    BertConfig,
    BertEmbeddings,
    BertLayer,
    CrossAttention,
    Intermediate,
    ResidualOutput,
    SelfAttention,
    initialise,
    layer_norm,
)

CONTEXT, CANDIDATE, STOP = 0, 1, 2  # kinds of places in an observation


@dataclass(frozen=True, kw_only=True, slots=True)
class HamtConfig:
    """Sizes of the policy; the defaults are those of the released agent.

    `text.depth` layers read the instruction; with `text_features` it comes encoded already and is
    so many numbers wide. `trains_text` and `trains_history` train parts that the release freezes.
    """

    text: BertConfig = field(default_factory=lambda: BertConfig(depth=9))
    num_cross_layers: int = 4
    num_panorama_layers: int = 2
    image_width: int = 768
    depth_width: int = 128
    max_steps: int = 50
    text_features: int | None = None
    trains_text: bool = False
    trains_history: bool = False

    def __post_init__(self) -> None:
        counts = (self.num_cross_layers, self.num_panorama_layers, self.image_width)
        if min(*counts, self.depth_width, self.max_steps) < 1:
            raise ConfigError(
                f"a policy of {self.num_cross_layers} cross-modal and {self.num_panorama_layers} "
                f"panorama layers, features {self.image_width} and {self.depth_width} wide, "
                f"{self.max_steps} steps; each is at least 1"
            )


class ObservationTokens(NamedTuple):
    """Places around the agent: candidates, the stop, other views; `kinds` are 0 to 2 as above."""

    image: Float[Tensor, "b s i"]
    depth: Float[Tensor, "b s z"]
    angle: Float[Tensor, "b s 4"]
    distance: Float[Tensor, "b s 4"]
    kinds: Int64[Tensor, "b s"]
    padded: Bool[Tensor, "b s"]


def angle_features(angle: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes 4"]:
    """Sine and cosine of an angle (radians, clockwise), and of an elevation that is always 0."""
    zero = torch.zeros_like(angle)
    return torch.stack([angle.sin(), angle.cos(), zero, zero + 1], dim=-1)


class CrossLayer(nn.Module):
    """Text and sight attend to each other through the same weights, then each to itself."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        width, heads, dropout = config.width, config.num_heads, config.dropout
        self.lang_self_att = SelfAttention(width, heads, dropout)
        self.lang_inter = Intermediate(width, config.hidden)
        self.lang_output = ResidualOutput(config.hidden, width, dropout)
        self.visn_self_att = SelfAttention(width, heads, dropout)
        self.visn_inter = Intermediate(width, config.hidden)
        self.visn_output = ResidualOutput(config.hidden, width, dropout)
        self.visual_attention = CrossAttention(width, heads, dropout)

    def forward(
        self,
        text: Float[Tensor, "b l d"],
        words: Bool[Tensor, "b 1 l"],
        sight: Float[Tensor, "b s d"],
        seen: Bool[Tensor, "b 1 s"],
    ) -> tuple[Float[Tensor, "b l d"], Float[Tensor, "b s d"]]:
        read = self.visual_attention(text, sight, seen)
        looked = self.visual_attention(sight, text, words)
        text = self.lang_self_att(read, words)
        sight = self.visn_self_att(looked, seen)
        return (
            self.lang_output(self.lang_inter(text), text),
            self.visn_output(self.visn_inter(sight), sight),
        )


class HistoryEmbeddings(nn.Module):
    """One token for each step that was taken, and a learned one before all of them."""

    def __init__(self, config: HamtConfig) -> None:
        super().__init__()
        text, width = config.text, config.text.width
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.img_linear, self.img_layer_norm = _embedded(config.image_width, width)
        self.ang_linear, self.ang_layer_norm = _embedded(4, width)
        self.position_embeddings = nn.Embedding(config.max_steps, width)
        self.type_embedding = nn.Embedding(1, width)
        self.layer_norm = layer_norm(width)
        self.dropout = nn.Dropout(text.dropout)
        self.pano_img_linear, self.pano_img_layer_norm = _embedded(config.image_width, width)
        self.pano_ang_linear, self.pano_ang_layer_norm = _embedded(4, width)
        layers = [
            BertLayer(width, text.num_heads, text.hidden, text.dropout)
            for _ in range(config.num_panorama_layers)
        ]
        self.pano_encoder = nn.ModuleDict({"layer": nn.ModuleList(layers)})

    def first(self, count: int) -> Float[Tensor, "b 1 d"]:
        """The token before any step."""
        token = self.layer_norm(self.cls_token + self.type_embedding.weight[0])
        return self.dropout(token.expand(count, -1, -1))

    def forward(
        self,
        image: Float[Tensor, "b i"],
        angle: Float[Tensor, "b 4"],
        panorama: Float[Tensor, "b views i"],
        panorama_angles: Float[Tensor, "views 4"],
        step: int,
    ) -> Float[Tensor, "b 1 d"]:
        """The token of a step: what lay ahead, where one turned, and all that was around."""
        views = self.pano_img_layer_norm(self.pano_img_linear(panorama))
        views = views + self.pano_ang_layer_norm(self.pano_ang_linear(panorama_angles))
        views = self.dropout(views)
        everywhere = torch.ones(1, 1, views.shape[1], dtype=torch.bool, device=views.device)
        for layer in self.pano_encoder["layer"]:
            views = layer(views, everywhere)
        token = self.img_layer_norm(self.img_linear(image))
        token = token + self.ang_layer_norm(self.ang_linear(angle)) + views.mean(1)
        token = token + self.position_embeddings.weight[step] + self.type_embedding.weight[0]
        return self.dropout(self.layer_norm(token))[:, None]


class ObservationEmbeddings(nn.Module):
    """One token for each place around."""

    def __init__(self, config: HamtConfig) -> None:
        super().__init__()
        width = config.text.width
        self.img_linear, self.img_layer_norm = _embedded(config.image_width, width)
        self.dep_linear, self.dep_layer_norm = _embedded(config.depth_width, width)
        self.ang_linear, self.ang_layer_norm = _embedded(4, width)
        self.dis_linear, self.dis_layer_norm = _embedded(4, width)
        self.nav_type_embedding = nn.Embedding(3, width)
        self.layer_norm = layer_norm(width)
        self.dropout = nn.Dropout(config.text.dropout)

    def forward(
        self, seen: ObservationTokens, token_type: Float[Tensor, " d"]
    ) -> Float[Tensor, "b s d"]:
        token = self.img_layer_norm(self.img_linear(seen.image))
        token = token + self.dep_layer_norm(self.dep_linear(seen.depth))
        token = token + self.ang_layer_norm(self.ang_linear(seen.angle))
        token = token + self.dis_layer_norm(self.dis_linear(seen.distance))
        token = token + self.nav_type_embedding(seen.kinds) + token_type
        return self.dropout(self.layer_norm(token))


def _embedded(width_in: int, width: int) -> tuple[nn.Linear, nn.LayerNorm]:
    return nn.Linear(width_in, width), layer_norm(width)


class Hamt(nn.Module):
    """See the top of this file."""

    def __init__(self, config: HamtConfig) -> None:
        super().__init__()
        self.config = config
        text = config.text
        self.embeddings = BertEmbeddings(text)
        layers = [
            BertLayer(text.width, text.num_heads, text.hidden, text.dropout)
            for _ in range(text.depth)
        ]
        if config.text_features is not None:
            layers = []
        self.encoder = nn.ModuleDict(
            {
                "layer": nn.ModuleList(layers),
                "x_layers": nn.ModuleList(CrossLayer(text) for _ in range(config.num_cross_layers)),
            }
        )
        self.text_linear = (
            None if config.text_features is None else nn.Linear(config.text_features, text.width)
        )
        self.hist_embeddings = HistoryEmbeddings(config)
        self.img_embeddings = ObservationEmbeddings(config)
        self.next_action = nn.ModuleDict(
            {
                "net": nn.Sequential(
                    nn.Linear(text.width, text.width),
                    nn.ReLU(),
                    layer_norm(text.width),
                    nn.Dropout(text.dropout),
                    nn.Linear(text.width, 1),
                )
            }
        )
        initialise(self)
        for name, part in self.named_modules():
            # A stop has zero features: without a bias its norm would divide by nothing.
            if isinstance(part, nn.Linear) and name.startswith(("hist_emb", "img_emb")):
                nn.init.normal_(part.bias, std=0.02)
        if not config.trains_text or config.text_features is not None:
            for name, weight in self.embeddings.named_parameters():
                weight.requires_grad = "token_type" in name
            self.encoder["layer"].requires_grad_(False)
        self.hist_embeddings.requires_grad_(config.trains_history)

    def encode_text(
        self, ids: Int64[Tensor, "b l"], padded: Bool[Tensor, "b l"]
    ) -> Float[Tensor, "b l d"]:
        """Read instructions, once an episode."""
        tokens = self.embeddings(ids)
        for layer in self.encoder["layer"]:
            tokens = layer(tokens, ~padded[:, None])
        return tokens if self.config.trains_text else tokens.detach()

    def forward(
        self,
        text: Float[Tensor, "b l d"],
        text_padded: Bool[Tensor, "b l"],
        history: Float[Tensor, "b f d"],
        seen: ObservationTokens,
    ) -> Float[Tensor, "b s"]:
        """Score the places around; views that are no candidates have minus infinity."""
        text, sight, _ = self._cross(text, text_padded, history, seen)
        return self._logits(text, sight[:, history.shape[1] :], seen)

    @torch.no_grad()
    def word_shares(
        self,
        text: Float[Tensor, "b l d"],
        text_padded: Bool[Tensor, "b l"],
        history: Float[Tensor, "b f d"],
        seen: ObservationTokens,
    ) -> Float[Tensor, "b s l"]:
        """Share of attention that each place pays to each word, mean over heads and layers."""
        _, _, shares = self._cross(text, text_padded, history, seen, has_shares=True)
        return torch.stack(shares).mean(0)[:, history.shape[1] :]

    def _cross(
        self,
        text: Float[Tensor, "b l d"],
        text_padded: Bool[Tensor, "b l"],
        history: Float[Tensor, "b f d"],
        seen: ObservationTokens,
        *,
        has_shares: bool = False,
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        around = self.img_embeddings(seen, self.embeddings.token_type_embeddings.weight[1])
        sight = torch.cat([history, around], dim=1)
        taken = torch.zeros(history.shape[:2], dtype=torch.bool, device=history.device)
        allowed = ~torch.cat([taken, seen.padded], dim=1)[:, None]
        words, shares = ~text_padded[:, None], []
        for layer in self.encoder["x_layers"]:
            if has_shares:
                shares.append(layer.visual_attention.att.weights(sight, text, words))
            text, sight = layer(text, words, sight, allowed)
        return text, sight, shares

    def _logits(
        self, text: Float[Tensor, "b l d"], around: Float[Tensor, "b s d"], seen: ObservationTokens
    ) -> Float[Tensor, "b s"]:
        logits = self.next_action["net"](around * text[:, :1])[..., 0].float()
        return logits.masked_fill(seen.padded | (seen.kinds == CONTEXT), -torch.inf)
