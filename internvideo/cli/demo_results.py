"""What the demo's models are good for, on test clips that no training has seen.

Half of them show a shape, colour and action that no training clip has together; only those are
retrieved and described. Every model sees a clip as it did in its training, once.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from internvideo.cli.demo_report import DemoFindings
from internvideo.cli.terminal import progress
from internvideo.data import ANNOTATIONS
from internvideo.heads import CoordinatedClassifier
from internvideo.hub import load_model, load_recogniser, load_video_text
from internvideo.metrics import top_k_accuracy
from internvideo.playground import doing, slots
from internvideo.runs import Run, build_stage
from internvideo.stages import MaskedPretrainingStage, RebuiltClip
from internvideo.tasks import (
    ActionRecognition,
    ActionRecognitionResult,
    Captioning,
    CaptioningResult,
    CoordinatedTextModel,
    Embedder,
    Inference,
    MultipleChoice,
    MultipleChoiceResult,
    RecognitionModel,
    RecognitionResult,
    Retrieval,
    RetrievalResult,
    VideoTextModel,
    ZeroShotRecognition,
    embed_videos,
    ensemble,
)
from internvideo.training import Process, joined, load
from internvideo.values import Annotations

# The classes that are named: a colour and an action. One frame tells the colour, and only their
# order the action, so each encoder has something to learn of the other.
NAMED = {"label": "joint"}

_QUESTIONS = ("motion", "colour", "shape", "opposite")
_RETRIEVAL = ("t2v/r1", "t2v/r5", "v2t/r1", "v2t/r5")
_INFERENCE = Inference(batch_size=32)

Scores = dict[str, float]


class Trained(NamedTuple):
    """Folders of the demo's runs in their order: two encoders, a classifier on each, the pair."""

    a: Path
    b: Path
    classifier_a: Path
    classifier_b: Path
    pair: Path


class Placed(NamedTuple):
    """What a model that places clips among sentences answers without any classifier."""

    retrieved: RetrievalResult
    named: RecognitionResult
    answered: dict[str, MultipleChoiceResult]


def named_clips(playground: Path) -> Annotations:
    """All clips of the playground, with the classes that the demo's classifiers name."""
    return ANNOTATIONS["manifest"](playground / "manifest.csv", columns=NAMED)


def find(run: Run, folders: Trained, *, device: str) -> DemoFindings:
    """Ask all models; `run` is the one in `folders.a`."""
    root = Path(run.data.root or ".")
    clips = ANNOTATIONS["manifest"](root / "manifest.csv").of_split("test")
    queries = ANNOTATIONS["msr-vtt"](root / "msrvtt/MSRVTT_JSFUSION_test.csv", root=root / "videos")
    with joined(device) as process:
        words = load_video_text(folders.b)
        classifiers = {
            "A": load_recogniser(folders.classifier_a),
            "B": load_recogniser(folders.classifier_b),
            "coordinated": load_recogniser(folders.pair),
        }
        for model in (words, *classifiers.values()):
            model.model.to(process.device)
        rebuilt = _rebuilt(run, folders.a, process)
        recognised = _recognise(classifiers, named_clips(root).of_split("test"))
        with progress("describing") as tell:
            described = Captioning(inference=_INFERENCE).evaluate(
                words, queries, slots=_facts, progress=tell
            )
        placed = {
            name: _place(name, embedder, root, clips, queries)
            for name, embedder in _embedders(words, classifiers).items()
        }
    scores = {
        "masked-pretraining": {"A": _errors(folders.a)},
        **_scores(recognised, placed, described),
    }
    return DemoFindings(
        results={task: _by_metric(of_models) for task, of_models in scores.items()},
        guessing=_guessing(recognised["mean"], placed["B"]),
        rebuilt=rebuilt,
        retrieved=placed["B"].retrieved,
        described=described,
        answered=placed["B"].answered,
        recognised=recognised,
    )


def _errors(folder: Path) -> Scores:
    """What the run of encoder A measured last, on clips held back from it (of validation)."""
    measured = load(folder / "checkpoints" / "last").documents["provenance"]["metrics"]
    return {name: measured[name] for name in ("error_ratio", "error", "clips")}


def _rebuilt(run: Run, folder: Path, process: Process) -> list[RebuiltClip]:
    """Clips held back from encoder A, as it rebuilds them."""
    run = replace(run, data=replace(run.data, cache_mb=0))  # a few clips need no cache
    with tempfile.TemporaryDirectory() as unused:
        _, stage = build_stage(run, Path(unused), process)
    assert isinstance(stage, MaskedPretrainingStage)
    stage.model.load_state_dict(load_model(folder).state_dict())
    stage.model.to(process.device)
    return stage.reconstructions(3)


def _recognise(
    classifiers: Mapping[str, RecognitionModel], clips: Annotations
) -> dict[str, ActionRecognitionResult]:
    """The classes that each classifier names, and the mean of A and B."""
    found = {}
    for name, model in classifiers.items():
        with progress(f"classes, {name}") as tell:
            found[name] = ActionRecognition(inference=_INFERENCE).evaluate(
                model, clips, progress=tell
            )
    mean = ensemble([found["A"], found["B"]])
    return {"A": found["A"], "B": found["B"], "mean": mean, "coordinated": found["coordinated"]}


