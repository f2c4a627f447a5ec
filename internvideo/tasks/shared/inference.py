"""Inference over videos: every clip is decoded once and classified, embedded or captioned.

A task knows a model only as an `Embedder`, a `Captioner` or a `Classifier`. Unless a model says
otherwise clips are taken by the official zero-shot protocol (`CoTrain/datasets/video` of the
InternVideo release): one frame at the middle of each of t equal segments, short side 256, centre
crop 224.
Shapes: frames (b, t, h, w, 3) uint8 -> embeddings (b, e), not necessarily normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from internvideo.data import ClipLoader, VideoData, ViewDataset, ViewPlan, sample_seed
from internvideo.errors import ConfigError, TrainingError
from internvideo.tasks.shared.task import FailedVideo, Progress
from internvideo.values import Annotations, Record, Sampling

Prediction = TypeVar("Prediction")


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipSampling:
    """How clips are taken from a video: frames of a dense clip or of segments, and the centre crop.

    `crop` is the centre's share of the short side.
    """

    sampling: Sampling = "segments"
    stride_frames: int = 4
    crop: float = 224 / 256

    def __post_init__(self) -> None:
        if not 0 < self.crop <= 1:
            raise ConfigError(f"crop is {self.crop}, expected above 0 and at most 1")
        if self.stride_frames < 1:
            raise ConfigError(f"stride_frames is {self.stride_frames}, expected 1 or more")

    def data(self, source: str, *, num_workers: int = 0) -> VideoData:
        """The same in the words of a data set."""
        return VideoData(
            source=source,
            sampling=self.sampling,
            stride_frames=self.stride_frames,
            eval_crop=self.crop,
            num_workers=num_workers,
        )


@runtime_checkable
class VideoModel(Protocol):
    """A model as the loading of its clips knows it; `clip_sampling` is that of its training."""

    @property
    def num_frames(self) -> int: ...
    @property
    def side_px(self) -> int: ...
    @property
    def clip_sampling(self) -> ClipSampling: ...


@runtime_checkable
class Embedder(VideoModel, Protocol):
    """A model that puts clips and sentences into one space; `logit_scale` is a logarithm."""

    @property
    def logit_scale(self) -> Float[Tensor, ""]: ...
    def embed_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b e"]: ...
    def embed_texts(self, sentences: list[str]) -> Float[Tensor, "b e"]: ...


@runtime_checkable
class Captioner(VideoModel, Protocol):
    """A model that describes clips, one sentence each."""

    def caption(self, frames: UInt8[Tensor, "b t h w 3"], *, num_beams: int = 1) -> list[str]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Inference:
    """How a model is run over videos; what is None is as the model was evaluated in training."""

    sampling: Sampling | None = None
    """Frames at a fixed stride (dense), one per equal segment (segments), or one a second, padded
    (seconds); default as in training."""
    stride_frames: int | None = None
    """Frame stride of dense clips; default as in training."""
    crop: float | None = None
    """Centre crop, as a share of the short side; default as in evaluation during training."""
    shuffled: bool = False
    """Shuffle the frames of every clip, to measure how much the score depends on time."""
    seed: int = 0
    """Seed of the shuffling."""
    batch_size: int = 16
    """Clips per batch."""
    num_workers: int = 0
    """Worker processes that decode; 0 decodes in this process."""

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected 1 or more")
        self.clip_sampling(ClipSampling())  # fails for what is impossible with any model

    def clip_sampling(self, usual: ClipSampling) -> ClipSampling:
        """How clips are taken for a model that usually takes them so."""
        return ClipSampling(
            sampling=usual.sampling if self.sampling is None else self.sampling,
            stride_frames=(
                usual.stride_frames if self.stride_frames is None else self.stride_frames
            ),
            crop=usual.crop if self.crop is None else self.crop,
        )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Predictions(Generic[Prediction]):
    """Predictions for the different clips of records; None where a clip could not be decoded.

    Several records (of several sentences, say) may show the same clip: `of_record[i]` is the
    place of record i's clip in `clips` and `values`.
    """

    clips: tuple[Record, ...]
    values: tuple[Prediction | None, ...]
    of_record: Int64[Tensor, " records"]
    failed: tuple[FailedVideo, ...]


def predict_clips(
    predict: Callable[[UInt8[Tensor, "b t h w 3"]], Iterable[Prediction]],
    records: Sequence[Record],
    model: VideoModel,
    inference: Inference,
    *,
    plan: ViewPlan | None = None,
    progress: Progress | None = None,
) -> Predictions[Prediction]:
    """Decode every different clip of the records once and predict batch by batch.

    With a plan each clip comes as all its views, next to each other, and `predict` gives one
    prediction for all of them; batches then hold as many whole clips as `inference.batch_size` has
    room for.

    Raises:
        ConfigError: Without records.
        TrainingError: If not a single clip can be decoded.
    """
    clips, of_record = different_clips(records)
    values, failed = predict_each(
        lambda frames, _: predict(frames),
        clips,
        model,
        inference,
        plan=plan or ViewPlan(),
        progress=progress,
    )
    return Predictions(clips=clips, values=tuple(values), of_record=of_record, failed=failed)


def predict_each(
    predict: Callable[[UInt8[Tensor, "b t h w 3"], list[int]], Iterable[Prediction]],
    clips: Sequence[Record],
    model: VideoModel,
    inference: Inference,
    *,
    plan: ViewPlan,
    progress: Progress | None = None,
) -> tuple[list[Prediction | None], tuple[FailedVideo, ...]]:
    """Decode clips batch by batch and predict; `predict` is also told their places in `clips`.

    Returns:
        A prediction for each clip, None where it could not be decoded, and those that could not.

    Raises:
        TrainingError: If not a single clip can be decoded.
    """
    sampling = inference.clip_sampling(model.clip_sampling)
    dataset = ViewDataset(
        Annotations(records=tuple(clips)),
        sampling.data(str(clips[0].video.parent), num_workers=inference.num_workers),
        plan,
        num_frames=model.num_frames,
        side_px=model.side_px,
        seed=inference.seed,
    )
    views = plan.num_views
    batch_size = max(1, inference.batch_size // views) * views
    loader = ClipLoader(dataset, batch_size=batch_size, num_workers=inference.num_workers)
    # Sources do not tell clips of one video apart; the seed of a sample belongs to it alone.
    place_of_seed = {sample_seed(inference.seed, 0, i, 0): i for i in range(len(clips))}
    values: list[Prediction | None] = [None] * len(clips)
    done = set()
    for batch in loader.once():
        frames = _shuffled(batch.frames, batch.seeds) if inference.shuffled else batch.frames
        places = [place_of_seed[seed] for seed in batch.seeds[::views].tolist()]
        with torch.no_grad():
            for place, given in zip(places, predict(frames, places), strict=True):
                values[place] = given
        done.update(places)
        if progress is not None:
            progress(max(done) + 1, len(clips))
    reasons = {entry["path"]: entry["reason"] for entry in loader.broken.state()}
    failed = tuple(
        FailedVideo(path=str(clip.video), reason=reasons[str(clip.video)])
        for place, clip in enumerate(clips)
        if place not in done
    )
    if not done:
        raise TrainingError(
            f"none of {len(clips)} videos can be decoded; the first: {failed[0].reason}"
        )
    return values, failed


def different_clips(
    records: Sequence[Record],
) -> tuple[tuple[Record, ...], Int64[Tensor, " records"]]:
    """One record of each clip, and the place among them of every record's clip.

    Raises:
        ConfigError: Without records.
    """
    if not records:
        raise ConfigError("there are no records to evaluate on; check the split")
    clip_of = {record.clip: record for record in records}
    places = {clip: place for place, clip in enumerate(clip_of)}
    return tuple(clip_of.values()), torch.tensor([places[record.clip] for record in records])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class EmbeddedVideos:
    """Embeddings of different clips, NaN where there is none; `of_record` as in `Predictions`."""

    clips: tuple[Record, ...]
    embeddings: Float[Tensor, "v e"]
    of_record: Int64[Tensor, " records"]
    failed: tuple[FailedVideo, ...]

    @property
    def present(self) -> Bool[Tensor, " v"]:
        return self.embeddings.isfinite().all(1)

    def of(self, records: Sequence[Record]) -> EmbeddedVideos:
        """Those of these records' clips; raises `ConfigError` where one was not embedded."""
        clips, of_record = different_clips(records)
        embedded = {clip.clip: place for place, clip in enumerate(self.clips)}
        if missing := next((one for one in clips if one.clip not in embedded), None):
            raise ConfigError(f"{missing.video}: is not among the {len(embedded)} embedded clips")
        names = {str(clip.video) for clip in clips}
        return EmbeddedVideos(
            clips=clips,
            embeddings=self.embeddings[[embedded[clip.clip] for clip in clips]],
            of_record=of_record,
            failed=tuple(one for one in self.failed if one.path in names),
        )


