"""Complete runs as functions, and what turns one into a trained model."""

from __future__ import annotations

from collections.abc import Callable

from internvideo.errors import unknown_name
from internvideo.recipes.coordination import coordinate_huge_k710, coordinate_tiny_playground
from internvideo.recipes.execute import execute
from internvideo.recipes.export import export_model
from internvideo.recipes.finetuning import (
    choose_preset,
    finetuning_guide,
    finetuning_run,
    measure_cost,
    open_source,
)
from internvideo.recipes.hub import card_of, push_to_hub
from internvideo.recipes.importing import Imported, Wanted, import_weights
from internvideo.recipes.masked_pretraining import (
    mae_base_hybrid,
    mae_base_k400,
    mae_giant_v2,
    mae_huge_hybrid,
    mae_large_hybrid,
    mae_small_k400,
    mae_tiny_actions,
    mae_tiny_playground,
    mae_tiny_videos,
)
from internvideo.recipes.multimodal_pretraining import (
    multimodal_base,
    multimodal_large,
    multimodal_tiny_playground,
)
from internvideo.recipes.opening import (
    load_model,
    load_pretrained,
    load_recogniser,
    load_video_text,
)
from internvideo.recipes.pretrained import Preprocessing, Pretrained, save_pretrained
from internvideo.recipes.recognition import (
    recognition_mae_base_k400,
    recognition_mae_base_ssv2,
    recognition_mae_huge_k400,
    recognition_mae_huge_k710,
    recognition_mae_huge_ssv2,
    recognition_mae_large_k400,
    recognition_mae_large_ssv2,
    recognition_uniformer_base_k400,
    recognition_uniformer_base_k710,
    recognition_uniformer_base_k710_k400,
    recognition_uniformer_large_k710,
    recognition_uniformer_large_k710_k400,
)
from internvideo.recipes.released import from_pretrained, import_release
from internvideo.recipes.run import Run, from_document, nested, override, read_run, to_document
from internvideo.recipes.tiny_recognition import (
    post_pretrain_tiny_playground,
    post_pretrain_tiny_playground_b,
    recognition_tiny_actions,
    recognition_tiny_actions_a,
)

RECIPES: dict[str, Callable[[], Run]] = {
    "mae_tiny_playground": mae_tiny_playground,
    "mae_tiny_actions": mae_tiny_actions,
    "mae_tiny_videos": mae_tiny_videos,
    "mae_small_k400": mae_small_k400,
    "mae_base_k400": mae_base_k400,
    "mae_base_hybrid": mae_base_hybrid,
    "mae_large_hybrid": mae_large_hybrid,
    "mae_huge_hybrid": mae_huge_hybrid,
    "mae_giant_v2": mae_giant_v2,
    "multimodal_tiny_playground": multimodal_tiny_playground,
    "multimodal_base": multimodal_base,
    "multimodal_large": multimodal_large,
    "post_pretrain_tiny_playground": post_pretrain_tiny_playground,
    "post_pretrain_tiny_playground_b": post_pretrain_tiny_playground_b,
    "recognition_tiny_actions": recognition_tiny_actions,
    "recognition_tiny_actions_a": recognition_tiny_actions_a,
    "recognition_mae_base_k400": recognition_mae_base_k400,
    "recognition_mae_large_k400": recognition_mae_large_k400,
    "recognition_mae_huge_k710": recognition_mae_huge_k710,
    "recognition_mae_huge_k400": recognition_mae_huge_k400,
    "recognition_mae_base_ssv2": recognition_mae_base_ssv2,
    "recognition_mae_large_ssv2": recognition_mae_large_ssv2,
    "recognition_mae_huge_ssv2": recognition_mae_huge_ssv2,
    "recognition_uniformer_base_k710": recognition_uniformer_base_k710,
    "recognition_uniformer_base_k400": recognition_uniformer_base_k400,
    "recognition_uniformer_base_k710_k400": recognition_uniformer_base_k710_k400,
    "recognition_uniformer_large_k710": recognition_uniformer_large_k710,
    "recognition_uniformer_large_k710_k400": recognition_uniformer_large_k710_k400,
    "coordinate_tiny_playground": coordinate_tiny_playground,
    "coordinate_huge_k710": coordinate_huge_k710,
}


def recipe(name: str) -> Run:
    """The run that a name stands for; an unknown name is answered with the nearest known one."""
    if name not in RECIPES:
        raise unknown_name("recipe", name, RECIPES)
    return RECIPES[name]()


__all__ = [
    "RECIPES",
    "Imported",
    "Preprocessing",
    "Pretrained",
    "Run",
    "Wanted",
    "card_of",
    "choose_preset",
    "execute",
    "export_model",
    "finetuning_guide",
    "finetuning_run",
    "from_document",
    "from_pretrained",
    "import_release",
    "import_weights",
    "load_model",
    "load_pretrained",
    "load_recogniser",
    "load_video_text",
    "measure_cost",
    "nested",
    "open_source",
    "override",
    "push_to_hub",
    "read_run",
    "recipe",
    "save_pretrained",
    "to_document",
]
