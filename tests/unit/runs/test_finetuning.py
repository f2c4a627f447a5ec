"""What finetuning chooses: preset, start, network, schedule."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from internvideo.data import LabelledVideos
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.hub.pretrained import (
    Preprocessing,
    Pretrained,
    build_model,
    save_pretrained,
)
from internvideo.models import (
    MaskedEncoderConfig,
    UniFormerConfig,
    ViclipConfig,
)
from internvideo.recipes import recipe
from internvideo.runs import choose_preset, finetuning_guide, finetuning_run, open_source
from internvideo.tasks.shared import (
    Request,
    SourceModel,
    initialise_by_class,
    read_initial_weights,
)
from internvideo.tiny import MaskedFrontEndConfig, TinyAutoencoderConfig
from internvideo.values import Annotations, Record
from internvideo.weights import to_official_classifier

GUIDE = finetuning_guide("action-recognition")
MASKED = MaskedEncoderConfig(num_frames=4, side_px=32, width=24, depth=4, num_heads=2)
FRAMES = UniFormerConfig(
    side_px=32, width=24, depth=4, num_heads=2, num_global_heads=2, global_layers=(3,)
)


def labelled(*classes: str, num_train: int = 40, usual_frames: int | None = 16) -> LabelledVideos:
    classes = classes or ("jump", "sit")
    records = tuple(
        Record(
            video=Path(f"{place}.mp4"),
            labels=(place % len(classes),),
            split="train" if place < num_train else "val",
        )
        for place in range(num_train + 4)
    )
    return LabelledVideos(
        annotations=Annotations(records=records, classes=classes),
        warnings=(),
        left_out=(),
        num_decoded=0,
        usual_frames=usual_frames,
    )


def source(kind: str, config, **seen) -> SourceModel:
    found = Pretrained(
        model=nn.Identity(), kind=kind, config=config, preprocessing=Preprocessing(**seen)
    )
    return SourceModel(name="runs/before", weights=Path("runs/before"), found=found)


def test_the_best_checkpoint_is_kept():
    assert planned().training.keep_best == "top1"


def planned(*, videos=None, preset="full", **options):
    request = Request(
        videos=videos or labelled(),
        folder=Path("runs/mine"),
        preset=GUIDE.presets[preset],
        scratch=recipe(GUIDE.scratch_recipe),
        **options,
    )
    return finetuning_run(GUIDE, request)


@pytest.mark.parametrize(
    ("num_clips", "preset"), [(99, "probe"), (100, "partial"), (999, "partial"), (1000, "full")]
)
def test_more_clips_let_more_of_the_encoder_learn(num_clips, preset):
    choice = choose_preset(GUIDE, "auto", num_clips, has_start=True)

    assert choice.preset == preset
    assert str(num_clips) in choice.why


def test_a_preset_asked_for_is_taken():
    assert choose_preset(GUIDE, "full", 3, has_start=True).preset == "full"


def test_without_a_start_everything_is_trained():
    choice = choose_preset(GUIDE, "auto", 3, has_start=False)

    assert (choice.preset, choice.why) == ("full", "without --from nothing is learned yet")


@pytest.mark.parametrize("preset", ["probe", "partial"])
def test_a_random_encoder_is_never_frozen(preset):
    with pytest.raises(ConfigError, match=f"preset {preset} leaves blocks .* without --from"):
        choose_preset(GUIDE, preset, 3, has_start=False)


def test_an_unknown_preset_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown preset 'prob'; did you mean 'probe'"):
        choose_preset(GUIDE, "prob", 3, has_start=True)


def test_from_scratch_clips_are_no_longer_than_the_usual_video():
    strides = [
        planned(videos=labelled(usual_frames=frames)).data.stride_frames
        for frames in (4, 31, 300, None)
    ]

    assert strides == [1, 1, 2, 2]


@pytest.mark.parametrize("preset", GUIDE.presets)
def test_a_preset_decides_what_is_trained(preset):
    run = planned(preset=preset, source=source("masked-encoder", MASKED))

    assert run.stage.trained == GUIDE.presets[preset].trained
    assert run.stage.num_trained_blocks == 1
    assert run.training.num_steps == GUIDE.presets[preset].least_steps


def test_steps_grow_with_the_clips_and_can_be_asked_for():
    many = labelled(num_train=3200)

    assert planned(videos=many).training.num_steps == GUIDE.presets["full"].num_epochs * 100
    assert planned(videos=many, num_steps=7).training.num_steps == 7


def test_a_batch_is_no_larger_than_the_data():
    assert planned(videos=labelled(num_train=5)).training.batch_size == 5


def test_a_pretrained_masked_encoder_keeps_its_pixels_and_sampling():
    seen = {"num_frames": 4, "side_px": 32, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    run = planned(source=source("masked-encoder", MASKED, **seen, stride_frames=3, crop=0.875))

    encoder = run.stage.model.encoder
    assert (encoder.pixel_mean, encoder.pixel_std) == (seen["mean"], seen["std"])
    assert (run.stage.model.pooling, run.stage.model.front_end) == ("mean", None)
    assert (run.data.stride_frames, run.data.eval_crop) == (3, 0.875)


def test_a_pretraining_behind_a_front_end_stays_behind_it():
    front_end = MaskedFrontEndConfig(position_base=20.0)
    config = TinyAutoencoderConfig(encoder=MASKED, front_end=front_end)
    run = planned(source=source("tiny-masked-autoencoder", config))

    assert run.stage.model.front_end == front_end


def test_a_probe_of_a_masked_encoder_reads_tokens_with_a_query():
    run = planned(preset="probe", source=source("masked-encoder", MASKED))

    assert run.stage.model.pooling == "attentive"


def test_a_classifier_keeps_its_head_but_for_the_classes():
    config = VideoClassifierConfig(
        encoder=MaskedEncoderConfig(side_px=32), num_classes=9, pooling="first"
    )
    run = planned(preset="probe", source=source("video-classifier", config))

    assert (run.stage.model.pooling, run.stage.model.num_classes) == ("first", 2)


def test_encoder_b_keeps_its_frames_and_normalisation():
    seen = {"num_frames": 6, "sampling": "segments", "mean": (0.1,) * 3, "std": (0.2,) * 3}
    run = planned(source=source("uniformer", FRAMES, **seen))

    assert run.stage.clip_frames == 6
    assert run.stage.normalisation == ((0.1,) * 3, (0.2,) * 3)
    assert (run.stage.model.pooling, run.data.sampling) == ("query", "segments")


def test_other_models_are_refused_by_their_kind():
    with pytest.raises(CheckpointError, match="runs/before: holds a viclip model, which finetune"):
        planned(source=source("viclip", ViclipConfig()))


def test_clips_are_mirrored_unless_a_class_has_a_side():
    assert planned().data.flip
    assert not planned(videos=labelled("turn left", "turn right")).data.flip


def test_a_saved_model_is_started_from_where_it_is(tmp_path):
    model = Pretrained(
        model=build_model("masked-encoder", MASKED),
        kind="masked-encoder",
        config=MASKED,
        preprocessing=Preprocessing(num_frames=4, side_px=32),
    )
    folder = save_pretrained(model, tmp_path / "model")

    found = open_source(str(folder), tmp_path / "run")

    assert found.weights == folder
    assert not (tmp_path / "run").exists()


def test_weights_of_others_are_saved_as_ours(tmp_path):
    config = VideoClassifierConfig(
        encoder=MaskedEncoderConfig(width=64, depth=1, num_heads=1, final_norm=False),
        num_classes=3,
    )
    file = tmp_path / "released.pth"
    torch.save(to_official_classifier(VideoClassifier(config).state_dict()), file)

    found = open_source(str(file), tmp_path / "run")

    assert found.weights == tmp_path / "run" / "start"
    assert (
        read_initial_weights(found.weights, config).weights.keys()
        == VideoClassifier(config).state_dict().keys()
    )


def test_a_saved_encoder_b_alone_can_be_started_from(tmp_path):
    model = Pretrained(
        model=build_model("uniformer", FRAMES),
        kind="uniformer",
        config=FRAMES,
        preprocessing=Preprocessing(num_frames=4, side_px=32, sampling="segments"),
    )
    run = planned(source=open_source(str(save_pretrained(model, tmp_path / "model")), tmp_path))
    classifier = VideoClassifier(run.stage.model)

    begun = initialise_by_class(
        classifier, read_initial_weights(tmp_path / "model", run.stage.model), ("jump", "sit")
    )

    assert all(name.startswith(("head.", "fc_norm.")) for name in begun.new)
