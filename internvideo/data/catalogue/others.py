"""Navigation and Ego4D, six rows of the catalogue; and what is pretrained on, seven more.

Counts and results: InternVideo, table 1 and figure 1; the repository of its Ego4D solutions.
"""

from __future__ import annotations

from collections.abc import Mapping

from internvideo.data.catalogue.entry import (
    EPISODES,
    STAND_IN_RUNS,
    AnnotationFile,
    DataSet,
    Evidence,
    Published,
    Split,
)

_RADAR = "InternVideo, figure 1"

NAVIGATION: tuple[DataSet, ...] = (
    DataSet(
        name="r2r-ce",
        title="R2R in continuous environments (VLN-CE)",
        task="navigation",
        splits={
            "train": Split(count=10_819),
            "val_seen": Split(count=778),
            "val_unseen": Split(count=1_839),
        },
        what="episodes",
        files=(
            AnnotationFile(pattern="train/train*.json.gz", what="episodes to train on"),
            AnnotationFile(pattern="val_seen/val_seen*.json.gz", what="episodes in rooms seen"),
            AnnotationFile(
                pattern="val_unseen/val_unseen*.json.gz", what="episodes that are scored"
            ),
        ),
        reader=EPISODES,
        source="{split}/{split}.json.gz",
        protocol="success within 3 m of the goal, weighted by path length, in rooms never seen",
        metric="spl",
        terms="episodes MIT; scenes under the terms of use of Matterport3D, to be signed",
        where="the VLN-CE repository; scenes from the Matterport3D page",
        published=(
            Published(
                metric="spl", value=48.40, source=f"{_RADAR}, which names no metric: likely SPL"
            ),
            Published(
                metric="spl", value=39.00, source=_RADAR, model="prior (CWP, Recurrent VLN-BERT)"
            ),
        ),
        recipes=("navigation_vlnce_large", "navigation_vlnce_base"),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS, cases=("vln_ce_metrics",), excerpts=("r2r_vlnce",)
        ),
        differs="Habitat runs in a process of its own; the rooms at hand are generated",
    ),
)


def _ego4d(
    name: str,
    title: str,
    task: str,
    files: tuple[AnnotationFile, ...],
    splits: dict[str, Split],
    value: float,
    prior: float,
    *,
    reader: str,
    protocol: str,
    published: str,
    metric: str,
    what: str,
    recipes: tuple[str, ...],
    differs: str,
    cases: tuple[str, ...] = (),
    options: Mapping[str, str] | None = None,
) -> DataSet:
    return DataSet(
        name=f"ego4d-{name}",
        title=f"Ego4D, {title}",
        task=task,
        splits=splits,
        what=what,
        files=files,
        reader=reader,
        source=files[0].pattern.replace("_train", "_*"),
        options=options or {},
        protocol=protocol,
        metric=metric,
        terms="Ego4D licence agreement, to be signed",
        where="ego4d-data.org, annotations and clips by its command line tool",
        published=(
            Published(metric=published, value=value, source=_RADAR),
            Published(metric=published, value=prior, source=_RADAR, model="prior"),
        ),
        recipes=recipes,
        evidence=Evidence(benchmark=STAND_IN_RUNS, cases=cases),
        differs=differs,
    )


def _two(name: str, what: str) -> tuple[AnnotationFile, ...]:
    return (
        AnnotationFile(pattern=f"{name}_train.json", what=f"{what} to train on"),
        AnnotationFile(pattern=f"{name}_val.json", what=f"{what} that are scored"),
    )


EGO4D: tuple[DataSet, ...] = (
    _ego4d(
        "short-term-anticipation",
        "short-term object interaction anticipation",
        "anticipation",
        _two("fho_sta", "frames"),
        {"train": Split(count=27_801, is_exact=False)},
        3.40,
        2.45,
        reader="ego4d-anticipation",
        protocol="the next object to be touched: its box and noun, the verb and the time to "
        "contact, from 16 frames that end at the annotated one; the published score is top-5 mAP",
        published="top5_map",
        metric="true_boxes/map/noun_verb_contact",
        what="frames",
        recipes=("anticipation_large_ego4d",),
        differs="boxes and nouns are the true ones, or with `--boxes` those of your own detector; "
        "the network starts from Kinetics and not from verbs and nouns of Ego4D",
    ),
    _ego4d(
        "hand-forecasting",
        "future hand prediction",
        "hand-forecasting",
        _two("fho_hands", "interactions"),
        {"train": Split(count=8_000, is_exact=False)},
        2.54,
        2.28,
        reader="ego4d-hands",
        protocol="where both hands will be at five moments up to the contact; the radar figure's "
        "number is not explained",
        published="score",
        metric="displacement",
        what="interactions",
        recipes=("hand_forecasting_base_ego4d",),
        differs="encoder A instead of UniFormer-B at 320 px; hands move with the crop, where the "
        "release leaves them behind; scored in pixels of displacement, as the benchmark does",
    ),
    _ego4d(
        "natural-language-queries",
        "natural language queries",
        "moment-retrieval",
        _two("nlq", "queries"),
        {"train": Split(count=11_291, is_exact=False)},
        16.45,
        12.89,
        reader="ego4d-queries",
        protocol="the span of a clip that answers a question; mean of R@1 at tIoU 0.3 and 0.5, "
        "on features of VideoMAE-L",
        published="mean_r1",
        metric="ego4d/mean_r1",
        what="queries",
        options={"part": "answer"},
        recipes=("retrieval_ego4d_nlq",),
        differs="encoder B learns pairs of answer and query, and an index of the clips is "
        "searched; the published system is VSLNet on features",
    ),
    _ego4d(
        "state-change-detection",
        "state-change object detection",
        "spatiotemporal-localization",
        _two("fho_scod", "clips"),
        {"train": Split(count=19_071, is_exact=False)},
        37.19,
        15.38,
        reader="ego4d-state-changes",
        protocol="boxes of the object whose state changes, before, at and after the point of no "
        "return, by an image detector (DINO) on UniFormer-L or Swin-L",
        published="ap",
        metric="map/true_boxes",
        what="videos",
        recipes=("spatiotemporal_large_ego4d_scod",),
        differs="the noun of given boxes is learned and scored by frame mAP; the image detector "
        "that finds them is not part of this project, so the published AP cannot be computed",
    ),
    _ego4d(
        "moment-queries",
        "moment queries",
        "temporal-localization",
        _two("moments", "clips"),
        {"train": Split(count=1_486, is_exact=False), "val": Split(count=521, is_exact=False)},
        23.59,
        10.33,
        reader="ego4d-moments",
        protocol="ActionFormer over 110 classes on features of VideoMAE-L; mAP at tIoU 0.1 to 0.5",
        published="map/average",
        metric="map/average",
        what="clips",
        recipes=("temporal_localization_ego4d_mq",),
        cases=("actionformer_multiclass", "nms_1d", "tal_map_actionformer"),
        differs="settings are OpenTAD's, without its dropout of inputs",
    ),
)


