"""Tracks: what other models say of the videos of an index, searchable by name.

`label_windows` names every window zero-shot by the nearest of given labels. A trained classifier, a
caption decoder and a temporal detector each add a track of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from internvideo.data import centre_view
from internvideo.errors import AnnotationError, CheckpointError, DecodeError
from internvideo.hub import Pretrained
from internvideo.processes import sole_use
from internvideo.reading import read_document_text
from internvideo.search.facts import Name
from internvideo.search.index import Index
from internvideo.search.model import SearchModel
from internvideo.search.stores import ExactStore
from internvideo.search.windows import CutWindow, WindowPlan, cut_video
from internvideo.tasks import (
    FailedVideo,
    LocalizationRequest,
    RecognitionModel,
    TemporalDetector,
    TemporalLocalization,
    VideoTextModel,
    class_probabilities,
)
from internvideo.video import VideoReader

LABELS = "labels"
_BATCH = 8

# Parts of one video that a model has named: start, end, name, score.
Named = list[tuple[float, float, str, float]]
NamesOf = Callable[[Path], Named]


def read_labels(path: Path) -> tuple[str, ...]:
    """Read labels, one a line; empty lines are passed over.

    Raises:
        AnnotationError: There are fewer than two, or one is there twice.
    """
    try:
        lines = [line.strip() for line in read_document_text(path).split("\n")]
    except ValueError as error:
        raise AnnotationError(f"{path}: cannot be read as text ({error})") from error
    places: dict[str, int] = {}
    for number, label in enumerate(lines, 1):
        if label in places:
            raise AnnotationError(
                f"{path}, line {number}: {label!r} is in line {places[label]} already"
            )
        if label:
            places[label] = number
    if len(places) < 2:
        raise AnnotationError(f"{path}: holds {len(places)} labels; give two or more, one a line")
    return tuple(places)


def label_windows(index: Index, model: SearchModel, labels: Sequence[str]) -> None:
    """Name every window by the label whose words are nearest, as the track `labels`.

    The score is the label's share among all of them, by the model's own temperature.
    """
    texts = model.embed_texts(list(labels)).numpy()
    windows, store = index.windows(), ExactStore(index)
    logits = model.scale * (store.vectors(windows.row) @ texts.T).astype(np.float64)
    shares = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf))
    shares /= shares.sum(1, keepdims=True)
    best = shares.argmax(1) if len(shares) else []
    names = [
        Name(
            track=LABELS,
            video=int(windows.video[i]),
            start_s=float(windows.start_s[i]),
            end_s=float(windows.end_s[i]),
            name=labels[label],
            score=float(shares[i, label]),
        )
        for i, label in enumerate(best)
    ]
    with sole_use(index.folder):
        index.set_names(LABELS, names, videos=[video.id for video in index.videos()])
        with index.change():
            index.set_meta("labels", list(labels))


def add_track(
    index: Index,
    track: str,
    names_of: NamesOf,
    *,
    model_sha256: str,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[FailedVideo, ...]:
    """Let a model name parts of every video that its track does not have yet.

    A track by other weights is replaced. Interrupted, it goes on with the next video.
    """
    key, failed = f"track_{track}", []
    with sole_use(index.folder):
        known = index.meta(key) or {}
        with index.reading():
            done = set(known["videos"]) if known.get("sha256") == model_sha256 else set()
        videos = index.videos()
        todo = [video for video in videos if video.id not in done]
        done &= {video.id for video in videos}
        for number, video in enumerate(todo, 1):
            try:
                named = names_of(index.root / video.path)
            except DecodeError as error:
                named = []
                failed.append(FailedVideo(path=video.path, reason=str(error)))
            names = [
                Name(track=track, video=video.id, start_s=a, end_s=b, name=n, score=s)
                for a, b, n, s in named
            ]
            done.add(video.id)
            index.set_names(track, names, videos=[video.id])
            with index.change():
                index.set_meta(key, {"sha256": model_sha256, "videos": sorted(done)})
            if progress is not None:
                progress(number, len(todo))
    return tuple(failed)


def namer(
    pretrained: Pretrained,
    plan: WindowPlan,
    *,
    source: str,
    open_encoder: Callable[[str], object] | None = None,
) -> NamesOf:
    """How a model names parts of a video: a detector its segments, others the windows.

    Raises:
        CheckpointError: It is no classifier with named classes, caption decoder or detector.
    """
    if pretrained.kind == "temporal-detector":
        detector = TemporalDetector.from_pretrained(pretrained, source=source)
        detector.open_encoder = open_encoder
        return lambda path: _detected(detector, path)
    if pretrained.classes:
        classifier = RecognitionModel.from_pretrained(pretrained, source=source)
        return lambda path: _of_windows(path, plan, classifier, _classify(classifier))
    if getattr(pretrained.model, "captioner", None) is not None:
        captioner = VideoTextModel.from_pretrained(pretrained, source=source)
        return lambda path: _of_windows(path, plan, captioner, _caption(captioner))
    raise CheckpointError(
        f"{source}: a {pretrained.kind} model names nothing; take a classifier with class names, "
        "an encoder B with a caption decoder or a temporal detector"
    )


def _detected(detector: TemporalDetector, path: Path) -> Named:
    found = TemporalLocalization().predict(detector, LocalizationRequest(video=path))
    return [(one.start_s, one.end_s, one.label, one.score) for one in found.segments]


Sayings = Callable[[UInt8[Tensor, "b t h w 3"]], list[tuple[str, float]]]


def _classify(model: RecognitionModel) -> Sayings:
    def say(clips: Tensor) -> list[tuple[str, float]]:
        shares = class_probabilities(model, model.classify_clips(clips)).cpu()
        best = shares.max(1)
        return [
            (model.classes[label], score)
            for label, score in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    return say


def _caption(model: VideoTextModel) -> Sayings:
    return lambda clips: [(sentence, 1.0) for sentence in model.caption(clips)]


def _of_windows(
    path: Path, plan: WindowPlan, model: RecognitionModel | VideoTextModel, say: Sayings
) -> Named:
    crop, side_px, num_frames = model.crop, _side(model), model.num_frames
    named: Named = []
    with VideoReader(path) as video:
        cut = cut_video(
            video, plan, short_side_px=round(side_px / crop), single_frames=num_frames == 1
        )
        for batch in _batches(cut):
            clips = [centre_view(window.spread(num_frames), side_px, crop) for window in batch]
            for window, (name, score) in zip(batch, say(torch.stack(clips)), strict=True):
                named.append((window.start_s, window.end_s, name, score))
    return named


def _side(model: RecognitionModel | VideoTextModel) -> int:
    return int(model.side_px)


def _batches(windows: Iterator[CutWindow]) -> Iterator[list[CutWindow]]:
    while batch := list(islice(windows, _BATCH)):
        yield batch
