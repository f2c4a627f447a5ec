"""Annotation files of the playground, in the formats of published data sets, from its facts.

Sources of the formats: the csv files of the Kinetics crawler, `ucfTrainTestlist` of UCF101 (its
test list has no labels), the json files of Something-Something v2, the lists that VideoMAE
(`path label`) and UniFormerV2 (`path,label`) read, and VideoMAE's for pretraining
(`path start total`). Lists and the manifest lie at the root and name videos relative to it; in the
folders of Kinetics, UCF101 and Something-Something names are relative to `videos/`. Files that
hold sentences are written by `captioned`, those that hold questions by `questions`.
"""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator

from internvideo.playground.actions import ACTIONS
from internvideo.playground.captioned import HEADERS, CaptionedFiles, jsonl
from internvideo.playground.class_sets import (
    KINETICS_HEADER,
    open_set_row,
    vintage_rows,
    vintage_tables,
)
from internvideo.playground.facts import Facts, Look
from internvideo.playground.language import caption
from internvideo.playground.questions import QuestionFiles

# What each published data set calls the three splits.
_SOMETHING_SPLITS = {"train": "train", "val": "validation", "test": "test"}
_UCF101_LISTS = {"train": "trainlist01", "val": "trainlist01", "test": "testlist01"}


def annotation_files(
    facts: Iterable[Facts], stills: Iterable[Facts] = ()
) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every annotation file.

    Labels are names in the csv files and numbers, in the order of the names, in the lists.
    """
    rows: dict[str, list[list[object]]] = defaultdict(list)
    entries: dict[str, list[dict[str, object]]] = defaultdict(list)
    names = sorted(ACTIONS)
    numbers = {name: number for number, name in enumerate(names)}
    rows["manifest.csv"] = [_MANIFEST_HEADER]
    rows |= vintage_tables()
    for name in ("open_set_known.csv", "open_set_unknown.csv"):
        rows[name] = [["path", "label", "split"]]
    captioned, questions = CaptionedFiles(), QuestionFiles()
    for one in facts:
        captioned.add(one)
        questions.add(one)
        label = numbers[one.action]
        rows["manifest.csv"].append(_manifest_row(one))
        rows[f"kinetics/{one.split}.csv"].append(_kinetics_row(one))
        for name, row in (*vintage_rows(one), *filter(None, [open_set_row(one)])):
            rows[name].append(row)
        rows[f"list_{one.split}.csv"].append([one.path, label])
        rows[f"list_{one.split}.txt"].append([one.path, label])
        rows[f"pretrain_{one.split}.txt"].append([one.path, 0, -1])
        named = one.path.removeprefix("videos/")
        held_out = one.split == "test"
        rows[f"ucf101/{_UCF101_LISTS[one.split]}.txt"].append(
            [named] if held_out else [named, label + 1]
        )
        entry = _something_entry(one)
        entries[_SOMETHING_SPLITS[one.split]].append({"id": entry["id"]} if held_out else entry)
        if held_out:
            rows["something_something/test-answers.csv"].append(
                [f"{entry['id']};{_something_class(one.action)}"]
            )
    for one in stills:
        captioned.add_still(one)

    for name, table in rows.items():
        if name.startswith("kinetics/"):
            table.insert(0, KINETICS_HEADER)
        yield name, _table(table, "," if name.endswith(".csv") else " ")
    yield "classes.txt", _table([[name] for name in names], " ")
    yield "ucf101/classInd.txt", _table([[numbers[name] + 1, name] for name in names], " ")
    labels = {_something_class(name): str(number) for name, number in numbers.items()}
    yield "something_something/labels.json", json.dumps(labels, indent=1) + "\n"
    for split, listed in entries.items():
        yield f"something_something/{split}.json", json.dumps(listed, indent=1) + "\n"
    for name, table in captioned.tables.items():
        head = [HEADERS[name]] if name in HEADERS else []
        yield name, _table([*head, *table], "\t" if "lsmdc" in name else ",")
    for name, listed in captioned.lines.items():
        yield name, jsonl(listed)
    yield "msrvtt/MSRVTT_data.json", json.dumps(captioned.msrvtt) + "\n"
    yield from questions.files()


_MANIFEST_HEADER: list[object] = [
    "path",
    "label",
    "caption",
    "split",
    "shape",
    "colour",
    "size",
    "texture",
    "joint",
    "action_start_s",
    "action_end_s",
    "unseen_combination",
]


def _manifest_row(facts: Facts) -> list[object]:
    who, what = facts.subject, facts.events[0]
    return [
        facts.path,
        facts.action,
        caption(facts),
        facts.split,
        who.shape,
        who.colour,
        who.size,
        who.texture,
        f"{who.colour} {facts.action}",
        what.start_s,
        what.end_s,
        int(facts.has_unseen_combination),
    ]


def _kinetics_row(facts: Facts) -> list[object]:
    return [facts.action, facts.id, 0, facts.whole_seconds, facts.split]


def _something_entry(facts: Facts) -> dict[str, object]:
    template = ACTIONS[facts.action].template
    things = [_named(facts.actors[actor].look) for actor in facts.events[0].actors]
    sentence = template.lower()
    for thing in things:
        sentence = sentence.replace("[something]", thing, 1)
    return {
        "id": facts.path.removeprefix("videos/").removesuffix(".mp4"),
        "label": sentence,
        "template": template,
        "placeholders": things,
    }


def _something_class(action: str) -> str:
    return ACTIONS[action].template.replace("[", "").replace("]", "")


def _named(look: Look) -> str:
    article = "an" if look.colour[0] in "aeiou" else "a"
    return f"{article} {look.colour} {look.shape}"


def _table(rows: list[list[object]], separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator, lineterminator="\n").writerows(rows)
    return text.getvalue()
