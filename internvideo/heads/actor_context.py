"""ACAR: classify actors by what they have to do with their surroundings and with each other.

Source: Pan et al. 2021, "Actor-Context-Actor Relation Network" (arXiv:2006.07976), sections 3.2 and
3.3, as in the detection code of the InternVideo release (without its feature bank).
Shapes: actors (s, d) of clips with maps (b, d, h, w) -> logits (s, y).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Float, Int64
from torch import Tensor, nn


class RelationBlock(nn.Module):
    """High-order relation reasoning: at every place, the actors of a clip attend to each other."""

    def __init__(self, width: int, dropout: float = 0.2) -> None:
        super().__init__()

        def convolution() -> nn.Conv2d:
            return nn.Conv2d(width, width, 3, padding=1, bias=False)

        self.conv_q, self.conv_k, self.conv_v = convolution(), convolution(), convolution()
        self.conv = convolution()
        self.norm = nn.GroupNorm(1, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, relations: Float[Tensor, "s d h w"]) -> Float[Tensor, "s d h w"]:
        query, key, value = (f(relations) for f in (self.conv_q, self.conv_k, self.conv_v))
        scores = torch.einsum("qdhw,kdhw->qkhw", query, key) * query.shape[1] ** -0.5
        attended = torch.einsum("qkhw,kdhw->qdhw", scores.softmax(1), value)
        return relations + self.dropout(self.conv(F.relu(self.norm(attended))))


class ActorContextHead(nn.Module):
    """See the top of this file."""

    def __init__(self, width: int, num_classes: int, *, depth: int = 2) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2 * width, width, 1, bias=False)
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)
        self.downsample = nn.MaxPool2d(3, stride=2, padding=1)
        self.relations = nn.Sequential(*(RelationBlock(width) for _ in range(depth)))
        self.fc1 = nn.Linear(width, width, bias=False)
        self.fc2 = nn.Linear(2 * width, num_classes, bias=False)

    def forward(
        self,
        actors: Float[Tensor, "s d"],
        maps: Float[Tensor, "b d h w"],
        clip_of_box: Int64[Tensor, " s"],
    ) -> Float[Tensor, "s y"]:
        """Score actors in any order; those of one clip are related to each other."""
        h, w = maps.shape[2:]
        tiled = repeat(actors, "s d -> s d h w", h=h, w=w)
        context = F.relu(self.conv1(torch.cat([maps[clip_of_box], tiled], dim=1)))
        context = self.downsample(F.relu(self.conv2(context)))
        related = torch.empty_like(context)
        for clip in clip_of_box.unique():
            own = clip_of_box == clip
            related[own] = self.relations(context[own])
        return self.fc2(torch.cat([F.relu(self.fc1(actors)), related.mean((2, 3))], dim=1))
