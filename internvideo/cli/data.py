"""`internvideo data ...`: list, merge, pack or generate videos; videos.py has the rest."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

from internvideo.cli.outputs import claim
from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.values import Annotations

_MOST_SHOWN = 3  # videos that were left out


@dataclass(frozen=True, kw_only=True)
class Init:
    """Write a manifest csv of a folder of videos; sub-folders become labels.

    Example: internvideo data init videos/ --out videos/manifest.csv
    """

    path: Positional[Path]
    """Folder of videos, or of one folder for each class."""
    out: Path | None = None
    """The manifest; default PATH/manifest.csv."""
    overwrite: bool = False
    """Replace files that are there already."""

    def run(self) -> int:
        from internvideo.data import manifest_from_folder, write_manifest

        out = self.out or self.path / "manifest.csv"
        if self.path.is_dir():
            claim(out, overwrite=self.overwrite)
        annotations = manifest_from_folder(self.path)
        write_manifest(annotations, out)
        classes = f" of {len(annotations.classes)} classes" if annotations.classes else ""
        print(f"{out}: {len(annotations.records)} videos{classes}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Shards:
    """Pack annotated videos or images into tar shards, which train as format `shards`.

    Example: internvideo data shards webvid.csv --format webvid --root videos/ --out shards/
    """

    path: Positional[str]
    """Annotations in the given format; with --index a folder of tar shards."""
    format: str = "manifest"
    """A format of annotations, as in data.format of a recipe."""
    root: str | None = None
    """Folder that the paths of videos start from."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns under other names, as in: --columns path file caption text."""
    out: Path | None = None
    """Folder to write; an interrupted packing is continued."""
    max_shard_mb: Annotated[int, arg(metavar="N")] = 256
    """Largest size of a shard, in millions of bytes."""
    seed: int = 0
    """Seed of the order of videos; same annotations and seed, same bytes."""
    index: bool = False
    """Only write the index of the shards at PATH (to --out, where PATH is an address)."""
    only_existing: bool = False
    """Pack the videos that are there, be they ever so few."""
    overwrite: bool = False
    """Replace files that are there already."""
    json: bool = False
    """Print the summary as JSON."""

    def run(self) -> int:
        from dataclasses import asdict

        from internvideo.cli.terminal import print_json, progress
        from internvideo.data import VideoData, index_shards, write_shards

        if self.index:
            self._claim_index()
            found = index_shards(self.path, self.out)
            print(f"{len(found.shards)} shards: {found.num_samples} videos or pictures")
            return 0
        if self.out is None:
            raise ConfigError("where should the shards go? give --out FOLDER")
        data = VideoData(source=self.path, format=self.format, root=self.root, columns=self.columns)
        annotations = data.read()
        self._check_found(annotations)
        with progress("packing") as tell:
            summary = write_shards(
                annotations,
                self.out,
                max_shard_mb=self.max_shard_mb,
                seed=self.seed,
                on_progress=tell,
            )
        if self.json:
            print_json(asdict(summary))
            return 0
        for name, reason in summary.left_out[:_MOST_SHOWN]:
            print(f"left out  {name}: {reason}")
        if (more := len(summary.left_out) - _MOST_SHOWN) > 0:
            print(f"left out  {more} more; --json lists them all")
        print(f"{self.out}: {summary}")
        return 0

    def _check_found(self, annotations: Annotations) -> None:
        """Refuse to pack a small part of what is annotated, unless it is asked for."""
        from internvideo.tasks.shared.evaluation_data import MOST_MISSING

        videos = dict.fromkeys(r.video for r in annotations.records if r.member is None)
        missing = [str(video) for video in videos if not video.exists()]
        if len(missing) > MOST_MISSING * len(videos) and not self.only_existing:
            raise ConfigError(
                f"{self.path}: {len(missing)} of {len(videos)} videos are not there, such as "
                f"{', '.join(missing[:3])}; give their folder with --root, or pack those that are "
                "there with --only-existing"
            )

    def _claim_index(self) -> None:
        """See that no file but an index of ours would be replaced."""
        from internvideo.data import index_place, is_index

        place = index_place(self.path, self.out)
        if place is not None:
            claim(place, overwrite=self.overwrite, is_own=is_index(place))


