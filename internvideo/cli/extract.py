"""`internvideo extract`: features of a file or a folder of videos, window by window."""

from __future__ import annotations

import json
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tyro.conf import Positional

from internvideo.cli.outputs import claim
from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.tasks import Extracted, FeatureEncoder, FeatureExtraction
    from internvideo.training import Process


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Extract features with a sliding window; writes one array and one JSON file per video.

    Videos that are already done are skipped, and broken ones are named in OUT/report.json.

    Example: internvideo extract videos/ --model runs/b --out features/ --fps 8 --stride-s 1
    """

    path: Positional[Path]
    """A video, an image, or a folder (searched recursively)."""
    model: str
    """A saved model, a run or one of its checkpoints, or a name from `weights list`."""
    out: Path
    """Folder of the features; sub-folders are those of PATH."""
    fps: float | Literal["native"] | None = None
    """Frames sampled per second; native takes all. Default 8, or as --window-s implies."""
    window_frames: int | None = None
    """Frames per window; default as in training."""
    window_s: float | None = None
    """The same in seconds."""
    stride_frames: int | None = None
    """Frames from the start of one window to the next; default the window: no overlap."""
    stride_s: float | None = None
    """The same in seconds."""
    pooling: str | None = None
    """mean, cls, pooled, embedding or tokens; default what a head receives, else the mean."""
    format: Literal["safetensors", "npy"] = "safetensors"
    """File format of the arrays."""
    dtype: Literal["float32", "float16"] = "float32"
    """Data type of the arrays."""
    overwrite: bool = False
    """Replace files in OUT that are no features of ours."""
    batch_size: int = 8
    """Windows per batch, all of one video."""
    ema: bool = False
    """Take the moving average of the weights, where a run kept one."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from internvideo.api import load
        from internvideo.data import windows_in_seconds
        from internvideo.tasks import FeatureExtraction
        from internvideo.training import joined
        from internvideo.video import find_videos

        files = find_videos(self.path)
        if not files:
            raise ConfigError(f"{self.path}: holds no video file")
        self._claim(files)
        with joined(self.device) as process:
            model = load(self.model, device=str(process.device), averaged=self.ema)
            encoder = model.feature_encoder
            windows = windows_in_seconds(
                usual_frames=encoder.num_frames,
                rate_fps=self.fps,
                window_frames=self.window_frames,
                window_s=self.window_s,
                stride_frames=self.stride_frames,
                stride_s=self.stride_s,
            )
            extraction = FeatureExtraction(
                windows=windows,
                pooling=self.pooling or encoder.usual_pooling,
                batch_size=self.batch_size,
                dtype=self.dtype,
            )
            return self._extract(extraction, encoder, files, process)

    def _extract(
        self,
        extraction: FeatureExtraction,
        encoder: FeatureEncoder,
        files: list[Path],
        process: Process,
    ) -> int:
        from internvideo.cli.terminal import print_json, progress
        from internvideo.training import gather_objects

        encoder.check(pooling=extraction.pooling, num_frames=extraction.windows.num_frames)
        part = files[process.share.index :: process.share.count]
        with (
            self._alone(process),
            progress("extracting", plain_lines=process.is_first) as tell,
        ):
            done = extraction.extract(
                encoder, part, [self._target(file) for file in part], progress=tell
            )
        report = _report(gather_objects(done))
        if not process.is_first:
            return 0
        _write(self.out / "report.json", report)
        if self.json:
            print_json(report)
        else:
            for failed in report["failed"]:
                print(f"failed  {failed['reason']}")
            print(
                f"{self.out}: {report['num_extracted']} extracted, {report['num_skipped']} there "
                f"before, {len(report['failed'])} failed, of {report['num_total']}"
            )
        return 1 if report["failed"] else 0

    def _claim(self, files: list[Path]) -> None:
        """See that nothing but features and reports of ours would be replaced."""
        from internvideo.data import described, side_car

        report = self.out / "report.json"
        claim(report, overwrite=self.overwrite, is_own=_is_report(report))
        for file in files:
            target = self._target(file)
            claim(side_car(target), overwrite=self.overwrite, is_own=described(target) is not None)

    def _alone(self, process: Process) -> AbstractContextManager[None]:
        """Keep a second extraction out of the folder; ranks of one work on it together."""
        from internvideo.processes import sole_use

        return sole_use(self.out) if process.is_first else nullcontext()

    def _target(self, file: Path) -> Path:
        """The whole name of the video is kept, for others may differ in their suffix alone."""
        below = file.name if self.path.is_file() else file.relative_to(self.path)
        return (self.out / below).with_name(f"{file.name}.{self.format}")


def _is_report(path: Path) -> bool:
    try:
        return "num_extracted" in json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):
        return False


def _report(parts: list[Extracted]) -> dict:
    """What all processes did, together."""
    return {
        "num_total": sum(part.num_total for part in parts),
        "num_extracted": sum(part.num_extracted for part in parts),
        "num_skipped": sum(part.num_skipped for part in parts),
        "failed": sorted(
            (asdict(failed) for part in parts for failed in part.failed), key=lambda f: f["path"]
        ),
    }


def _write(path: Path, report: dict) -> None:
    from internvideo.writing import replace_text

    path.parent.mkdir(parents=True, exist_ok=True)
    replace_text(path, json.dumps(report, indent=2, ensure_ascii=False) + "\n")
