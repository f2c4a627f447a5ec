"""The Python surface: every kind of model answers what it can and says what it cannot."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import internvideo
from internvideo.api import Model
from internvideo.errors import ConfigError, DecodeError
from internvideo.heads import Retriever, RetrieverConfig, VideoClassifier, VideoClassifierConfig
from internvideo.hub import Preprocessing, Pretrained, load_video_text, save_pretrained
from internvideo.models import MultimodalEncoderConfig, Viclip, ViclipConfig
from internvideo.tasks import Captioning, TextRequest, VideoRequest, ZeroShotRecognition
from internvideo.text import train_tokenizer
from internvideo.video import read_clip
from tests.unit.cli.test_tasks import CAPTIONER, CAPTIONS, WORDS, masked, multimodal
from tests.unit.tasks.conftest import level_videos
from tests.unit.tasks.shared.test_features import HEADED, JOINT, TEXT, TOWER

__all__ = ["level_videos", "masked"]  # fixtures


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of encoder B with a caption decoder."""
    return multimodal(tmp_path_factory.mktemp("b"), CAPTIONER, **WORDS)


@pytest.fixture(scope="module")
def b(folder):
    return internvideo.load(folder, device="cpu")


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    seen = Preprocessing(num_frames=4, side_px=16)
    return Model(
        Pretrained(
            model=VideoClassifier(HEADED),
            kind="video-classifier",
            config=HEADED,
            preprocessing=seen,
            classes=("diving", "juggling", "sitting"),
        ),
        name="classifier",
    )


def retriever(similarity: str) -> Model:
    torch.manual_seed(0)
    text = replace(TEXT, vocabulary_size=900, context_length=16)
    encoder = MultimodalEncoderConfig(video=TOWER, text=text, embed_dim=24)
    config = RetrieverConfig(encoder=encoder, similarity=similarity)
    return Model(
        Pretrained(
            model=Retriever(config),
            kind="retriever",
            config=config,
            preprocessing=Preprocessing(num_frames=4, side_px=16),
            tokenizer=train_tokenizer(CAPTIONS, 900),
        ),
        name="retriever",
    )


@pytest.fixture
def video(level_videos):
    return level_videos[1]


def test_videos_and_sentences_meet_in_one_space(b, folder, level_videos):
    videos, texts = b.encode_video(level_videos[:3]), b.encode_text(["a dot", "two dots"])
    same = load_video_text(folder)

    assert videos.shape[0] == 3
    assert videos.shape[1] == texts.shape[1]
    assert torch.allclose(videos.norm(dim=1), torch.ones(3))
    assert torch.allclose(texts, same.embed_texts(["a dot", "two dots"]), atol=1e-6)


def test_a_path_a_clip_and_its_frames_are_encoded_alike(b, video):
    encoder = b.feature_encoder
    clip = read_clip(video, [2, 6], short_side_px=round(encoder.side_px / encoder.crop))

    from_clip = b.encode_video(clip)

    assert torch.equal(b.encode_video(clip.frames), from_clip)
    assert torch.equal(b.encode_video([clip]), from_clip)
    assert torch.equal(b.encode_video(clip.frames[None]), from_clip)
    assert b.encode_video(str(video)).shape == from_clip.shape


def test_frames_of_numpy_and_batches_are_encoded_as_those_of_torch(classifier):
    clips = torch.randint(256, (2, 4, 16, 16, 3), dtype=torch.uint8)
    embedded = classifier.encode_video(clips)

    assert torch.equal(classifier.encode_video(clips.numpy()), embedded)
    assert torch.equal(classifier.encode_video([clips[0].numpy(), clips[1]]), embedded)
    assert torch.equal(classifier.encode_video(clips[0].numpy()), embedded[:1])
    assert classifier.classify(clips[0].numpy()) == classifier.classify(clips[0])


@pytest.mark.parametrize("ask", ["encode_video", "classify"])
@pytest.mark.parametrize(
    "wrong", [torch.rand(4, 16, 16, 3), np.zeros((3, 4, 16, 16), np.uint8), np.zeros((4, 16, 16))]
)
def test_frames_that_would_be_embedded_wrongly_are_refused(classifier, ask, wrong):
    with pytest.raises(ConfigError, match=r"frames in memory are .*, expected uint8"):
        getattr(classifier, ask)(wrong)


