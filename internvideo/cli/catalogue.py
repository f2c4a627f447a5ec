"""`internvideo data sets`, `data check`, `data make`, and `reproduce`: the paper's data sets."""

from __future__ import annotations

import os
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from internvideo.cli.outputs import claim
from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.data.catalogue import DataSet


@dataclass(frozen=True, kw_only=True)
class Sets:
    """List the data sets of the paper, or tell all that is known of one.

    Example: internvideo data sets msr-vtt
    """

    name: Annotated[Positional[str | None], arg(metavar="NAME")] = None
    """One of them."""
    json: bool = False
    """Print JSON."""
    markdown: bool = False
    """Print the page of results, docs/results.md."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.data.catalogue import BENCHMARKS, CORPORA, data_set
        from internvideo.data.catalogue.page import document_of, lines_of, results_page

        if self.markdown:
            print(results_page(), end="")
            return 0
        if self.name is not None:
            entry = data_set(self.name)
            if self.json:
                print_json(document_of(entry))
            else:
                print("\n".join(lines_of(entry)))
            return 0
        entries = [*BENCHMARKS.values(), *CORPORA.values()]
        if self.json:
            print_json([document_of(entry) for entry in entries])
            return 0
        width = max(len(entry.name) for entry in entries)
        for entry in entries:
            print(f"{entry.name:<{width}}  {entry.task}; {entry.title}; {', '.join(entry.states)}")
        print(f"{len(BENCHMARKS)} benchmarks, {len(CORPORA)} sets to pretrain on")
        return 0


@dataclass(frozen=True, kw_only=True)
class Check:
    """Compare a folder with the data set that it should be: files, counts, labels, videos, leaks.

    Example: internvideo data check hmdb51 --root hmdb51/ --manifest usable.csv
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """A name of `internvideo data sets`."""
    root: Path
    """Folder of the annotation files."""
    videos: Path | None = None
    """Folder of the videos; default that of the annotation files."""
    decode: Annotated[int | None, arg(metavar="N")] = 200
    """How many videos to decode from end to end, evenly over all; none for all of them."""
    manifest: Path | None = None
    """Where to write a csv of what can be used, which evaluation takes."""
    overwrite: bool = False
    """Replace a manifest that is there already."""
    workers: Annotated[int, arg(metavar="N")] = os.cpu_count() or 1
    """Worker processes that decode."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json, progress
        from internvideo.data import write_manifest
        from internvideo.data.catalogue import data_set
        from internvideo.data.catalogue.check import check_data_set
        from internvideo.data.catalogue.entry import EPISODES
        from internvideo.data.catalogue.episodes import check_episodes
        from internvideo.navigation import read_episodes

        if self.workers < 1 or (self.decode is not None and self.decode < 0):
            raise ConfigError("give --workers 1 or more and --decode 0 or more")
        if self.manifest is not None:
            claim(self.manifest, overwrite=self.overwrite)
        entry = data_set(self.name)
        if entry.reader == EPISODES:
            if self.manifest is not None:
                raise ConfigError(f"{entry.name} holds no videos; leave out --manifest")
            report = check_episodes(entry, self.root, read_episodes)
        else:
            with progress("decoding") as tell:
                report = check_data_set(
                    entry,
                    self.root,
                    videos=self.videos,
                    decoded=self.decode,
                    num_workers=self.workers,
                    on_progress=tell,
                )
        if self.manifest is not None:
            write_manifest(report.usable, self.manifest)
        if self.json:
            print_json(report.to_json())
        else:
            print("\n".join(report.lines()))
        return 1 if report.problems else 0


@dataclass(frozen=True, kw_only=True)
class Make:
    """Write a tiny stand-in of a data set: its files and formats, with generated videos.

    Example: internvideo data make msr-vtt --out stand-ins/msr-vtt
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """A name of `internvideo data sets`."""
    out: Path
    """A new or empty folder."""
    seed: int = 0
    """Of the videos."""

    def run(self) -> int:
        from internvideo.data.catalogue import data_set
        from internvideo.data.catalogue.check import check_data_set, write_stand_in_file
        from internvideo.data.catalogue.entry import EPISODES
        from internvideo.data.catalogue.episodes import check_episodes
        from internvideo.navigation import read_episodes
        from internvideo.playground.stand_ins import make_stand_in

        entry = data_set(self.name)
        if entry.reader == EPISODES:
            _make_episodes(entry, self.out, self.seed)
            write_stand_in_file(entry, self.out, read_episodes)
            report = check_episodes(entry, self.out, read_episodes)
        else:
            make_stand_in(entry.name, self.out, seed=self.seed)
            write_stand_in_file(entry, self.out)
            report = check_data_set(entry, self.out, decoded=0)
        print("\n".join(report.lines()))
        return 0


def _make_episodes(entry: DataSet, out: Path, seed: int) -> None:
    """Draw episodes in generated houses, and write them as the data set has them."""
    from internvideo.navigation import make_episodes, write_episodes

    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out}: is not empty; choose another folder or remove it")
    for split in entry.splits:
        path = out / entry.source.replace("{split}", split)
        write_episodes(make_episodes(split, 4, seed=seed), path)


@dataclass(frozen=True, kw_only=True)
class Reproduce:
    """Say which commands reproduce a published result, what they cost, and what differs.

    Example: internvideo reproduce hmdb51
    """

    name: Annotated[Positional[str], arg(metavar="NAME")]
    """A name of `internvideo data sets`."""
    root: Path = Path("DATA")
    """Folder of the data set, as it stands in the commands."""
    rehearse: bool = False
    """Say the commands for a stand-in (`internvideo data make`): two steps of a tiny network."""
    json: bool = False
    """Print JSON."""

    def run(self) -> int:
        from internvideo.cli.reproduction import reproduction
        from internvideo.cli.terminal import print_json
        from internvideo.data.catalogue import data_set

        entry = data_set(self.name)
        told = reproduction(entry, self.root, rehearse=self.rehearse)
        told["commands"] = [shlex.join(words) for words in told["commands"]]
        if self.json:
            print_json(told)
            return 0
        print(f"{entry.title}, {entry.task}")
        print("commands:\n" + "\n".join(f"  {command}" for command in told["commands"]))
        for name in ("cost", "published", "tolerance", "differs"):
            print(f"{name}: {told[name]}")
        return 0
