"""Accuracy of answers chosen from a vocabulary.

Source: `compute_openend_vqa` and `get_answer_label` of CoTrain in the InternVideo release.
Shapes: logits (b, y) over the vocabulary; labels (b), `UNKNOWN_ANSWER` for other answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor

# What the loss ignores (`ignore_index` of cross-entropy).
UNKNOWN_ANSWER = -100


def answer_labels(answers: Sequence[str], vocabulary: Mapping[str, int]) -> Int64[Tensor, " b"]:
    """Labels of answers, exact strings; `UNKNOWN_ANSWER` where the vocabulary lacks one."""
    return torch.tensor([vocabulary.get(answer, UNKNOWN_ANSWER) for answer in answers])


def open_ended_accuracy(
    logits: Float[Tensor, "b y"], labels: Int64[Tensor, " b"]
) -> dict[str, float]:
    """Accuracy over all questions, and the one that is released; see `chosen_accuracy`."""
    return chosen_accuracy(logits.argmax(1), labels)


def chosen_accuracy(chosen: Int64[Tensor, " b"], labels: Int64[Tensor, " b"]) -> dict[str, float]:
    """Accuracy of chosen answers, over all questions and as it is released.

    Returns:
        `accuracy`: answers outside the vocabulary count as wrong, as in the literature;
        `accuracy_in_vocabulary`: they are left out, as in InternVideo's code (NaN without others);
        `unknown_answer_rate`: their share.
    """
    known = labels != UNKNOWN_ANSWER
    right = (chosen == labels) & known
    return {
        "accuracy": float(right.double().mean()),
        "accuracy_in_vocabulary": float(right[known].double().mean()),
        "unknown_answer_rate": float((~known).double().mean()),
    }