def _embedders(
    words: VideoTextModel, classifiers: Mapping[str, RecognitionModel]
) -> dict[str, Embedder]:
    """B as it came to know sentences, after it learned classes, and in the pair."""
    after = copy.copy(words)
    after.model = copy.deepcopy(words.model)
    tower = classifiers["B"].model.get_submodule("encoder")
    after.model.get_submodule("video").load_state_dict(tower.state_dict())
    pair = classifiers["coordinated"]
    assert isinstance(pair.model, CoordinatedClassifier)
    return {
        "B": words,
        "B post-pretrained": after,
        "coordinated": CoordinatedTextModel(pair.model, words, clip_sampling=pair.clip_sampling),
    }


def _place(
    name: str,
    embedder: Embedder,
    root: Path,
    clips: Annotations,
    queries: Annotations,
) -> Placed:
    questions = {
        kind: ANNOTATIONS["msr-vtt-choice"](
            root / f"multiple_choice/{kind}.jsonl", root=root / "videos"
        )
        for kind in _QUESTIONS
    }
    asked = Annotations(records=tuple(r for of_kind in questions.values() for r in of_kind.records))
    with progress(f"zero-shot, {name}") as tell:
        records = (*clips.records, *queries.records, *asked.records)
        videos = embed_videos(embedder, records, _INFERENCE, progress=tell)
    spelled = {action: doing(action) for action in clips.classes}
    naming = ZeroShotRecognition(prompts="playground", words=spelled)
    retrieved = Retrieval().evaluate(embedder, queries, videos=videos)
    named = naming.evaluate(embedder, clips, videos=videos)
    answered = MultipleChoice().evaluate(embedder, asked, videos=videos)
    return Placed(retrieved, named, _by_kind(answered, questions))


def _by_kind(
    answered: MultipleChoiceResult, questions: Mapping[str, Annotations]
) -> dict[str, MultipleChoiceResult]:
    """Take the answers to each kind of question apart."""
    sizes = [len(asked.records) for asked in questions.values()]
    parts = zip(answered.options.split(sizes), answered.answers.split(sizes), strict=True)
    return {
        kind: replace(
            answered,
            scores={
                "accuracy": top_k_accuracy(options, answers),
                "chance": sum(1 / len(r.candidates) for r in asked.records) / len(asked.records),
            },
            num_evaluated=int(options.isfinite().any(1).sum()),
            num_total=len(asked.records),
            options=options,
            answers=answers,
            questions=asked.records,
        )
        for (kind, asked), (options, answers) in zip(questions.items(), parts, strict=True)
    }


def _scores(
    recognised: Mapping[str, ActionRecognitionResult],
    placed: Mapping[str, Placed],
    described: CaptioningResult,
) -> dict[str, dict[str, Scores]]:
    """Scores by task, model and metric, with the number of clips (or questions) beside them."""
    return {
        "action-recognition": {
            name: {**result.scores, "clips": float(result.num_total)}
            for name, result in recognised.items()
        },
        "retrieval": {
            name: {
                **{metric: found.retrieved.scores[metric] for metric in _RETRIEVAL},
                "clips": float(found.retrieved.num_total),
            }
            for name, found in placed.items()
        },
        "multiple-choice": {
            name: {
                **{kind: result.scores["accuracy"] for kind, result in found.answered.items()},
                "questions": float(sum(r.num_total for r in found.answered.values())),
            }
            for name, found in placed.items()
        },
        "zero-shot-recognition": {
            name: {**found.named.scores, "clips": float(found.named.num_total)}
            for name, found in placed.items()
        },
        "captioning": {"B": {**described.scores, "clips": float(described.num_total)}},
    }


def _by_metric(of_models: Mapping[str, Scores]) -> dict[str, Scores]:
    """Turn scores by model into scores by metric."""
    metrics = dict.fromkeys(metric for scores in of_models.values() for metric in scores)
    return {
        metric: {name: scores[metric] for name, scores in of_models.items() if metric in scores}
        for metric in metrics
    }


def _guessing(recognised: ActionRecognitionResult, placed: Placed) -> dict[str, Scores]:
    """What guessing would give."""
    num_clips = len(placed.retrieved.videos)
    finding = {metric: min(1.0, int(metric[-1]) / num_clips) for metric in _RETRIEVAL}
    return {
        "masked-pretraining": {"error_ratio": 1.0},
        "action-recognition": _top_k_of(recognised.classes),
        "retrieval": finding,
        "multiple-choice": {k: found.scores["chance"] for k, found in placed.answered.items()},
        "zero-shot-recognition": _top_k_of(placed.named.classes),
    }


def _top_k_of(classes: Sequence[str]) -> Scores:
    return {f"top{k}": min(1.0, k / len(classes)) for k in (1, 5)}


def _facts(caption: str) -> dict[str, str | None]:
    return dict(zip(("colour", "shape", "action"), slots(caption), strict=True))
