"""Annotation files that hold sentences, in the formats of published video-text data sets.

Sources of the formats: the csv of WebVid; `MSRVTT_data.json` and the csv files of MSR-VTT (its
test of one sentence a video is JSFUSION's); the multiple choice of MSR-VTT (json lines) and of
LSMDC (tab separated, no header, answers counted from 1); the json lines of image-text pairs that
InternVideo reads. Names of videos are relative to `videos/`, without the ending.
"""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from internvideo.playground.facts import Facts
from internvideo.playground.images import IMAGE_SPLITS, image_path
from internvideo.playground.language import (
    SLOTS,
    Slot,
    alternatives,
    caption,
    captions,
    changed,
    denied,
    image_captions,
    meaning,
    meanings,
)

MOST_QUERIES = 200
NUM_OPTIONS = 5

_MSRVTT_SPLITS = {"train": "train", "val": "validate", "test": "test"}


class CaptionedFiles:
    """Collects the rows of all these files, video by video."""

    def __init__(self) -> None:
        self.tables: dict[str, list[list[object]]] = defaultdict(list)
        self.lines: dict[str, list[dict[str, object]]] = defaultdict(list)
        self.msrvtt: dict[str, list[dict[str, object]]] = {"videos": [], "sentences": []}
        self._asked: set[tuple[object, ...]] = set()
        self._true: set[tuple[object, ...]] = set()

    def add(self, facts: Facts) -> None:
        video = _video_id(facts)
        said = captions(facts)
        folder, name = video.rsplit("/", 1)
        if facts.split in IMAGE_SPLITS:
            self.tables[f"webvid/{facts.split}.csv"] += [[text, folder, name] for text in said]
            self._add_image(facts, "images")
        self.msrvtt["videos"].append({"video_id": video, "split": _MSRVTT_SPLITS[facts.split]})
        self.msrvtt["sentences"] += [{"video_id": video, "caption": text} for text in said]
        if facts.split == "train":
            self.tables["msrvtt/MSRVTT_train.csv"].append([video])
        if facts.split in IMAGE_SPLITS:
            choices = _choices(facts, video)
            self.lines[f"multiple_choice/{facts.split}.jsonl"] += choices
            if facts.split == "train" and facts.shows_one_thing:
                self.lines["multiple_choice/train_alone.jsonl"] += choices
        self._add_time(facts, video)
        if facts.split == "test":
            self._add_questions(facts, video)
            if facts.has_unseen_combination and len(self._asked) < MOST_QUERIES:
                self._add_query(facts, video, said)

    def add_still(self, facts: Facts) -> None:
        choices = self._add_image(facts, "stills")
        if facts.split == "train" and facts.shows_one_thing:
            self.lines["multiple_choice/stills_train_alone.jsonl"] += choices

    def _add_image(
        self, facts: Facts, kind: Literal["images", "stills"]
    ) -> list[dict[str, object]]:
        num_captions = 2 if kind == "images" and facts.split == "train" else 1
        self.lines[f"image_text/{facts.split}.jsonl"].append(_image_entry(facts))
        choices = _image_choices(facts, num_captions)
        self.lines[f"multiple_choice/{kind}_{facts.split}.jsonl"] += choices
        return choices

    def _add_query(self, facts: Facts, video: str, said: tuple[str, ...]) -> None:
        """Take the video for retrieval, unless a sentence of its or another's fits both."""
        if meaning(facts) in self._true or self._asked & meanings(facts):
            return
        self._asked.add(meaning(facts))
        self._true |= meanings(facts)
        reworded = [text for text in said[1:] if ". " not in text]
        pick = int(_rng(facts, 0).integers(len(reworded)))
        self.tables["msrvtt/MSRVTT_JSFUSION_test.csv"].append([video, said[0]])
        self.tables["msrvtt/MSRVTT_JSFUSION_test_reworded.csv"].append([video, reworded[pick]])

    def _add_time(self, facts: Facts, video: str) -> None:
        """Put the plain caption beside its opposite and its denial, of which only time tells."""
        rng, false = _rng(facts, 9), denied(facts)
        is_test = facts.split == "test"
        kind = "negated" if is_test else f"time_{facts.split}"
        options = [false] if is_test else [*changed(facts, "opposite", rng), false]
        answer = int(rng.integers(len(options) + 1))
        options.insert(answer, caption(facts))
        self.lines[f"multiple_choice/{kind}.jsonl"].append(
            {"clip_name": video, "options": options, "answer": answer}
        )

    def _add_questions(self, facts: Facts, video: str) -> None:
        asked: tuple[tuple[Slot, int], ...] = (
            ("motion", NUM_OPTIONS),
            ("colour", NUM_OPTIONS),
            ("shape", NUM_OPTIONS),
            ("opposite", 2),
        )
        for number, (slot, num_options) in enumerate(asked, start=1):
            options, answer = _question(facts, slot, num_options, _rng(facts, number))
            if len(options) < num_options:
                continue
            self.lines[f"multiple_choice/{slot}.jsonl"].append(
                {
                    "clip_name": video,
                    "options": options,
                    "answer": answer,
                    "unseen_combination": facts.has_unseen_combination,
                }
            )
            if slot == "motion":
                # Columns 1 to 4 are the times in the film, which a clip of its own has not.
                self.tables["multiple_choice/lsmdc_motion.csv"].append(
                    [video, "", "", "", "", *options, answer + 1]
                )


