"""A run of Ego4D's future hand prediction.

Source of the settings: `ego4d_hands.py` of OpenGVLab/ego4d-eccv2022-solutions, whose network is
UniFormer-B at 320 px; here it is encoder A at 224 px.
"""

from __future__ import annotations

from internvideo.data import VideoData
from internvideo.heads import VideoClassifierConfig
from internvideo.runs.run import Run
from internvideo.tasks import HandForecastingTraining
from internvideo.tasks.hand_forecasting.training import NUM_OUTPUTS
from internvideo.training import OptimiserConfig, TrainingConfig

_EPOCHS, _BATCH_SIZE, _NUM_INTERACTIONS = 30, 32, 8_000


def hand_forecasting_base_ego4d() -> Run:
    """ViT-B on future hand prediction of Ego4D: both hands at five moments, 30 epochs."""
    per_epoch = _NUM_INTERACTIONS // _BATCH_SIZE
    return Run(
        name="hand_forecasting_base_ego4d",
        stage=HandForecastingTraining(
            model=VideoClassifierConfig(num_classes=NUM_OUTPUTS),
            initial_weights="runs/recognition_mae_base_k400",
        ),
        data=VideoData(
            source="fho_hands_train.json",
            eval_source="fho_hands_val.json",
            format="ego4d-hands",
            root="data/ego4d",
            sampling="segments",
            crop="random",
            num_workers=8,
        ),
        training=TrainingConfig(
            num_steps=_EPOCHS * per_epoch,
            batch_size=_BATCH_SIZE,
            optimiser=OptimiserConfig(
                lr=1e-3,
                final_lr=1e-6,
                warmup_steps=per_epoch,
                weight_decay=0.05,
                betas=(0.9, 0.999),
                layer_decay=0.75,
            ),
            log_every=50,
            evaluate_every=per_epoch,
            checkpoint_every=per_epoch,
        ),
    )
