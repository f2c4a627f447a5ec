"""Options of the verbs that work on many files: which part of them, and on which engine."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.jobs import Engine, Part


@dataclass(frozen=True, kw_only=True)
class BulkOptions:
    """Where the work is done, and how much of it by this command."""

    part: Annotated[str | None, arg(metavar="I/N")] = None
    """Do every N-th file, from the I-th, counted from 0; jobs that run the others share --out."""
    slurm_array: bool = False
    """Take the part from the variables of a SLURM array job."""
    ray: Annotated[str | None, arg(metavar="ADDRESS|local")] = None
    """Spread the files over a Ray cluster, or over Ray's workers of this machine."""
    workers: Annotated[int, arg(metavar="N")] = 0
    """Processes; 0 works in this one, and with --ray takes one a core."""
    attempts: int = 3
    """How often a file is tried whose storage fails or that ends its process."""

    def chosen_part(self) -> Part:
        from internvideo.jobs import Part

        return Part.of(self.part, slurm_array=self.slurm_array)

    @property
    def is_spread(self) -> bool:
        """Whether other processes than this one are to work."""
        return self.ray is not None or self.workers > 0

    def engine(self) -> Engine:
        from internvideo.jobs import Engine

        if self.ray == "":
            raise ConfigError("--ray needs an address, or local")
        return Engine(ray=self.ray, num_workers=self.workers, attempts=self.attempts)


def only_job(out: str) -> AbstractContextManager[None]:
    """Keep a second job that does all files out of a folder of this machine."""
    from internvideo.processes import sole_use
    from internvideo.video.storage import is_url

    return nullcontext() if is_url(out) else sole_use(Path(out))


def is_report(path: Path, key: str) -> bool:
    """Whether a file is a report of ours, which has this key."""
    from internvideo.reading import read_json_document

    try:
        return key in read_json_document(path)
    except (ValueError, TypeError):
        return False


def report_place(out: str, part: Part) -> str:
    """Where a job's report goes: each part has its own."""
    name = "report.json" if part.count == 1 else f"report-{part.index}-of-{part.count}.json"
    return f"{out.rstrip('/')}/{name}"
