"""The README.md of a saved model, in the hub's conventions, written from what is known of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

# Names of ours that begin so, and what the hub calls them.
_METRICS = {"top": "accuracy", "accuracy": "accuracy", "t2v/r": "recall", "v2t/r": "recall"}

# Numbers among the metrics that count what was scored, and what they count.
_COUNTS = {
    "num_evaluated": "clips scored",
    "num_total": "clips in all",
    "clips": "clips",
    "videos": "videos",
    "captions": "captions",
    "questions": "questions",
}

_ABOUT = {
    "masked-encoder": "Encoder A of InternVideo: a Vision Transformer pretrained by rebuilding "
    "hidden tubelets (VideoMAE). It gives tokens of a clip, to build on.",
    "masked-autoencoder": "Encoder A of InternVideo with the decoder of its pretraining: it "
    "rebuilds hidden tubelets of a clip (VideoMAE).",
    "tiny-masked-autoencoder": "A small network in the shape of InternVideo's encoder A, behind a "
    "front end of its own, with the decoder of its pretraining.",
    "video-classifier": "A classifier of video clips.",
    "coordinated-classifier": "InternVideo's two encoders, coordinated: a classifier of video "
    "clips whose score is the learned sum of both.",
    "uniformer": "UniFormerV2, the video tower of InternVideo's encoder B. It gives tokens and one "
    "vector of a clip.",
    "multimodal-encoder": "Encoder B of InternVideo: a video tower and a text tower that meet in "
    "one space (UniFormerV2 and CLIP's text encoder).",
    "tiny-multimodal-encoder": "A small network in the shape of InternVideo's encoder B, behind a "
    "front end of its own: a video tower and a text tower that meet in one space.",
    "viclip": "ViCLIP: a joint space-time video tower and CLIP's text encoder, in one space.",
    "action-detector": "A detector of actions: it says what is done in each box of a key frame.",
    "anticipator": "Encoder A with two outputs for each box of a frame: what will be done to the "
    "object in it, and in how many seconds.",
    "temporal-detector": "ActionFormer on features of whole videos: it finds when which of its "
    "classes happens in a long video.",
}

_USES = {
    "video-classifier": 'print(model.classify("clip.mp4"))',
    "coordinated-classifier": 'print(model.classify("clip.mp4"))',
    "multimodal-encoder": 'print(model.classify("clip.mp4", ["a dog runs", "a cat sleeps"]))',
    "tiny-multimodal-encoder": 'print(model.classify("clip.mp4", ["a dog runs", "a cat sleeps"]))',
    "viclip": 'print(model.classify("clip.mp4", ["a dog runs", "a cat sleeps"]))',
}


def model_card(
    *,
    name: str,
    kind: str,
    num_parameters: int,
    preprocessing: Mapping[str, Any],
    classes: Sequence[str] = (),
    provenance: Mapping[str, Any] | None = None,
) -> str:
    """Write the card of a model.

    Args:
        name: Of the repository (`owner/name`) or of the folder.
        kind: One of the kinds of saved models.
        num_parameters: Of the whole model.
        preprocessing: As in config.json.
        classes: As in labels.json.
        provenance: As in provenance.json. Known are `license`, `datasets`, `metrics` (with the
            number of clips they were measured on), `source` and `limits`; the rest is listed as it
            is. What is not there is said to be unknown, never guessed.
    """
    known = dict(provenance or {})
    licence, limits = known.pop("license", None), known.pop("limits", None)
    datasets, metrics = _listed(known.pop("datasets", ())), dict(known.pop("metrics", None) or {})
    sections = {
        "What it is": _what(kind, num_parameters, preprocessing, classes),
        "How to use it": _use(name, kind),
        "Training data": "\n".join(f"- {one}" for one in datasets)
        or "Not stated in the weights' provenance.",
        "Numbers": _numbers(metrics),
        "Limits": limits
        or "Nothing was measured beyond the numbers above. Like its training data, it sees some "
        "people, places and actions better than others; test it on your own videos before relying "
        "on it, and do not use it to identify or judge people.",
        "Source": _source(known, licence),
    }
    front = _front(licence, kind, datasets, metrics)
    body = "\n\n".join(f"## {title}\n\n{text}" for title, text in sections.items())
    return f"---\n{front}\n---\n\n# {name}\n\n{body}\n"


def _front(
    licence: str | None, kind: str, datasets: Sequence[str], metrics: Mapping[str, Any]
) -> str:
    """YAML, of which every JSON value is a part, so that no name needs rules of quoting."""
    called = {hub for ours in metrics for start, hub in _METRICS.items() if ours.startswith(start)}
    document = {
        "license": licence,
        "pipeline_tag": "video-classification",
        "library_name": "internvideo",
        "tags": ["internvideo", "video", kind],
        "datasets": [one for one in datasets if _is_hub_name(one)],
        "metrics": sorted(called),
    }
    return "\n".join(
        f"{key}: {json.dumps(value, ensure_ascii=False)}"
        for key, value in document.items()
        if value
    )


def _what(
    kind: str, num_parameters: int, preprocessing: Mapping[str, Any], classes: Sequence[str]
) -> str:
    lines = [
        _ABOUT.get(kind, f"A model of kind `{kind}`."),
        "",
        f"- {num_parameters / 1e6:.1f} M parameters",
        *(f"- {_words(key)}: {_shown(value)}" for key, value in preprocessing.items()),
    ]
    if classes:
        some = ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")
        lines.append(f"- {len(classes)} classes (labels.json): {some}")
    return "\n".join(lines)


def _use(name: str, kind: str) -> str:
    is_repository = name.count("/") == 1
    lines = [
        "```python",
        *(["from huggingface_hub import snapshot_download"] if is_repository else []),
        "import internvideo",
        "",
        f'model = internvideo.load(snapshot_download("{name}"))'
        if is_repository
        else f'model = internvideo.load("{name}")  # this folder',
        _USES.get(kind, 'print(model.encode_video("clip.mp4").shape)'),
        "```",
    ]
    return "\n".join(lines)


def _numbers(metrics: Mapping[str, Any]) -> str:
    scores = {key: value for key, value in metrics.items() if key not in _COUNTS}
    if not scores:
        return "None were recorded with these weights."
    counts = [f"{_shown(metrics[key])} {of}" for key, of in _COUNTS.items() if key in metrics]
    rows = [f"| {_words(key)} | {_shown(value)} |" for key, value in scores.items()]
    measured = f"Measured on {', '.join(counts)}." if counts else "On how many clips is not stated."
    return "\n".join([measured, "", "| metric | value |", "| --- | --- |", *rows])


def _source(known: Mapping[str, Any], licence: str | None) -> str:
    lines = [f"- {_words(key)}: {_shown(value)}" for key, value in known.items()]
    lines.append(f"- license: {licence or 'not stated; ask the authors of the weights'}")
    return "\n".join(lines)


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value or ()]


def _is_hub_name(name: str) -> bool:
    return bool(name) and not set(name) & set(" ,:") and name.count("/") <= 1


def _words(key: str) -> str:
    return key.replace("_", " ")


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(one) for one in value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
