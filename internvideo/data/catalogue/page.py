"""The catalogue as text: one data set for the terminal, all of them as the page of results."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from internvideo.data.catalogue import BENCHMARKS, CORPORA, STATES, DataSet

_HEAD = """# Data sets and results

The paper reports on 39 benchmarks of ten tasks and of Ego4D. This page is written by
`internvideo data sets --markdown` from the catalogue in `internvideo/data/catalogue`. It claims no
result of ours at full size, since no model of published size was trained with this code yet.

What a state means:

"""


def results_page() -> str:
    """The page docs/results.md."""
    states = "".join(f"- **{name}**: {about}.\n" for name, about in STATES.items())
    return "\n".join(
        [
            _HEAD + states,
            *_table(list(BENCHMARKS.values())),
            "",
            "## What is pretrained on",
            "",
            *_table(list(CORPORA.values())),
            "",
        ]
    )


def _table(entries: list[DataSet]) -> list[str]:
    rows = [
        "| name | task | counts | published | recipe | state |",
        "|---|---|---|---|---|---|",
    ]
    for entry in entries:
        best = entry.published[0] if entry.published else None
        published = f"{best.value:g} {best.metric} ({best.source})" if best else "-"
        recipe = f"`{entry.recipes[0]}`" if entry.recipes else "-"
        counts = ", ".join(
            f"{'' if split.is_exact else 'about '}{split.count:,} {name}"
            for name, split in entry.splits.items()
        )
        cells = (f"`{entry.name}`", entry.task, counts, published, recipe, _state(entry))
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def _state(entry: DataSet) -> str:
    shown = entry.evidence.benchmark
    return ", ".join(f"{s} ({shown})" if s == "run" else s for s in entry.states)


def document_of(entry: DataSet) -> dict[str, Any]:
    """All that is known of a data set, as a JSON object."""
    return {**asdict(entry), "states": list(entry.states)}


def lines_of(entry: DataSet) -> list[str]:
    """All that is known of a data set, as lines for the terminal."""
    told = [f"{entry.title} ({entry.task})"]
    for name, split in entry.splits.items():
        told.append(f"  {name}: {'' if split.is_exact else 'about '}{split.count:,} {entry.what}")
    for file in entry.files:
        hashed = f", sha256 {file.sha256[:16]}..." if file.sha256 else ""
        told.append(f"  file {file.pattern}: {file.what}{hashed}")
    facts = {
        "reader": entry.reader or "none",
        "classes": str(entry.num_classes or "none"),
        "protocol": entry.protocol,
        "metric": entry.metric,
        "terms": entry.terms,
        "where": entry.where,
        "recipes": ", ".join(entry.recipes) or "none",
        "state": ", ".join(f"{name} ({STATES[name]})" for name in entry.states),
        "shown by": ", ".join(
            (*entry.evidence.cases, *entry.evidence.excerpts, entry.evidence.benchmark or "")
        ).strip(", ")
        or "nothing",
        "differs": entry.differs or "nothing on purpose",
    }
    told += [f"  {name}: {value}" for name, value in facts.items()]
    told += [
        f"  published: {p.metric} {p.value:g}, {p.model} ({p.source})" for p in entry.published
    ]
    return told