def test_one_string_is_one_label(b, video):
    assert b.classify(video, "a dot") == [("a dot", 1.0)]


@pytest.mark.parametrize("given", [3, None, ["a", 3], [["a"]], [b"a"]])
def test_what_is_no_text_is_refused(b, given):
    with pytest.raises(ConfigError, match=r"is no text; give a string, or a list of strings"):
        b.encode_text(given)


def test_labels_are_chosen_as_the_zero_shot_task_does(b, folder, video):
    labels = ["a dot", "two dots"]
    request = TextRequest(video=video, text=tuple(labels))

    found = b.classify(video, labels)

    answer = ZeroShotRecognition().predict(load_video_text(folder), request)
    assert [label for label, _ in found] == [label for label, _ in answer.ranked]
    assert sum(probability for _, probability in found) == pytest.approx(1)


def test_a_video_is_described_as_the_captioning_task_does(b, folder, video):
    request = VideoRequest(video=video)

    assert b.caption(video) == Captioning().predict(load_video_text(folder), request).text


def test_a_classifier_names_its_own_classes(classifier, video):
    found = classifier.classify(video)

    assert {label for label, _ in found} == {"diving", "juggling", "sitting"}
    assert sum(probability for _, probability in found) == pytest.approx(1)
    assert classifier.encode_video(video).shape == (1, 32)


def test_a_model_of_masked_pretraining_encodes_videos(masked, video):
    model = internvideo.load(masked, device="cpu")
    features = model.features(video, rate_fps="native", pooling="tokens")

    assert model.encode_video(video).shape == (1, features.rows.shape[2])
    assert features.start_s.tolist() == [0.0]
    assert model.abilities == ("encode_video", "features", "similar")