@dataclass(frozen=True, kw_only=True)
class Kinetics710:
    """Build Kinetics-710: merge Kinetics-400, 600 and 700 without any validation or test video.

    Each folder of lists holds the official train.csv, val.csv and test.csv; it may hold the names
    of its classes as label_map_k400.txt (k600, k700) or classes.txt. The result trains as format
    kinetics710.

    Example: internvideo data kinetics710 --k400 lists/k400 --k600 lists/k600 --k700 lists/k700
    --out k710
    """

    k400: Path
    """Folder of the lists of Kinetics-400."""
    k600: Path
    """Folder of the lists of Kinetics-600."""
    k700: Path
    """Folder of the lists of Kinetics-700."""
    out: Path
    """New folder for the lists, the label map, the class maps and report.json."""
    k400_videos: Path | None = None
    """Folder of its videos; default the folder of its lists."""
    k600_videos: Path | None = None
    """Folder of its videos; default the folder of its lists."""
    k700_videos: Path | None = None
    """Folder of its videos; default the folder of its lists."""
    layout: str | None = None
    """Path of a video in its folder, such as {label}/{youtube_id}_{start:06d}_{end:06d}.mp4."""
    order: str = "union"
    """Order of the classes: union, or published (mmaction2, internvideo, videomae-v2)."""
    maps: Path | None = None
    """Folder with the files of a published order."""
    label_maps: Path | None = None
    """Folder with label_map_k400.txt, label_map_k600.txt and label_map_k700.txt."""
    renamed: Path | None = None
    """Csv of renamed classes (header old,new); default the fifteen of Kinetics-710."""
    only_existing: bool = False
    """Leave out clips whose file is missing."""
    json: bool = False
    """Print the report as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.data import (
            RENAMED,
            build_kinetics710,
            check_is_free,
            find_vintage,
            read_class_maps,
            read_renamed,
            write_kinetics710,
        )

        check_is_free(self.out)
        if self.order != "union" and self.maps is None:
            raise ConfigError(f"where are the files of order {self.order!r}? give --maps FOLDER")
        places = {
            "k400": (self.k400, self.k400_videos),
            "k600": (self.k600, self.k600_videos),
            "k700": (self.k700, self.k700_videos),
        }
        vintages = [
            find_vintage(name, lists, videos, label_maps=self.label_maps, layout=self.layout)
            for name, (lists, videos) in places.items()
        ]
        renamed = read_renamed(self.renamed) if self.renamed else RENAMED
        maps = None if self.order == "union" else read_class_maps(self.maps or "", self.order)
        built = build_kinetics710(
            vintages, maps=maps, renamed=renamed, only_existing=self.only_existing
        )
        write_kinetics710(built, self.out)
        report = built.report
        if self.json:
            print_json(report)
            return 0
        for name, vintage in report["vintages"].items():
            for split in ("train", "val"):
                counts = vintage[split]
                dropped = [f"{count} {reason}" for reason, count in counts["dropped"].items()]
                left_out = f" ({', '.join(dropped)})" if dropped else ""
                print(f"{name} {split:<5}  {counts['kept']} of {counts['read']} kept{left_out}")
        print(
            f"{self.out}: {report['train']} videos to train on, {report['val']} to validate on, "
            f"{report['classes']} classes"
        )
        return 0


@dataclass(frozen=True, kw_only=True)
class Playground:
    """Generate the playground: videos of moving shapes with exact annotations.

    Example: internvideo data playground --size small --seed 0 --out runs/playground
    """

    out: Path
    """Folder to write; an interrupted generation is continued."""
    size: str = "demo"
    """small (about 200 videos), demo (2,000), full (50,000) or a number."""
    stills: Annotated[int | None, arg(metavar="N")] = None
    """Still images to generate; default three per video."""
    seed: int = 0
    """Same seed, same videos and annotations."""
    workers: Annotated[int, arg(metavar="N")] = os.cpu_count() or 1
    """Worker processes that render and encode."""

    def run(self) -> int:
        from internvideo.cli.terminal import progress
        from internvideo.playground import generate

        size = int(self.size) if self.size.isdigit() else self.size
        with progress("generating") as tell:
            summary = generate(
                self.out,
                size=size,
                num_stills=self.stills,
                seed=self.seed,
                num_workers=self.workers,
                on_progress=tell,
            )
        print(summary)
        return 0


@dataclass(frozen=True, kw_only=True)
class Actors:
    """Generate videos of several actors with boxes once a second, for spatiotemporal localization.

    Example: internvideo data actors --out runs/actors
    """

    out: Path
    """New folder for videos/, boxes as of AVA, and detections."""
    size: Annotated[int, arg(metavar="N")] = 200
    """Videos to generate."""
    seed: int = 0
    """Same seed, same videos and boxes."""

    def run(self) -> int:
        from internvideo.cli.terminal import progress
        from internvideo.playground import generate_actors

        with progress("generating") as tell:
            told = generate_actors(self.out, size=self.size, seed=self.seed, on_progress=tell)
        print(told)
        return 0


@dataclass(frozen=True, kw_only=True)
class Untrimmed:
    """Generate untrimmed videos of the playground's actions, of 20 to 60 s, with their segments.

    Example: internvideo data untrimmed --videos 60 --out data/untrimmed
    """

    out: Path
    """Folder to write; an interrupted generation is continued."""
    videos: Annotated[int, arg(metavar="N")] = 60
    """How many: of five, three to train on, one to validate and one to test on."""
    seed: int = 0
    """Same seed, same videos and annotations."""
    actions: tuple[str, ...] = ()
    """Only these actions; default all."""

    def run(self) -> int:
        from internvideo.cli.terminal import progress
        from internvideo.playground import generate_untrimmed

        with progress("generating") as tell:
            count = generate_untrimmed(
                self.out,
                num_videos=self.videos,
                seed=self.seed,
                actions=self.actions,
                on_progress=tell,
            )
        print(
            f"{self.out}: {self.videos} videos with {count} segments in thumos14.json, "
            "activitynet.json and segments.csv"
        )
        return 0


@dataclass(frozen=True, kw_only=True)
class PlantedFeatures:
    """Write features of imaginary videos with planted segments, to try temporal localization.

    Example: internvideo data planted-features --out data/planted
    """

    out: Path
    """New folder for features/ and segments.csv."""
    seed: int = 0
    """Same seed, same features; the classes are the same for all."""

    def run(self) -> int:
        from internvideo.playground import plant_features

        count = plant_features(self.out, seed=self.seed)
        print(f"{self.out}: features of {count} videos in features/, segments in segments.csv")
        return 0


@dataclass(frozen=True, kw_only=True)
class Joined:
    """Join labelled clips to long videos, with other videos between them, and write their segments.

    Example: internvideo data joined clips/manifest.csv --background other/ --out runs/joined
    """

    path: Positional[str]
    """Annotations of trimmed clips, with splits."""
    background: UseAppendAction[tuple[Path, ...]] = ()
    """A video, or a folder of videos, that show none of the classes; once for each."""
    out: Path
    """New folder for videos/ and segments.csv."""
    format: str = "manifest"
    """A format of annotations, as in data.format of a recipe."""
    root: str | None = None
    """Folder that the paths of clips start from."""
    columns: dict[str, str] = field(default_factory=dict)
    """Columns under other names, as in: --columns path file label class."""
    videos: Annotated[int, arg(metavar="N")] = 60
    """How many, of all splits, in proportion to their clips."""
    seed: int = 0
    """Same seed and files, same videos and segments."""

    def run(self) -> int:
        from internvideo.cli.terminal import progress
        from internvideo.data import VideoData, join_clips
        from internvideo.video import find_videos

        data = VideoData(source=self.path, format=self.format, root=self.root, columns=self.columns)
        for path in self.background:
            if not path.exists():
                raise ConfigError(f"{path}: there is no such video or folder")
        background = [file for path in self.background for file in find_videos(path)]
        with progress("joining") as tell:
            count = join_clips(
                data.read(),
                background,
                self.out,
                num_videos=self.videos,
                seed=self.seed,
                on_progress=tell,
            )
        print(f"{self.out}: videos with {count} segments in segments.csv")
        return 0
