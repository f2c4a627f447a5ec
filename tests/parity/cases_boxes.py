"""Checks of recorded cases: spatiotemporal localization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from internvideo.heads import ActionDetector, ActionDetectorConfig, detection_loss
from internvideo.metrics import (
    BoxRows,
    best_rows_of_frames,
    frame_average_precision,
    mean_over_classes,
)
from internvideo.models import MaskedEncoderConfig, enlarge_boxes
from internvideo.values import Tubelet
from internvideo.weights import load_weights, read_official_detector
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


@torch.no_grad()
def check_action_detector(case: Case) -> None:
    config, video = case.config, case.tensor("inputs/video")
    width, height = config["frame_wh"]
    case.equal(
        "frames", list(video.shape[1:]), [config["in_chans"], config["all_frames"], height, width]
    )
    config.without_effect("init_scale")  # of a start
    patch = config["patch_size"]
    encoder = MaskedEncoderConfig(
        num_frames=config["all_frames"],
        side_px=config["img_size"],
        tubelet=Tubelet(time=config["tubelet_size"], height=patch, width=patch),
        width=config["embed_dim"],
        depth=config["depth"],
        num_heads=config["num_heads"],
        mlp_ratio=config["mlp_ratio"],
        qkv_bias=config["qkv_bias"],
        layer_scale_init=config["init_values"],
    )
    model = ActionDetector(
        ActionDetectorConfig(
            encoder=encoder,
            num_classes=config["num_classes"],
            head=config.get("head_type", "linear"),
        )
    )
    load_weights(model, read_official_detector(case.group("weights")))
    model.eval()
    boxes = []
    for clip in range(len(video)):
        boxes.append(enlarge_boxes(case.tensor(f"inputs/boxes{clip}"), (height, width)))
        case.close(f"extended_boxes{clip}", boxes[-1])
    clip_of_box = torch.repeat_interleave(
        torch.arange(len(boxes)), torch.tensor([len(of_clip) for of_clip in boxes])
    )
    maps = model.feature_map(video)
    case.close("feature_map", maps)
    case.close("roi_features", model.actor_features(maps, torch.cat(boxes), clip_of_box))
    logits = model(video, torch.cat(boxes), clip_of_box)
    case.close("logits", logits)
    labels = case.tensor("inputs/labels").float()
    loss = detection_loss(logits, labels, num_clips=len(video), reduction="per-clip")
    case.close("loss", loss[None])


CHECKS: dict[str, Callable[[Case], None]] = {
    "ava_frame_map": check_ava_frame_map,
    "stal_roi": check_action_detector,
}