HEADERS: dict[str, list[object]] = {
    "webvid/train.csv": ["name", "page_dir", "videoid"],
    "webvid/val.csv": ["name", "page_dir", "videoid"],
    "msrvtt/MSRVTT_train.csv": ["video_id"],
    "msrvtt/MSRVTT_JSFUSION_test.csv": ["video_id", "sentence"],
    "msrvtt/MSRVTT_JSFUSION_test_reworded.csv": ["video_id", "sentence"],
}


def _question(
    facts: Facts, slot: Slot, num_options: int, rng: np.random.Generator
) -> tuple[list[str], int]:
    """Put the plain caption anywhere among false ones; the opposite, if any, is one of them."""
    false = list(changed(facts, slot, rng))
    if slot == "motion":
        opposite = changed(facts, "opposite", rng)
        false = [*opposite, *(text for text in false if text not in opposite)]
    options = [false[place] for place in rng.permutation(min(len(false), num_options - 1))]
    answer = int(rng.integers(num_options))
    options.insert(answer, caption(facts))
    return options, answer


def _choices(facts: Facts, video: str) -> list[dict[str, object]]:
    """Put the plain caption, and to train on a reworded one too, beside false ones.

    One is false in each slot. Without an opposite, two of them name another action.
    """
    entries: list[dict[str, object]] = []
    for number, text in enumerate(captions(facts)[: 2 if facts.split == "train" else 1]):
        rng = _rng(facts, 5 + number)
        of_slot = {slot: changed(facts, slot, rng, number=number) for slot in SLOTS}
        firsts = [found[0] for found in reversed(of_slot.values()) if found]
        options = list(dict.fromkeys([*firsts, *of_slot["motion"]]))[: NUM_OPTIONS - 1]
        answer = int(rng.integers(NUM_OPTIONS))
        options.insert(answer, text)
        entries.append({"clip_name": video, "options": options, "answer": answer})
    return entries


def _image_choices(facts: Facts, num_captions: int) -> list[dict[str, object]]:
    """Put captions of an image beside false ones: the plain one, then the described one.

    Three have another shape, one another colour, of either where two act. Distractors show as well
    as these do, so what is true of one of them is left out.
    """
    seen = {(thing.look.shape, thing.look.colour) for thing in facts.distractors}
    rng = _rng(facts, 7)

    def changed_looks(slot: Slot) -> list[tuple[str, ...]]:
        found = [
            image_captions(other)
            for who, actor in enumerate(facts.events[0].actors)
            for other in alternatives(facts, slot, who=who)
            if (other.actors[actor].look.shape, other.actors[actor].look.colour) not in seen
        ]
        return [found[place] for place in rng.permutation(len(found))]

    shapes, colours = changed_looks("shape"), changed_looks("colour")
    false = [*shapes[: NUM_OPTIONS - 2], *colours][: NUM_OPTIONS - 1]
    entries: list[dict[str, object]] = []
    for number, text in enumerate(image_captions(facts)[:num_captions]):
        options = [said[number] for said in false]
        answer = int(rng.integers(NUM_OPTIONS))
        options.insert(answer, text)
        entries.append({"clip_name": image_path(facts), "options": options, "answer": answer})
    return entries


def _image_entry(facts: Facts) -> dict[str, object]:
    path = PurePosixPath(image_path(facts))
    return {
        "caption": list(image_captions(facts)),
        "image_root": str(path.parent),
        "filename": path.name,
    }


def _video_id(facts: Facts) -> str:
    return facts.path.removeprefix("videos/").removesuffix(".mp4")


def _rng(facts: Facts, number: int) -> np.random.Generator:
    return np.random.default_rng((facts.seed, 3, facts.index + 1, number))


def jsonl(entries: list[dict[str, object]]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)
