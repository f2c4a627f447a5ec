"""`internvideo bench`: what this machine gives, in the units that `internvideo plan` needs."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.errors import ConfigError

_PARTS = {"decode", "data", "step"}


@dataclass(frozen=True, kw_only=True)
class BenchDecode:
    """Decode clips of 16 frames from random places: clips a second by one core.

    Example: internvideo bench decode videos/ --out bench.json
    """

    path: Positional[Path]
    """A video or a folder of videos."""
    out: Path | None = None
    """A JSON file; the parts of other benchmarks in it stay."""
    limit_s: float = 10.0
    """How long to measure, in seconds."""

    def run(self) -> int:
        from internvideo.planner import measure_decoding
        from internvideo.video import find_videos

        _known(self.out)
        files = find_videos(self.path)
        if not files:
            raise ConfigError(f"{self.path}: holds no video file")
        return _told("decode", measure_decoding(files, limit_s=self.limit_s), self.out)


@dataclass(frozen=True, kw_only=True)
class BenchData:
    """Read the batches of a recipe as training does: videos a second and worker.

    Example: internvideo bench data mae_tiny_videos --data videos/ --out bench.json
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE.toml")]
    """A name from `internvideo list recipes`, or a TOML file."""
    data: Path | None = None
    """Folder of the data; short for --set data.root=..."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field of the recipe."""
    out: Path | None = None
    """A JSON file; the parts of other benchmarks in it stay."""
    limit_s: float = 10.0
    """How long to measure, in seconds."""

    def run(self) -> int:
        import contextlib

        from internvideo.cli.train import named_run, rooted
        from internvideo.planner import measure_data
        from internvideo.runs import build_stage, override
        from internvideo.training import joined

        _known(self.out)
        run = named_run(self.recipe)
        if self.data is not None:
            run = rooted(run, str(self.data))
        run = override(run, ["data.cache_mb=0", *self.set])
        with joined("cpu") as process, tempfile.TemporaryDirectory() as folder:
            run, stage = build_stage(run, Path(folder), process)
            with contextlib.closing(stage.batches(0)) as steps:
                found = measure_data(steps, run, limit_s=self.limit_s)
        return _told("data", found, self.out)


@dataclass(frozen=True, kw_only=True)
class BenchStep:
    """Train the network of a recipe on clips of zeros: clips a second, and the share of the peak.

    Example: internvideo bench step mae_tiny_videos --out bench.json
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE.toml")]
    """A name from `internvideo list recipes`, or a TOML file."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field of the recipe."""
    batch_size: int = 8
    """Clips of a step."""
    steps: int = 5
    """Steps that are measured, after two that are not."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path | None = None
    """A JSON file; the parts of other benchmarks in it stay."""

    def run(self) -> int:
        from internvideo.cli.train import named_run
        from internvideo.planner import measure_step
        from internvideo.runs import override
        from internvideo.training import choose_device

        if self.batch_size < 1 or self.steps < 1:
            raise ConfigError("--batch-size and --steps must be at least 1")
        _known(self.out)
        run = override(named_run(self.recipe), self.set)
        device = choose_device(self.device)
        found = measure_step(run, device, batch_size=self.batch_size, steps=self.steps)
        return _told("step", found, self.out)


def _known(out: Path | None) -> dict[str, Any]:
    """What was measured before; raises `ConfigError` where the file is none of measurements."""
    from internvideo.reading import read_json_document

    if out is None or not out.exists():
        return {}
    try:
        known = dict(read_json_document(out))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{out}: is no file of measurements ({error})") from error
    if foreign := sorted(set(known) - _PARTS):
        raise ConfigError(
            f"{out}: is no file of measurements (it has {foreign[0]!r:.40}) and stays as it is; "
            "choose another name"
        )
    return known


def _told(part: str, found: dict[str, Any], out: Path | None) -> int:
    """Print what was measured, and keep it in a file beside other parts."""
    from datetime import UTC, datetime

    from internvideo.jobs import write_json
    from internvideo.training.journal import versions

    for name, value in found.items():
        print(f"{name:<18} {value:.4g}" if isinstance(value, float) else f"{name:<18} {value}")
    if out is None:
        return 0
    known = _known(out)
    at = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(out, {**known, part: {**found, "at": at, **versions()}})
    return 0
