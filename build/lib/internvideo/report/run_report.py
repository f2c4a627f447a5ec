"""The page of one run: `report.html`, made of what the run wrote into its folder.

It can be written at any moment: before the first step, during the run, after it was killed.
Curves group themselves: `loss/a` and `loss/b` share the chart "loss", `eval/loss/a` joins it
dashed, so a new metric needs no change here.
"""

from __future__ import annotations

import logging
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from internvideo.report.axes import short_number
from internvideo.report.page import Page
from internvideo.report.plots import Series, Svg, line_chart
from internvideo.report.reconstructions import (
    Reconstruction,
    error_ratio,
    reconstruction_strip,
    reconstruction_video,
)
from internvideo.report.run_files import RunFiles

logger = logging.getLogger(__name__)

# Adds its own section to the page: retrieval sheets, a confusion matrix, gates, ...
Section = Callable[[Page], None]

_TITLES = {
    "loss": "Loss",
    "lr": "Learning rate",
    "clips_per_s": "Throughput, clips/s",
    "data_wait_share": "Share of time spent waiting for data",
    "grad_norm": "Gradient norm",
    "mfu": "Model FLOP utilisation",
    "error_ratio": "Error over the error of predicting the mean tubelet",
}
# On how many clips a score was measured belongs beside it; it is no curve.
_COUNTS = {"eval/clips", "eval/captions"}
# Schedules are judged by their shape.
_LINEAR = {"lr"}
_MOST_ROWS, _MOST_WARNINGS, _LOG_LINES, _MOST_VIDEO_CLIPS = 200, 10, 20, 4


def write_run_report(
    folder: Path,
    *,
    reconstructions: Sequence[Reconstruction] = (),
    sections: Sequence[Section] = (),
) -> Path:
    """Write `report.html` into a run's folder, whatever state the run is in.

    Args:
        folder: The run's folder.
        reconstructions: Clips to show, best held back from training.
        sections: Further parts, placed after the curves in this order.

    Returns:
        The file written.
    """
    files = RunFiles.read(folder)
    page = Page(f"Run {folder.resolve().name}", subtitle=_subtitle(files))
    _add_headline(page, files)
    for problem in files.problems:
        page.warning(problem)
    if reconstructions:
        add_reconstructions(page, reconstructions)
    page.section("Curves")
    charts = run_charts(files)
    if charts:
        page.charts(charts)
    else:
        page.text("Nothing has been measured yet.")
    for section in sections:
        section(page)
    _add_warnings(page, files)
    _add_broken(page, files)
    _add_configuration(page, files)
    path = folder / "report.html"
    page.write(path)
    logger.info("wrote %s", path)
    return path


def run_charts(files: RunFiles) -> list[Svg]:
    """Draw one chart for each group of metrics: losses first, then results, then the rest."""
    groups: dict[str, list[Series]] = {}
    measured_on: dict[str, bool] = {}
    for key in (key for key in files.keys if key not in _COUNTS):
        is_eval = key.startswith("eval/")
        group, _, name = key.removeprefix("eval/").partition("/")
        steps, values = files.curve(key)
        label = " ".join(filter(None, ("held back" if is_eval else "", name))) or "training"
        groups.setdefault(group, []).append(Series(name=label, x=steps, y=values, dashed=is_eval))
        measured_on[group] = measured_on.get(group, False) or is_eval
    rank = {name: i for i, name in enumerate(_TITLES)}

    def order(group: str) -> tuple[int, int]:
        if group == "loss":
            return 0, 0
        return (1, 0) if measured_on[group] else (2, rank.get(group, len(rank)))

    return [
        line_chart(
            groups[g],
            title=_TITLES.get(g, _spelled(g).capitalize()),
            log_y=g not in _LINEAR and _spans_decades(groups[g]),
        )
        for g in sorted(groups, key=order)
    ]


