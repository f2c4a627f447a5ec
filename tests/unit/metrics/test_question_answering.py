"""Accuracy of answers: what is outside the vocabulary counts as wrong, and is told apart."""

from __future__ import annotations

import math

import torch

from internvideo.metrics import UNKNOWN_ANSWER, answer_labels, open_ended_accuracy


def test_answers_outside_the_vocabulary_are_marked():
    labels = answer_labels(["cat", "Cat", "dog"], {"dog": 0, "cat": 4})

    assert labels.tolist() == [4, UNKNOWN_ANSWER, 0]


def test_an_unknown_answer_is_wrong_in_the_one_accuracy_and_left_out_of_the_other():
    logits = torch.eye(4)
    labels = torch.tensor([0, 1, 3, UNKNOWN_ANSWER])

    scores = open_ended_accuracy(logits, labels)

    assert scores["accuracy"] == 2 / 4
    assert scores["accuracy_in_vocabulary"] == 2 / 3
    assert scores["unknown_answer_rate"] == 1 / 4


def test_without_a_known_answer_nothing_is_claimed_of_the_vocabulary():
    scores = open_ended_accuracy(torch.eye(2), torch.full((2,), UNKNOWN_ANSWER))

    assert scores["accuracy"] == 0
    assert math.isnan(scores["accuracy_in_vocabulary"])
