"""What `evaluate` and `predict` do with a classifier: load it, ask it, draw its page."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from internvideo.report import Look
    from internvideo.tasks import ActionRecognitionResult, RecognitionModel, Viewing
    from internvideo.values import Record

_LOOKS = 4  # clips on a page with what the model looks at


def load_classifier(checkpoint: Path, device: str, *, averaged: bool) -> RecognitionModel:
    """Read a classifier onto a device."""
    from internvideo.hub import load_recogniser
    from internvideo.training import joined

    model = load_recogniser(checkpoint, averaged=averaged)
    with joined(device) as process:
        model.model.to(process.device)
    return model


def write_recognition_page(
    out: Path, model: RecognitionModel, result: ActionRecognitionResult, viewing: Viewing
) -> None:
    """Write scores, confusions, classes, and where the model looks in some of the videos."""
    from internvideo.report import Page, add_looks, add_recognition

    page = Page("Action recognition", subtitle=f"views of each video: {result.num_views}")
    add_recognition(page, result)
    looks = list(_looks(model, result, viewing))
    if looks:
        page.section("Where it looks")
        page.text(
            "Orange: the half of all places on which the score of the given answer depends most."
        )
        add_looks(page, looks)
    page.write(out)


def _looks(
    model: RecognitionModel, result: ActionRecognitionResult, viewing: Viewing
) -> Iterator[Look]:
    """Clips evenly over those that were seen."""
    import torch

    from internvideo.report import Look
    from internvideo.tasks import middle_view, saliency

    seen = result.probabilities.isfinite().all(1).nonzero()[:, 0]
    places = torch.linspace(0, len(seen) - 1, min(_LOOKS, len(seen))).round().long()
    for place in seen[places].tolist():
        record: Record = result.videos[place]
        frames = middle_view(model, record, viewing)
        if frames is None:
            continue
        answer = int(result.probabilities[place].argmax())
        said, truth = result.classes[answer], result.classes[int(result.labels[place])]
        share = f"{result.probabilities[place, answer]:.2f}"
        right = "right" if said == truth else f"it is {truth}"
        yield Look(
            name=record.video.name,
            title=f"{said}, {share}: {right}",
            frames=frames,
            heat=saliency(model, frames, answer),
        )


def prediction(task: Any, model: RecognitionModel, video: Path, top: int) -> dict[str, Any]:
    """The likeliest classes of a video, and how uncertain they are where the task tells."""
    from internvideo.tasks import OpenSetRecognition

    more = {}
    ranked = task.predict(model, video)
    if isinstance(task, OpenSetRecognition):
        ranked, more["uncertainty"] = ranked
    return {"answers": [{"text": name, "score": share} for name, share in ranked[:top]], **more}
