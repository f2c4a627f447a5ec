"""The whole navigator on features: views and depth to candidates, and the policy among them.

Source: `vlnce_baselines/models/Policy_ViewSelection_HAMT.py` of the InternVideo release.
Shapes: colours (b, 12, h, w, 3) uint8, depth (b, 12, h, w) in metres; features of frozen encoders
(b, 12, w). Views follow one another counterclockwise, from the heading on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models.navigation import (
    DepthEncoder,
    DepthEncoderConfig,
    Hamt,
    HamtConfig,
    WaypointPredictor,
    WaypointPredictorConfig,
)
from internvideo.tiny import TinyPanoramaConfig, TinyPanoramaEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class NavigatorConfig:
    """What a navigator is made of; the defaults are those of the released base agent.

    Either `depth` (frozen, released weights) or `tiny` (small, trained) reads the depth of views;
    `tiny` reads their colours too. `video_encoder`, `image_encoder` and `text_encoder` are frozen
    models, opened by name beside the network: an encoder A on the last `num_frames` of each
    direction, an encoder B on the last one, and the text tower of an encoder B. `video_width` and
    `image_width` say how many numbers the first two give. `depth_range_m` is mapped to [0, 1] for
    `depth`. The instruction is cut to `context_length` tokens.
    """

    policy: HamtConfig = field(default_factory=HamtConfig)
    waypoints: WaypointPredictorConfig = field(default_factory=WaypointPredictorConfig)
    depth: DepthEncoderConfig | None = field(default_factory=DepthEncoderConfig)
    tiny: TinyPanoramaConfig | None = None
    depth_range_m: tuple[float, float] = (0.0, 10.0)
    video_encoder: str | None = None
    video_width: int = 768
    num_frames: int = 16
    image_encoder: str | None = None
    image_width: int = 512
    text_encoder: str | None = None
    context_length: int = 80
    view_dropout: float = 0.4
    max_decisions: int = 25
    max_candidates: int = 5

    def __post_init__(self) -> None:
        if (self.depth is None) == (self.tiny is None):
            raise ConfigError("a navigator reads depth with one of `depth` and `tiny`; set one")
        if (self.text_encoder is None) != (self.policy.text_features is None):
            raise ConfigError(
                "text_encoder and policy.text_features (its width) go together; set both or neither"
            )
        if not self.colour_width:
            raise ConfigError("nothing reads the views; set tiny, video_encoder or image_encoder")
        if self.depth_features != (self.policy.depth_width, self.waypoints.features):
            raise ConfigError(
                f"depth has {self.depth_features[0]} channels and {self.depth_features[1]} numbers "
                f"a view, policy.depth_width is {self.policy.depth_width} and waypoints.features "
                f"{self.waypoints.features}; set them alike"
            )
        if self.max_decisions > self.policy.max_steps:
            raise ConfigError(
                f"{self.max_decisions} decisions do not fit policy.max_steps "
                f"{self.policy.max_steps}; raise it"
            )

    @property
    def side_px(self) -> int:
        """Side of the views that are rendered for it."""
        return self.depth.side_px if self.depth is not None else self._tiny.side_px

    @property
    def colour_width(self) -> int:
        """Numbers that tell the colours of a view."""
        return (
            (self.tiny.image_width if self.tiny is not None else 0)
            + (self.video_width if self.video_encoder is not None else 0)
            + (self.image_width if self.image_encoder is not None else 0)
        )

    @property
    def depth_features(self) -> tuple[int, int]:
        """Channels of a view's depth features, and all of their numbers."""
        if self.depth is not None:
            return self.depth.channels, self.depth.channels * (self.depth.side_px // 64) ** 2
        return self._tiny.depth_channels, self._tiny.depth_channels * 16

    @property
    def _tiny(self) -> TinyPanoramaConfig:
        assert self.tiny is not None
        return self.tiny


class Seen(NamedTuple):
    """What the network made of the views around: features, and where one can go."""

    image: Float[Tensor, "b views i"]
    depth: Float[Tensor, "b views z"]
    waypoint_scores: Float[Tensor, "b angles distances"]


class Navigator(nn.Module):
    """See the top of this file; the policy is called through `policy`."""

    def __init__(self, config: NavigatorConfig) -> None:
        super().__init__()
        self.config = config
        width = config.policy.image_width
        self.panorama = None if config.tiny is None else TinyPanoramaEncoder(config.tiny)
        self.depth_encoder = None if config.depth is None else DepthEncoder(config.depth)
        self.rgb_embedding_projection = nn.Linear(config.colour_width, width)
        self.rgb_projection = nn.Linear(width, width)
        self.drop_env = nn.Dropout(config.view_dropout)
        self.waypoints = WaypointPredictor(config.waypoints)
        self.policy = Hamt(config.policy)
        if self.depth_encoder is not None:  # released weights, which the agent does not train
            self.depth_encoder.requires_grad_(False)
            self.waypoints.requires_grad_(False)

    def train(self, mode: bool = True) -> Navigator:
        """Frozen parts stay as in evaluation."""
        super().train(mode)
        if self.depth_encoder is not None:
            self.depth_encoder.eval()
            self.waypoints.eval()
        return self

    def forward(
        self,
        colours: UInt8[Tensor, "b views h w 3"],
        depth_m: Float[Tensor, "b views h w"],
        frozen: Float[Tensor, "b views w2"] | None = None,
    ) -> Seen:
        """Read the views; `frozen` are features of the frozen encoders, video before image."""
        count = len(colours)
        maps = self._depth_maps(rearrange(depth_m, "b v h w -> (b v) h w"))
        maps = rearrange(maps, "(b v) c h w -> b v c h w", b=count)
        parts = [] if frozen is None else [frozen]
        if self.panorama is not None:
            read = self.panorama.encode_colour(rearrange(colours, "b v h w c -> (b v) h w c"))
            parts.insert(0, rearrange(read, "(b v) i -> b v i", b=count))
        image = self.rgb_embedding_projection(torch.cat(parts, dim=-1))
        clockwise = torch.cat([maps[:, :1], maps[:, 1:].flip(1)], dim=1)
        return Seen(
            image=self.rgb_projection(self.drop_env(image)),
            depth=maps.mean((-2, -1)),
            waypoint_scores=self.waypoints(clockwise).float(),
        )

    def _depth_maps(self, depth_m: Float[Tensor, "b h w"]) -> Float[Tensor, "b c h2 w2"]:
        if self.depth_encoder is None:
            assert self.panorama is not None
            return self.panorama.encode_depth(depth_m)
        near, far = self.config.depth_range_m
        return self.depth_encoder(((depth_m - near) / (far - near)).clamp(0, 1))
