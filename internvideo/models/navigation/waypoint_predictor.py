"""Where one can go, from the depth of twelve views around: a score for each angle and distance.

Source: Hong et al. 2022 (arXiv:2203.02764), section 4; `waypoint_pred/TRM_net.py` of the
InternVideo release, which leaves colour out. Parameters are named as there.
Shapes: depth features (b, 12, c, h, w) of the views in clockwise order -> scores (b, 120, 12) of
angles (3 degrees, clockwise) and distances (0.25 m to 3 m); `navigation.decode_waypoints` reads
candidates from them.
Differs from the released code: parts that its forward pass never uses (`visual_merge`,
`mergefeats_LayerNorm`) are left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from internvideo.models.masked_encoder import check_blocks
from internvideo.models.navigation.bert import BertLayer, initialise

NUM_VIEWS, NUM_ANGLES, NUM_DISTANCES = 12, 120, 12
_PER_VIEW = NUM_ANGLES // NUM_VIEWS
UNUSED_WEIGHTS = ("visual_merge.", "mergefeats_LayerNorm.")


@dataclass(frozen=True, kw_only=True, slots=True)
class WaypointPredictorConfig:
    """Sizes of the predictor; `features` is how many numbers tell the depth of a view."""

    features: int = 128 * 4 * 4
    width: int = 768
    depth: int = 2
    num_heads: int = 12
    hidden: int = 3072
    dropout: float = 0.3

    def __post_init__(self) -> None:
        check_blocks("waypoint predictor", self.width, self.depth, self.num_heads)


class WaypointPredictor(nn.Module):
    """Views attend to themselves and to the views beside them, then each scores its 30 degrees."""

    def __init__(self, config: WaypointPredictorConfig) -> None:
        super().__init__()
        self.config = config
        self.visual_fc_depth = nn.Sequential(
            nn.Flatten(), nn.Linear(config.features, config.width), nn.ReLU()
        )
        # Nested as released, for the names of the weights.
        layers = nn.ModuleDict()
        layers["layer"] = nn.ModuleList(
            BertLayer(config.width, config.num_heads, config.hidden, config.dropout)
            for _ in range(config.depth)
        )
        encoder = nn.ModuleDict({"encoder": layers})
        self.waypoint_TRM = nn.ModuleDict({"bert": encoder})
        self.dropout = nn.Dropout(config.dropout)
        self.vis_classifier = nn.Sequential(
            nn.Linear(config.width, config.width),
            nn.ReLU(),
            nn.Linear(config.width, _PER_VIEW * NUM_DISTANCES),
        )
        place = torch.arange(NUM_VIEWS)
        apart = (place - place[:, None]).abs()
        beside = torch.minimum(apart, NUM_VIEWS - apart) <= 1
        self.register_buffer("beside", beside[None], persistent=False)
        initialise(self)

    def forward(
        self, features: Float[Tensor, "b views c h w"]
    ) -> Float[Tensor, "b angles distances"]:
        views = self.visual_fc_depth(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        for layer in self.waypoint_TRM["bert"]["encoder"]["layer"]:
            views = layer(views, self.beside)
        scores = self.vis_classifier(self.dropout(views))
        scores = scores.reshape(len(scores), NUM_ANGLES, NUM_DISTANCES)
        # A view's heading is the middle of its ten angles.
        return scores.roll(-(_PER_VIEW // 2), dims=1)
