"""Features of whole videos: from every encoder, the same to the bit however a run is made."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from internvideo.data import WindowConfig, read_features, side_car
from internvideo.errors import ConfigError
from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import (
    DecoderConfig,
    JointEncoderConfig,
    MaskedAutoencoder,
    MaskedEncoder,
    MaskedEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    Viclip,
    ViclipConfig,
    gather_tokens,
)
from internvideo.tasks.shared.features import FeatureEncoder, FeatureExtraction
from internvideo.tiny import MaskedFrontEndConfig
from internvideo.values import Tubelet
from internvideo.video.transforms import normalise

TINY = {"width": 32, "depth": 2, "num_heads": 2}
A = MaskedEncoderConfig(
    num_frames=4, side_px=16, tubelet=Tubelet(time=2, height=8, width=8), **TINY
)
TOWER = UniFormerConfig(side_px=16, patch_px=8, global_layers=(1,), num_global_heads=2, **TINY)
TEXT = TextEncoderConfig(vocabulary_size=64, context_length=8, **TINY)
JOINT = JointEncoderConfig(num_frames=4, side_px=16, patch_px=8, **TINY)
HEADED = VideoClassifierConfig(encoder=replace(A, final_norm=False), num_classes=3)
EXTRACTION = FeatureExtraction(
    windows=WindowConfig(num_frames=4, stride_frames=2, rate_fps="native"), batch_size=2
)


@pytest.fixture(autouse=True)
def _one_revision(monkeypatch):
    """The code may be committed while a test runs."""
    monkeypatch.setattr("internvideo.tasks.shared.features.code_revision", lambda: "1.0 abc")


def made(kind):
    torch.manual_seed(0)
    return {
        "masked": lambda: MaskedEncoder(A),
        "autoencoder": lambda: MaskedAutoencoder(A, DecoderConfig(**TINY)),
        "classifier of A": lambda: VideoClassifier(HEADED),
        "classifier behind a front end": lambda: VideoClassifier(
            replace(HEADED, front_end=MaskedFrontEndConfig())
        ),
        "classifier of salient tubelets": lambda: VideoClassifier(
            replace(HEADED, front_end=MaskedFrontEndConfig(num_salient_tubelets=3))
        ),
        "classifier of B": lambda: VideoClassifier(
            VideoClassifierConfig(encoder=TOWER, num_classes=3, pooling="query")
        ),
        "multimodal": lambda: MultimodalEncoder(
            MultimodalEncoderConfig(video=TOWER, text=TEXT, embed_dim=24)
        ),
        "viclip": lambda: Viclip(ViclipConfig(video=JOINT, text=TEXT, embed_dim=24)),
    }[kind]()


def encoder(kind="masked", **options):
    return FeatureEncoder(made(kind), num_frames=4, side_px=16, name=kind, **options)


def written(folder):
    """Bytes of all files below a folder by their names."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def targets(folder, files, suffix="safetensors"):
    return [folder / f"{file.name}.{suffix}" for file in files]


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("masked", {"mean": (32,), "tokens": (8, 32)}),
        ("autoencoder", {"mean": (32,), "tokens": (8, 32)}),
        ("classifier of A", {"mean": (32,), "tokens": (8, 32), "pooled": (32,)}),
        ("classifier of salient tubelets", {"mean": (32,), "tokens": (8, 32), "pooled": (32,)}),
        (
            "classifier of B",
            {"pooled": (32,), "mean": (32,), "cls": (32,), "tokens": (4, 5, 32)},
        ),
        (
            "multimodal",
            {
                "pooled": (32,),
                "mean": (32,),
                "cls": (32,),
                "tokens": (4, 5, 32),
                "embedding": (24,),
            },
        ),
        ("viclip", {"cls": (32,), "mean": (32,), "tokens": (17, 32), "embedding": (24,)}),
    ],
)
def test_every_encoder_gives_features_of_its_kinds(kind, shapes):
    frames = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    asked = encoder(kind)

    found = {name: tuple(asked.features(frames, name).shape[1:]) for name in asked.readouts}

    assert found == shapes


def test_tokens_lie_on_the_grid_with_zeros_where_none_is_read():
    frames = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    asked = encoder("classifier of salient tubelets")

    tokens = asked.features(frames, "tokens")

    _, index = asked.model.encoder.patch_embed.select_tubelets(normalise(frames))
    assert tokens.abs().sum(2).count_nonzero(1).tolist() == [3, 3]
    read = gather_tokens(tokens, index)
    torch.testing.assert_close(read, asked.model.encoder(normalise(frames)))


def test_features_lie_in_the_shared_space_where_there_is_one():
    usual = {"multimodal": "embedding", "viclip": "embedding", "classifier of B": "pooled"}
    usual |= {"classifier of A": "pooled", "masked": "mean"}

    assert {kind: encoder(kind).usual_pooling for kind in usual} == usual
    assert encoder("multimodal").head_pooling == "pooled"


