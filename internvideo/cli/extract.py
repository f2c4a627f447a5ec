"""`internvideo extract`: features of a file or a folder of videos, window by window."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from internvideo.cli.bulk import BulkOptions, is_report, only_job, report_place
from internvideo.cli.outputs import claim

if TYPE_CHECKING:
    from internvideo.jobs import Record, Unit
    from internvideo.tasks import FeatureEncoder, FeatureExtraction


@dataclass(frozen=True, kw_only=True)
class Extract:
    """Extract features with a sliding window; writes one array and one JSON file per video.

    Videos that are already done are skipped, and broken ones are named in OUT/report.json.

    Example: internvideo extract videos/ --model runs/b --out features/ --fps 8 --stride-s 1
    """

    path: Annotated[Positional[str], arg(metavar="PATH|URL")]
    """A video, an image, a folder (searched recursively), or an address such as s3://bucket/a."""
    model: str
    """A saved model, a run or one of its checkpoints, a name from `weights list`, or owner/name on
    the Hugging Face hub."""
    out: Annotated[str, arg(metavar="FOLDER|URL")]
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
    """embedding (in the space shared with texts), pooled (what a head receives), mean, cls or
    tokens; default the first of these that the model has."""
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
    bulk: Annotated[BulkOptions, arg(name="")] = field(default_factory=BulkOptions)
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import progress
        from internvideo.jobs import Ledger, video_units
        from internvideo.training import gather_objects, joined

        units = video_units(self.path, self.out, f".{self.format}")
        part = self.bulk.chosen_part()
        self._claim(units)
        with joined(self.device) as process:
            work = ExtractWork(options=self, device=str(process.device))
            work.open()  # what does not fit is said once, before any worker starts
            own = part.inside(process.share.index, process.share.count).of_units(units)
            alone = process.is_first and part.count == 1  # jobs that do parts share the folder
            with (
                only_job(self.out) if alone else nullcontext(),
                progress("extracting", plain_lines=process.is_first) as tell,
            ):
                done = self.bulk.engine().run(own, work, Ledger(out=self.out), tell)
            records = [record for rank in gather_objects(done) for record in rank]
            if not process.is_first:
                return 0
        return self._report(records)

    def _claim(self, units: list[Unit]) -> None:
        """See that nothing but features and reports of ours would be replaced."""
        from internvideo.data import described, side_car
        from internvideo.video.storage import is_url

        if is_url(self.out):
            return
        report = Path(report_place(self.out, self.bulk.chosen_part()))
        claim(report, overwrite=self.overwrite, is_own=is_report(report, "num_extracted"))
        for unit in units:
            target = Path(unit.target)
            claim(side_car(target), overwrite=self.overwrite, is_own=described(target) is not None)

    def _report(self, records: list[Record | None]) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.jobs import write_json

        done = [record for record in records if record is not None]
        report = {
            "num_total": len(records),
            "num_extracted": sum(record.status == "done" for record in done),
            "num_skipped": sum(record.status == "there" for record in done),
            "failed": sorted(
                (
                    {"path": record.source, "reason": record.reason}
                    for record in done
                    if record.status == "failed"
                ),
                key=lambda failed: str(failed["path"]),
            ),
        }
        num_elsewhere = len(records) - len(done)
        write_json(report_place(self.out, self.bulk.chosen_part()), report)
        if self.json:
            print_json(report)
        else:
            for failed in report["failed"]:
                print(f"failed  {failed['reason']}")
            print(
                f"{self.out}: {report['num_extracted']} extracted, {report['num_skipped']} there "
                f"before, {len(report['failed'])} failed, of {report['num_total']}"
                + (f"; {num_elsewhere} in the hands of another job" if num_elsewhere else "")
            )
        return 1 if report["failed"] else 0


@dataclass(kw_only=True)
class ExtractWork:
    """Features of one video; the model is loaded once in each process, at its first unit."""

    options: Extract
    device: str
    _opened: tuple[FeatureEncoder, FeatureExtraction] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_opened": None}  # each process loads the model itself

    def open(self) -> tuple[FeatureEncoder, FeatureExtraction]:
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def _open(self) -> tuple[FeatureEncoder, FeatureExtraction]:
        from internvideo.api import load
        from internvideo.data import windows_in_seconds
        from internvideo.tasks import FeatureExtraction

        asked = self.options
        encoder = load(asked.model, device=self.device, averaged=asked.ema).feature_encoder
        windows = windows_in_seconds(
            usual_frames=encoder.num_frames,
            rate_fps=asked.fps,
            window_frames=asked.window_frames,
            window_s=asked.window_s,
            stride_frames=asked.stride_frames,
            stride_s=asked.stride_s,
        )
        extraction = FeatureExtraction(
            windows=windows,
            pooling=asked.pooling or encoder.usual_pooling,
            batch_size=asked.batch_size,
            dtype=asked.dtype,
        )
        encoder.check(pooling=extraction.pooling, num_frames=windows.num_frames)
        return encoder, extraction

    def __call__(self, unit: Unit, before: Record | None) -> tuple[Mapping[str, Any], bool]:
        from internvideo.jobs import exists, local_input, local_output
        from internvideo.video.storage import is_url

        encoder, extraction = self.open()
        with local_input(unit.source) as video:
            wanted = extraction.wanted(encoder, video.path, video.time_ns)
            digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
            facts = {"wanted": digest}
            is_far = is_url(unit.target)
            if is_far and before is not None and before.facts == facts and exists(unit.target):
                return facts, True
            with local_output(unit.target) as target:
                was_made = extraction.extract_file(
                    encoder, Path(video.path), target, source=unit.source, changed=video.time_ns
                )
        return facts, not was_made
