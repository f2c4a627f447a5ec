"""Weights of others: their names and ours."""

from internvideo.weights.actionformer import (
    actionformer_config_of,
    from_official_actionformer,
    to_official_actionformer,
)

__all__ = [
    "actionformer_config_of",
    "from_official_actionformer",
    "to_official_actionformer",
]
