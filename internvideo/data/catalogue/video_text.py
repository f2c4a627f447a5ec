"""Retrieval, question answering and multiple choice: seventeen rows of the catalogue.

Counts: the data sets' papers and the code of CLIP4Clip. Results: InternVideo, tables 6 and 7, and
the READMEs of its retrieval and multi-modalities-downstream folders.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from internvideo.data.catalogue.entry import (
    STAND_IN_RUNS,
    AnnotationFile,
    DataSet,
    Evidence,
    Published,
    Split,
)

_FILE = AnnotationFile


@dataclass(frozen=True, kw_only=True, slots=True)
class _Pairs:
    """A data set of videos and sentences; results are R@1, text to video and back."""

    name: str
    title: str
    splits: Mapping[str, Split]
    files: tuple[AnnotationFile, ...]
    reader: str
    fine_tuned: tuple[float, float]
    zero_shot: tuple[float, float]
    protocol: str
    terms: str
    where: str
    recipe: str
    excerpts: tuple[str, ...] = ()
    cases: tuple[str, ...] = ("retrieval_similarity", "retrieval_single")
    frames: int
    clip_share: float | None
    differs: str = ""


_PAIRS: tuple[_Pairs, ...] = (
    _Pairs(
        name="msr-vtt",
        title="MSR-VTT",
        splits={"train": Split(count=9_000), "test": Split(count=1_000)},
        files=(
            _FILE(
                pattern="MSRVTT_train.9k.csv",
                what="videos to train on",
                sha256="0a7ece2418e1f7ac5680555a04ddfef8950293ac3c4bdd6584fb0fa6cc0ff7d3",
            ),
            _FILE(
                pattern="MSRVTT_JSFUSION_test.csv",
                what="1,000 videos with a sentence each",
                sha256="e61144b312c8a2fc2126f96504c981f8c23c05b3ba9655a56e2af50ac8a4b16a",
            ),
            _FILE(pattern="MSRVTT_data.json", what="all sentences"),
        ),
        reader="msr-vtt",
        fine_tuned=(55.2, 57.9),
        zero_shot=(40.0, 37.5),
        protocol="1k-A: 9,000 videos with 20 sentences each to train on, one sentence a test video",
        terms="none stated; research use",
        where="Microsoft Research's MSR-VTT; lists as in CLIP4Clip's repository",
        recipe="retrieval_msrvtt",
        excerpts=("msrvtt",),
        frames=8,
        clip_share=0.5,
    ),
    _Pairs(
        name="msvd",
        title="MSVD",
        splits={"train": Split(count=1_200), "val": Split(count=100), "test": Split(count=670)},
        files=(
            _FILE(
                pattern="train_list.txt",
                what="videos to train on",
                sha256="abfb8ab5660b464cf547d63a37a369920ff92c5f547af80f07aedd709df335d3",
            ),
            _FILE(
                pattern="val_list.txt",
                what="videos to choose by",
                sha256="9527cf1ef6c8fe2fb1ecfda0e1856acc563fecef5ff0a409b5d908b65c1e6ed4",
            ),
            _FILE(
                pattern="test_list.txt",
                what="videos that are scored",
                sha256="95eacd1fddb1d88cd7144267913ef02d0ecb8cc94a88bc484035433a2d8f9c7a",
            ),
            _FILE(pattern="*captions*", what="all sentences (pickle or json)"),
        ),
        reader="msvd",
        fine_tuned=(58.4, 76.3),
        zero_shot=(43.4, 67.6),
        protocol="every sentence is a query; a video is ranked by the best of its sentences",
        terms="none stated; research use",
        where="Microsoft Research Video Description corpus; clips of YouTube videos",
        recipe="retrieval_msvd",
        excerpts=("msvd",),
        cases=("retrieval_similarity", "retrieval_multi_sentence"),
        frames=12,
        clip_share=0.25,
    ),
    _Pairs(
        name="lsmdc",
        title="LSMDC",
        splits={
            "train": Split(count=101_079),
            "val": Split(count=7_408),
            "test": Split(count=1_000),
        },
        files=(
            _FILE(pattern="LSMDC16_annos_training.csv", what="clips to train on"),
            _FILE(pattern="LSMDC16_annos_val.csv", what="clips to choose by"),
            _FILE(pattern="LSMDC16_challenge_1000_publictect.csv", what="clips that are scored"),
        ),
        reader="lsmdc",
        fine_tuned=(34.0, 34.9),
        zero_shot=(17.6, 13.2),
        protocol="the 1,000 clips of the challenge, one sentence each",
        terms="agreement with the MPI for Informatics to be signed; films",
        where="the LSMDC page of the MPI for Informatics",
        recipe="retrieval_lsmdc",
        frames=6,
        clip_share=0.5,
    ),
    _Pairs(
        name="activitynet-captions",
        title="ActivityNet Captions",
        splits={"train": Split(count=10_009), "val": Split(count=4_917)},
        files=(
            _FILE(pattern="train.json", what="paragraphs to train on"),
            _FILE(pattern="val_1.json", what="paragraphs that are scored"),
            _FILE(pattern="val_2.json", what="a second annotation", required=False),
        ),
        reader="activitynet-captions",
        fine_tuned=(62.2, 62.8),
        zero_shot=(30.7, 31.4),
        protocol="paragraph to video: all sentences of a video joined; scored on val_1",
        terms="research use, no commercial one",
        where="the ActivityNet Captions page; videos of ActivityNet",
        recipe="retrieval_activitynet",
        excerpts=("activitynet_captions",),
        frames=16,
        clip_share=0.5,
    ),
    _Pairs(
        name="didemo",
        title="DiDeMo",
        splits={
            "train": Split(count=8_392),
            "val": Split(count=1_065),
            "test": Split(count=1_004),
        },
        files=(
            _FILE(pattern="train_data.json", what="moments to train on"),
            _FILE(pattern="val_data.json", what="moments to choose by"),
            _FILE(pattern="test_data.json", what="moments that are scored"),
            _FILE(
                pattern="train_list.txt",
                what="videos to train on",
                sha256="ed8fb2e66ef4ff73caec80167836dc7965d5b1dc8982990952f47bb28f68e507",
                required=False,
            ),
            _FILE(
                pattern="val_list.txt",
                what="videos to choose by",
                sha256="992923d0c9d0fcea8eb9b3ed5ba16a2f41b8c422872c92be824f1cd0a371b93e",
                required=False,
            ),
            _FILE(
                pattern="test_list.txt",
                what="videos that are scored",
                sha256="371f608f2c4984caa794ccfa40276069e209c2a0ea26a78acdad0613f4f61a2c",
                required=False,
            ),
        ),
        reader="didemo",
        fine_tuned=(57.9, 59.1),
        zero_shot=(31.5, 33.5),
        protocol="paragraph to video: all descriptions of a video joined",
        terms="annotations BSD 2-clause; Flickr videos under Creative Commons licences",
        where="the LocalizingMoments repository; videos of YFCC100M",
        recipe="retrieval_didemo",
        excerpts=("didemo",),
        frames=32,
        clip_share=None,
    ),
    _Pairs(
        name="vatex",
        title="VATEX",
        splits={"train": Split(count=25_991), "test": Split(count=1_500)},
        files=(
            _FILE(pattern="vatex_training_v1.0.json", what="sentences to train on"),
            _FILE(pattern="vatex_validation_v1.0.json", what="sentences that are scored"),
            _FILE(pattern="train_list.txt", what="videos to train on", required=False),
            _FILE(pattern="test_list.txt", what="half of validation", required=False),
        ),
        reader="vatex",
        fine_tuned=(71.1, 87.2),
        zero_shot=(49.5, 69.5),
        protocol="English sentences; half of the validation videos are scored, every sentence of "
        "theirs a query",
        terms="annotations CC BY 4.0; clips of YouTube videos",
        where="the VATEX page; lists as in the HGR code",
        recipe="retrieval_vatex",
        cases=("retrieval_similarity", "retrieval_multi_sentence"),
        frames=8,
        clip_share=0.5,
    ),
)


def _fine_tuned(row: _Pairs) -> DataSet:
    return DataSet(
        name=row.name,
        title=row.title,
        task="retrieval",
        splits=row.splits,
        files=row.files,
        reader=row.reader,
        protocol=row.protocol,
        metric="t2v/r1",
        terms=row.terms,
        where=row.where,
        published=_recalls(row.fine_tuned, "InternVideo, table 6; README of the retrieval code"),
        recipes=(row.recipe,),
        evidence=Evidence(benchmark=STAND_IN_RUNS, cases=row.cases, excerpts=row.excerpts),
        differs="scores with and without dual softmax, which needs all test queries at once, stand "
        "side by side; the published ones are most likely with it",
    )


def _zero_shot(row: _Pairs) -> DataSet:
    scored = "val" if "test" not in row.splits else "test"
    merged = (
        "weights as trained"
        if row.clip_share is None
        else f"weights of which {row.clip_share:g} are CLIP's"
    )
    return replace(
        _fine_tuned(row),
        name=f"{row.name}-zero-shot",
        title=f"{row.title}, zero-shot",
        splits={scored: row.splits[scored]},
        protocol=f"nothing is trained: {row.frames} frames, {merged}; {row.protocol}",
        published=_recalls(row.zero_shot, "README of the retrieval code, zero-shot"),
        recipes=("multimodal_large",),
    )


def _recalls(values: tuple[float, float], source: str) -> tuple[Published, ...]:
    return tuple(
        Published(metric=f"{way}/r1", value=value, source=source)
        for way, value in zip(("t2v", "v2t"), values, strict=True)
    )


def _questions(
    name: str,
    title: str,
    splits: dict[str, Split],
    files: tuple[AnnotationFile, ...],
    large: float,
    base: float,
    *,
    reader: str,
    num_answers: int,
    recipe: str,
    where: str,
    excerpts: tuple[str, ...] = (),
) -> DataSet:
    return DataSet(
        name=name,
        title=title,
        task="question-answering",
        splits=splits,
        what="questions",
        files=files,
        reader=reader,
        protocol=f"one of {num_answers:,} answers; 8 frames; trained on train and scored on test "
        "each epoch in the release, which leaves questions with other answers out of its score",
        metric="accuracy",
        terms="research use",
        where=where,
        published=(
            Published(
                metric="accuracy", value=large, model="InternVideo-MM-L/14", source="table 7"
            ),
            Published(metric="accuracy", value=base, model="InternVideo-MM-B/16", source="README"),
        ),
        recipes=(recipe,),
        evidence=Evidence(
            benchmark=STAND_IN_RUNS, cases=("internvideo_mm_vqa", "vqa_accuracy"), excerpts=excerpts
        ),
        differs="accuracy over all questions stands beside the released one",
    )


QUESTIONS: tuple[DataSet, ...] = (
    _questions(
        "msr-vtt-qa",
        "MSRVTT-QA",
        {
            "train": Split(count=158_581),
            "val": Split(count=12_278),
            "test": Split(count=72_821),
        },
        (
            _FILE(pattern="*train*.json*", what="questions to train on"),
            _FILE(pattern="*test*.json*", what="questions that are scored"),
        ),
        47.1,
        44.58,
        reader="msr-vtt-qa",
        num_answers=1_500,
        recipe="question_answering_msrvtt_qa",
        where="Xu et al. 2017; json lines as all-in-one publishes them; videos of MSR-VTT",
    ),
    _questions(
        "msvd-qa",
        "MSVD-QA",
        {"train": Split(count=30_933), "val": Split(count=6_415), "test": Split(count=13_157)},
        (
            _FILE(pattern="*train*.json", what="questions to train on"),
            _FILE(pattern="*val*.json", what="questions to choose by"),
            _FILE(pattern="*test*.json", what="questions that are scored"),
            _FILE(pattern="*youtube_mapping.txt", what="names of videos"),
        ),
        55.5,
        51.77,
        reader="msvd-qa",
        num_answers=1_000,
        recipe="question_answering_msvd_qa",
        where="Xu et al. 2017; videos of MSVD",
        excerpts=("msvd_qa",),
    ),
    _questions(
        "tgif-qa-frame",
        "TGIF-QA, FrameQA",
        {"train": Split(count=39_392), "test": Split(count=13_691)},
        (
            _FILE(pattern="*rain*frameqa*", what="questions to train on"),
            _FILE(pattern="*est*frameqa*", what="questions that are scored"),
        ),
        72.2,
        67.83,
        reader="tgif-qa",
        num_answers=1_540,
        recipe="question_answering_tgif_frame_qa",
        where="the tgif-qa repository; GIFs from Tumblr",
        excerpts=("tgif_qa",),
    ),
)


def _choice(
    name: str, title: str, file: AnnotationFile, count: int, large: float, base: float, where: str
) -> DataSet:
    return DataSet(
        name=name,
        title=title,
        task="multiple-choice",
        splits={"test": Split(count=count)},
        what="questions",
        files=(file,),
        reader=name,
        source=file.pattern,
        protocol="nothing is trained: the nearest of five sentences; 8 frames, weights half CLIP's",
        metric="accuracy",
        terms="as the videos'",
        where=where,
        published=(
            Published(metric="accuracy", value=large, model="InternVideo-MM-L/14", source="README"),
            Published(metric="accuracy", value=base, model="InternVideo-MM-B/16", source="README"),
        ),
        recipes=("multimodal_large", "multimodal_base"),
        evidence=Evidence(benchmark=STAND_IN_RUNS, cases=("multiple_choice",)),
    )


CHOICES: tuple[DataSet, ...] = (
    _choice(
        "msr-vtt-choice",
        "MSR-VTT multiple choice",
        _FILE(pattern="msrvtt_mc_test.jsonl", what="a video and five sentences each"),
        2_990,
        93.44,
        91.31,
        "json lines as all-in-one publishes them; videos of MSR-VTT",
    ),
    _choice(
        "lsmdc-choice",
        "LSMDC multiple choice",
        _FILE(
            pattern="LSMDC16_multiple_choice_test_randomized.csv",
            what="a clip and five sentences each",
        ),
        10_050,
        77.26,
        73.96,
        "the LSMDC page of the MPI for Informatics",
    ),
)

RETRIEVAL: tuple[DataSet, ...] = tuple(map(_fine_tuned, _PAIRS))
ZERO_SHOT_RETRIEVAL: tuple[DataSet, ...] = tuple(map(_zero_shot, _PAIRS))
