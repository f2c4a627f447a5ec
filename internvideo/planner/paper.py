"""InternVideo's own training as the recipes have it, stage by stage, and what was paid for it.

Source of the cost: the paper's 64.5 thousand hours of A100, which are 128 GPUs for 14 days
(multimodal) and 64 GPUs for 14 days (masked).
"""

from __future__ import annotations

# Stage, recipe, and the GPUs that its published script names.
PAPER_STAGES: dict[str, tuple[str, int]] = {
    "1 masked": ("mae_huge_hybrid", 64),
    "2 multimodal": ("multimodal_large", 128),
    "3 post, A": ("recognition_mae_huge_k710", 32),
    "3 post, B": ("recognition_uniformer_large_k710", 32),
    "4 coordination": ("coordinate_huge_k710", 32),
}
PAPER_A100_HOURS = 64_512
