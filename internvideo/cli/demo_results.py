"""What the demo's models are good for, on test clips that no training has seen, stage by stage.

Half of the clips show a shape, colour and action that no training clip has together; only those
are retrieved and described. Every model sees a clip as it did in its training, once.
"""

from __future__ import annotations

import copy
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

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

_QUESTIONS = ("motion", "colour", "shape", "opposite")
_RETRIEVAL = ("t2v/r1", "t2v/r5", "v2t/r1", "v2t/r5")
_INFERENCE = Inference(batch_size=32)

Scores = dict[str, float]
ByMetric = dict[str, dict[str, Scores]]
Facts = Mapping[str, str | None]


class Placed(NamedTuple):
    """What a model with one space for clips and sentences answers without any classifier."""

    retrieved: RetrievalResult
    classified: RecognitionResult
    answered: dict[str, MultipleChoiceResult]


class DemoResults:
    """The test clips and what the models trained so far make of them; `add` after each stage.

    `recognised` and `placed` are by model: A, B, mean, coordinated; B post-pretrained is encoder
    B's space of sentences after its video encoder was fine-tuned for classification.
    """

    _words: VideoTextModel

    def __init__(self, out: Path, *, device: str) -> None:
        root = out / "playground"
        clips = ANNOTATIONS["manifest"](root / "manifest.csv")
        self.num_videos = len(clips.records)
        self.num_training = len(clips.of_split("train").records)
        self.clips = clips.of_split("test")
        self.errors: Scores = {}
        self.rebuilt: list[RebuiltClip] = []
        self.recognised: dict[str, ActionRecognitionResult] = {}
        self.placed: dict[str, Placed] = {}
        self.described: CaptioningResult | None = None
        self._out, self._root, self._device = out, root, device
        self._queries = ANNOTATIONS["msr-vtt"](
            root / "msrvtt/MSRVTT_JSFUSION_test.csv", root=root / "videos"
        )

    def add(self, recipe: str, run: Run) -> None:
        """Evaluate what the run of this recipe has trained."""
        with joined(self._device) as process:
            _EVALUATIONS[recipe](self, self._out / recipe, run, process)

    def by_metric(self) -> ByMetric:
        """Values by task, metric and model; clips or questions say on how many they are."""
        return {task: _by_metric(of) for task, of in self._scores().items() if of}

    def guessing(self) -> dict[str, Scores]:
        """What guessing would give, by task and metric; for captions the commonest answer."""
        guesses: dict[str, Scores] = {"masked-pretraining": {"error_ratio": 1.0}}
        if self.recognised:
            guesses["action-recognition"] = _top_k_of(self.clips.classes)
        if self.placed:
            placed = self.placed["B"]
            num_clips = len(placed.retrieved.videos)
            guesses["retrieval"] = {m: min(1.0, int(m[-1]) / num_clips) for m in _RETRIEVAL}
            guesses["multiple-choice"] = {
                kind: found.scores["chance"] for kind, found in placed.answered.items()
            }
            guesses["zero-shot-recognition"] = _top_k_of(placed.classified.classes)
        if self.described is not None:
            guesses["captioning"] = _commonest([_told(r) for r in self.described.references])
        return guesses

    def _rebuild(self, folder: Path, run: Run, process: Process) -> None:
        """Clips held back from encoder A, of validation, as it rebuilds them."""
        measured = load(folder / "checkpoints" / "last").documents["provenance"]["metrics"]
        self.errors = {name: measured[name] for name in ("error_ratio", "error", "clips")}
        run = replace(run, data=replace(run.data, cache_mb=0))  # a few clips need no cache
        with tempfile.TemporaryDirectory() as unused:
            _, stage = build_stage(run, Path(unused), process)
        assert isinstance(stage, MaskedPretrainingStage)
        stage.model.load_state_dict(load_model(folder).state_dict())
        stage.model.to(process.device)
        self.rebuilt = stage.reconstructions(4)

    def _match_and_describe(self, folder: Path, run: Run, process: Process) -> None:
        self._words = load_video_text(folder)
        self._words.model.to(process.device)
        with progress("captions") as tell:
            self.described = Captioning(inference=_INFERENCE).evaluate(
                self._words, self._queries, slots=_facts, progress=tell
            )
        self._place("B", self._words)

    def _classify_by_a(self, folder: Path, run: Run, process: Process) -> None:
        self._recognise("A", load_recogniser(folder), process)

    def _classify_by_b(self, folder: Path, run: Run, process: Process) -> None:
        model = load_recogniser(folder)
        self._recognise("B", model, process)
        self.recognised["mean"] = ensemble([self.recognised["A"], self.recognised["B"]])
        after = copy.copy(self._words)
        after.model = copy.deepcopy(self._words.model)
        tower = model.model.get_submodule("encoder")
        after.model.get_submodule("video").load_state_dict(tower.state_dict())
        self._place("B post-pretrained", after)

    def _coordinate(self, folder: Path, run: Run, process: Process) -> None:
        pair = load_recogniser(folder)
        self._recognise("coordinated", pair, process)
        assert isinstance(pair.model, CoordinatedClassifier)
        embedder = CoordinatedTextModel(pair.model, self._words, clip_sampling=pair.clip_sampling)
        self._place("coordinated", embedder)

    def _recognise(self, name: str, model: RecognitionModel, process: Process) -> None:
        model.model.to(process.device)
        with progress(f"actions, {name}") as tell:
            self.recognised[name] = ActionRecognition(inference=_INFERENCE).evaluate(
                model, self.clips, progress=tell
            )

    def _place(self, name: str, embedder: Embedder) -> None:
        """Retrieval, multiple choice and zero-shot recognition from one embedding of each clip."""
        clips, queries, root = self.clips, self._queries, self._root
        questions = {
            kind: ANNOTATIONS["msr-vtt-choice"](
                root / f"multiple_choice/{kind}.jsonl", root=root / "videos"
            )
            for kind in _QUESTIONS
        }
        asked = Annotations(
            records=tuple(r for of_kind in questions.values() for r in of_kind.records)
        )
        with progress(f"zero-shot, {name}") as tell:
            records = (*clips.records, *queries.records, *asked.records)
            videos = embed_videos(embedder, records, _INFERENCE, progress=tell)
        spelled = {action: doing(action) for action in clips.classes}
        zero_shot = ZeroShotRecognition(prompts="playground", words=spelled)
        answered = MultipleChoice().evaluate(embedder, asked, videos=videos)
        self.placed[name] = Placed(
            retrieved=Retrieval().evaluate(embedder, queries, videos=videos),
            classified=zero_shot.evaluate(embedder, clips, videos=videos),
            answered=_by_kind(answered, questions),
        )

    def _scores(self) -> dict[str, dict[str, Scores]]:
        """Scores by task, model and metric, with the number of clips (or questions) beside them."""
        described = self.described
        return {
            "masked-pretraining": {"A": self.errors} if self.errors else {},
            "action-recognition": {
                name: {**result.scores, "clips": float(result.num_total)}
                for name, result in self.recognised.items()
            },
            "retrieval": {
                name: {
                    **{metric: found.retrieved.scores[metric] for metric in _RETRIEVAL},
                    "clips": float(found.retrieved.num_total),
                }
                for name, found in self.placed.items()
            },
            "multiple-choice": {
                name: {
                    **{kind: result.scores["accuracy"] for kind, result in found.answered.items()},
                    "questions": float(sum(r.num_total for r in found.answered.values())),
                }
                for name, found in self.placed.items()
            },
            "zero-shot-recognition": {
                name: {**found.classified.scores, "clips": float(found.classified.num_total)}
                for name, found in self.placed.items()
            },
            "captioning": {}
            if described is None
            else {"B": {**described.scores, "clips": float(described.num_total)}},
        }