def test_what_a_head_receives_is_what_is_pooled():
    frames = torch.randint(0, 256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    asked = encoder("classifier behind a front end")
    clip = normalise(frames)

    pooled = asked.features(frames, "pooled")
    from_tokens = asked.model.fc_norm(asked.features(frames, "tokens").mean(1))

    assert torch.equal(pooled, asked.model.features(clip))
    assert torch.allclose(from_tokens, pooled, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "cls"}, "unknown pooling of a MaskedEncoder 'cls'; known: mean, tokens"),
        (
            {"windows": WindowConfig(num_frames=8)},
            "a window of 8 frames does not fit this encoder, which reads 4 at a time; ask for wi",
        ),
    ],
)
def test_what_an_encoder_cannot_give_is_said(level_videos, changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(EXTRACTION, **changes).of(encoder(), level_videos[0])


def test_a_model_that_sees_no_videos_is_refused():
    with pytest.raises(ConfigError, match="Linear is no encoder of videos that features are known"):
        FeatureEncoder(torch.nn.Linear(2, 2), num_frames=4, side_px=16)


def test_an_impossible_batch_is_refused():
    with pytest.raises(ConfigError, match="batch_size is 0, expected 1 or more"):
        FeatureExtraction(batch_size=0)


def test_rows_in_memory_are_the_rows_of_the_file(tmp_path, level_videos):
    EXTRACTION.extract(encoder(), level_videos[:1], targets(tmp_path, level_videos[:1]))

    rows, document = read_features(tmp_path / "level 0.mp4.safetensors")
    found = EXTRACTION.of(encoder(), level_videos[0])

    assert torch.equal(rows, found.rows)
    assert [row["start_s"] for row in document["rows"]] == found.start_s.tolist()
    assert document["rows"][0] == {"start_s": 0.0, "centre_s": 0.2, "end_s": 0.4}


@pytest.mark.parametrize("suffix", ["safetensors", "npy"])
def test_a_video_alone_has_the_bytes_it_has_in_a_folder(tmp_path, real_videos, suffix):
    names = ("sam2_bedroom.mp4", "kth_running.avi", "grid_bbaf2n.mpg", "intel_asl_eat.mkv")
    files = [real_videos / name for name in names]
    (tmp_path / "all").mkdir()
    extraction = replace(
        EXTRACTION, windows=WindowConfig(num_frames=4, stride_frames=2, rate_fps=4)
    )
    extraction.extract(encoder("multimodal"), files, targets(tmp_path / "all", files, suffix))
    for file in files:
        alone = targets(tmp_path / "alone", [file], suffix)
        extraction.extract(encoder("multimodal"), [file], alone)

    assert written(tmp_path / "alone") == written(tmp_path / "all")


def test_a_broken_video_is_named_and_the_others_have_features(tmp_path, level_videos):
    found = EXTRACTION.extract(encoder(), level_videos, targets(tmp_path, level_videos))

    assert (found.num_total, found.num_extracted, found.num_skipped) == (6, 5, 0)
    assert [failed.path for failed in found.failed] == [str(level_videos[-1])]
    assert "broken.mp4: cannot be opened (no video format known here" in found.failed[0].reason
    assert not list(tmp_path.glob("*broken*"))


def test_a_run_that_is_cut_ends_in_the_files_of_one_that_is_not(tmp_path, level_videos):
    files = level_videos[:-1]
    EXTRACTION.extract(encoder(), files, targets(tmp_path / "whole", files))
    seen = 0

    class Cut(FeatureEncoder):
        def features(self, frames, pooling):
            nonlocal seen
            seen += 1
            if seen == 4:  # in the middle of a video
                raise KeyboardInterrupt
            return super().features(frames, pooling)

    with pytest.raises(KeyboardInterrupt):
        EXTRACTION.extract(
            Cut(made("masked"), num_frames=4, side_px=16, name="masked"),
            files,
            targets(tmp_path / "cut", files),
        )
    (tmp_path / "cut" / ".level 1.mp4.safetensors-writing").write_bytes(b"of a killed process")
    (tmp_path / "cut" / "level 2.mp4.safetensors").write_bytes(b"nothing tells of it")
    found = EXTRACTION.extract(encoder(), files, targets(tmp_path / "cut", files))

    assert (found.num_extracted, found.num_skipped) == (4, 1)
    assert written(tmp_path / "cut") == written(tmp_path / "whole")


def test_what_is_done_is_not_done_again(tmp_path, level_videos):
    files = level_videos[:2]
    EXTRACTION.extract(encoder(), files, targets(tmp_path, files))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}

    found = EXTRACTION.extract(encoder(), files, targets(tmp_path, files))

    assert (found.num_extracted, found.num_skipped) == (0, 2)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before


def test_another_request_model_or_file_is_done_again(tmp_path, level_videos):
    copy = tmp_path / "copy.mp4"
    copy.write_bytes(level_videos[0].read_bytes())
    target = targets(tmp_path, [copy])
    EXTRACTION.extract(encoder(), [copy], target)
    other_weights = encoder()
    torch.nn.init.ones_(other_weights.model.norm.bias)

    def again(extraction, asked):
        return extraction.extract(asked, [copy], target).num_extracted

    assert again(replace(EXTRACTION, pooling="tokens"), encoder()) == 1
    assert again(EXTRACTION, encoder()) == 1
    assert again(EXTRACTION, other_weights) == 1
    assert again(EXTRACTION, encoder(crop=0.8)) == 1
    copy.write_bytes(level_videos[1].read_bytes())
    assert again(EXTRACTION, encoder(crop=0.8)) == 1
    assert again(EXTRACTION, encoder(crop=0.8)) == 0
    target[0].write_bytes(target[0].read_bytes()[:-4])
    assert again(EXTRACTION, encoder(crop=0.8)) == 1


def test_the_json_tells_what_was_done(tmp_path, level_videos):
    (target,) = targets(tmp_path, level_videos[:1])
    EXTRACTION.extract(encoder(), level_videos[:1], [target])

    document = json.loads(side_car(target).read_text())

    assert document["source"] == str(level_videos[0])
    assert document["file"]["size_bytes"] == level_videos[0].stat().st_size
    assert document["request"]["windows"] == {
        "num_frames": 4,
        "stride_frames": 2,
        "rate_fps": "native",
    }
    assert document["preprocessing"]["side_px"] == 16
    assert document["model"] == {"type": "MaskedEncoder", "sha256": encoder().sha256}
    assert document["features"]["shape"] == [3, 32]
    assert document["revision"] == "1.0 abc"
