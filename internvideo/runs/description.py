"""What model a run trains, written into its checkpoints, so that these open as saved models do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from internvideo.hub import Preprocessing, model_description
from internvideo.hub.pretrained import AutoencoderConfig, ModelConfig
from internvideo.runs.run import Run, to_document
from internvideo.stages import (
    CoordinationTraining,
    MaskedPretraining,
    MultimodalPretraining,
    PostPretraining,
)
from internvideo.tiny import TinyMultimodalConfig
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD


def checkpoint_documents(run: Run) -> dict[str, Any]:
    """Documents to keep with every checkpoint of a run: its model, and the run itself."""
    return {"config": {**model_description(*_described(run)), "run": to_document(run)}}


def _described(run: Run) -> tuple[str, ModelConfig, Preprocessing]:
    """What a run trains: kind and configuration of the model, and how it sees clips."""
    stage, data = run.stage, run.data
    preprocessing = Preprocessing(
        crop=data.eval_crop, sampling=data.sampling, stride_frames=data.stride_frames
    )
    match stage:
        case MaskedPretraining():
            encoder = stage.encoder
            preprocessing = _changed(preprocessing, encoder.num_frames, encoder.side_px)
            preprocessing = replace(preprocessing, mean=encoder.pixel_mean, std=encoder.pixel_std)
            config = AutoencoderConfig(
                encoder=encoder, front_end=stage.front_end, decoder=stage.decoder
            )
            return "masked-autoencoder", config, preprocessing
        case MultimodalPretraining():
            preprocessing = _changed(preprocessing, stage.num_frames, stage.encoder.video.side_px)
            preprocessing = replace(preprocessing, mean=CLIP_MEAN, std=CLIP_STD)
            if stage.front_end is None:
                return "multimodal-encoder", stage.encoder, preprocessing
            tiny = TinyMultimodalConfig(encoder=stage.encoder, front_end=stage.front_end)
            return "tiny-multimodal-encoder", tiny, preprocessing
        case PostPretraining():
            preprocessing = _changed(preprocessing, stage.clip_frames, stage.model.encoder.side_px)
            mean, std = stage.normalisation
            return "video-classifier", stage.model, replace(preprocessing, mean=mean, std=std)
        case CoordinationTraining():
            preprocessing = _changed(
                preprocessing, stage.clip_frames, stage.pair.encoders[0].side_px
            )
            # It takes pixels in [0, 1], and gives each encoder what that is used to.
            preprocessing = replace(preprocessing, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
            return "coordinated-classifier", stage.pair, preprocessing


def _changed(preprocessing: Preprocessing, num_frames: int, side_px: int) -> Preprocessing:
    return replace(preprocessing, num_frames=num_frames, side_px=side_px)
