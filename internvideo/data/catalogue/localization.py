"""Temporal and spatiotemporal localization: six rows of the catalogue.

Counts and results: InternVideo, tables 4 and 5; ActionFormer; AVA's page.
"""

from __future__ import annotations

from internvideo.data.catalogue.entry import (
    STAND_IN_RUNS,
    AnnotationFile,
    DataSet,
    Evidence,
    Published,
    Split,
)

_TABLE = "InternVideo, table 4"
_CASES = ("actionformer_multiclass", "actionformer_agnostic_fpn", "nms_1d", "shapes_actionformer")
_WIDE = "tIoU 0.5 to 0.95 in steps of 0.05, mean over classes and thresholds"


def _temporal(
    name: str,
    title: str,
    file: str,
    splits: dict[str, Split],
    published: tuple[tuple[float, str], ...],
    *,
    num_classes: int,
    protocol: str,
    terms: str,
    where: str,
    recipe: str,
    metric_case: str,
    excerpts: tuple[str, ...],
    train: str = "training",
    differs: str = "",
) -> DataSet:
    return DataSet(
        name=name,
        title=title,
        task="temporal-localization",
        splits=splits,
        files=(AnnotationFile(pattern=file, what="videos with their segments"),),
        reader="localization",
        source=file,
        options={"train": train} if train != "training" else {},
        num_classes=num_classes,
        protocol=protocol,
        metric="map/average",
        terms=terms,
        where=where,
        published=tuple(
            Published(metric="map/average", value=value, source=_TABLE, model=model)
            for value, model in published
        ),
        recipes=(recipe, recipe.removesuffix("_agnostic"))
        if recipe.endswith("_agnostic")
        else (recipe,),
        evidence=Evidence(benchmark=STAND_IN_RUNS, cases=(*_CASES, metric_case), excerpts=excerpts),
        differs=differs,
    )


TEMPORAL: tuple[DataSet, ...] = (
    _temporal(
        "thumos14",
        "THUMOS14",
        "thumos14.json",
        {"train": Split(count=200), "test": Split(count=213)},
        ((71.58, "InternVideo, ActionFormer"), (66.80, "I3D, ActionFormer")),
        num_classes=20,
        protocol="trained on the validation videos, scored on the test videos; tIoU 0.3 to 0.7 in "
        "steps of 0.1. Some peers score 211 videos: one is labelled wrongly, one is empty",
        terms="research use, as the challenge's page states",
        where="the THUMOS Challenge 2014 page; json as in ActionFormer's repository",
        recipe="temporal_localization_thumos14",
        metric_case="tal_map_actionformer",
        excerpts=("thumos14",),
        train="validation",
    ),
    _temporal(
        "activitynet-localization",
        "ActivityNet 1.3",
        "anet1.3*.json",
        {"train": Split(count=10_024), "val": Split(count=4_926)},
        ((39.00, "InternVideo, ActionFormer"), (36.60, "TSP, ActionFormer")),
        num_classes=200,
        protocol=f"{_WIDE}; class-agnostic segments times the scores of a video classifier",
        terms="research use, no commercial one",
        where="activity-net.org; json as in ActionFormer's repository",
        recipe="temporal_localization_activitynet_agnostic",
        metric_case="activitynet_map_official",
        excerpts=("activitynet",),
        differs="scores of a classifier are an option, and results without them stand beside",
    ),
    _temporal(
        "hacs-segments",
        "HACS Segments",
        "HACS_segments*.json",
        {"train": Split(count=37_613), "val": Split(count=5_981)},
        ((41.55, "InternVideo, TCANet"), (41.32, "InternVideo, ActionFormer")),
        num_classes=200,
        protocol=f"{_WIDE}; class-agnostic segments times the scores of a video classifier",
        terms="research use, no commercial one",
        where="hacs.csail.mit.edu",
        recipe="temporal_localization_hacs_agnostic",
        metric_case="tal_score_fusion",
        excerpts=(),
        differs="the released configuration cannot run; its classes are written anew here",
    ),
    _temporal(
        "fineaction",
        "FineAction",
        "annotations_gt*.json",
        {"train": Split(count=8_440), "val": Split(count=4_174)},
        ((17.57, "InternVideo, ActionFormer"), (13.24, "I3D, ActionFormer")),
        num_classes=106,
        protocol=f"{_WIDE}; features resized to 192 steps",
        terms="CC BY-NC 4.0",
        where="the DeeperAction challenge's page of FineAction",
        recipe="temporal_localization_fineaction_agnostic",
        metric_case="tal_map_actionformer_gaps",
        excerpts=(),
        differs="the released configuration cannot run; its classes are written anew here",
    ),
)


def _ava(
    name: str, title: str, splits: dict[str, Split], value: float, prior: tuple[float, str]
) -> DataSet:
    both = name == "ava-kinetics"
    return DataSet(
        name=name,
        title=title,
        task="spatiotemporal-localization",
        splits=splits,
        what="videos",
        files=(
            AnnotationFile(pattern="ava_train_v2.2.csv", what="boxes to train on"),
            AnnotationFile(pattern="ava_val_v2.2.csv", what="boxes that are scored"),
            AnnotationFile(
                pattern="ava_val_excluded_timestamps_v2.2.csv",
                what="moments that are not scored",
                required=False,
            ),
            AnnotationFile(
                pattern="ava_action_list_v2.2_for_activitynet_2019.pbtxt", what="60 scored classes"
            ),
        )
        + (
            (
                AnnotationFile(pattern="kinetics_train_v1.0.csv", what="boxes in Kinetics-700"),
                AnnotationFile(pattern="kinetics_val_v1.0.csv", what="boxes in Kinetics-700"),
            )
            if both
            else ()
        ),
        reader="ava",
        num_classes=80,
        protocol="frame mAP at IoU 0.5 over the 60 scored of 80 classes, on key frames each second "
        "from 902 to 1798 s, with given boxes of persons"
        + ("; AVA and one key frame of each Kinetics clip" if both else ""),
        metric="map/true_boxes",
        terms="annotations CC BY 4.0",
        where="Google's AVA page; films from YouTube, copies at CVDF",
        published=(
            Published(metric="map/true_boxes", value=value, source="InternVideo, table 5"),
            Published(
                metric="map/true_boxes",
                value=prior[0],
                source="InternVideo, table 5",
                model=prior[1],
            ),
        ),
        recipes=("spatiotemporal_huge_ava_kinetics",)
        if both
        else ("spatiotemporal_large_ava", "spatiotemporal_base_ava"),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS,
            cases=("stal_roi_linear", "stal_roi_acar", "ava_frame_map"),
            excerpts=("ava",),
        ),
    )


SPATIOTEMPORAL: tuple[DataSet, ...] = (
    _ava(
        "ava-2.2",
        "AVA 2.2",
        {"train": Split(count=235), "val": Split(count=64)},
        41.01,
        (38.80, "MaskFeat"),
    ),
    _ava(
        "ava-kinetics",
        "AVA-Kinetics",
        {
            "train": Split(count=141_000, is_exact=False),
            "val": Split(count=32_000, is_exact=False),
        },
        42.51,
        (40.97, "Relation Modeling"),
    ),
)
