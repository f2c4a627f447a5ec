"""`internvideo data scan` and `data transcode`: one unit of work for each video."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from internvideo.cli.bulk import BulkOptions, is_report, only_job, report_place
from internvideo.cli.outputs import claim
from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.jobs import Ledger, Part, Record, Unit
    from internvideo.video import Health, TranscodeConfig


def _all_cores() -> BulkOptions:
    return BulkOptions(workers=os.cpu_count() or 1)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """Decode every video below a folder and say which are damaged, and why.

    Example: internvideo data scan videos/ --out health.json --manifest good.csv
    """

    path: Annotated[Positional[str], arg(metavar="PATH|URL")]
    """A folder (searched through), one file, or an address such as s3://bucket/videos."""
    out: Path | None = None
    """Where to write the report, a JSON list with one object for each file."""
    manifest: Path | None = None
    """Where to write a csv of the files that decode entirely."""
    bulk: Annotated[BulkOptions, arg(name="")] = field(default_factory=_all_cores)
    overwrite: bool = False
    """Replace files that are there already."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.video import (
            health_document,
            write_clean_manifest,
            write_health_report,
        )

        is_part = self.bulk.chosen_part().count > 1  # the part that ended before may have written
        for file in (self.out, self.manifest):
            if file is not None:
                claim(file, overwrite=self.overwrite or is_part)
                file.parent.mkdir(parents=True, exist_ok=True)
        health = self._scan()
        if health is None:
            return 0
        if self.out is not None:
            write_health_report(health, self.out)
        if self.manifest is not None:
            write_clean_manifest(health, self.manifest)
        if self.json:
            print_json(health_document(health))
            return 0
        for file in health:
            if file.status != "ok":
                print(f"{file.status:<10}  {file.path}: {file.reason}")
        counts = Counter(file.status for file in health)
        print(", ".join(f"{counts[s]} {s}" for s in ("ok", "damaged", "unreadable")))
        return 0

    def _scan(self) -> list[Health] | None:
        """All files' health; None where other parts still have some."""
        from internvideo.cli.terminal import progress
        from internvideo.jobs import Ledger, video_units
        from internvideo.video import scan
        from internvideo.video.storage import is_url

        part = self.bulk.chosen_part()
        if part.count == 1 and self.bulk.ray is None and not is_url(self.path):
            with progress("scanning") as tell:
                return scan(self.path, num_workers=max(1, self.bulk.workers), on_progress=tell)
        if self.out is None:
            raise ConfigError("where should the parts meet? give --out FILE, the same for all")
        units = video_units(self.path, "", "")
        ledger = Ledger(out=f"{self.out}.parts")
        with progress("scanning") as tell:
            self.bulk.engine().run(part.of_units(units), ScanWork(), ledger, tell)
        records = ledger.records(units)
        if records is None:
            print(f"part {part} is done; the part that ends last writes {self.out}")
            return None
        return [_health(record) for record in records]


@dataclass(frozen=True)
class ScanWork:
    """The health of one file."""

    def __call__(self, unit: Unit, before: Record | None) -> tuple[Mapping[str, Any], bool]:
        from internvideo.jobs import local_input, stamp
        from internvideo.video import examine

        seen = list(stamp(unit.source))
        if before is not None and before.facts and before.facts["stamp"] == seen:
            return before.facts, True
        with local_input(unit.source) as video:
            health = {**asdict(examine(video.path)), "path": unit.source}
        return {"stamp": seen, "health": {**health, "facts": list(health["facts"])}}, False


def _health(record: Record) -> Health:
    from internvideo.video import Health

    if not record.facts:
        reason = (record.reason or "").removeprefix(f"{record.source}: ")
        return Health(path=Path(record.source), status="unreadable", reason=reason)
    known = record.facts["health"]
    return Health(**{**known, "path": Path(known["path"]), "facts": tuple(known["facts"])})


