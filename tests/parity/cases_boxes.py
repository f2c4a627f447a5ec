"""Checks of recorded cases: spatiotemporal localization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from internvideo.metrics import (
    BoxRows,
    best_rows_of_frames,
    frame_average_precision,
    mean_over_classes,
)
from tests.parity.case import Case


def _rows(rows: list[list[Any]], columns: list[str]) -> BoxRows:
    column = {name: [row[i] for row in rows] for i, name in enumerate(columns)}
    return BoxRows(
        frames=list(zip(column["video"], column["timestamp"], strict=True)),
        xyxy=np.array([column[name] for name in ("x1", "y1", "x2", "y2")]).T.reshape(-1, 4),
        classes=np.array(column["class"], dtype=np.int64),
        scores=np.array(column["score"]) if "score" in column else None,
    )


def _rounded(rows: BoxRows) -> BoxRows:
    """Boxes and scores as the released code writes them to a file, with 5 decimals."""
    assert rows.scores is not None
    five = [np.array([float(f"{v:.5f}") for v in x.ravel()]) for x in (rows.xyxy, rows.scores)]
    return BoxRows(
        frames=rows.frames, xyxy=five[0].reshape(-1, 4), classes=rows.classes, scores=five[1]
    )


def check_ava_frame_map(case: Case) -> None:
    given, expected = case.data["inputs"], case.data["expected"]
    truth = _rows(given["ground_truth_rows"], given["ground_truth_columns"])
    detections = _rows(given["detection_rows"], given["detection_columns"])
    excluded = {tuple(frame) for frame in given["excluded"]}
    counted = [frame not in excluded for frame in detections.frames]
    fifty = best_rows_of_frames(detections.keep(np.array(counted)))
    seen = set(truth.frames)
    on_truth = fifty.keep(np.array([frame in seen for frame in fifty.frames]))
    assert detections.scores is not None
    by_score = np.argsort(-detections.scores, kind="stable")
    results = {
        "slowfast_uniformerv2_copy": (detections, False),
        "slowfast_uniformerv2_copy_rows_sorted_by_score": (detections.keep(by_score), False),
        "alphaction_copy": (_rounded(detections), True),
        "activitynet_official_all_frames_listed": (fifty, True),
        "activitynet_official_only_frames_with_ground_truth": (on_truth, True),
    }
    case.equal("results", sorted(results), sorted(expected))
    for name, (rows, sort) in results.items():
        ours = frame_average_precision(
            truth,
            rows,
            given["class_ids"],
            iou=case.config["iou"],
            excluded=excluded,
            by_score=sort,
        )
        got = {f"c{label}": "nan" if np.isnan(ap) else ap for label, ap in ours.items()}
        got["PascalBoxes_Precision/mAP@0.5IOU"] = mean_over_classes(ours)
        case.equal(name, got, expected[name])


CHECKS: dict[str, Callable[[Case], None]] = {"ava_frame_map": check_ava_frame_map}
