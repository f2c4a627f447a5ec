"""The page that the demo ends with: one table of results, then what each part learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from internvideo.report.axes import short_number
from internvideo.report.page import Page
from internvideo.report.reconstructions import Reconstruction
from internvideo.report.run_files import RunFiles
from internvideo.report.run_report import add_reconstructions, run_charts

# result[task][metric][model] = value
Results = Mapping[str, Mapping[str, Mapping[str, float]]]


def write_demo_report(
    out: Path,
    *,
    results: Results,
    playground: str,
    run: Path,
    reconstructions: Sequence[Reconstruction],
) -> Path:
    """Write `report.html` into the demo's folder; `playground` is what its generator printed."""
    page = Page("InternVideo on the playground", subtitle=f"everything is in {out}")
    page.section("Results")
    models = sorted({model for task in results.values() for row in task.values() for model in row})
    page.table(
        ["task", "metric", *models],
        [
            [task, metric, *(short_number(row[m]) if m in row else "" for m in models)]
            for task, metrics in results.items()
            for metric, row in metrics.items()
        ],
    )
    page.text(
        "A is the masked encoder. error_ratio: squared error on hidden tubelets of clips that "
        "training never saw, over that of predicting each clip's mean tubelet; 1 has learned "
        "nothing, 0 is perfect."
    )
    add_reconstructions(page, reconstructions)
    page.section("Curves")
    page.charts(run_charts(RunFiles.read(run)))
    page.text(f"All of this run, with its configuration and log: {run / 'report.html'}")
    page.section("Playground")
    page.log(playground)
    path = out / "report.html"
    page.write(path)
    return path
