"""Stand-ins for data sets of sentences and questions.

Sources of the formats: see `internvideo.data.annotations.retrieval`, `choices` and `questions`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from internvideo.playground.facts import Facts
from internvideo.playground.language import captions
from internvideo.playground.stand_ins.contents import Contents, document, lines, of_split, table

_MSRVTT_SPLITS = {"train": "train", "val": "validate", "test": "test"}
_NUM_OPTIONS = 5


def _plain(facts: Sequence[Facts]) -> dict[str, str]:
    return {one.id: f"{one.id}.mp4" for one in facts}


def msrvtt(facts: Sequence[Facts]) -> Contents:
    data = {
        "videos": [{"video_id": one.id, "split": _MSRVTT_SPLITS[one.split]} for one in facts],
        "sentences": [
            {"video_id": one.id, "caption": text} for one in facts for text in captions(one)
        ],
    }
    tested = of_split(facts, "test")
    trained = [one for one in facts if one.split != "test"]
    return Contents(
        videos=_plain(facts),
        files={
            "MSRVTT_data.json": document(data),
            "MSRVTT_train.9k.csv": table([["video_id"], *([one.id] for one in trained)]),
            "MSRVTT_JSFUSION_test.csv": table(
                [["video_id", "sentence"], *([one.id, captions(one)[0]] for one in tested)]
            ),
        },
    )


def msvd(facts: Sequence[Facts]) -> Contents:
    files: dict[str, str | bytes] = {
        f"{split}_list.txt": lines([[one.id] for one in of_split(facts, split)])
        for split in ("train", "val", "test")
    }
    files["captions_msvd.json"] = document({one.id: list(captions(one)) for one in facts})
    return Contents(videos=_plain(facts), files=files)


def lsmdc(facts: Sequence[Facts]) -> Contents:
    names = {one.id: _film_clip(one) for one in facts}

    def rows(split: str) -> str:
        return lines(
            [
                [names[one.id], "0", "0", "0", "0", captions(one)[0]]
                for one in of_split(facts, split)
            ],
            "\t",
        )

    return Contents(
        videos={
            key: f"{name.split('.')[0].rpartition('_')[0]}/{name}.avi"
            for key, name in names.items()
        },
        files={
            "LSMDC16_annos_training.csv": rows("train"),
            "LSMDC16_annos_val.csv": rows("val"),
            "LSMDC16_challenge_1000_publictect.csv": rows("test"),
        },
    )


def _film_clip(one: Facts) -> str:
    return f"{one.index:04d}_Shapes_00.00.00.000-00.00.{one.whole_seconds:02d}.000"


def activitynet_captions(facts: Sequence[Facts]) -> Contents:
    def entry(one: Facts) -> dict[str, object]:
        said, half = captions(one)[:2], one.duration_s / 2
        times = [[0.0, half], [half, one.duration_s]][: len(said)]
        return {"duration": one.duration_s, "timestamps": times, "sentences": list(said)}

    return Contents(
        videos={one.id: f"v_{one.id}.mp4" for one in facts},
        files={
            "train.json": document({f"v_{o.id}": entry(o) for o in of_split(facts, "train")}),
            "val_1.json": document({f"v_{o.id}": entry(o) for o in facts if o.split != "train"}),
        },
    )


def didemo(facts: Sequence[Facts]) -> Contents:
    return Contents(
        videos=_plain(facts),
        files={
            f"{split}_data.json": document(
                [
                    {"video": f"{one.id}.mp4", "description": text, "times": [[0, 0]]}
                    for one in of_split(facts, split)
                    for text in captions(one)[:2]
                ]
            )
            for split in ("train", "val", "test")
        },
    )


def vatex(facts: Sequence[Facts]) -> Contents:
    def said(chosen: Sequence[Facts]) -> str:
        return document([{"videoID": one.id, "enCap": list(captions(one))} for one in chosen])

    trained, tested = of_split(facts, "train"), of_split(facts, "test")
    return Contents(
        videos=_plain(facts),
        files={
            "vatex_training_v1.0.json": said(trained),
            "vatex_validation_v1.0.json": said([o for o in facts if o.split != "train"]),
            "train_list.txt": lines([[one.id] for one in trained]),
            "test_list.txt": lines([[one.id] for one in tested]),
        },
    )


def msrvtt_choice(facts: Sequence[Facts]) -> Contents:
    rows = [
        json.dumps({"clip_name": one.id, "options": options, "answer": answer})
        for one, options, answer in _choices(facts)
    ]
    return Contents(
        videos=_plain(of_split(facts, "test")),
        files={"msrvtt_mc_test.jsonl": "".join(f"{row}\n" for row in rows)},
    )


def lsmdc_choice(facts: Sequence[Facts]) -> Contents:
    tested = of_split(facts, "test")
    names = {one.id: _film_clip(one) for one in tested}
    rows = [
        [names[one.id], "0", "0", "0", "0", *options, answer + 1]
        for one, options, answer in _choices(facts)
    ]
    return Contents(
        videos={
            key: f"{name.split('.')[0].rpartition('_')[0]}/{name}.avi"
            for key, name in names.items()
        },
        files={"LSMDC16_multiple_choice_test_randomized.csv": lines(rows, "\t")},
    )


def _choices(facts: Sequence[Facts]) -> list[tuple[Facts, list[str], int]]:
    """Each test video with its sentence among four of other videos, at a place of its own."""
    said = [captions(one)[0] for one in facts]
    found = []
    for number, one in enumerate(of_split(facts, "test")):
        true = captions(one)[0]
        options = [text for text in dict.fromkeys(said) if text != true][: _NUM_OPTIONS - 1]
        answer = number % _NUM_OPTIONS
        options.insert(answer, true)
        found.append((one, options, answer))
    return found


def _asked(one: Facts) -> list[tuple[str, str]]:
    who = one.subject
    return [
        (f"what colour is the {who.shape} that moves?", who.colour),
        (f"what is the {who.colour} thing?", who.shape),
    ]


def msrvtt_qa(facts: Sequence[Facts]) -> Contents:
    files: dict[str, str | bytes] = {}
    for split in ("train", "val", "test"):
        asked = [
            {"question": question, "answer": answer, "video_id": one.id}
            for one in of_split(facts, split)
            for question, answer in _asked(one)
        ]
        files[f"msrvtt_qa_{split}.jsonl"] = "".join(f"{json.dumps(row)}\n" for row in asked)
    return Contents(videos=_plain(facts), files=files)


def msvd_qa(facts: Sequence[Facts]) -> Contents:
    """Questions by number of the video; the mapping names its file."""
    files: dict[str, str | bytes] = {}
    number = {one.id: place + 1 for place, one in enumerate(facts)}
    count = 0
    for split in ("train", "val", "test"):
        rows = []
        for one in of_split(facts, split):
            for question, answer in _asked(one):
                rows.append(
                    {
                        "question": question,
                        "answer": answer,
                        "video_id": number[one.id],
                        "id": count,
                    }
                )
                count += 1
        files[f"{split}_qa.json"] = document(rows)
    files["youtube_mapping.txt"] = lines([[key, f"vid{place}"] for key, place in number.items()])
    return Contents(videos=_plain(facts), files=files)


def tgif_frame_qa(facts: Sequence[Facts]) -> Contents:
    header = ["gif_name", "question", "answer", "type", "key"]
    files: dict[str, str | bytes] = {}
    for name, splits in (("Train", ("train", "val")), ("Test", ("test",))):
        rows = [
            [one.id, question, answer, kind, f"{one.index}{kind}"]
            for one in facts
            if one.split in splits
            for kind, (question, answer) in enumerate(_asked(one))
        ]
        files[f"{name}_frameqa_question.csv"] = lines([header, *rows], "\t")
    return Contents(videos={one.id: f"{one.id}.gif" for one in facts}, files=files)
