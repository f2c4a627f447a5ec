from __future__ import annotations

import math

import pytest
import torch

from internvideo.metrics import (
    choice_scores,
    confusion_matrix,
    mean_average_precision,
    mean_class_accuracy,
    merge_views,
    prompt_probabilities,
    top_k_accuracy,
)

SCALE = torch.tensor(2.0)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_label_among_the_highest_k_is_right():
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    labels = torch.tensor([0, 1])

    assert top_k_accuracy(scores, labels) == 0.5
    assert top_k_accuracy(scores, labels, k=2) == 1


def test_a_score_that_is_nan_is_never_right():
    assert top_k_accuracy(torch.full((2, 3), math.nan), torch.tensor([0, 1])) == 0


def test_accuracy_of_nothing_is_unknown():
    assert math.isnan(top_k_accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)))
    assert math.isnan(mean_class_accuracy(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)))


def test_rare_classes_weigh_as_much_as_frequent_ones():
    scores = torch.tensor([[1.0, 0.0]] * 4)

    accuracy = mean_class_accuracy(scores, torch.tensor([0, 0, 0, 1]))

    assert accuracy == 0.5


def test_average_precision_is_the_mean_precision_at_each_positive_video():
    # Ranked: positive, negative, positive, negative.
    scores = torch.tensor([[4.0, 1.0], [3.0, 2.0], [2.0, 3.0], [1.0, 4.0]])
    positive = torch.tensor([[True, False], [False, False], [True, False], [False, True]])

    assert mean_average_precision(scores, positive) == pytest.approx(((1 + 2 / 3) / 2 + 1) / 2)


def test_a_class_that_never_occurs_has_no_precision():
    scores = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    positive = torch.tensor([[False, False], [True, False]])

    assert mean_average_precision(scores, positive) == 0.5
    assert math.isnan(mean_average_precision(scores, positive & False))


def test_equal_scores_share_the_lower_rank():
    positive = torch.tensor([[True], [False], [False], [True]])

    assert mean_average_precision(torch.zeros(4, 1), positive) == 0.5


def test_a_video_that_was_not_seen_is_never_found():
    scores = torch.tensor([[1.0], [0.0]])
    positive = torch.tensor([[True], [False]])

    assert mean_average_precision(scores, positive, num_positive=torch.tensor([2.0])) == 0.5
    unseen = torch.tensor([[1.0], [math.nan], [0.0]])
    positive = torch.tensor([[True], [True], [False]])
    assert mean_average_precision(unseen, positive) == 0.5


def test_probabilities_are_averaged_over_the_prompts_of_each_class():
    video, prompts = random(4, 8), random(3, 5, 8, seed=1)

    got = prompt_probabilities(video, prompts, SCALE)

    for b in range(4):
        each = [
            (SCALE.exp() * torch.cosine_similarity(video[b : b + 1], prompt, dim=-1)).softmax(0)
            for prompt in prompts
        ]
        torch.testing.assert_close(got[b], sum(each) / 3)


def test_the_length_of_embeddings_does_not_matter():
    video, prompts = random(4, 8), random(3, 5, 8, seed=1)

    got = prompt_probabilities(7 * video, prompts / 3, SCALE)

    torch.testing.assert_close(got, prompt_probabilities(video, prompts, SCALE))


def test_each_video_is_compared_with_its_own_options():
    video, options = random(4, 8), random(4, 5, 8, seed=1)

    got = choice_scores(video, options, SCALE)

    expected = SCALE.exp() * torch.cosine_similarity(video[:, None], options, dim=-1)
    torch.testing.assert_close(got, expected)


def test_the_options_follow_a_permutation():
    video, options = random(4, 8), random(4, 5, 8, seed=1)
    order = torch.tensor([3, 0, 4, 1, 2])

    got = choice_scores(video, options[:, order], SCALE)

    torch.testing.assert_close(got, choice_scores(video, options, SCALE)[:, order])


def test_a_failed_row_is_wrong_however_many_answers_count():
    assert top_k_accuracy(torch.full((1, 3), math.nan), torch.tensor([0]), k=5) == 0


def test_answers_are_counted_by_class():
    scores = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [math.nan, math.nan]])

    counts = confusion_matrix(scores, torch.tensor([0, 1, 1, 1]))

    assert counts.tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("by", ["mean", "sum", "max"])
def test_views_of_each_video_are_merged(by):
    scores, video = random(7, 3), torch.tensor([0, 2, 0, 1, 2, 2, 1])

    merged = merge_views(scores, video, 3, by=by)

    for i in range(3):
        own = scores[video == i]
        obvious = own.amax(0).clamp(min=0) if by == "max" else getattr(own, by)(0)
        assert merged[i].tolist() == pytest.approx(obvious.tolist())


def test_a_video_without_views_has_no_answer():
    merged = merge_views(random(1, 3), torch.tensor([0]), 2)

    assert merged[1].isnan().all()
