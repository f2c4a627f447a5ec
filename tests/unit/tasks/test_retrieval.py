from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.tasks import Retrieval, RetrievalRequest
from internvideo.values import Annotations
from tests.unit.tasks.toys import Eye

WAYS = ("t2v", "t2v_dsl", "v2t", "v2t_dsl")


def test_a_model_that_understands_finds_everything_first(levels):
    result = Retrieval().evaluate(Eye(), levels)

    assert all(result.scores[f"{way}/r1"] == result.scores[f"{way}/mean_rank"] == 1 for way in WAYS)
    assert result.ranks.tolist() == [0] * 5


def test_similarity_is_the_scaled_cosine(levels):
    result = Retrieval().evaluate(Eye(), levels)

    expected = torch.full((5,), 1.0) * Eye.logit_scale.exp()
    torch.testing.assert_close(result.similarity.diagonal(), expected)


@pytest.mark.parametrize("way", WAYS)
def test_a_video_that_cannot_be_decoded_is_missed(with_broken, way):
    result = Retrieval().evaluate(Eye(), with_broken)

    assert result.scores[f"{way}/r10"] == pytest.approx(5 / 6)
    assert (result.num_evaluated, result.num_total) == (5, 6)
    assert result.ranks.tolist() == [0, 0, 0, 0, 0, 5]
    assert result.similarity[:, 5].isnan().all()


def test_sentences_of_several_records_belong_to_one_video(levels):
    again = tuple(replace(r, captions=(f"a {r.captions[0]}",)) for r in levels.records)

    result = Retrieval().evaluate(Eye(), Annotations(records=(*levels.records, *again)))

    assert result.similarity.shape == (10, 5)
    assert result.video_of_text.tolist() == [0, 1, 2, 3, 4] * 2
    assert result.scores["t2v/r1"] == 1


@pytest.mark.parametrize(
    ("sentences", "read"),
    [
        ("each", ["level 0", "zero, 0"]),
        ("joined", ["level 0 zero, 0"]),
        ("first", ["level 0"]),
    ],
)
def test_captions_are_queries_as_asked_for(levels, sentences, read):
    eye = Eye()
    records = (replace(levels.records[0], captions=("level 0", "zero, 0")),)

    Retrieval(sentences=sentences).evaluate(eye, Annotations(records=records))

    assert eye.read == read


def test_a_video_without_a_caption_is_named(levels):
    records = (replace(levels.records[0], captions=()),)

    with pytest.raises(ConfigError, match=r"level 0.mp4: has no caption"):
        Retrieval().evaluate(Eye(), Annotations(records=records))


def test_sentences_are_put_in_order_for_one_video(level_videos):
    request = RetrievalRequest(video=level_videos[3], text=("level 1", "level 3"))

    answer = Retrieval().predict(Eye(), request)

    assert [sentence for sentence, _ in answer.ranked] == ["level 3", "level 1"]
