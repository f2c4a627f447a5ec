from __future__ import annotations

import pytest
import torch

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import Retriever, RetrieverConfig
from internvideo.hub import Pretrained, load_pretrained, save_pretrained
from internvideo.tasks import VideoTextModel
from internvideo.tasks.shared.video_text import RetrieverModel
from internvideo.text import train_tokenizer
from internvideo.values import Preprocessing
from tests.unit.tasks.test_video_text_training import ENCODER

CLIP = torch.randn(2, 3, 3, 16, 16, generator=torch.Generator().manual_seed(0))
IDS = torch.tensor([[1, 5, 9, 2, 0], [1, 7, 599, 0, 0]])
PADDED = IDS == 0


def made(similarity: str, *, learned: bool = False) -> Retriever:
    torch.manual_seed(0)
    config = RetrieverConfig(encoder=ENCODER, similarity=similarity, learned_weights=learned)
    return Retriever(config).eval()


def compared(retriever: Retriever, clip=CLIP) -> torch.Tensor:
    with torch.no_grad():
        rows = retriever.embed_text(IDS, PADDED), retriever.embed_video(clip)
        return retriever.similarity(*rows)


def test_a_whole_clip_is_compared_as_encoder_b_does():
    retriever = made("clip")

    with torch.no_grad():
        video, text = retriever.encoder(CLIP, IDS)

    torch.testing.assert_close(compared(retriever), text.embedding @ video.embedding.T)


@pytest.mark.parametrize("similarity", ["frames", "tokens"])
def test_frames_seen_as_images_have_no_order(similarity):
    retriever = made(similarity)

    torch.testing.assert_close(compared(retriever), compared(retriever, CLIP.flip(2)))


def test_the_mean_of_equal_frames_is_the_frame():
    retriever, one = made("frames"), CLIP[:, :, :1]

    same = compared(retriever, one.expand(-1, -1, 3, -1, -1))

    torch.testing.assert_close(same, compared(retriever, one))


@pytest.mark.parametrize("learned", [False, True])
def test_padding_of_a_sentence_changes_nothing(learned):
    retriever = made("tokens", learned=learned)
    with torch.no_grad():
        video = retriever.embed_video(CLIP)
        short = retriever.embed_text(IDS[1:, :3], PADDED[1:, :3])
        long = retriever.embed_text(IDS[1:], PADDED[1:])

    torch.testing.assert_close(
        retriever.similarity(short, video), retriever.similarity(long, video)
    )


def test_learned_weights_are_of_tokens_alone():
    with pytest.raises(ConfigError, match="learned_weights are of tokens, similarity is 'clip'"):
        RetrieverConfig(encoder=ENCODER, learned_weights=True)


def test_a_saved_retriever_compares_as_before(tmp_path):
    retriever = made("tokens", learned=True)
    tokenizer = train_tokenizer(["a dog runs", "a cat sleeps"], 600)
    seen = Preprocessing(num_frames=3, side_px=16, sampling="segments")
    pretrained = Pretrained(
        model=retriever, kind="retriever", config=retriever.config, preprocessing=seen,
        tokenizer=tokenizer,
    )  # fmt: skip
    save_pretrained(pretrained, tmp_path / "saved")

    again = load_pretrained(tmp_path / "saved")
    model = RetrieverModel.from_pretrained(again, source="saved")
    frames = torch.randint(0, 255, (2, 3, 16, 16, 3), dtype=torch.uint8)
    rows = model.embed_texts(["a dog runs", "a cat"]), model.embed_clips(frames)

    assert model.match(*rows).shape == (2, 2)
    torch.testing.assert_close(compared(again.model), compared(retriever))
    with pytest.raises(CheckpointError, match="fine-tuned to compare tokens, which only retrieval"):
        VideoTextModel.from_pretrained(again, source="saved")