@dataclass(frozen=True, kw_only=True)
class Transcode:
    """Write videos anew, smaller and with frequent key frames, so that training decodes them fast.

    Frame times stay, rotation is applied, sound is dropped. A file that is there is left alone.

    Example: internvideo data transcode videos/ --out small/ --short-side 256 --gop 16
    """

    path: Annotated[Positional[str], arg(metavar="PATH|URL")]
    """A video, a folder (searched through), or an address such as s3://bucket/videos."""
    out: Annotated[str, arg(metavar="FOLDER|URL")]
    """Where they go; sub-folders are those of PATH, and other suffixes than .mp4 get .mp4 added."""
    short_side: Annotated[int, arg(metavar="PX")] = 256
    """Pixels of the shorter side; smaller videos keep their size."""
    gop: int = 16
    """Frames from one key frame to the next."""
    crf: int = 23
    """Constant quality of x264, 0 (lossless) to 51."""
    bulk: Annotated[BulkOptions, arg(name="")] = field(default_factory=_all_cores)
    overwrite: bool = False
    """Replace files that are there already and were not written by this verb."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json, progress
        from internvideo.jobs import Ledger, video_units, write_json
        from internvideo.video import TranscodeConfig

        config = TranscodeConfig(short_side_px=self.short_side, gop=self.gop, crf=self.crf)
        part = self.bulk.chosen_part()
        units = part.of_units(video_units(self.path, self.out, ""))
        ledger = Ledger(out=self.out)
        self._claim(units, ledger, part)
        with (
            only_job(self.out) if part.count == 1 else nullcontext(),
            progress("transcoding") as tell,
        ):
            records = self.bulk.engine().run(units, TranscodeWork(config=config), ledger, tell)
        done = [record for record in records if record is not None]
        counts = Counter(record.status for record in done)
        failed = [record for record in done if record.status == "failed"]
        report = {
            "num_total": len(units),
            "num_written": counts["done"],
            "num_skipped": counts["there"],
            "failed": [{"path": record.source, "reason": record.reason} for record in failed],
        }
        write_json(report_place(self.out, part), report)
        if self.json:
            print_json(report)
        else:
            for record in failed:
                print(f"failed  {record.reason}")
            print(
                f"{self.out}: {counts['done']} written, {counts['there']} there before, "
                f"{len(failed)} failed, of {len(units)}"
            )
        return 1 if failed else 0

    def _claim(self, units: Sequence[Unit], ledger: Ledger, part: Part) -> None:
        """See that nothing but videos and reports of ours would be replaced."""
        from internvideo.video.storage import is_url

        if is_url(self.out):
            return
        report = Path(report_place(self.out, part))
        claim(report, overwrite=self.overwrite, is_own=is_report(report, "num_written"))
        for unit in units:
            place = Path(_mp4(unit.target))
            if place.resolve() == Path(unit.source).resolve():
                raise ConfigError(f"{place}: would replace its own source; choose another --out")
            claim(place, overwrite=self.overwrite, is_own=ledger.read(unit) is not None)


def _mp4(target: str) -> str:
    """The name of the result: others may differ in their suffix alone."""
    return target if target.lower().endswith(".mp4") else f"{target}.mp4"


@dataclass(frozen=True, kw_only=True)
class TranscodeWork:
    """One video written anew."""

    config: TranscodeConfig

    def __call__(self, unit: Unit, before: Record | None) -> tuple[Mapping[str, Any], bool]:
        from internvideo.jobs import exists, local_input, local_output, stamp
        from internvideo.video import transcode

        place = _mp4(unit.target)
        facts = {"stamp": list(stamp(unit.source)), **asdict(self.config), "target": place}
        if before is not None and before.facts == facts and exists(place):
            return facts, True
        with local_input(unit.source) as video, local_output(place) as target:
            target.parent.mkdir(parents=True, exist_ok=True)
            transcode(video.path, target, self.config)
        return facts, False
