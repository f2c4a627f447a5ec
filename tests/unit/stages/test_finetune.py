"""Fine-tuning for action recognition as the loop sees it: starts, frozen parts, losses, scores."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import multiprocessing, nn

from internvideo.data import RunContext, VideoData
from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    DecoderConfig,
    MaskedAutoencoder,
    MaskedEncoderConfig,
    UniFormerConfig,
)
from internvideo.objectives import EvidentialLoss, evidential_loss
from internvideo.stages import FinetuneStage
from internvideo.tasks import ActionRecognitionTraining
from internvideo.tiny import MaskedFrontEndConfig, build_masked_autoencoder
from internvideo.training import (
    MixingConfig,
    OptimiserConfig,
    Process,
    TrainingConfig,
    joined,
    mix,
    train,
)
from internvideo.training.parallel import wrap
from internvideo.values import Share, Tubelet
from internvideo.video import write_video
from internvideo.video.transforms import CLIP_MEAN, CLIP_STD, normalise
from internvideo.weights import to_official_classifier

CLASSES = ("bright, very", "dark", "暗")
ENCODER_A = MaskedEncoderConfig(
    num_frames=4,
    side_px=16,
    tubelet=Tubelet(time=2, height=8, width=8),
    width=24,
    depth=3,
    num_heads=2,
    final_norm=False,
)
ENCODER_B = UniFormerConfig(
    side_px=16,
    patch_px=8,
    width=24,
    depth=3,
    num_heads=2,
    global_layers=(2,),
    num_global_heads=2,
    num_local=1,
    local_norm="layer",
    global_dropout=0.0,
)
A = ActionRecognitionTraining(
    model=VideoClassifierConfig(encoder=ENCODER_A, num_classes=3, init_scale=1.0)
)
B = ActionRecognitionTraining(
    model=VideoClassifierConfig(encoder=ENCODER_B, num_classes=3, pooling="query", init_scale=1.0),
    num_frames=4,
)
BOTH = pytest.mark.parametrize("config", [A, B], ids=["A", "B"])


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for split, count in (("train", 4), ("val", 2)):
        for name, level in zip(CLASSES, (200, 100, 20), strict=True):
            for number in range(count):
                frames = np.full((12, 24, 32, 3), level) + rng.integers(0, 50, (12, 24, 32, 3))
                path = folder / split / name / f"{number}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                write_video(path, torch.from_numpy(frames.astype(np.uint8)), 12)
    return folder


def stage(
    videos: Path,
    config: ActionRecognitionTraining,
    *,
    share: Share | None = None,
    training: TrainingConfig | None = None,
) -> FinetuneStage:
    return FinetuneStage(
        config,
        VideoData(source=".", format="folder", root=str(videos), stride_frames=2),
        training or TrainingConfig(num_steps=20, batch_size=4),
        RunContext(
            seed=0, share=share or Share(), device=torch.device("cpu"), folder=videos.parent
        ),
    )


def loss(it: FinetuneStage, batch) -> torch.Tensor:
    return it.losses(batch, torch.Generator())["classification"]


@BOTH
def test_a_classifier_learns_what_the_classes_are(videos, tmp_path, config):
    training = TrainingConfig(
        num_steps=20, batch_size=6, optimiser=OptimiserConfig(lr=3e-3), precision="fp32"
    )
    it = stage(videos, config, training=training)
    process = Process(share=Share(), device=torch.device("cpu"))

    outcome = train(it, training, folder=tmp_path, run={}, seed=0, process=process)

    assert outcome.scores["top1"] == 1
    labels = json.loads((tmp_path / "checkpoints" / "last" / "labels.json").read_text())
    assert labels == list(CLASSES)


@BOTH
def test_the_loss_is_the_cross_entropy_of_normalised_clips(videos, config):
    it = stage(videos, replace(config, label_smoothing=0.1))
    [batch] = next(it.batches(0))

    mean, std = (
        (CLIP_MEAN, CLIP_STD) if config is B else (ENCODER_A.pixel_mean, ENCODER_A.pixel_std)
    )
    logits = it.model.eval()(normalise(batch.frames, mean=mean, std=std))

    torch.testing.assert_close(
        loss(it, batch), F.cross_entropy(logits, batch.targets["label"], label_smoothing=0.1)
    )


def test_mixed_clips_are_compared_with_mixed_classes(videos):
    mixing = MixingConfig()
    it = stage(videos, replace(A, mixing=mixing))
    [batch] = next(it.batches(0))

    clip = normalise(batch.frames)
    clip, targets = mix(clip, batch.targets["label"], batch.seeds, mixing, num_classes=3)

    torch.testing.assert_close(loss(it, batch), F.cross_entropy(it.model(clip), targets))


def test_the_evidential_loss_is_annealed_by_the_epoch(videos):
    evidential = EvidentialLoss(kl=True)
    it = stage(videos, replace(A, evidential=evidential))
    batches = it.batches(10)
    [batch] = it.prepare(next(batches))
    epochs = 20 / 3  # of three steps each

    logits = it.model(normalise(batch.frames))

    coefficient = evidential.coefficient(epochs / 2, epochs)
    expected = evidential_loss(logits, batch.targets["label"], evidential, coefficient=coefficient)
    torch.testing.assert_close(loss(it, batch), expected)


def test_rare_classes_can_count_as_much_as_others(videos, tmp_path):
    shutil.copytree(videos, tmp_path, dirs_exist_ok=True)
    for number in (1, 2, 3):
        (tmp_path / "train" / "dark" / f"{number}.mp4").unlink()

    weights = stage(tmp_path, replace(A, balanced_classes=True)).objective._class_weights

    torch.testing.assert_close(weights, torch.tensor([0.75, 3.0, 0.75]))


@BOTH
def test_losses_do_not_depend_on_how_the_batch_is_cut(videos, config):
    it = stage(videos, replace(config, mixing=MixingConfig(mode="sample")))
    [batch] = next(it.batches(0))
    halves = [
        replace(
            batch,
            frames=batch.frames[rows],
            seeds=batch.seeds[rows],
            sources=batch.sources[rows],
            targets={"label": batch.targets["label"][rows]},
        )
        for rows in (slice(0, 2), slice(2, 4))
    ]

    torch.testing.assert_close(loss(it, batch), sum(loss(it, half) for half in halves) / 2)


def several(folder: Path, videos: Path, **changes: Any) -> FinetuneStage:
    """Videos that are bright or dark, of which all held-back ones are loud besides."""
    rows = ["path,label,split"]
    for split in ("train", "val"):
        for name in ("bright, very", "dark"):
            for number in range(2):
                labels = f"{name}|loud" if split == "val" or number else name
                rows.append(f'"{videos}/{split}/{name}/{number}.mp4","{labels}",{split}')
    (folder / "several.csv").write_text("\n".join(rows))
    return FinetuneStage(
        replace(A, multi_label=True, **changes),
        VideoData(
            source="several.csv",
            root=str(folder),
            stride_frames=2,
            options={"label_separator": "|"},
        ),
        TrainingConfig(num_steps=20, batch_size=4),
        RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=folder),
    )


def test_clips_of_several_labels_are_trained_with_a_binary_loss(videos, tmp_path):
    it = several(tmp_path, videos)
    [batch] = next(it.batches(0))

    logits = it.model.eval()(normalise(batch.frames))

    assert it.classes == ("bright, very", "dark", "loud")
    expected = [["dark" in s, s.endswith("1.mp4")] for s in batch.sources]
    assert batch.targets["labels"][:, 1:].bool().tolist() == expected
    probability = logits.sigmoid()
    right = torch.where(batch.targets["labels"] > 0, probability, 1 - probability)
    torch.testing.assert_close(loss(it, batch), -right.log().mean())


def test_several_labels_are_scored_by_their_mean_average_precision(videos, tmp_path):
    it = several(tmp_path, videos)
    nn.init.zeros_(it.model.head.weight)

    scores = it.evaluate()

    # All scores are equal: half of the videos are bright, half dark, all loud.
    assert scores["map"] == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert set(scores) == {"map", "loss", "clips"}


def test_what_is_saved_says_that_clips_have_several_labels():
    assert replace(A, multi_label=True).model_config.multi_label
    assert not A.model_config.multi_label


def test_several_labels_are_for_a_plain_loss():
    with pytest.raises(ConfigError, match=r"several labels .* plain binary loss.*label_smoothing"):
        replace(A, multi_label=True, label_smoothing=0.1)


@BOTH
@pytest.mark.parametrize(
    ("changes", "frozen_blocks"),
    [
        ({"trained": "all"}, 0),
        ({"trained": "last", "num_trained_blocks": 2}, 1),
        ({"trained": "head"}, 3),
    ],
)
def test_frozen_parts_get_no_gradient_and_stay_in_evaluation(
    videos, config, changes, frozen_blocks
):
    it = stage(videos, replace(config, **changes))
    it.model.train()
    [batch] = next(it.batches(0))

    loss(it, batch).backward()

    blocks = [block.training for block in it.model.encoder.blocks]
    assert blocks == [number >= frozen_blocks for number in range(3)]
    learning = {name for name, p in it.model.named_parameters() if p.grad is not None}
    for name, _ in it.model.named_parameters():
        part, *rest = name.removeprefix("encoder.").split(".")
        if not name.startswith("encoder."):
            expected = True
        elif part == "blocks":
            expected = int(rest[0]) >= frozen_blocks
        elif part in ("global_blocks", "query_token", "balance"):
            expected = frozen_blocks < 3
        else:
            expected = frozen_blocks == 0
        assert (name in learning) == expected, name


def test_every_score_is_counted_on_all_held_back_videos(videos):
    it = stage(videos, A)
    it.model.eval()
    batches = list(it.data.held_out.once())
    labels = torch.cat([batch.targets["label"] for batch in batches])
    with torch.no_grad():
        logits = torch.cat([it.model(normalise(batch.frames)) for batch in batches])
    right = (logits.argmax(1) == labels).double()

    scores = it.evaluate()

    mean_class = torch.stack([right[labels == label].mean() for label in range(3)]).mean()
    assert scores == pytest.approx(
        {
            "top1": float(right.mean()),
            "top5": 1.0,
            "mean_class": float(mean_class),
            "loss": float(F.cross_entropy(logits, labels)),
            "clips": 6.0,
        },
        rel=1e-5,
    )


def test_a_video_that_cannot_be_decoded_is_never_right(videos, tmp_path):
    shutil.copytree(videos, tmp_path, dirs_exist_ok=True)
    it = stage(tmp_path, A)
    for number in (0, 1):
        (tmp_path / "val" / "dark" / f"{number}.mp4").write_bytes(b"not a video")

    scores = it.evaluate()

    assert (scores["clips"], scores["failed"]) == (6, 2)
    assert scores["top5"] == pytest.approx(4 / 6)


def test_nothing_but_broken_videos_gives_no_scores(videos, tmp_path):
    shutil.copytree(videos, tmp_path, dirs_exist_ok=True)
    it = stage(tmp_path, A)
    for path in (tmp_path / "val").rglob("*.mp4"):
        path.write_bytes(b"not a video")

    assert it.evaluate() == {"clips": 0.0}


def saved(folder: Path, model: torch.nn.Module, **documents) -> str:
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    for name, document in documents.items():
        (folder / f"{name}.json").write_text(json.dumps(document))
    return str(folder)


def pretrained(folder: Path, front_end=None, **changes) -> tuple[str, MaskedAutoencoder]:
    encoder = replace(ENCODER_A, final_norm=True, **changes)
    decoder = DecoderConfig(width=24, depth=1, num_heads=2)
    model = build_masked_autoencoder(encoder, decoder, front_end)
    of_stage = {"kind": "masked-pretraining", "encoder": asdict(encoder)}
    if front_end is not None:
        of_stage["front_end"] = asdict(front_end)
    return saved(folder, model, config={"run": {"stage": of_stage}}), model


def test_an_encoder_starts_from_its_pretraining(videos, tmp_path):
    path, source = pretrained(tmp_path / "source")

    it = stage(videos, replace(A, initial_weights=path))

    weight = it.model.encoder.blocks[2].mlp.fc1.weight
    assert torch.equal(weight, source.encoder.blocks[2].mlp.fc1.weight)


def test_a_missing_start_is_named_before_any_video_is_opened(tmp_path):
    with pytest.raises(CheckpointError, match="no such run, checkpoint or file to start from"):
        stage(tmp_path / "no videos", replace(A, initial_weights=str(tmp_path / "no run")))


def test_an_encoder_of_another_configuration_is_refused_although_its_shapes_fit(videos, tmp_path):
    path, _ = pretrained(tmp_path / "source", norm_eps=1e-3)

    with pytest.raises(CheckpointError, match=r"has norm_eps=1e-06 instead of 0\.001"):
        stage(videos, replace(A, initial_weights=path))


def test_a_start_is_older_than_a_field_of_the_encoder(videos, tmp_path):
    path, _ = pretrained(tmp_path / "source")
    document = Path(path, "config.json")
    config = json.loads(document.read_text())
    del config["run"]["stage"]["encoder"]["norm_eps"]
    document.write_text(json.dumps(config))
    encoder = replace(A.model.encoder, norm_eps=1e-3)

    stage(videos, replace(A, initial_weights=path))  # it was the default then
    with pytest.raises(CheckpointError, match=r"has norm_eps=0\.001 instead of 1e-06"):
        stage(
            videos,
            replace(A, model=replace(A.model, encoder=encoder), initial_weights=path),
        )


@pytest.mark.parametrize(
    ("trained", "message"),
    [
        (None, "has front_end={.*} instead of None"),
        (MaskedFrontEndConfig(position_base=20.0), r"front_end\.position_base=30\.0 instead of 20"),
    ],
)
def test_an_encoder_behind_another_front_end_is_refused(videos, tmp_path, trained, message):
    path, _ = pretrained(tmp_path / "source", front_end=trained)
    model = replace(A.model, front_end=MaskedFrontEndConfig())

    with pytest.raises(CheckpointError, match=message):
        stage(videos, replace(A, model=model, initial_weights=path))


def test_a_classifier_may_read_more_of_a_clip_than_its_pretraining(videos, tmp_path):
    front_end = MaskedFrontEndConfig()
    path, source = pretrained(tmp_path / "source", front_end=front_end)
    salient = replace(front_end, frame_differences=True, num_salient_tubelets=3)
    model = replace(A.model, front_end=salient)

    it = stage(videos, replace(A, model=model, initial_weights=path))

    assert torch.equal(
        it.model.encoder.patch_embed.proj.weight, source.encoder.patch_embed.proj.weight
    )
    assert it.config.training_flops_per_clip < replace(A).training_flops_per_clip


def test_a_head_brings_its_rows_by_class_name(videos, tmp_path):
    source = VideoClassifier(replace(A.model, num_classes=4))
    labels = ["暗", "other", "dark", "bright, very"]
    path = saved(tmp_path / "source", source, labels=labels)

    it = stage(videos, replace(A, initial_weights=path))

    assert torch.equal(it.model.head.weight, source.head.weight[[3, 2, 0]])


def test_a_head_of_other_classes_is_not_kept(videos, tmp_path):
    source = VideoClassifier(A.model)
    path = saved(tmp_path / "source", source, labels=["dark", "暗", "other"])

    it = stage(videos, replace(A, initial_weights=path))

    assert not torch.equal(it.model.head.weight, source.head.weight)


def test_a_list_of_rows_maps_a_head_without_names(videos, tmp_path):
    source = VideoClassifier(replace(A.model, num_classes=4))
    save_file(source.state_dict(), tmp_path / "source.safetensors")
    (tmp_path / "rows.json").write_text("[3, 0, 1]")

    it = stage(
        videos,
        replace(
            A,
            initial_weights=str(tmp_path / "source.safetensors"),
            head_rows=str(tmp_path / "rows.json"),
        ),
    )

    assert torch.equal(it.model.head.weight, source.head.weight[[3, 0, 1]])


@pytest.mark.parametrize("wrapper", ["model", "module"])
def test_a_file_of_released_weights_is_unwrapped(videos, tmp_path, wrapper):
    source = VideoClassifier(A.model)
    state = to_official_classifier(source.state_dict())
    torch.save({wrapper: state, "epoch": 3}, tmp_path / "source.pth")

    it = stage(videos, replace(A, initial_weights=str(tmp_path / "source.pth")))

    assert torch.equal(it.model.head.weight, source.head.weight)


def test_a_file_without_weights_is_named(videos, tmp_path):
    torch.save({"epoch": 3}, tmp_path / "source.pth")

    with pytest.raises(CheckpointError, match=r"source\.pth: there is no state dict"):
        stage(videos, replace(A, initial_weights=str(tmp_path / "source.pth")))


@pytest.mark.parametrize("text", ["{}", '["a"]'])
def test_a_list_of_rows_that_is_none_is_refused(videos, tmp_path, text):
    path, _ = pretrained(tmp_path / "source")
    (tmp_path / "rows.json").write_text(text)

    with pytest.raises(ConfigError, match=r"rows\.json: expected a JSON list of row numbers"):
        stage(videos, replace(A, initial_weights=path, head_rows=str(tmp_path / "rows.json")))


def test_a_missing_list_of_rows_is_named(videos, tmp_path):
    path, _ = pretrained(tmp_path / "source")

    with pytest.raises(ConfigError, match=r"none\.json: cannot be read as a JSON list of rows"):
        stage(videos, replace(A, initial_weights=path, head_rows=str(tmp_path / "none.json")))


def test_a_wrong_number_of_classes_says_what_to_set(videos):
    with pytest.raises(ConfigError, match=r"the data have 3 classes.*set stage\.model\.num_cl"):
        stage(videos, replace(A, model=replace(A.model, num_classes=7)))


def test_a_video_without_a_label_is_named(videos, tmp_path):
    rows = ["path,label,split"]
    rows += [f"{videos}/{split}/dark/0.mp4,dark,{split}" for split in ("train", "val")]
    rows += [f"{videos}/train/dark/1.mp4,,train"]
    (tmp_path / "list.csv").write_text("\n".join(rows))
    data = VideoData(source="list.csv", root=str(tmp_path))

    with pytest.raises(ConfigError, match=r"1\.mp4 has 0 labels; action recognition needs exactly"):
        FinetuneStage(
            A,
            data,
            TrainingConfig(num_steps=1, batch_size=1),
            RunContext(seed=0, share=Share(), device=torch.device("cpu"), folder=tmp_path),
        )


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (A, {"num_frames": 4}, "are for encoder B; set those of model.encoder"),
        (B, {"num_frames": 0}, "num_frames is 0; a clip has at least one frame"),
        (B, {"pixel_mean": (0.5, 0.5, 0.5)}, "give both pixel_mean and pixel_std"),
        (A, {"num_trained_blocks": 4}, "num_trained_blocks is 4; the encoder has 3"),
        (A, {"label_smoothing": 1.0}, r"label_smoothing is 1\.0; expected 0 to below 1"),
        (A, {"mixing": MixingConfig(), "label_smoothing": 0.1}, "mixed clips have shares of two"),
        (A, {"evidential": EvidentialLoss(), "mixing": MixingConfig()}, "needs whole labels"),
    ],
)
def test_impossible_combinations_are_refused(config, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(config, **changes)


def _rank(rank: int, videos: str, out: str, port: int) -> None:
    os.environ.update(
        RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)
    )
    torch.set_num_threads(1)
    with joined("cpu") as process:
        found = _gradient(Path(videos), process)
        if process.is_first:
            torch.save(found, out)


def _gradient(videos: Path, process: Process) -> tuple[torch.Tensor, dict[str, float]]:
    config = replace(B, mixing=MixingConfig(mode="sample"))
    it = stage(videos, config, share=process.share)
    module = wrap(it.model, it.losses, strategy="ddp", precision="fp32", process=process)
    [batch] = next(it.batches(0))
    module(batch, torch.Generator())["classification"].backward()
    gradient = torch.cat([p.grad.flatten() for p in it.model.parameters()])
    it.model.eval()
    return gradient, it.evaluate()


@pytest.mark.slow
def test_two_ranks_give_the_gradient_and_scores_of_one(videos, tmp_path, free_port):
    alone, scores = _gradient(videos, Process(share=Share(), device=torch.device("cpu")))

    out = tmp_path / "two.pt"
    multiprocessing.spawn(_rank, (str(videos), str(out), free_port), nprocs=2)

    together, their_scores = torch.load(out)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-6)
    assert their_scores == pytest.approx(scores, rel=1e-5)
