from __future__ import annotations

import math

import pytest
import torch

from internvideo.metrics import (
    best_of_each_video,
    dual_softmax,
    ranks,
    recall_and_ranks,
    retrieval_metrics,
    tied_ranks,
)

WAYS = ("t2v", "t2v_dsl", "v2t", "v2t_dsl")


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)


def random_similarity(num_texts, num_videos, seed=0):
    return 10 * torch.rand(num_texts, num_videos, generator=torch.Generator().manual_seed(seed))


def test_a_rank_counts_what_is_higher():
    assert ranks(rows([3, 1, 2], [1, 2, 3]), torch.tensor([2, 2])).tolist() == [1, 0]


def test_of_equal_scores_the_earlier_in_the_gallery_stands_first():
    assert ranks(rows([2, 2, 2], [2, 2, 2]), torch.tensor([0, 2])).tolist() == [0, 2]


def test_a_tied_target_lists_every_place_it_shares():
    listed = tied_ranks(rows([5, 4, 4, 4], [1, 2, 3, 4]), torch.tensor([2, 3]))

    assert listed.tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("count", [ranks, tied_ranks])
def test_a_score_that_is_nan_stands_last(count):
    assert count(rows([math.nan, 1, 2]), torch.tensor([0])).tolist() == [3]


@pytest.mark.parametrize("count", [ranks, tied_ranks])
def test_a_neighbour_that_is_nan_counts_against_the_query(count):
    assert count(rows([math.nan, 1, 0]), torch.tensor([1])).tolist() == [1]


def test_ranks_are_summarised_from_one():
    scores = recall_and_ranks(torch.tensor([0, 0, 4, 10]))

    assert scores == {"r1": 0.5, "r5": 0.75, "r10": 0.75, "median_rank": 3.0, "mean_rank": 4.5}


def test_the_lower_median_is_one_of_the_ranks():
    assert recall_and_ranks(torch.tensor([0, 3]), lower_median=True)["median_rank"] == 1
    assert recall_and_ranks(torch.tensor([0, 3]))["median_rank"] == 2.5


def test_no_queries_have_no_score():
    assert all(math.isnan(v) for v in recall_and_ranks(torch.tensor([], dtype=torch.long)).values())


def test_dual_softmax_multiplies_by_the_share_among_rows():
    similarity = random_similarity(4, 3)

    expected = torch.stack(
        [column * column.exp() / column.exp().sum() for column in similarity.unbind(1)], dim=1
    )

    torch.testing.assert_close(dual_softmax(similarity), expected)


def test_a_video_scores_as_the_best_of_its_sentences():
    best = best_of_each_video(rows([1, 9], [2, 8], [3, 7]), torch.tensor([0, 1, 0]), 2)

    assert best.tolist() == [[3, 2], [9, 8]]


def test_a_perfect_similarity_finds_everything_first():
    scores = retrieval_metrics(20 * torch.eye(12), torch.arange(12))

    assert all(scores[f"{way}/r1"] == scores[f"{way}/mean_rank"] == 1 for way in WAYS)


def test_the_order_of_texts_and_of_videos_does_not_matter():
    similarity = random_similarity(12, 12)
    texts, videos = (
        torch.randperm(12, generator=torch.Generator().manual_seed(seed)) for seed in (1, 2)
    )
    expected = retrieval_metrics(similarity, torch.arange(12))

    # Text row i is now texts[i], and its video stands where videos holds it.
    moved = retrieval_metrics(similarity[texts][:, videos], videos.argsort()[texts])

    assert moved == pytest.approx(expected)


def test_several_sentences_of_a_video_are_queries_each():
    similarity = rows([9, 1], [1, 9], [1, 9])

    scores = retrieval_metrics(similarity, torch.tensor([0, 0, 1]))

    assert scores["t2v/r1"] == pytest.approx(2 / 3)
    assert scores["v2t/r1"] == pytest.approx(2 / 3)  # video 1 has the places 0 and 1


@pytest.mark.parametrize("way", WAYS)
def test_absent_videos_count_as_missed(way):
    similarity = 20 * torch.eye(4)
    similarity[:, 2] = math.nan
    present = torch.tensor([True, True, False, True])

    scores = retrieval_metrics(similarity, torch.arange(4), present=present)

    assert scores[f"{way}/r1"] == scores[f"{way}/r10"] == 0.75
    assert scores[f"{way}/mean_rank"] == (1 + 1 + 1 + 11) / 4


def test_absent_videos_are_in_no_gallery():
    similarity = rows([1, 9, 0], [0, 9, 0], [0, 9, 1])

    scores = retrieval_metrics(
        similarity, torch.arange(3), present=torch.tensor([True, False, True])
    )

    assert scores["t2v/r1"] == pytest.approx(2 / 3)


def test_with_no_video_left_nothing_is_found():
    scores = retrieval_metrics(
        torch.zeros(3, 3), torch.arange(3), present=torch.zeros(3, dtype=torch.bool)
    )

    assert all(scores[f"{way}/r10"] == 0 for way in WAYS)


def test_a_model_that_says_the_same_of_everything_is_at_chance():
    scores = retrieval_metrics(torch.ones(20, 20), torch.arange(20))

    assert all(scores[f"{way}/r1"] == 1 / 20 for way in WAYS)