def test_viclip_reads_texts_and_videos(video):
    config = ViclipConfig(video=JOINT, text=TEXT, embed_dim=24)
    model = Model(
        Pretrained(
            model=Viclip(config),
            kind="viclip",
            config=config,
            preprocessing=Preprocessing(num_frames=4, side_px=16),
            tokenizer=train_tokenizer(CAPTIONS, TEXT.vocabulary_size + 512),
        )
    )

    assert model.encode_video(video).shape == (1, 24)
    assert model.abilities == (
        *("encode_video", "encode_text", "match", "classify", "features", "similar"),
    )
    with pytest.raises(ConfigError, match="this model has no caption decoder; take one"):
        model.caption(video)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda model, video: model.encode_text(["a dot"]),
            "classifier: this model has no text tower, which encode_text needs; leave labels out "
            "for its own classes; it can encode_video, classify, features, similar",
        ),
        (lambda model, video: model.caption(video), "no text tower, which caption needs"),
        (lambda model, video: model.classify(video, ["x"]), "which classify by labels needs"),
        (lambda model, video: model.encode_video([]), "no videos to encode; give at least one"),
        (
            lambda model, video: model.encode_video(torch.zeros(5, 8, 8, 3, dtype=torch.uint8)),
            "a window of 5 frames does not fit this encoder, which reads 4 at a time",
        ),
        (lambda model, video: model.features(video, pooling="cls"), "'cls'; known: mean, pooled"),
    ],
)
def test_what_a_classifier_cannot_do_is_said(classifier, video, ask, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        ask(classifier, video)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda model, video: model.classify(video), "no classes of its own; give labels to cho"),
        (lambda model, video: model.classify(video, []), "classify needs at least one label"),
        (lambda model, video: model.encode_text([]), "no sentences to encode; give at least one"),
        (
            lambda model, video: model.classify(video, ["x"], prompts="clib"),
            "prompts among actionclip",
        ),
        (
            lambda model, video: model.encode_video(
                [torch.zeros(n, 8, 8, 3, dtype=torch.uint8) for n in (1, 2)]
            ),
            "clips of one call have equally many frames; these have 1, 2",
        ),
    ],
)
def test_what_encoder_b_cannot_do_is_said(b, video, ask, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        ask(b, video)


def test_a_model_whose_words_are_lost_says_so(tmp_path, video):
    model = internvideo.load(multimodal(tmp_path), device="cpu")

    assert model.abilities == ("encode_video", "features", "similar")
    with pytest.raises(ConfigError, match=r"this model came without its tokenizer\.json, without"):
        model.encode_text(["a dot"])


def test_a_clip_and_an_image_order_videos_by_their_cosines(b, level_videos, tmp_path):
    videos, image = level_videos[:3], tmp_path / "grey.png"
    Image.new("RGB", (40, 32), (90, 90, 90)).save(image)
    cosines = (b.encode_video(videos) @ b.encode_video(image).T)[:, 0]

    places, found = zip(*b.similar(image, videos), strict=True)

    assert b.similar(videos[1], videos)[0] == (1, pytest.approx(1, abs=1e-4))
    assert sorted(places) == [0, 1, 2]
    assert found == pytest.approx(cosines.sort(descending=True).values.tolist(), abs=1e-5)
    assert cosines[list(places)].tolist() == pytest.approx(list(found), abs=1e-5)


def test_a_broken_video_is_an_error(b, level_videos):
    with pytest.raises(DecodeError, match=r"broken\.mp4: cannot be opened"):
        b.encode_video([level_videos[0], level_videos[-1]])


def test_a_model_tells_its_name_and_what_it_can_do(b, folder):
    assert repr(b) == (
        f"<tiny-multimodal-encoder {str(folder)!r}: encode_video, encode_text, match, classify, "
        "caption, answer, features, similar>"
    )


def test_classes_without_names_are_numbers(classifier):
    config = VideoClassifierConfig(encoder=HEADED.encoder, num_classes=2)
    unnamed = Pretrained(
        model=VideoClassifier(config),
        kind="video-classifier",
        config=config,
        preprocessing=classifier.pretrained.preprocessing,
    )

    assert Model(unnamed).classes == ("0", "1")


def test_a_saved_folder_answers_as_the_model_did(classifier, tmp_path, video):
    folder = save_pretrained(classifier.pretrained, tmp_path / "saved")

    assert internvideo.load(folder, device="cpu").classify(video) == classifier.classify(video)


def test_a_name_that_is_neither_there_nor_released_is_said():
    with pytest.raises(ConfigError, match="did you mean 'videomae-base-hybrid'"):
        internvideo.load("videomae-base-hybird")


def test_the_lines_of_the_guide_run(capsys, folder, level_videos, masked, monkeypatch, tmp_path):
    guide = Path(__file__).parents[2] / "docs" / "guides" / "python.md"
    code = guide.read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    for name in ("clip.mp4", "other.mp4"):
        (tmp_path / name).write_bytes(level_videos[0].read_bytes())
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "runs" / "demo" / "mae_tiny_playground").symlink_to(masked)
    (tmp_path / "runs" / "demo" / "multimodal_tiny_playground").symlink_to(folder)
    monkeypatch.chdir(tmp_path)

    exec(code, {})

    assert "juggling" in capsys.readouterr().out


def test_a_retriever_of_frames_places_videos_and_sentences_together(level_videos):
    model = retriever("frames")
    sentences = ["a red circle slides left", "a dog runs"]

    cosines = model.encode_text(sentences) @ model.encode_video(level_videos[:3]).T

    assert {"encode_text", "match", "classify"} <= set(model.abilities)
    torch.testing.assert_close(model.match(sentences, level_videos[:3]), cosines)


def test_a_retriever_of_tokens_compares_and_has_no_single_vector(level_videos):
    model = retriever("tokens")

    found = model.match("a red circle slides left", level_videos[:3])

    assert found.shape == (1, 3)
    assert bool((found.abs() <= 1).all())
    assert "encode_text" not in model.abilities
    with pytest.raises(ConfigError, match=r"no single vector .* match\(sentences, videos\)"):
        model.encode_text("a dog runs")
    with pytest.raises(ConfigError, match="nothing to compare"):
        model.match([], level_videos[:1])
