"""The page that the demo ends with: one table of results, then what each stage learned.

results[task][metric][model] = value; `guessing` has the same form without the models. A metric
called clips or questions says on how many the others of its task were counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from internvideo.metrics import ranks
from internvideo.report import (
    Page,
    Reconstruction,
    RunFiles,
    add_class_gains,
    add_gates,
    add_reconstructions,
    short_number,
)
from internvideo.tasks import (
    ActionRecognitionResult,
    CaptioningResult,
    MultipleChoiceResult,
    RetrievalResult,
)
from internvideo.tasks.action_recognition import confusion_chart
from internvideo.tasks.multiple_choice import add_questions

Results = Mapping[str, Mapping[str, Mapping[str, float]]]

# Models in the order of the table, and their names.
_MODELS = {
    "A": "A",
    "B": "B",
    "B post-pretrained": "B, post-pretrained",
    "mean": "mean of A and B",
    "coordinated": "coordinated",
}
_COUNTS = ("clips", "questions")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class DemoFindings:
    """What the models of a demo are good for: numbers, and what they were counted from."""

    results: Results
    guessing: Mapping[str, Mapping[str, float]]
    rebuilt: Sequence[Reconstruction]
    retrieved: RetrievalResult
    described: CaptioningResult
    answered: Mapping[str, MultipleChoiceResult]
    recognised: Mapping[str, ActionRecognitionResult]


def write_demo_report(
    out: Path,
    found: DemoFindings,
    *,
    playground: str,
    runs: Mapping[str, str],
    coordination: str,
) -> Path:
    """Write `report.html` into the demo's folder.

    Args:
        out: The folder.
        found: What is shown.
        playground: What the generator of the videos printed.
        runs: Folders of the runs below `out`, by what was trained there.
        coordination: The folder of the one whose gates are drawn.
    """
    page = Page("InternVideo on the playground", subtitle=f"everything is in {out}")
    _add_results(page, found)
    page.section("Runs")
    page.text("Each has a page of its own, with its curves, configuration and log:")
    page.links({words: f"{folder}/report.html" for words, folder in runs.items()})
    add_reconstructions(page, found.rebuilt, title="Encoder A: rebuilt clips")
    page.section("Encoder B: clips found by sentences")
    page.text("Sentences and clips of unseen combinations of colour, shape and action.")
    found.retrieved.add_to(page, num_sheets=4)
    page.section("Encoder B: clips described")
    found.described.add_to(page)
    page.section("Encoder B: one sentence of several")
    page.text("The false sentences differ from the true one in a single word or phrase.")
    add_questions(page, found.answered, num_questions=2)
    page.section("Both: colour and action recognised")
    mean, coordinated = found.recognised["mean"], found.recognised["coordinated"]
    right = {
        name: ranks(result.probabilities, result.labels) == 0
        for name, result in (("mean", mean), ("coordinated", coordinated))
    }
    add_class_gains(page, mean.classes, mean.labels, right)
    page.chart(confusion_chart(coordinated), caption="Of the coordinated pair.")
    page.section("Both: gates and fusion")
    add_gates(page, RunFiles.read(out / coordination))
    page.section("Playground")
    page.log(playground)
    path = out / "report.html"
    page.write(path)
    return path


def _add_results(page: Page, found: DemoFindings) -> None:
    page.section("Results")
    top1 = found.results["action-recognition"]["top1"]
    recognised = found.recognised["coordinated"]
    page.text(
        f"{recognised.num_total} clips that no training has seen, each of one of "
        f"{len(recognised.classes)} classes, a colour and an action. Classes recognised:"
    )
    page.headline({_MODELS[name]: f"{100 * share:.1f} %" for name, share in top1.items()})
    page.table(
        ["task", "metric", *_MODELS.values(), "guessing"],
        [
            row
            for task, metrics in found.results.items()
            for row in _rows(task, metrics, found.guessing.get(task, {}))
        ],
    )
    page.text(
        "A is the masked encoder, B the multimodal one. error_ratio: squared error on hidden "
        "tubelets over that of predicting each clip's mean tubelet; 1 has learned nothing, 0 is "
        "perfect. Classes are recognised after post-pretraining; mean is the mean of what A and B "
        "say, the baseline of coordination. Classes recognised zero-shot are the actions alone."
        "\n\n"
        "Zero-shot rows tell what becomes of the space that videos share with sentences: B after "
        "its pretraining, the same after it has learned classes (post-pretrained), and the "
        "coordinated pair. What the last two learned asks for no nearness to sentences."
    )


def _rows(
    task: str, metrics: Mapping[str, Mapping[str, float]], guesses: Mapping[str, float]
) -> Iterator[list[str]]:
    """One row for each metric; the first names the task, and on how many clips it was counted."""
    counts = [f"{max(metrics[name].values()):.0f} {name}" for name in _COUNTS if name in metrics]
    title = ", ".join([task, *counts])
    for metric, values in metrics.items():
        if metric not in _COUNTS:
            yield [title, metric, *(_shown(values, m) for m in _MODELS), _shown(guesses, metric)]
            title = ""


def _shown(values: Mapping[str, float], name: str) -> str:
    return short_number(round(values[name], 3)) if name in values else ""
