"""How close generated sentences are to references: BLEU (corpus level) and CIDEr-D.

Sources: Papineni et al. 2002, "BLEU"; Vedantam et al. 2015, "CIDEr" (arXiv:1411.5726), section 5,
variant D of `coco-caption`. Several references a sentence.
Differs from coco-caption: words are lower-cased runs of letters and digits, not the Penn Treebank's
tokens; BLEU is not smoothed, so it is 0 where no n-gram of some length is right.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

Grams = Counter[tuple[str, ...]]

_LENGTHS = (1, 2, 3, 4)
_SIGMA = 6.0


def words(sentence: str) -> list[str]:
    """Cut a sentence into words.

    >>> words("A man's red-hot car, no. 7!")
    ['a', "man's", 'red', 'hot', 'car', 'no', '7']
    """
    return re.findall(r"\w+(?:'\w+)*", sentence.lower())


def bleu(
    sentences: Sequence[str], references: Sequence[Sequence[str]], *, longest: int = 4
) -> float:
    """Give the geometric mean of n-gram precisions over all sentences, times the brevity penalty.

    A sentence's n-grams count at most as often as in the reference that has most of them; the
    reference closest in length (the shorter of two) decides whether it is too short.
    """
    right, total = Counter[int](), Counter[int]()
    length = expected = 0
    for sentence, group in zip(sentences, references, strict=True):
        said, truths = words(sentence), [words(reference) for reference in group]
        length += len(said)
        expected += min((abs(len(truth) - len(said)), len(truth)) for truth in truths)[1]
        for n in range(1, longest + 1):
            allowed: Grams = Counter()
            for truth in truths:
                allowed |= _grams(truth, n)
            grams = _grams(said, n)
            right[n] += (grams & allowed).total()
            total[n] += grams.total()
    if not all(right[n] for n in range(1, longest + 1)):
        return 0.0
    precision = sum(math.log(right[n] / total[n]) for n in range(1, longest + 1)) / longest
    return math.exp(precision + min(0.0, 1 - expected / length))


def cider_d(sentences: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Give the mean similarity, up to 10, of n-grams weighed by how few videos have them.

    With a single video no n-gram tells it from others, and the result is 0.
    """
    if not sentences:
        return float("nan")
    videos_with: Grams = Counter()
    for group in references:
        videos_with.update({gram for reference in group for gram in _all_grams(words(reference))})
    scores = []
    for sentence, group in zip(sentences, references, strict=True):
        said = words(sentence)
        each = [_similarity(said, words(truth), videos_with, len(references)) for truth in group]
        scores.append(sum(each) / len(each))
    return 10 * sum(scores) / len(scores)


def _similarity(said: list[str], truth: list[str], videos_with: Grams, num_videos: int) -> float:
    penalty = math.exp(-((len(said) - len(truth)) ** 2) / (2 * _SIGMA**2))
    total = 0.0
    for n in _LENGTHS:
        ours, theirs = (
            _weighed(_grams(text, n), videos_with, num_videos) for text in (said, truth)
        )
        # Repeating a word does not help: at most as much of it counts as the reference has.
        shared = sum(
            min(v, theirs[gram]) * theirs[gram] for gram, v in ours.items() if gram in theirs
        )
        norms = math.hypot(*ours.values()) * math.hypot(*theirs.values())
        total += shared / norms if norms else 0.0
    return penalty * total / len(_LENGTHS)


def _weighed(grams: Grams, videos_with: Grams, num_videos: int) -> dict[tuple[str, ...], float]:
    return {
        gram: count * (math.log(num_videos) - math.log(max(1, videos_with[gram])))
        for gram, count in grams.items()
    }


def _grams(text: list[str], n: int) -> Grams:
    return Counter(tuple(text[i : i + n]) for i in range(len(text) - n + 1))


def _all_grams(text: list[str]) -> set[tuple[str, ...]]:
    return {gram for n in _LENGTHS for gram in _grams(text, n)}
