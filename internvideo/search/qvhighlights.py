"""Moment retrieval as QVHighlights and Ego4D score it: annotations, predictions, scores.

One JSON object a line: `qid`, `query`, `vid`, `duration`, `relevant_windows` and, with saliency,
`relevant_clip_ids` and `saliency_scores`; predictions have `pred_relevant_windows` (start, end,
score) and `pred_saliency_scores`. Source: the files of jayleicn/moment_detr. Of Ego4D's natural
language queries (`nlq_val.json`) the `qid` is the place of the query in the file, from 0 on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from internvideo.data import ANNOTATIONS
from internvideo.errors import AnnotationError
from internvideo.metrics import (
    highlight_metrics,
    moment_retrieval_metrics,
    query_recalls,
    saliency_of_clips,
)
from internvideo.reading import OTHER_SHAPE, parse_json, read_document_text
from internvideo.search.query import Query
from internvideo.search.searcher import Searcher

_MOST_WINDOWS = 10
_MOST_BYTES = 1 << 30


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MomentQuery:
    """A sentence about one video, and the windows (s, 2) that answer it, in seconds."""

    id: int | str
    text: str
    video: str
    windows: np.ndarray
    ratings: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class MomentPrediction:
    """Windows with scores (s, 3), best first, and a saliency for every clip where there is one."""

    windows: np.ndarray
    saliency: tuple[float, ...] | None = None


def read_queries(path: Path) -> tuple[MomentQuery, ...]:
    """Read annotations; raises `AnnotationError` with file and line."""
    queries = []
    for where, line in _lines(path):
        try:
            ratings = None
            if "saliency_scores" in line:
                ratings = saliency_of_clips(
                    float(line["duration"]), line["relevant_clip_ids"], line["saliency_scores"]
                )
            queries.append(
                MomentQuery(
                    id=line["qid"],
                    text=str(line["query"]),
                    video=str(line["vid"]),
                    windows=np.array(line["relevant_windows"], dtype=np.float64).reshape(-1, 2),
                    ratings=ratings,
                )
            )
        except OTHER_SHAPE as error:
            raise AnnotationError(f"{where}: is no query of QVHighlights ({error!r})") from error
    return tuple(queries)


def read_ego4d(path: Path) -> tuple[MomentQuery, ...]:
    """Read the queries of an `nlq_*.json` of Ego4D; raises `AnnotationError` for another file."""
    return tuple(
        MomentQuery(
            id=place,
            text=record.captions[0],
            video=record.video.stem,
            windows=np.array([(one.start_s, one.end_s) for one in record.segments]),
        )
        for place, record in enumerate(ANNOTATIONS["ego4d-queries"](path).records)
    )


def read_predictions(path: Path) -> dict[int | str, MomentPrediction]:
    """Read predictions by query; raises `AnnotationError` with file and line."""
    found: dict[int | str, MomentPrediction] = {}
    for where, line in _lines(path):
        try:
            saliency = line.get("pred_saliency_scores")
            windows = np.array(line["pred_relevant_windows"], dtype=np.float64).reshape(-1, 3)
            found[line["qid"]] = MomentPrediction(
                windows=windows,
                saliency=None if saliency is None else tuple(map(float, saliency)),
            )
        except OTHER_SHAPE as error:
            raise AnnotationError(
                f"{where}: is no prediction of QVHighlights ({error!r})"
            ) from error
    return found


def predict_moments(
    searcher: Searcher,
    queries: Sequence[MomentQuery],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[int | str, MomentPrediction], list[str]]:
    """Search each query's own video in an index; also name the videos that it does not have."""
    videos = {PurePosixPath(v.path).stem: v.id for v in searcher.index.videos()}
    found: dict[int | str, MomentPrediction] = {}
    missing = []
    for number, query in enumerate(queries, 1):
        rows = np.zeros((0, 3))
        if query.video in videos:
            moments = searcher.moments_of(
                Query(text=query.text, least_confidence=0, per_video=_MOST_WINDOWS),
                videos[query.video],
            )
            rows = np.array([(m.start_s, m.end_s, m.score) for m in moments]).reshape(-1, 3)
        else:
            missing.append(query.video)
        found[query.id] = MomentPrediction(windows=rows)
        if progress is not None:
            progress(number, len(queries))
    return found, sorted(set(missing))


def score_moments(
    queries: Sequence[MomentQuery], predictions: Mapping[int | str, MomentPrediction]
) -> dict[str, float]:
    """All scores: of moments, also as Ego4D counts, and of highlights where both rate clips."""
    truth = {query.id: query.windows for query in queries}
    windows = {k: p.windows for k, p in predictions.items()}
    scores = moment_retrieval_metrics(truth, windows)
    scores |= {f"ego4d/{k}": v for k, v in query_recalls(truth, windows).items()}
    rated = {query.id: query.ratings for query in queries if query.ratings is not None}
    given = {k: p.saliency for k, p in predictions.items() if p.saliency is not None}
    if rated and rated.keys() <= given.keys():
        scores |= {f"highlights/{k}": v for k, v in highlight_metrics(rated, given).items()}
    return scores


def _lines(path: Path) -> list[tuple[str, Any]]:
    try:
        text = read_document_text(path, most_bytes=_MOST_BYTES)
    except ValueError as error:
        raise AnnotationError(f"{path}: cannot be read ({error})") from error
    lines = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            lines.append((f"{path}, line {number}", parse_json(line)))
        except ValueError as error:
            raise AnnotationError(f"{path}, line {number}: is no JSON ({error})") from error
    if not lines:
        raise AnnotationError(f"{path}: is empty")
    return lines
