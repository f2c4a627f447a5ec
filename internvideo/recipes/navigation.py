"""Runs of vision-language navigation: the two released agents, and one for generated houses.

Source of the released settings: `train.bash` and `iter_train.yaml` of Visual-Language-Navigation in
the InternVideo release: six processes of eight environments, 10,000 iterations.
"""

from __future__ import annotations

from dataclasses import replace

from internvideo.data import VideoData
from internvideo.heads import NavigatorConfig
from internvideo.models.navigation import BertConfig, HamtConfig, WaypointPredictorConfig
from internvideo.runs.run import Run
from internvideo.tasks import NavigationTraining
from internvideo.tasks.navigation import World
from internvideo.tiny import TinyPanoramaConfig
from internvideo.training import OptimiserConfig, TrainingConfig


def navigation_vlnce_base() -> Run:
    """The released base agent on R2R-VLNCE in Habitat: VideoMAE-B, CLIP's B/32, HAMT, 48 episodes.

    Needs a Habitat server at stage.world.habitat, and the released files that stage names.
    """
    return Run(
        name="navigation_vlnce_base",
        stage=NavigationTraining(
            model=NavigatorConfig(
                video_encoder="weights/vit_b_hybrid_pt_800e.pth",
                image_encoder="weights/ViT-B-32.pt",
            ),
            world=World(habitat="127.0.0.1:7700"),
            bert="weights/bert-base-uncased",
            waypoint_weights="weights/waypoint_predictor",
            depth_weights="weights/gibson-2plus-resnet50.pth",
            policy_weights="weights/hamt_6tasks_step_130000.pt",
        ),
        data=VideoData(
            source="R2R_VLNCE_v1-3_preprocessed/{split}/{split}.json.gz", eval_split="val_unseen"
        ),
        training=TrainingConfig(
            num_steps=10_000,
            batch_size=48,
            optimiser=OptimiserConfig(
                lr=3e-5, final_lr=3e-5, warmup_steps=0, weight_decay=0.01, clip_gradient=40.0
            ),
            log_every=150,
            evaluate_every=300,
            checkpoint_every=300,
        ),
    )


def navigation_vlnce_large() -> Run:
    """The same with VideoMAE-L, as in the released large run."""
    run = navigation_vlnce_base()
    model = replace(
        run.stage.model, video_encoder="weights/vit_l_hybrid_pt_800e.pth", video_width=1024
    )
    stage = replace(run.stage, model=model)
    return replace(run, name="navigation_vlnce_large", stage=stage)


def navigation_tiny_rooms() -> Run:
    """A small agent in generated houses, everything learned from scratch; minutes on two cores."""
    width = 64
    return Run(
        name="navigation_tiny_rooms",
        stage=NavigationTraining(
            model=NavigatorConfig(
                policy=HamtConfig(
                    text=BertConfig(
                        vocabulary_size=700,
                        context_length=64,
                        width=width,
                        depth=1,
                        num_heads=4,
                        hidden=2 * width,
                        dropout=0.0,
                    ),
                    num_cross_layers=2,
                    num_panorama_layers=1,
                    image_width=width,
                    depth_width=8,
                    max_steps=12,
                    trains_text=True,
                    trains_history=True,
                ),
                waypoints=WaypointPredictorConfig(
                    features=128, width=64, num_heads=4, hidden=128, dropout=0.0
                ),
                depth=None,
                tiny=TinyPanoramaConfig(side_px=16, image_width=width),
                context_length=64,
                view_dropout=0.0,
                max_decisions=12,
            ),
            num_episodes=1000,
            num_eval_episodes=100,
            vocabulary_size=700,
            resamples_waypoints=False,
            predicted_from=160,
            teacher_share=0.9,
        ),
        data=VideoData(source="rooms", eval_split="val_unseen"),
        training=TrainingConfig(
            num_steps=240,
            batch_size=16,
            optimiser=OptimiserConfig(
                lr=2e-3, final_lr=1e-4, warmup_steps=20, weight_decay=0.01, clip_gradient=1.0
            ),
            precision="fp32",
            log_every=10,
            evaluate_every=240,
            checkpoint_every=80,
        ),
    )