def add_reconstructions(
    page: Page, items: Sequence[Reconstruction], *, title: str = "Reconstructions"
) -> None:
    """Add the section that shows rebuilt clips: moving ones first, then a strip for each."""
    page.section(title)
    ratios = [ratio for item in items if math.isfinite(ratio := error_ratio(item))]
    if ratios:
        page.text(
            f"Squared error on masked tubelets over {len(ratios)} clips: "
            f"{statistics.mean(ratios):.2f} of predicting each clip's mean tubelet "
            "(1 is no better than that, 0 is perfect)."
        )
    shown = items[:_MOST_VIDEO_CLIPS]
    page.video(reconstruction_video(shown), caption="input | masked | rebuilt")
    for item in items:
        page.picture(
            reconstruction_strip(item),
            alt=f"input, masked and rebuilt frames of {item.source}",
            width_px=720,
        )


def _subtitle(files: RunFiles) -> str:
    starts = [_mapping(start) for start in files.document.get("starts") or [{}]]
    parts = {
        "started": str(starts[0].get("at", "")).replace("T", " "),
        "code": files.document.get("revision"),
    }
    if len(starts) > 1:
        parts["resumed at step"] = ", ".join(str(start.get("step")) for start in starts[1:])
    return " · ".join(f"{name} {value}" for name, value in parts.items() if value)


def _add_headline(page: Page, files: RunFiles) -> None:
    numbers = {}
    for key in files.keys:
        if key.startswith("eval/"):
            name = "held-back clips" if key in _COUNTS else _spelled(key)
            numbers[name] = short_number(files.curve(key)[1][-1])
    numbers["steps"] = f"{files.num_steps:,}"
    speeds = [v for v in files.curve("clips_per_s")[1] if math.isfinite(v)]
    if speeds:
        numbers["clips/s, median"] = short_number(statistics.median(speeds))
    if files.elapsed_s is not None:
        numbers["time"] = _duration(files.elapsed_s)
    if files.broken:
        numbers["broken clips"] = f"{len(files.broken):,}"
    page.headline(numbers)


def _add_warnings(page: Page, files: RunFiles) -> None:
    warnings = [line for line in files.log if " WARNING " in line or " ERROR " in line]
    page.section("Log")
    if warnings:
        shown = warnings[-_MOST_WARNINGS:]
        more = f" (the last {len(shown)} are shown)" if len(warnings) > len(shown) else ""
        page.text(f"Warnings and errors: {len(warnings)}{more}.")
        for line in shown:
            page.warning(line)
    page.log("\n".join(files.log[-_LOG_LINES:]) or "(empty)")


def _add_broken(page: Page, files: RunFiles) -> None:
    if not files.broken:
        return
    page.section("Broken clips")
    _add_objects(page, files.broken[:_MOST_ROWS])
    if len(files.broken) > _MOST_ROWS:
        page.text(f"{len(files.broken) - _MOST_ROWS:,} more are named in broken.jsonl.")


def _add_configuration(page: Page, files: RunFiles) -> None:
    document = files.document
    page.section("Configuration")
    if not document:
        page.text("run.json is missing or empty.")
        return
    apart = {key: document.get(key) for key in ("run", "versions", "starts")}
    rest = {key: value for key, value in document.items() if key not in apart}
    page.facts(dict(_flat(rest | _mapping(apart["run"]))))
    page.raw("run.json", document)
    if apart["versions"]:
        page.section("Versions")
        page.facts(_mapping(apart["versions"]))
    if apart["starts"]:
        page.section("Starts")
        _add_objects(page, [_mapping(start) for start in apart["starts"]])


def _add_objects(page: Page, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add a table with a column for every key that occurs."""
    header = list({key: None for row in rows for key in row})
    page.table(header, [[row.get(key, "") for key in header] for row in rows])


def _mapping(value: Any) -> dict[str, Any]:
    """A mapping as it is, anything else under a plain name."""
    return value if isinstance(value, dict) else {"value": value}


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Names with dots and the plain values below them."""
    for key, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item


def _spans_decades(series: Sequence[Series]) -> bool:
    values = [v for s in series for v in s.y if math.isfinite(v)]
    return bool(values) and min(values) > 0 and max(values) / min(values) > 50


def _spelled(key: str) -> str:
    return key.removeprefix("eval/").replace("_", " ").replace("/", ", ")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
