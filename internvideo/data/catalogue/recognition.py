"""Action recognition, zero-shot recognition and open-set recognition: ten rows of the catalogue.

Counts and results: InternVideo, tables 2 and 3 and figure 1; the lists of VideoMAE V2 and
UniFormerV2. Hashes are those of public copies of the files.
"""

from __future__ import annotations

from collections.abc import Sequence

from internvideo.data.catalogue.entry import (
    STAND_IN_RUNS,
    AnnotationFile,
    DataSet,
    Evidence,
    Published,
    Split,
)

_PAPER = "InternVideo, tables 2 and 3"
_KINETICS_TERMS = "annotations CC BY 4.0; the videos belong to those who uploaded them to YouTube"
_KINETICS_WHERE = (
    "csv files of DeepMind's Kinetics page or of the ActivityNet crawler; trimmed clips from "
    "YouTube, many of which are gone, or from copies that CVDF hosts"
)
_SOMETHING_TERMS = "licence of Qualcomm (formerly Twenty Billion Neurons): research, no resale"
_VIEWS_CASES = ("multiview_merge", "multiview_testmeter")
_KINETICS_CASES = (*_VIEWS_CASES, "sampling_kinetics_videomae", "sampling_uniformerv2")


def _top1(*results: tuple[float, str, str]) -> tuple[Published, ...]:
    return tuple(
        Published(metric="top1", value=value, model=model, source=source)
        for value, model, source in results
    )


def _kinetics(
    count: int,
    splits: dict[str, Split],
    sha256: str,
    published: tuple[Published, ...],
    recipes: Sequence[str],
) -> DataSet:
    labels = f"label_map_k{count}.txt"
    return DataSet(
        name=f"kinetics-{count}",
        title=f"Kinetics-{count}",
        task="action-recognition",
        splits=splits,
        files=(
            AnnotationFile(pattern="train.csv", what="clips to train on"),
            AnnotationFile(pattern="val.csv", what="clips that are scored"),
            AnnotationFile(pattern="test.csv", what="clips without labels", required=False),
            AnnotationFile(pattern=labels, what="classes in order", sha256=sha256),
        ),
        reader="kinetics",
        options={"classes": labels},
        num_classes=count,
        class_list=labels,
        protocol="trained on train, scored on val; probabilities averaged over clips and crops "
        "(InternVideo: 7 x 3 of ViT-H, 4 x 3 of UniFormerV2), then over models",
        metric="top1",
        terms=_KINETICS_TERMS,
        where=_KINETICS_WHERE,
        published=published,
        recipes=tuple(recipes),
        evidence=Evidence(benchmark=STAND_IN_RUNS, cases=_KINETICS_CASES, excerpts=("kinetics",)),
    )


def _something(version: int, splits: dict[str, Split], value: float, single: float) -> DataSet:
    first = version == 1
    return DataSet(
        name=f"something-something-v{version}",
        title=f"Something-Something V{version}",
        task="action-recognition",
        splits=splits,
        files=tuple(
            AnnotationFile(pattern=pattern, what=what, required=what != "clips without labels")
            for pattern, what in (
                ("*labels.csv" if first else "*labels.json", "classes"),
                ("*train.csv" if first else "*train.json", "clips to train on"),
                ("*validation.csv" if first else "*validation.json", "clips that are scored"),
                ("*test.csv" if first else "*test.json", "clips without labels"),
            )
        ),
        reader="something-something-v1" if first else "something-something",
        num_classes=174,
        protocol="trained on train, scored on validation: one frame of each of 16 segments, 2 x 3 "
        "views of VideoMAE, 1 x 3 of UniFormerV2; clips are never mirrored",
        metric="top1",
        terms=_SOMETHING_TERMS,
        where="the data set's page at Qualcomm, after registration"
        + ("; folders of JPEG frames at 12 a second" if first else "; WebM files"),
        published=_top1(
            (value, "InternVideo", _PAPER),
            (single, "UniFormerV2-L, 32 frames", "UniFormerV2's model zoo"),
        ),
        recipes=(f"recognition_uniformer_large_ssv{version}",)
        + (() if first else ("recognition_mae_huge_ssv2", "recognition_mae_base_ssv2")),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS,
            cases=("sampling_ssv2_videomae", "uniformerv2_downsample_double", *_VIEWS_CASES),
            excerpts=("jester_v1",) if first else (),
        ),
        differs="" if first else "UniFormerV2 starts from CLIP, ViT-H from masked pretraining",
    )


