"""`internvideo index`: a folder of videos becomes searchable."""

from __future__ import annotations

import contextlib
import json as json_module
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.cli.bulk import BulkOptions
from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.jobs import Part, Record, Unit
    from internvideo.search import Advance, PrepareWork, Runtime, SearchModel, Update, WindowPlan
    from internvideo.search import Index as SearchIndex

_LINE_EVERY_S = 5.0
# While a folder is watched: between two looks, and how long a file must have rested.
_WATCH_EVERY_S, _SETTLE_S = 5.0, 3.0


@dataclass(frozen=True, kw_only=True)
class Index:
    """Index a folder of videos, to find moments in them with `internvideo search`.

    Cuts each video at shots and into overlapping windows, and embeds them with a model that knows
    words. Run again, it does only what is new, changed, renamed or removed; interrupt it whenever
    you like. Broken files are named and left out. With --part a job makes its share of the videos
    ready; when all are done, the command without --part takes them in.

    Example: internvideo index videos/ --model runs/b
    """

    folder: Positional[Path]
    """Folder of the videos (searched recursively)."""
    model: str | None = None
    """A run or saved model with a text tower, or a name from `weights list`; default that of the
    index."""
    out: Path | None = None
    """Folder of the index; default FOLDER.internvideo beside FOLDER."""
    window_s: float = 4.0
    """Seconds of a window; for a new index."""
    stride_s: float | None = None
    """Seconds from one window to the next; default half a window."""
    fps: float | None = None
    """Frames looked at per second; default two clips' in a window, 1 for models of pictures."""
    frames: Literal["auto", "all", "key"] = "auto"
    """all at --fps; key frames alone (quick, coarse); auto takes those where they are dense."""
    vectors: Literal["float16", "int8"] = "float16"
    """How vectors are stored; int8 takes half the room, and the loss in recall is told."""
    labels: Path | None = None
    """Name every window by the nearest of these labels, one a line: the track `labels`."""
    track: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="NAME=MODEL")] = ()
    """Let a classifier, caption decoder or temporal detector name parts of the videos."""
    runtime: Literal["torch", "onnx", "auto"] = "torch"
    """What runs the visual tower; auto measures both and takes the quicker."""
    yes: bool = False
    """Without --model: fetch the proposed one."""
    batch_size: int | None = None
    """Clips or frames at a time; default 8 clips or 32 frames."""
    watch: bool = False
    """Keep following the folder until interrupted."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    bulk: Annotated[BulkOptions, arg(name="")] = field(default_factory=BulkOptions)
    json: bool = False
    """Print what was done as JSON."""

    def run(self) -> int:
        from internvideo.search import choose_runtime, read_labels

        if not self.folder.is_dir():
            raise ConfigError(f"{self.folder}: no such folder; give the folder of the videos")
        out = self.out or index_beside(self.folder)
        labels = read_labels(self.labels) if self.labels else None
        tracks = [_named_model(text) for text in self.track]
        part = self.bulk.chosen_part()
        if part.count > 1 and (self.watch or labels or tracks):
            raise ConfigError(
                "--watch, --labels and --track need the whole index: leave --part out with them"
            )
        model, index = self._open(out, patience_s=60 if part.count > 1 else 0)
        choose_runtime(model, self.runtime)
        with index:
            if index.root != Path(os.path.normpath(self.folder.absolute())):
                raise ConfigError(
                    f"{out}: is an index of {index.root}; give another --out for {self.folder}"
                )
            if part.count > 1:
                return self._make_ready(index, part)
            if not self.watch:
                return self._update(index, model, labels, tracks)
            print(f"{out}: following {self.folder}; stop with Ctrl-C", file=sys.stderr)
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    self._update(index, model, labels, tracks, settle_s=_SETTLE_S, quiet=True)
                    time.sleep(_WATCH_EVERY_S)
            return 0

    def _open(self, out: Path, *, patience_s: int) -> tuple[Any, SearchIndex]:
        from internvideo.processes import sole_use
        from internvideo.search import Index as SearchIndex
        from internvideo.search import IndexSettings, open_search_model

        def there() -> tuple[Any, SearchIndex]:
            index = SearchIndex(out)
            return open_search_model(self.model or index.settings.model, device=self.device), index

        if (out / "index.sqlite").is_file():
            return there()
        source = self.model or self._proposed()
        model = open_search_model(source, device=self.device)
        settings = IndexSettings(
            folder=_folder_for(out, self.folder),
            model=_lasting_name(source),
            model_sha256=model.sha256,
            width=model.width,
            trained_on_generated=model.trained_on_generated,
            plan=self._plan(model),
            vectors=self.vectors,
        )
        with sole_use(out, patience_s=patience_s):  # other parts may be making it now
            if (out / "index.sqlite").is_file():
                return there()
            return model, SearchIndex.create(out, settings)

    def _work(self, index: SearchIndex) -> PrepareWork:
        from internvideo.search import PrepareWork

        source = _lasting_name(self.model or index.settings.model)
        return PrepareWork(
            root=index.root,
            settings=index.settings,
            open_model=partial(_opened, source, self.device, self.runtime),
            batch_size=self.batch_size,
        )

    def _prepare(self, index: SearchIndex, units: Sequence[Unit]) -> list[Record | None]:
        """Have these videos made ready in processes of their own, or here."""
        from internvideo.cli.terminal import progress
        from internvideo.jobs import Ledger

        if not units:
            return []
        ledger = Ledger(out=str(index.folder.absolute()))
        with progress("embedding") as tell:
            return self.bulk.engine().run(units, self._work(index), ledger, tell)

    def _make_ready(self, index: SearchIndex, part: Part) -> int:
        from internvideo.search import pending_units

        records = self._prepare(index, part.of_units(pending_units(index)))
        done = [record for record in records if record is not None]
        failed = [record for record in done if record.status == "failed"]
        count = {
            "ready": sum(record.status == "done" for record in done),
            "there": sum(record.status == "there" for record in done),
            "failed": len(failed),
        }
        if self.json:
            print(json_module.dumps({"index": str(index.folder), "part": str(part), **count}))
            return 1 if failed else 0
        for record in failed:
            print(f"failed  {record.reason}")
        print(
            f"{index.folder}: part {part}: {count['ready']} made ready, {count['there']} there "
            f"before, {count['failed']} failed; when all parts are done, run the command without "
            "--part"
        )
        return 1 if failed else 0

    def _proposed(self) -> str:
        """A model for those who name none, once they have agreed."""
        from internvideo.search import propose

        proposal = propose(self._stride_s)
        if not self.yes and not (
            sys.stdin.isatty() and input(f"{proposal}. Fetch it? [y/N] ").strip().lower() == "y"
        ):
            raise ConfigError(
                f"which --model? A proposal: {proposal}. Add --yes to fetch it, or name another"
            )
        print(str(proposal), file=sys.stderr)
        return proposal.name

    @property
    def _stride_s(self) -> float:
        return self.window_s / 2 if self.stride_s is None else self.stride_s

    def _plan(self, model: SearchModel) -> WindowPlan:
        from internvideo.search import WindowPlan

        usual_fps = 1.0 if model.num_frames == 1 else 2 * model.num_frames / self.window_s
        return WindowPlan(
            window_s=self.window_s,
            stride_s=self._stride_s,
            rate_fps=usual_fps if self.fps is None else self.fps,
            frames=self.frames,
        )

    def _update(
        self,
        index: SearchIndex,
        model: SearchModel,
        labels: tuple[str, ...] | None,
        tracks: list[tuple[str, str]],
        *,
        settle_s: float = 0.0,
        quiet: bool = False,
    ) -> int:
        from internvideo.search import Searcher, label_windows, update_index

        with advance_shown() as tell:
            update = update_index(
                index,
                model,
                batch_size=self.batch_size,
                settle_s=settle_s,
                progress=tell,
                prepare=partial(self._prepare, index) if self.bulk.is_spread else None,
            )
        if update.has_changed or index.meta("background_of_row") is None:
            Searcher(index, lambda: model).calibrate()
        if (known := labels or index.meta("labels")) and (labels or update.has_changed):
            label_windows(index, model, known)
        for name, source in tracks:
            self._add_track(index, name, source)
        if quiet and not update.has_changed:
            return 0
        if self.json:
            print(json_module.dumps({"index": str(index.folder), **asdict(update)}, indent=2))
        else:
            print("\n".join(_lines(index, update)))
        return 1 if update.failed else 0

    def _add_track(self, index: SearchIndex, name: str, source: str) -> None:
        from internvideo.api import load
        from internvideo.cli.terminal import progress
        from internvideo.hub import load_pretrained
        from internvideo.search import add_track, namer
        from internvideo.training import choose_device
        from internvideo.weights import weights_sha256

        pretrained = load_pretrained(source)
        pretrained.model.to(choose_device(self.device))
        names_of = namer(
            pretrained,
            index.settings.plan,
            source=source,
            open_encoder=lambda encoder: load(encoder, device=self.device).feature_encoder,
        )
        digest = weights_sha256(pretrained.model)
        with progress(f"track {name}") as tell:
            failed = add_track(index, name, names_of, model_sha256=digest, progress=tell)
        for one in failed:
            print(f"no {name}  {one.reason}", file=sys.stderr)


def _opened(source: str, device: str, runtime: Runtime) -> SearchModel:
    """Open a model in a process that makes videos ready."""
    from internvideo.search import choose_runtime, open_search_model

    model: Any = open_search_model(source, device=device)
    choose_runtime(model, runtime)
    return model


def _named_model(text: str) -> tuple[str, str]:
    name, equals, source = text.partition("=")
    if not (name and equals and source) or name == "labels":
        raise ConfigError(
            f"--track {text}: write a name and a model, as in --track captions=runs/b; the name "
            "`labels` is taken by --labels"
        )
    return name, source


def index_beside(folder: Path) -> Path:
    """Where the index of a folder lies unless told otherwise."""
    from internvideo.search import SUFFIX

    whole = Path(os.path.normpath(folder.absolute()))
    return whole.with_name(f"{whole.name}{SUFFIX}")


def _folder_for(out: Path, folder: Path) -> str:
    """The folder as an index names it: relative where both lie together and may move so."""
    whole, around = Path(os.path.normpath(folder.absolute())), out.absolute().parent
    if whole.is_relative_to(around):
        return os.path.join("..", whole.relative_to(around).as_posix())  # noqa: PTH118
    return str(whole)


def _lasting_name(model: str) -> str:
    """A path that means the same from every folder; names of releases stay."""
    return str(Path(model).absolute()) if Path(model).exists() else model


def _lines(index: SearchIndex, update: Update) -> Iterator[str]:
    yield from (f"left out  {one.reason}" for one in update.failed)
    done = f"{update.num_new} new, {update.num_changed} changed, {update.num_renamed} renamed, "
    yield (
        f"{index.folder}: {done}{update.num_removed} removed, {update.num_unchanged} as before, "
        f"{len(update.failed)} left out"
    )
    speed = ""
    if update.hours:
        speed = (
            f"; {update.hours:.2g} hours of video in {update.elapsed_s:.0f} s, "
            f"{update.hours * 3600 / update.elapsed_s:.3g} an hour (decoding took "
            f"{update.decoding_s:.1f} s of a processor, the visual tower {update.tower_s:.1f} s)"
        )
    yield (
        f"{update.num_videos} videos, {update.num_windows} windows, "
        f"{update.num_bytes / 1e6:.1f} MB{speed}"
    )
    if update.int8_recall is not None:
        yield f"int8 keeps {update.int8_recall:.3f} of the ten nearest of new windows"
    if index.settings.trained_on_generated:
        yield (
            f"{index.settings.model} was trained on generated videos; of real ones it knows nothing"
        )


@contextlib.contextmanager
def advance_shown() -> Iterator[Callable[[Advance], None]]:
    """Show how far an update is, as a line that is written over or, in a file, now and then."""
    from internvideo.cli.terminal import console

    if console().is_terminal:
        with console().status("looking at the folder") as status:
            yield lambda advance: status.update(_said(advance))
        return
    last = time.monotonic()

    def tell(advance: Advance) -> None:
        nonlocal last
        if advance.num_done == advance.num_total or time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            print(f"indexing: {_said(advance)}", file=sys.stderr, flush=True)

    yield tell


def _said(advance: Advance) -> str:
    left = round(advance.left_s)
    return (
        f"{advance.num_done}/{advance.num_total} videos, {advance.hours_done:.2g} hours, "
        f"{advance.hours_per_hour:.3g} hours of video an hour, "
        f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left"
    )