def embed_videos(
    embedder: Embedder,
    records: Sequence[Record],
    inference: Inference,
    *,
    videos: EmbeddedVideos | None = None,
    progress: Progress | None = None,
) -> EmbeddedVideos:
    """Embed every different clip once; one whose embedding is not finite has failed as well.

    With `videos`, made by the same embedder and inference, no clip is decoded: they have them all.
    """
    if videos is not None:
        return videos.of(records)

    def embed(frames: UInt8[Tensor, "b t h w 3"]) -> Iterable[Tensor]:
        return embedder.embed_clips(frames).detach().float().cpu()

    found = predict_clips(embed, records, embedder, inference, progress=progress)
    rows, failed = stack_predictions(found, what="embedding")
    return EmbeddedVideos(
        clips=found.clips, embeddings=rows, of_record=found.of_record, failed=failed
    )


def stack_predictions(
    predictions: Predictions[Tensor], *, what: str
) -> tuple[Float[Tensor, "v e"], tuple[FailedVideo, ...]]:
    """Rows of all clips, with NaN where there is none or not all of it is finite.

    The latter have failed as well; `what` names what is not finite in their reason.
    """
    missing = next(torch.full_like(row, torch.nan) for row in predictions.values if row is not None)
    rows = [
        missing if row is None or not row.isfinite().all() else row for row in predictions.values
    ]
    odd = tuple(
        FailedVideo(path=str(clip.video), reason=f"{clip.video}: its {what} is not finite")
        for clip, value, row in zip(predictions.clips, predictions.values, rows, strict=True)
        if value is not None and row is missing
    )
    return torch.stack(rows), (*predictions.failed, *odd)


