"""A byte-pair vocabulary learned from one's own captions, for runs too small for CLIP's.

Source: Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section
3.2 (arXiv:1508.07909): join the most frequent pair of symbols until the vocabulary is full. Texts
are cleaned and split as by CLIP's tokenizer. With room enough every word becomes one token.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

from internvideo.errors import ConfigError
from internvideo.text.tokenizer import (
    END,
    NUM_BASE_SYMBOLS,
    START,
    Tokenizer,
    merged,
    word_symbols,
    words,
)


def train_tokenizer(captions: Iterable[str], vocabulary_size: int) -> Tokenizer:
    """Learn at most `vocabulary_size` tokens, single bytes and special ones included.

    The order of the captions does not matter. Among pairs as frequent as each other the first in
    the alphabet is taken.
    """
    if vocabulary_size < NUM_BASE_SYMBOLS:
        raise ConfigError(
            f"vocabulary_size {vocabulary_size} is below {NUM_BASE_SYMBOLS}, which all bytes and "
            "the special tokens take; choose more"
        )
    counts = Counter(word for caption in captions for word in words(caption))
    del counts[START], counts[END]
    if not counts:
        raise ConfigError("the captions hold no word to train a tokenizer on")
    return Tokenizer(_merges(counts, vocabulary_size - NUM_BASE_SYMBOLS))


def _merges(counts: Counter[str], most: int) -> list[tuple[str, str]]:
    """Choose up to `most` pairs; only words that hold the chosen pair are looked at again."""
    spelt = {word: word_symbols(word) for word in counts}
    frequency: Counter[tuple[str, str]] = Counter()
    holders: dict[tuple[str, str], set[str]] = defaultdict(set)
    for word, symbols in spelt.items():
        for pair in pairwise(symbols):
            frequency[pair] += counts[word]
            holders[pair].add(word)
    waiting = [(-count, pair) for pair, count in frequency.items()]
    heapq.heapify(waiting)
    chosen: list[tuple[str, str]] = []
    while waiting and len(chosen) < most:
        negative, best = heapq.heappop(waiting)
        if frequency[best] != -negative:
            continue  # an older count of this pair; the newer one waits as well
        if not frequency[best]:
            break
        chosen.append(best)
        changed = set()
        for word in holders.pop(best):
            before, after = spelt[word], merged(spelt[word], {best: 0})
            spelt[word] = after
            for pair in pairwise(before):
                frequency[pair] -= counts[word]
            for pair in pairwise(after):
                frequency[pair] += counts[word]
                holders[pair].add(word)
            changed.update(pairwise(before), pairwise(after))
        for pair in changed:
            heapq.heappush(waiting, (-frequency[pair], pair))
    return chosen
