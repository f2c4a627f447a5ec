from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from internvideo.errors import ConfigError
from internvideo.tasks import Retrieval, RetrievalRequest
from internvideo.values import Annotations, Record
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


def test_time_is_scored_where_sentences_have_an_opposite(levels):
    said = ("a ball 0 goes up", "it opens 1", "level 2")
    records = tuple(
        replace(record, captions=(caption,))
        for record, caption in zip(levels.records, said, strict=False)
    )

    scores = Retrieval().evaluate(Eye(), Annotations(records=records)).scores

    # The toy reads nothing but numbers, so that true and false sentences are alike to it.
    assert scores["time/opposite"] == scores["time/denied"] == 0.5
    assert scores["time/num_opposite"] == 2


def test_images_and_clips_find_what_is_like_them(level_videos):
    videos = Retrieval().embed(Eye(), [Record(video=path) for path in level_videos[:-1]])

    [like_three, like_one] = Retrieval().search_like(
        Eye(), videos, [level_videos[3], level_videos[1]]
    )

    assert like_three[0][0].video == level_videos[3]
    assert like_one[0][0].video == level_videos[1]
    assert len(like_one) == 5


def test_a_folder_is_searched_by_sentence_and_by_clip(level_videos):
    request = RetrievalRequest(
        video=level_videos[0].parent, text=("level 2",), query=(level_videos[4],), top=1
    )

    found = Retrieval().predict(Eye(), request).of_query

    assert found["level 2"][0][0].video == level_videos[2]
    assert found[str(level_videos[4])][0][0].video == level_videos[4]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "what shall be found"),
        ({"text": (" ",)}, "one --text is empty"),
        ({"query": (Path("gone.jpg"),)}, r"gone.jpg: no such image or clip"),
    ],
)
def test_an_impossible_search_is_refused(level_videos, options, message):
    with pytest.raises(ConfigError, match=message):
        RetrievalRequest(video=level_videos[0].parent, **options)


def test_a_query_needs_a_folder_to_look_in(level_videos):
    with pytest.raises(ConfigError, match=r"is one video; --query looks for videos of a folder"):
        RetrievalRequest(video=level_videos[0], query=(level_videos[1],))