def _untrimmed(
    name: str, title: str, splits: dict[str, Split], value: float, terms: str
) -> DataSet:
    return DataSet(
        name=name,
        title=title,
        task="action-recognition",
        splits=splits,
        files=(
            AnnotationFile(
                pattern="activity_net.v1-3.min.json" if name == "activitynet" else "HACS_*.json",
                what="videos with their instances",
            ),
        ),
        reader="activitynet",
        source="activity_net.v1-3.min.json"
        if name == "activitynet"
        else "HACS_segments_v1.1.1.json",
        num_classes=200,
        protocol="trained on instances cut to their times, scored on whole videos with one label "
        "each; 16 frames, one of each segment, 10 x 3 views of UniFormerV2",
        metric="top1",
        terms=terms,
        where="activity-net.org; videos from YouTube, missing ones on request"
        if name == "activitynet"
        else "hacs.csail.mit.edu; videos from YouTube, missing ones on request",
        published=_top1(
            (value, "InternVideo", _PAPER),
            (value, "UniFormerV2-L, 16 frames", "README of InternVideo's UniFormerV2"),
        ),
        recipes=(f"recognition_uniformer_large_{name}",)
        + (("recognition_mae_base_activitynet",) if name == "activitynet" else ()),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS,
            cases=("sampling_uniformerv2", *_VIEWS_CASES),
            excerpts=("activitynet",) if name == "activitynet" else (),
        ),
        differs="a validation video with instances of several classes counts as the one that fills "
        "most of it; the released lists do not say which they took",
    )


