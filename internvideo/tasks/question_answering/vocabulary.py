"""The answers that a question answerer chooses among: read from a file, or taken from training.

Source: `ans2label` and answer sets of all-in-one and InternVideo. A network may have more outputs
than there are answers (the released ones have one more); the names of these are empty.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from internvideo.errors import AnnotationError, ConfigError
from internvideo.reading import parse_json, read_document_text


def most_frequent_answers(answers: Iterable[str], most: int) -> tuple[str, ...]:
    """Take the most frequent answers, at most so many; of equally frequent ones by the alphabet."""
    counts = sorted(Counter(answers).items(), key=lambda item: (-item[1], item[0]))
    return tuple(answer for answer, _ in counts[:most])


def read_answers(path: Path) -> tuple[str, ...]:
    """Read answers in the order of a network's outputs.

    A JSON object maps each to its output (`ans2label`), a JSON list or a text with one a line names
    them in order.

    Raises:
        AnnotationError: The file is missing or damaged, outputs are not 0, 1, ..., or an answer
            occurs twice.
    """
    try:
        text = read_document_text(path)
    except ValueError as error:
        raise AnnotationError(f"{path}: cannot be read as a list of answers ({error})") from None
    if text.lstrip()[:1] in ("{", "["):
        try:
            found = parse_json(text)
        except json.JSONDecodeError as error:
            raise AnnotationError(f"{path}, line {error.lineno}: no JSON ({error.msg})") from None
        except ValueError as error:
            raise AnnotationError(f"{path}: no JSON ({error})") from None
    else:
        found = [line.strip() for line in text.split("\n") if line.strip()]
    if isinstance(found, Mapping):
        if sorted(map(str, found.values())) != sorted(map(str, range(len(found)))):
            raise AnnotationError(
                f"{path}: its {len(found)} answers do not have the outputs 0 to {len(found) - 1}"
            )
        found = sorted(found, key=lambda answer: int(found[answer]))
    answers = tuple(map(str, found))
    if not answers:
        raise AnnotationError(f"{path}: holds no answer")
    twice = [answer for answer, count in Counter(answers).items() if count > 1]
    if twice:
        raise AnnotationError(f"{path}: the answer {twice[0]!r} occurs twice")
    return answers


def named_outputs(
    answers: Sequence[str], num_outputs: int, *, spare: int | None
) -> tuple[str, ...]:
    """Name every output, those behind the last answer with nothing.

    Args:
        answers: In the order of the outputs.
        num_outputs: Of the network.
        spare: How many outputs may be left without an answer; None for any number.

    Raises:
        ConfigError: There are more answers than outputs, or too few.
    """
    left = num_outputs - len(answers)
    if left < 0 or (spare is not None and left > spare):
        fitting = f"{num_outputs - spare} or {num_outputs}" if spare else f"at most {num_outputs}"
        raise ConfigError(
            f"there are {len(answers)} answers, but the network has {num_outputs} outputs; give "
            f"the list it was trained with, of {fitting} answers"
        )
    return (*answers, *[""] * left)
