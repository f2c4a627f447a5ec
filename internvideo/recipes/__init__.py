"""Complete runs as functions, by name."""

from __future__ import annotations

from collections.abc import Callable

from internvideo.errors import unknown_name
from internvideo.recipes.coordination import coordinate_huge_k710, coordinate_tiny_playground
from internvideo.recipes.hand_forecasting import hand_forecasting_base_ego4d
from internvideo.recipes.masked_pretraining import (
    MASKED_PRETRAINING,
    mae_tiny_actions,
    mae_tiny_playground,
    mae_tiny_videos,
)
from internvideo.recipes.multimodal_pretraining import (
    multimodal_base,
    multimodal_large,
    multimodal_tiny_playground,
)
from internvideo.recipes.navigation import (
    navigation_tiny_rooms,
    navigation_vlnce_base,
    navigation_vlnce_large,
)
from internvideo.recipes.question_answering import (
    QUESTION_ANSWERING,
    question_answering_tiny_playground,
)
from internvideo.recipes.recognition import RECOGNITION_RECIPES
from internvideo.recipes.retrieval import (
    RETRIEVAL_RECIPES,
    retrieval_ego4d_nlq,
    retrieval_tiny_playground,
)
from internvideo.recipes.spatiotemporal_localization import (
    SPATIOTEMPORAL_LOCALIZATION,
    spatiotemporal_large_ego4d_scod,
    spatiotemporal_tiny_playground,
)
from internvideo.recipes.temporal_localization import (
    TEMPORAL_LOCALIZATION,
    temporal_localization_tiny,
    temporal_localization_tiny_actions,
    temporal_localization_tiny_adapted,
    temporal_localization_tiny_playground,
)
from internvideo.recipes.tiny_recognition import (
    post_pretrain_tiny_playground,
    post_pretrain_tiny_playground_b,
    recognition_tiny_actions,
    recognition_tiny_actions_a,
)
from internvideo.runs.run import Run

RECIPES: dict[str, Callable[[], Run]] = {
    "mae_tiny_playground": mae_tiny_playground,
    "mae_tiny_actions": mae_tiny_actions,
    "mae_tiny_videos": mae_tiny_videos,
    **MASKED_PRETRAINING,
    "multimodal_tiny_playground": multimodal_tiny_playground,
    "multimodal_base": multimodal_base,
    "multimodal_large": multimodal_large,
    "post_pretrain_tiny_playground": post_pretrain_tiny_playground,
    "post_pretrain_tiny_playground_b": post_pretrain_tiny_playground_b,
    "recognition_tiny_actions": recognition_tiny_actions,
    "recognition_tiny_actions_a": recognition_tiny_actions_a,
    **RECOGNITION_RECIPES,
    "retrieval_tiny_playground": retrieval_tiny_playground,
    **RETRIEVAL_RECIPES,
    "retrieval_ego4d_nlq": retrieval_ego4d_nlq,
    "temporal_localization_tiny": temporal_localization_tiny,
    "temporal_localization_tiny_playground": temporal_localization_tiny_playground,
    "temporal_localization_tiny_actions": temporal_localization_tiny_actions,
    "temporal_localization_tiny_adapted": temporal_localization_tiny_adapted,
    **TEMPORAL_LOCALIZATION,
    "question_answering_tiny_playground": question_answering_tiny_playground,
    **QUESTION_ANSWERING,
    "spatiotemporal_tiny_playground": spatiotemporal_tiny_playground,
    **SPATIOTEMPORAL_LOCALIZATION,
    "spatiotemporal_large_ego4d_scod": spatiotemporal_large_ego4d_scod,
    "hand_forecasting_base_ego4d": hand_forecasting_base_ego4d,
    "navigation_tiny_rooms": navigation_tiny_rooms,
    "navigation_vlnce_base": navigation_vlnce_base,
    "navigation_vlnce_large": navigation_vlnce_large,
    "coordinate_tiny_playground": coordinate_tiny_playground,
    "coordinate_huge_k710": coordinate_huge_k710,
}


def recipe(name: str) -> Run:
    """The run that a name stands for; an unknown name is answered with the nearest known one."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]()


__all__ = ["RECIPES", "recipe"]