def embed_sentences(
    embedder: Embedder, sentences: Sequence[str], *, batch_size: int = 256
) -> Float[Tensor, "l e"]:
    """Embed every different sentence once; raises `TrainingError` where one is not finite."""
    places = {sentence: place for place, sentence in enumerate(dict.fromkeys(sentences))}
    distinct = list(places)
    with torch.no_grad():
        parts = [
            embedder.embed_texts(distinct[at : at + batch_size]).detach().float().cpu()
            for at in range(0, len(distinct), batch_size)
        ]
    embeddings = torch.cat(parts)
    odd = (~embeddings.isfinite().all(1)).nonzero()[:, 0].tolist()
    if odd:
        raise TrainingError(
            f"the embeddings of {len(odd)} sentences are not finite, such as that of "
            f"{distinct[odd[0]]!r}; the model's weights are damaged or its precision is too low"
        )
    return embeddings[torch.tensor([places[sentence] for sentence in sentences])]


def _shuffled(
    frames: UInt8[Tensor, "b t h w 3"], seeds: Int64[Tensor, " b"]
) -> UInt8[Tensor, "b t h w 3"]:
    orders = [
        torch.randperm(frames.shape[1], generator=torch.Generator().manual_seed(seed))
        for seed in seeds.tolist()
    ]
    return torch.stack([clip[order] for clip, order in zip(frames, orders, strict=True)])
