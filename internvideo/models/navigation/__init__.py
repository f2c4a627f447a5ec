"""Networks of vision-language navigation: the policy (HAMT), waypoints, depth, BERT's layers."""

from internvideo.models.navigation.bert import BertConfig, BertEmbeddings, BertLayer
from internvideo.models.navigation.depth_encoder import DepthEncoder, DepthEncoderConfig
from internvideo.models.navigation.hamt import Hamt, HamtConfig, ObservationTokens, angle_features
from internvideo.models.navigation.waypoint_predictor import (
    WaypointPredictor,
    WaypointPredictorConfig,
)

__all__ = [
    "BertConfig",
    "BertEmbeddings",
    "BertLayer",
    "DepthEncoder",
    "DepthEncoderConfig",
    "Hamt",
    "HamtConfig",
    "ObservationTokens",
    "WaypointPredictor",
    "WaypointPredictorConfig",
    "angle_features",
]