def _corpus(
    name: str, title: str, clips: int, *, reader: str, recipe: str, terms: str, where: str, how: str
) -> DataSet:
    masked = recipe.startswith("mae")
    return DataSet(
        name=name,
        title=title,
        task="masked-pretraining" if masked else "multimodal-pretraining",
        splits={"train": Split(count=clips, is_exact=False)},
        files=(),
        reader=reader,
        protocol=how,
        metric="loss",
        terms=terms,
        where=where,
        published=(),
        recipes=(recipe,),
    )


_HYBRID = "part of UnlabeledHybrid, about a million clips: 16 frames, {} apart"

PRETRAINING: tuple[DataSet, ...] = (
    _corpus(
        "pretrain-kinetics-400",
        "Kinetics-400, unlabelled",
        240_000,
        reader="pretraining-list",
        recipe="mae_huge_hybrid",
        terms="as Kinetics-400",
        where="as Kinetics-400",
        how=_HYBRID.format(4),
    ),
    _corpus(
        "pretrain-webvid-2m",
        "WebVid2M, a quarter million sampled",
        250_000,
        reader="pretraining-list",
        recipe="mae_huge_hybrid",
        terms="withdrawn by its authors; the videos belong to a stock agency",
        where="no longer offered",
        how=_HYBRID.format(4),
    ),
    _corpus(
        "pretrain-ava",
        "AVA, clips of its films",
        21_000,
        reader="pretraining-list",
        recipe="mae_huge_hybrid",
        terms="as AVA 2.2",
        where="as AVA 2.2",
        how=_HYBRID.format(4),
    ),
    _corpus(
        "pretrain-something-something-v2",
        "Something-Something V2, unlabelled",
        169_000,
        reader="pretraining-list",
        recipe="mae_huge_hybrid",
        terms="as Something-Something V2",
        where="as Something-Something V2",
        how=_HYBRID.format(2),
    ),
    _corpus(
        "pretrain-webvid-10m",
        "WebVid10M",
        10_000_000,
        reader="webvid",
        recipe="multimodal_large",
        terms="withdrawn by its authors; the videos belong to a stock agency",
        where="no longer offered",
        how="videos with their captions, 8 frames, matched and described",
    ),
    _corpus(
        "pretrain-howto100m",
        "HowTo100M, sampled",
        1_200_000,
        reader="manifest",
        recipe="multimodal_large",
        terms="research use; the videos belong to those who uploaded them",
        where="the HowTo100M page; videos from YouTube",
        how="clips with what is said in them, matched and described",
    ),
    DataSet(
        name="kinetics-710",
        title="Kinetics-710",
        task="action-recognition",
        splits={"train": Split(count=658_340), "val": Split(count=66_803)},
        files=(
            AnnotationFile(pattern="train.csv", what="clips to train on"),
            AnnotationFile(pattern="val.csv", what="clips that are scored"),
            AnnotationFile(pattern="label_map_k710.txt", what="classes in order"),
        ),
        reader="kinetics710",
        num_classes=710,
        class_list="label_map_k710.txt",
        protocol="supervised post-pretraining of both encoders; `internvideo data kinetics710` "
        "merges it from Kinetics-400, 600 and 700",
        metric="top1",
        terms="as Kinetics",
        where="made from the three versions of Kinetics",
        published=(
            Published(
                metric="top1", value=79.33, source="README", model="ViT-B, hybrid 800 epochs"
            ),
        ),
        recipes=("recognition_mae_huge_k710", "recognition_uniformer_large_k710"),
        evidence=Evidence(benchmark=STAND_IN_RUNS),
    ),
)