RECOGNITION: tuple[DataSet, ...] = (
    _kinetics(
        400,
        {"train": Split(count=240_436), "val": Split(count=19_796)},
        "e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f",
        _top1(
            (91.1, "InternVideo-T", _PAPER),
            (90.9, "InternVideo-D", _PAPER),
            (90.0, "UniFormerV2-L/14 at 336 px, 64 frames", "UniFormerV2's model zoo"),
        ),
        ("recognition_mae_huge_k400", "recognition_uniformer_large_k710_k400"),
    ),
    _kinetics(
        600,
        {"train": Split(count=366_006), "val": Split(count=27_935)},
        "8dfca4202520ea8291ce0242ef33b006d0a0772b409663c090a2876bc1978dcf",
        _top1((91.3, "InternVideo-T", _PAPER), (91.1, "InternVideo-D", _PAPER)),
        ("recognition_mae_huge_k600", "recognition_uniformer_large_k710_k600"),
    ),
    _kinetics(
        700,
        {"train": Split(count=523_000, is_exact=False), "val": Split(count=34_000, is_exact=False)},
        "2f265d35aa76060219f7e83aff12f5aaba9d1fe27360aa83f11aad7a3648fc51",
        _top1((84.0, "InternVideo-T", _PAPER), (83.8, "InternVideo-D", _PAPER)),
        ("recognition_mae_huge_k700", "recognition_uniformer_large_k710_k700"),
    ),
    _something(
        1,
        {"train": Split(count=86_017), "val": Split(count=11_522)},
        70.0,
        62.7,
    ),
    _something(2, {"train": Split(count=168_913), "val": Split(count=24_777)}, 77.2, 73.0),
    _untrimmed(
        "activitynet",
        "ActivityNet 1.3",
        {"train": Split(count=10_024), "val": Split(count=4_926)},
        94.3,
        "research use, no commercial one; the videos belong to those who uploaded them",
    ),
    _untrimmed(
        "hacs",
        "HACS Segments",
        {"train": Split(count=37_613), "val": Split(count=5_981)},
        95.5,
        "research use, no commercial one; the videos belong to those who uploaded them",
    ),
    DataSet(
        name="hmdb51",
        title="HMDB51",
        task="action-recognition",
        splits={"train": Split(count=3_570), "test": Split(count=1_530)},
        files=(AnnotationFile(pattern="*_test_split1.txt", what="one list a class, of fold 1"),),
        reader="hmdb51",
        num_classes=51,
        protocol="mean accuracy over three folds; the paper does not say on which it reports",
        metric="top1",
        terms="CC BY 4.0 for the data set; the clips come from films and the web",
        where="the Serre lab's page of HMDB51 (videos as rar, testTrainMulti_7030_splits)",
        published=_top1((89.3, "InternVideo", _PAPER)),
        recipes=("recognition_mae_huge_hmdb51",),
        evidence=Evidence(benchmark=STAND_IN_RUNS, cases=_VIEWS_CASES, excerpts=("hmdb51",)),
        differs="the settings are VideoMAE V2's, since InternVideo's were not published",
    ),
    DataSet(
        name="kinetics-400-zero-shot",
        title="Kinetics-400, zero-shot",
        task="zero-shot-recognition",
        splits={"test": Split(count=38_685, is_exact=False)},
        files=(
            AnnotationFile(pattern="test.csv", what="clips that are scored, with labels"),
            AnnotationFile(
                pattern="label_map_k400.txt",
                what="classes in order",
                sha256="e9f2806fe9109b851a80a74841244f6f8c9d10917fa0229cd82bab67f2f8e28f",
            ),
        ),
        reader="kinetics",
        source="test.csv",
        options={"classes": "label_map_k400.txt"},
        num_classes=400,
        class_list="label_map_k400.txt",
        protocol="16 sentences a class, probabilities averaged over them; encoder B with weights "
        "half of which are CLIP's, 8 frames, one crop; on the test list, not on validation",
        metric="top1",
        terms=_KINETICS_TERMS,
        where=_KINETICS_WHERE,
        published=_top1(
            (64.25, "InternVideo-MM-L/14", "README of multi-modalities-downstream"),
            (56.65, "InternVideo-MM-B/16", "README of multi-modalities-downstream"),
        ),
        recipes=("multimodal_large", "multimodal_base"),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS,
            cases=("zero_shot_templates", "internvideo_mm_dual_encoder"),
            excerpts=("kinetics",),
        ),
    ),
    DataSet(
        name="ucf101-open-set",
        title="UCF101, with HMDB51 or MiT-v2 unknown",
        task="open-set",
        splits={"train": Split(count=9_537), "test": Split(count=3_783)},
        files=(
            AnnotationFile(
                pattern="classInd.txt",
                what="classes in order",
                sha256="2a798a30209e8b77adee0137746585c85a687d2e2289364d15888f81a64b9450",
            ),
            AnnotationFile(
                pattern="trainlist01.txt",
                what="known videos to train on",
                sha256="a9cdad701efdbf7ff5f1f3e9c8aba8ac1c162f37b023a335e9103188df981d06",
            ),
            AnnotationFile(
                pattern="testlist01.txt",
                what="known videos that are scored",
                sha256="6dbcc18a08d60a909dda63fe670c9432e6acfa65b04f96e8397a26ce4d31c53f",
            ),
        ),
        reader="ucf101",
        num_classes=101,
        protocol="evidential loss on fold 1 of UCF101; one clip of 32 frames and three crops, "
        "logits averaged; AUROC of the uncertainty over UCF101's test and, as unknown videos, "
        "HMDB51's test of fold 1 or the validation of Moments in Time v2",
        metric="auroc",
        terms="UCF101 states none (research use); see HMDB51; Moments in Time: no commercial use",
        where="the UCF CRCV page; unknown videos from HMDB51 and Moments in Time",
        published=(
            Published(metric="auroc", value=85.48, source="README, HMDB51 unknown"),
            Published(metric="auroc", value=91.85, source="README, MiT-v2 unknown"),
            Published(metric="top1", value=97.89, source="README, UCF101"),
        ),
        recipes=("open_set_mae_huge_ucf101",),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS,
            cases=("open_set_edl", "open_set_average_clips"),
            excerpts=("ucf101", "hmdb51", "moments_in_time"),
        ),
        differs="AdamW instead of SGD; the threshold accepts 95 % of training videos, not 5 %",
    ),
)
