"""What temporal localization is evaluated on: annotated segments and where features are."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from internvideo.data import VideoData
from internvideo.data.annotations import read_video_scores
from internvideo.errors import ConfigError, unknown_name
from internvideo.tasks.shared.evaluation_data import EvaluationData
from internvideo.tasks.temporal_localization.features import video_id
from internvideo.tasks.temporal_localization.sliding import SlidingConfig
from internvideo.values import Annotations

# Of THUMOS14: one with wrong labels, one without any. OpenTAD evaluates 211 videos without them,
# ActionFormer and the release of InternVideo all 213.
_FAULTY = ("video_test_0000270", "video_test_0001292")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class LocalizationVideos:
    """Annotated videos, the folders of their features, and class scores of whole videos.

    `listed` says in words which list of videos it is, as results on others cannot be compared.
    `sliding` names a classifier that is measured beside the detector, `sliding_config` how.
    """

    annotations: Annotations
    features: tuple[str, ...] = ()
    video_scores: dict[str, np.ndarray] | None = None
    listed: str = ""
    sliding: str | None = None
    sliding_config: SlidingConfig = field(default_factory=SlidingConfig)


@dataclass(frozen=True, kw_only=True)
class LocalizationData(EvaluationData):
    """Annotated segments, and where the features of their videos are."""

    format: str = "localization"
    """Its format: localization, ego4d-moments or segment-csv (path,start_s,end_s,label)."""
    features: tuple[str, ...] = ()
    """Folder of features, as `internvideo extract` wrote it; once for each feature set that the
    detector reads. Default where they were in training."""
    exclude: tuple[str, ...] = ()
    """Id of a video to leave out, once for each."""
    video_scores: str | None = None
    """JSON with class scores of whole videos, for a class-agnostic detector."""
    sliding: str | None = None
    """A classifier as baseline: it slides over the videos, and its scores are thresholded."""
    sliding_window_s: float | None = None
    """Length of its windows; default its clips' frames at the stride of training, or at 8 fps."""

    def read(self) -> LocalizationVideos:
        """Read the annotations of a split with segments: the one named, else test, else val."""
        if self.only_existing:
            raise ConfigError("--only-existing looks for videos, and features are scored here")
        sliding_config = SlidingConfig(window_s=self.sliding_window_s)
        read = VideoData(
            source=self.data, format=self.format, root=self.root, columns=self.columns
        ).read(with_videos=self.sliding is not None)
        splits = sorted({record.split for record in read.records if record.split})
        split = self.split
        if split is not None and split not in splits:
            raise unknown_name(f"split of {self.data}", split, splits or ["(none)"])
        for usual in ("test", "val"):
            parts = read.of_split(usual).records
            if split is None and any(record.segments for record in parts):
                split = usual
        scores = None if self.video_scores is None else read_video_scores(self.video_scores)
        kept = read if split is None else read.of_split(split)
        ids = {video_id(record) for record in kept.records}
        for name in self.exclude:
            if name not in ids:
                raise unknown_name("video in --exclude", name, sorted(ids))
        records = tuple(r for r in kept.records if video_id(r) not in self.exclude)
        return LocalizationVideos(
            annotations=replace(kept, records=records),
            features=self.features,
            video_scores=scores,
            listed=self._listed(split, ids),
            sliding=self.sliding,
            sliding_config=sliding_config,
        )

    def _listed(self, split: str | None, ids: set[str]) -> str:
        """Which videos these are: the file, its split, what was left out, what is known faulty."""
        named = self.data if split is None else f"{self.data}, split {split}"
        if self.exclude:
            named += f", without {' and '.join(self.exclude)}"
        if faulty := [name for name in _FAULTY if name in ids and name not in self.exclude]:
            named += f", with {' and '.join(faulty)}, which others leave out as faulty"
        return named