# What is evaluated when the run of a recipe has ended.
_EVALUATIONS = {
    "mae_tiny_playground": DemoResults._rebuild,
    "multimodal_tiny_playground": DemoResults._match_and_describe,
    "post_pretrain_tiny_playground": DemoResults._classify_by_a,
    "post_pretrain_tiny_playground_b": DemoResults._classify_by_b,
    "coordinate_tiny_playground": DemoResults._coordinate,
}


def right_captions(described: CaptioningResult) -> list[int]:
    """Places of the captions that tell the right colour, shape and action."""
    told = zip(described.captions, described.references, strict=True)
    return [
        place
        for place, (said, references) in enumerate(told)
        if said is not None
        and all(_facts(said)[k] == v for k, v in _told(references).items() if v is not None)
    ]


def _told(references: Sequence[str]) -> dict[str, str | None]:
    """What the references of a clip say together; the first to name a fact counts."""
    told: dict[str, str | None] = dict.fromkeys(("colour", "shape", "action"))
    for reference in references:
        told |= {k: v for k, v in _facts(reference).items() if told[k] is None}
    return told


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


def _by_metric(of_models: Mapping[str, Scores]) -> dict[str, Scores]:
    """Turn scores by model into scores by metric."""
    metrics = dict.fromkeys(metric for scores in of_models.values() for metric in scores)
    return {
        metric: {name: scores[metric] for name, scores in of_models.items() if metric in scores}
        for metric in metrics
    }


def _top_k_of(classes: Sequence[str]) -> Scores:
    return {f"top{k}": min(1.0, k / len(classes)) for k in (1, 5)}


def _commonest(facts: Sequence[Facts]) -> Scores:
    """Share of the clips whose fact is the commonest one, which always saying it would get."""
    shares = {}
    for name in ("action", "colour", "shape"):
        known = Counter(value for of in facts if (value := of[name]) is not None)
        shares[f"slot/{name}"] = max(known.values()) / known.total() if known else float("nan")
    return shares


def _facts(caption: str) -> dict[str, str | None]:
    return dict(zip(("colour", "shape", "action"), slots(caption), strict=True))
