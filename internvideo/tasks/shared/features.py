"""Feature extraction: any encoder slides over whole videos, row by row into files.

Every batch holds windows of one video only and depends on nothing but that video and the request,
so that a video has the same features to the bit alone, in a folder, and after a restart.
Shapes: frames (b, t, h, w, 3) uint8 -> features (b, d), or tokens (b, n, d) of encoder A and
(b, t, 1 + n, d) of encoder B.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64, UInt8
from torch import Tensor, nn

from internvideo.data import (
    FeatureType,
    WindowConfig,
    Windows,
    cut_windows,
    described,
    is_complete,
    read_windows,
    side_car,
    write_features,
)
from internvideo.errors import ConfigError, DecodeError, unknown_name
from internvideo.heads import (
    CoordinatedClassifier,
    QuestionAnswerer,
    Retriever,
    VideoClassifier,
)
from internvideo.models import (
    JointEncoder,
    MaskedAutoencoder,
    MaskedEncoder,
    MultimodalEncoder,
    UniFormer,
    Viclip,
    place_tokens,
)
from internvideo.tasks.shared.task import FailedVideo, Pretrained, Progress
from internvideo.training.journal import code_revision, versions
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video import OpenVideo, VideoInfo, open_video
from internvideo.video.transforms import normalise
from internvideo.weights import weights_sha256
from internvideo.writing import replace_text

_log = logging.getLogger(__name__)

Readout = Callable[[Float[Tensor, "b 3 t h w"]], Float[Tensor, "b ..."]]


def readouts(model: nn.Module) -> dict[str, Readout]:
    """The ways in which features can be read from a model, by name.

    `mean` of all patches' tokens; `cls`, the class token (its mean over frames, in encoder B);
    `pooled`, what a head receives; `embedding`, the place in the space shared with texts, of
    length 1; `tokens`, all of them.
    """
    match model:
        case MaskedEncoder():
            return {"mean": lambda clip: model(clip).mean(1), "tokens": partial(_on_grid, model)}
        case UniFormer():
            return {
                "pooled": lambda clip: model(clip).pooled,
                "mean": lambda clip: model(clip).tokens[:, :, 1:].mean((1, 2)),
                "cls": lambda clip: model(clip).tokens[:, :, 0].mean(1),
                "tokens": model.on_grid,
            }
        case JointEncoder():
            return {
                "cls": lambda clip: model(clip)[:, 0],
                "mean": lambda clip: model(clip)[:, 1:].mean(1),
                "tokens": model,
            }
        case MaskedAutoencoder():
            return readouts(model.encoder)
        case VideoClassifier():
            return {**readouts(model.encoder), "pooled": model.features}
        case CoordinatedClassifier():  # A's tokens after they have read B's
            return {
                "mean": lambda clip: model.coordinated_features(model.read(clip)).pooled,
                "tokens": lambda clip: model.coordinated_features(model.read(clip)).tokens,
            }
        case MultimodalEncoder() | Viclip():
            embedding: Readout = lambda clip: model.encode_video(clip).embedding  # noqa: E731
            return {**readouts(model.video), "embedding": embedding}
        case Retriever() if model.config.similarity == "tokens":  # no single vector stands for it
            return readouts(model.encoder.video)
        case Retriever():
            return {**readouts(model.encoder.video), "embedding": model.embed_video}
        case QuestionAnswerer():
            return readouts(model.video if model.config.pair is None else model.pair)
    raise ConfigError(f"{type(model).__name__} is no encoder of videos that features are known of")


def _on_grid(model: MaskedEncoder, clip: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b n d"]:
    """One token for each tubelet of the grid; zeros where a front end leaves it out."""
    patches, index = model.patch_embed.select_tubelets(clip)
    tokens = model.encode_patches(patches, index)
    return tokens if index is None else place_tokens(tokens, index, model.config.grid.num_tokens)


class FeatureEncoder:
    """An encoder of any kind with the clips it was made for; `name` is for people."""

    def __init__(
        self,
        model: nn.Module,
        *,
        num_frames: int,
        side_px: int,
        crop: float = 1.0,
        mean: tuple[float, float, float] = IMAGENET_MEAN,
        std: tuple[float, float, float] = IMAGENET_STD,
        name: str = "",
    ) -> None:
        self.model, self.readouts = model.eval(), readouts(model)
        self.num_frames, self.side_px, self.crop = num_frames, side_px, crop
        self.mean, self.std, self.name = mean, std, name

    @classmethod
    def of(cls, pretrained: Pretrained, *, name: str = "") -> FeatureEncoder:
        """Take up a model as it was read from its files.

        Raises:
            ConfigError: It is no encoder of videos.
        """
        seen = pretrained.preprocessing
        return cls(
            pretrained.model,
            num_frames=seen.num_frames,
            side_px=seen.side_px,
            crop=seen.crop,
            mean=seen.mean,
            std=seen.std,
            name=name,
        )

    @property
    def usual_pooling(self) -> str:
        """The place in the space shared with texts; without one, what a head receives."""
        return "embedding" if "embedding" in self.readouts else self.head_pooling

    @property
    def head_pooling(self) -> str:
        """What a head receives, else the mean of all tokens."""
        return "pooled" if "pooled" in self.readouts else next(iter(self.readouts))

    @cached_property
    def sha256(self) -> str:
        """Digest of the weights: names, types, shapes and bytes, in the order of the names."""
        return weights_sha256(self.model)

    @property
    def preprocessing(self) -> dict[str, Any]:
        """What happens to frames before the network, as a JSON object."""
        return {
            "short_side_px": round(self.side_px / self.crop),
            "centre_crop": self.crop,
            "side_px": self.side_px,
            "normalised_by": {"mean": list(self.mean), "std": list(self.std)},
        }

    def check(self, *, pooling: str, num_frames: int) -> None:
        """Raise `ConfigError` where this encoder cannot give what is asked."""
        if pooling not in self.readouts:
            raise unknown_name(f"pooling of a {type(self.model).__name__}", pooling, self.readouts)
        only = _only_frames(self.model)
        if num_frames != (only or num_frames):
            raise ConfigError(
                f"a window of {num_frames} frames does not fit this encoder, which reads {only} at "
                f"a time; ask for windows of {only} frames"
            )

    @torch.no_grad()
    def features(self, frames: UInt8[Tensor, "b t h w 3"], pooling: str) -> Float[Tensor, "b ..."]:
        """Features of clips, in float32."""
        frames = frames.to(next(self.model.parameters()).device)
        clip = normalise(frames, mean=self.mean, std=self.std)
        return self.readouts[pooling](clip).float()


@cache
def _code() -> dict[str, Any]:
    """What computed the features."""
    return {"revision": code_revision(), "versions": versions()}


def _only_frames(model: nn.Module) -> int | None:
    """How many frames a model's clips must have; None where any number will do."""
    for inside in ("masked", "encoder", "video"):
        if isinstance(tower := getattr(model, inside, None), nn.Module):
            return _only_frames(tower)
    return getattr(model.config, "num_frames", None)


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureExtraction:
    """What is wanted of every video."""

    windows: WindowConfig = field(default_factory=WindowConfig)
    pooling: str = "mean"
    batch_size: int = 8
    dtype: FeatureType = "float32"

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ConfigError(f"batch_size is {self.batch_size}, expected 1 or more")

    def of(self, encoder: FeatureEncoder, video: str | Path) -> VideoFeatures:
        """Features of one video, in memory."""
        with self.stream(encoder, video) as found:
            rows = torch.cat(list(found.batches))
        return VideoFeatures(rows=rows, start_s=found.start_s, end_s=found.end_s)

    @contextmanager
    def stream(self, encoder: FeatureEncoder, video: str | Path) -> Iterator[FeatureStream]:
        """Open a video and give its features while it is decoded, in memory of one batch."""
        encoder.check(pooling=self.pooling, num_frames=self.windows.num_frames)
        with open_video(video) as opened:
            windows = self._windows(opened)
            yield FeatureStream(
                batches=self._rows(encoder, opened, windows),
                start_s=windows.start_s,
                end_s=windows.end_s,
                info=opened.info,
            )

    def extract(
        self,
        encoder: FeatureEncoder,
        files: Sequence[Path],
        targets: Sequence[Path],
        *,
        progress: Progress | None = None,
    ) -> Extracted:
        """Write the features of each file to its target; what is there already is left alone.

        A file that cannot be decoded from end to end has no features and is named in the result.
        """
        encoder.check(pooling=self.pooling, num_frames=self.windows.num_frames)
        num_extracted, failed = 0, []
        for done, (file, target) in enumerate(zip(files, targets, strict=True), 1):
            try:
                num_extracted += self.extract_file(encoder, file, target)
            except DecodeError as error:
                _log.warning("no features: %s", error)
                failed.append(FailedVideo(path=str(file), reason=str(error)))
            if progress is not None:
                progress(done, len(files))
        return Extracted(
            num_total=len(files),
            num_extracted=num_extracted,
            num_skipped=len(files) - num_extracted - len(failed),
            failed=tuple(failed),
        )

    def extract_file(
        self,
        encoder: FeatureEncoder,
        file: Path,
        target: Path,
        *,
        source: str | None = None,
        changed: int | str | None = None,
    ) -> bool:
        """Write the features of one file to its target; False where they are there already.

        Args:
            encoder: What reads the windows.
            file: The video.
            target: The array; a JSON file of its stem comes beside it.
            source: Where the video came from, where `file` is a copy.
            changed: What tells that the source changed, in place of the time of `file`.

        Raises:
            DecodeError: If it cannot be decoded from end to end; it then has no features.
        """
        encoder.check(pooling=self.pooling, num_frames=self.windows.num_frames)
        wanted = self.wanted(encoder, file, changed)
        there = described(target)
        if there is not None and is_complete(target, there) and wanted.items() <= there.items():
            return False
        # Gone before the array changes, so that it never tells of another one.
        side_car(target).unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        with open_video(file) as video:
            windows = self._windows(video)
            rows = self._rows(encoder, video, windows)
            shape = write_features(target, len(windows), rows, dtype=self.dtype)
            info = asdict(video.info)
        times = zip(windows.start_s.tolist(), windows.end_s.tolist(), strict=True)
        features = {
            "file": target.name,
            "shape": list(shape),
            "dtype": self.dtype,
            "num_bytes": target.stat().st_size,
        }
        document = {
            "source": source or str(file),
            "model_name": encoder.name,
            **wanted,
            "features": features,
            "video": info,
            **_code(),
            "rows": [{"start_s": a, "centre_s": (a + b) / 2, "end_s": b} for a, b in times],
        }
        replace_text(side_car(target), json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        return True

    def wanted(
        self, encoder: FeatureEncoder, file: Path, changed: int | str | None = None
    ) -> dict[str, Any]:
        """All that decides a file's features, as a JSON object."""
        try:
            status = file.stat()
        except OSError as error:
            raise DecodeError(f"{file}: {error.strerror}; check the path") from error
        time = status.st_mtime_ns if changed is None else changed
        wanted = {
            "file": {"size_bytes": status.st_size, "time_ns": time},
            "model": {"type": type(encoder.model).__name__, "sha256": encoder.sha256},
            "request": asdict(self),
            "preprocessing": encoder.preprocessing,
        }
        return json.loads(json.dumps(wanted))

    def _windows(self, video: OpenVideo) -> Windows:
        if not video.num_frames:
            raise DecodeError(f"{video.path}: no frame can be decoded; leave the file out")
        return cut_windows(video.timestamps_s, video.info.duration_s, self.windows)

    def _rows(
        self, encoder: FeatureEncoder, video: OpenVideo, windows: Windows
    ) -> Iterator[Float[Tensor, "b ..."]]:
        batches = read_windows(
            video, windows, side_px=encoder.side_px, crop=encoder.crop, batch_size=self.batch_size
        )
        for batch in batches:
            yield encoder.features(batch, self.pooling)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoFeatures:
    """One row for each window, with when it starts and ends in seconds from the first frame."""

    rows: Float[Tensor, "windows ..."]
    start_s: Float64[np.ndarray, " windows"]
    end_s: Float64[np.ndarray, " windows"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FeatureStream:
    """Rows of all windows of a video, batch by batch, with the times of all of them."""

    batches: Iterator[Float[Tensor, "b ..."]]
    start_s: Float64[np.ndarray, " windows"]
    end_s: Float64[np.ndarray, " windows"]
    info: VideoInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Extracted:
    """What became of the files."""

    num_total: int
    num_extracted: int
    num_skipped: int
    failed: tuple[FailedVideo, ...]
