"""What an encoder B learned on the playground: unseen clips of unseen combinations, and shuffled.

    python benchmarks/multimodal_playground.py --data runs/playground RUN [RUN ...]

Retrieval of up to 200 distinct captions, multiple choice with one slot changed, zero-shot
recognition, captions by slot. Only clips whose subject's shape, colour and verb occur together in
no training clip. Shuffled: the frames of every clip in another order.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from internvideo.data import ANNOTATIONS
from internvideo.hub import load_video_text
from internvideo.playground import Facts, doing, read_facts, slots
from internvideo.tasks import (
    Captioning,
    Inference,
    MultipleChoice,
    Retrieval,
    VideoTextModel,
    ZeroShotRecognition,
)
from internvideo.values import Annotations

QUESTIONS = ("motion", "colour", "shape", "opposite")


def evaluate(model: VideoTextModel, root: Path) -> dict[str, float]:
    """All figures of one model, those of shuffled clips under `shuffled/`."""
    unseen = {(root / facts.path).resolve() for facts in read_facts(root) if _is_asked(facts)}
    scores: dict[str, float] = {}
    for shuffled in (False, True):
        inference = Inference(crop=1.0, batch_size=64, shuffled=shuffled)
        found = _evaluate(model, root, unseen, inference)
        scores |= {f"shuffled/{name}" if shuffled else name: v for name, v in found.items()}
    return scores


def _is_asked(facts: Facts) -> bool:
    return facts.split == "test" and facts.has_unseen_combination


def _evaluate(
    model: VideoTextModel, root: Path, unseen: set[Path], inference: Inference
) -> dict[str, float]:
    videos = root / "videos"
    queries = ANNOTATIONS["msr-vtt"](root / "msrvtt/MSRVTT_JSFUSION_test.csv", root=videos)
    ranked = Retrieval(inference=inference).evaluate(model, queries)
    scores = {
        "retrieval/queries": float(ranked.num_total),
        "retrieval/t2v_r1": ranked.scores["t2v/r1"],
        "retrieval/t2v_r5": ranked.scores["t2v/r5"],
        "retrieval/t2v_dsl_r1": ranked.scores["t2v_dsl/r1"],
        "retrieval/v2t_r1": ranked.scores["v2t/r1"],
    }
    for kind in QUESTIONS:
        file = root / f"multiple_choice/{kind}.jsonl"
        questions = _only(ANNOTATIONS["msr-vtt-choice"](file, root=videos), unseen)
        chosen = MultipleChoice(inference=inference).evaluate(model, questions)
        scores[f"choice/{kind}"] = chosen.scores["accuracy"]
    labelled = _only(ANNOTATIONS["manifest"](root / "manifest.csv"), unseen)
    recognised = ZeroShotRecognition(prompts="playground", inference=inference)
    words = {name: doing(name) for name in labelled.classes}
    found = replace(recognised, words=words).evaluate(model, labelled)
    scores["zero_shot/top1"] = found.scores["top1"]
    scores["zero_shot/top5"] = found.scores["top5"]
    if model.model.captioner is not None:
        described = Captioning(inference=inference).evaluate(model, labelled, slots=_facts_of)
        scores |= {f"captions/{name}": v for name, v in described.scores.items()}
    return scores


def _only(annotations: Annotations, videos: set[Path]) -> Annotations:
    kept = tuple(r for r in annotations.records if r.video.resolve() in videos)
    return replace(annotations, records=kept)


def _facts_of(caption: str) -> dict[str, str | None]:
    return dict(zip(("colour", "shape", "verb"), slots(caption), strict=True))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, default=Path("runs/playground"))
    options = parser.parse_args(arguments)
    results = [evaluate(load_video_text(run), options.data) for run in options.runs]
    print(json.dumps(dict(zip(map(str, options.runs), results, strict=True)), indent=1))
    for name in results[0]:
        values = [result[name] for result in results]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{name:32} {statistics.mean(values):.3f} +- {spread:.3f}")


if __name__ == "__main__":
    main()
