"""What all tasks share: seeing every video once, and embedding videos and sentences.

A task knows a model only as an `Embedder` or a `Captioner`. Clips are taken by the official
zero-shot protocol (`CoTrain/datasets/video` of the InternVideo release): one frame at the middle of
each of t equal segments, short side 256, centre crop 224.
Shapes: frames (b, t, h, w, 3) uint8 -> embeddings (b, e), not necessarily normalised.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor

from internvideo.data import ClipLoader, VideoData, ViewDataset, ViewPlan, sample_seed
from internvideo.errors import ConfigError, TrainingError
from internvideo.values import Annotations, Record

Answer = TypeVar("Answer")
Progress = Callable[[int, int], None]  # how many clips are done, and of how many


@runtime_checkable
class Viewer(Protocol):
    """A model as the loading of its clips knows it."""

    @property
    def num_frames(self) -> int: ...
    @property
    def side_px(self) -> int: ...


@runtime_checkable
class Embedder(Viewer, Protocol):
    """A model that puts clips and sentences into one space; `logit_scale` is a logarithm."""

    @property
    def logit_scale(self) -> Float[Tensor, ""]: ...
    def embed_clips(self, frames: UInt8[Tensor, "b t h w 3"]) -> Float[Tensor, "b e"]: ...
    def embed_texts(self, sentences: list[str]) -> Float[Tensor, "b e"]: ...


@runtime_checkable
class Captioner(Viewer, Protocol):
    """A model that describes clips, one sentence each."""

    def caption(self, frames: UInt8[Tensor, "b t h w 3"]) -> list[str]: ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Viewing:
    """How evaluation looks at a video.

    `crop` is the centre's share of the short side. With `shuffled` the frames of every clip come
    in an order drawn from `seed`: what a model then loses is what it had read from time.
    """

    sampling: Literal["dense", "segments"] = "segments"
    stride_frames: int = 4
    crop: float = 224 / 256
    batch_size: int = 16
    num_workers: int = 0
    shuffled: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"viewing.batch_size is {self.batch_size}, expected 1 or more")
        if not 0 < self.crop <= 1:
            raise ConfigError(f"viewing.crop is {self.crop}, expected above 0 and at most 1")
        if self.stride_frames < 1:
            raise ConfigError(f"viewing.stride_frames is {self.stride_frames}, expected 1 or more")

    def data(self, source: str) -> VideoData:
        """The same in the words of a data set."""
        return VideoData(
            source=source,
            sampling=self.sampling,
            stride_frames=self.stride_frames,
            eval_crop=self.crop,
            num_workers=self.num_workers,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedVideo:
    """A video that has no answer, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Seen(Generic[Answer]):
    """Answers of the different clips among some records; None where a clip could not be decoded.

    Several records (of several sentences, say) may show the same clip: `of_record[i]` is the
    place of record i's clip in `clips` and `answers`.
    """

    clips: tuple[Record, ...]
    answers: tuple[Answer | None, ...]
    of_record: Int64[Tensor, " records"]
    failed: tuple[FailedVideo, ...]


def see_clips(
    answer: Callable[[UInt8[Tensor, "b t h w 3"]], Iterable[Answer]],
    records: Sequence[Record],
    viewer: Viewer,
    viewing: Viewing,
    *,
    plan: ViewPlan | None = None,
    progress: Progress | None = None,
) -> Seen[Answer]:
    """Decode every different clip of the records once and ask for the answers of each batch.

    With a plan each clip comes as all its views, next to each other, and `answer` gives one answer
    for all of them; batches then hold as many whole clips as `viewing.batch_size` has room for.

    Raises:
        ConfigError: Without records.
        TrainingError: If not a single clip can be decoded.
    """
    clips, of_record = different_clips(records)
    plan = plan or ViewPlan()
    dataset = ViewDataset(
        Annotations(records=clips),
        viewing.data(str(clips[0].video.parent)),
        plan,
        num_frames=viewer.num_frames,
        side_px=viewer.side_px,
        seed=viewing.seed,
    )
    views = plan.num_views
    batch_size = max(1, viewing.batch_size // views) * views
    loader = ClipLoader(dataset, batch_size=batch_size, num_workers=viewing.num_workers)
    # Sources do not tell clips of one video apart; the seed of a sample belongs to it alone.
    place_of_seed = {sample_seed(viewing.seed, 0, i, 0): i for i in range(len(clips))}
    answers: list[Answer | None] = [None] * len(clips)
    done = set()
    for batch in loader.once():
        frames = _shuffled(batch.frames, batch.seeds) if viewing.shuffled else batch.frames
        with torch.no_grad():
            for seed, given in zip(batch.seeds[::views].tolist(), answer(frames), strict=True):
                answers[place_of_seed[seed]] = given
                done.add(place_of_seed[seed])
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
    return Seen(clips=clips, answers=tuple(answers), of_record=of_record, failed=failed)


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
    """Embeddings of different clips, with NaN where there is none; see `Seen` for `of_record`."""

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
    viewing: Viewing,
    *,
    videos: EmbeddedVideos | None = None,
    progress: Progress | None = None,
) -> EmbeddedVideos:
    """Embed every different clip once; one whose embedding is not finite has failed as well.

    With `videos`, made by the same embedder and viewing, no clip is decoded: they have them all.
    """
    if videos is not None:
        return videos.of(records)

    def embed(frames: UInt8[Tensor, "b t h w 3"]) -> Iterable[Tensor]:
        return embedder.embed_clips(frames).detach().float().cpu()

    seen = see_clips(embed, records, embedder, viewing, progress=progress)
    rows, failed = stack_answers(seen, what="embedding")
    return EmbeddedVideos(
        clips=seen.clips, embeddings=rows, of_record=seen.of_record, failed=failed
    )


def stack_answers(
    seen: Seen[Tensor], *, what: str
) -> tuple[Float[Tensor, "v e"], tuple[FailedVideo, ...]]:
    """Rows of all clips, with NaN where there is none or not all of it is finite.

    The latter have failed as well; `what` names what is not finite in their reason.
    """
    missing = next(torch.full_like(row, torch.nan) for row in seen.answers if row is not None)
    rows = [missing if row is None or not row.isfinite().all() else row for row in seen.answers]
    odd = tuple(
        FailedVideo(path=str(clip.video), reason=f"{clip.video}: its {what} is not finite")
        for clip, answer, row in zip(seen.clips, seen.answers, rows, strict=True)
        if answer is not None and row is missing
    )
    return torch.stack(rows), (*seen.failed, *odd)


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
