from __future__ import annotations

import math

import torch

from internvideo.metrics import (
    choice_scores,
    mean_class_accuracy,
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
