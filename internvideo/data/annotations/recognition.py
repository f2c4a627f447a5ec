"""Action recognition as Kinetics, UCF101, HMDB51 and Moments in Time publish it.

Sources: the csv files of the ActivityNet crawler (Kinetics), `ucfTrainTestlist` (UCF101),
`testTrainMulti_7030_splits` (HMDB51), the csv files of Moments in Time.
None of them says how the files are stored, so the layouts in use are tried on the first records.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.data.annotations.folders import SPLITS
from internvideo.data.annotations.gathering import bare_name, file_in_folder, has_known_ending
from internvideo.errors import AnnotationError
from internvideo.values import Annotations, Record

_CLIP = "{youtube_id}_{start:06d}_{end:06d}.mp4"
KINETICS_LAYOUTS = (
    f"{{split}}/{_CLIP}",
    f"*/{_CLIP}",  # of a class, which another vintage may call otherwise
    f"{{split}}/{{label}}/{_CLIP}",
    _CLIP,
)
HMDB51_LAYOUTS = ("{label}/{name}.avi", "{label}/{name}.mp4", "{label}/{name}", "{name}")
UCF101_LAYOUTS = ("{name}",)
MOMENTS_LAYOUTS = ("{folder}/{name}", "{split}/{name}", "{name}")
_MOMENTS_FOLDERS = {"train": "training", "val": "validation"}


@files.reader
def read_kinetics(
    path: str | Path,
    *,
    root: str | Path | None = None,
    layout: str | None = None,
    classes: tuple[str, ...] | str = (),
) -> Annotations:
    """Read an official Kinetics csv, or all those of a folder; the videos are the trimmed clips.

    Args:
        path: A csv with the header `label,youtube_id,time_start,time_end,split` (the test lists
            have no label), or a folder of such files.
        root: Folder of the videos; that of the csv without it.
        layout: Path of a video below `root` in the fields `label`, `youtube_id`, `start`, `end`,
            `split`; without it the first of `KINETICS_LAYOUTS` that finds a file.
        classes: Class names in the order of their ids, or the file of them; without it those
            found, sorted.
    """
    path = Path(path)
    tables = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not tables:
        raise AnnotationError(f"{path}: holds no csv file")
    clips: list[dict[str, str | int]] = []
    found, listed_in = [], []
    for table in tables:
        for line, clip in kinetics_rows(table):
            clips.append(clip)
            found.append((line, str(clip["label"])))
            listed_in.append(table)
    names = files.named_classes(path, classes)
    names, labels = files.resolve_labels(listed_in, found, names)
    videos = place_videos(
        root or (path if path.is_dir() else path.parent), layout, KINETICS_LAYOUTS, clips
    )
    records = tuple(
        Record(video=video, labels=label, split=str(clip["split"]) or None)
        for video, label, clip in zip(videos, labels, clips, strict=True)
    )
    return Annotations(records=records, classes=names)


@files.reader
def read_ucf101(
    path: str | Path, *, root: str | Path | None = None, layout: str | None = None, fold: int = 1
) -> Annotations:
    """Read `classInd.txt` and one fold of `trainlist0N.txt`, `testlist0N.txt`, or one such list.

    Labels are 1-based in the files. A list without them (as the test lists are published) takes
    the class from the folder in front of the name.
    """
    return _read_folds(path, root, fold, "classInd.txt", (layout,) if layout else UCF101_LAYOUTS)


@files.reader
def read_hmdb51(
    path: str | Path, *, root: str | Path | None = None, layout: str | None = None, fold: int = 1
) -> Annotations:
    """Read HMDB51 in either form in use.

    One is like UCF101's, with the names in `label_map.txt`. The authors' own has one file a class,
    `CLASS_test_splitN.txt`, with 1 (training), 2 (test) or 0 (unused) after each name.
    """
    path = Path(path)
    layouts = (layout,) if layout else HMDB51_LAYOUTS
    tables = sorted(path.glob(f"*_test_split{fold}.txt")) if path.is_dir() else []
    if not tables:
        return _read_folds(path, root, fold, "label_map.txt", layouts)
    classes = tuple(table.name.removesuffix(f"_test_split{fold}.txt") for table in tables)
    parts = {"1": "train", "2": "test"}
    entries = []
    for label, table in enumerate(tables):
        for line, text in files.lines(table):
            name, _, part = text.rpartition(" ")
            if part not in ("0", *parts):
                raise files.wrong(table, line, f"{text!r} does not end in 0, 1 or 2")
            if part in parts:
                entries.append((name.strip(), label, parts[part]))
    return _named(entries, classes, root or path, layouts)


@files.reader
def read_moments(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read the folder of Moments in Time: `trainingSet.csv`, `validationSet.csv`, its classes.

    Lines are `CLASS/NAME.mp4,CLASS` and perhaps votes. The classes are in `moments_categories.txt`
    (`CLASS,NUMBER`), `label_map.txt` or `category*.txt` (`CLASS`). Videos lie in `training` and
    `validation` below `root`, or in `root` itself.
    """
    path = Path(path)
    classes = _moments_classes(path)
    lists = {"train": path / "trainingSet.csv", "val": path / "validationSet.csv"}
    entries = []
    for split, table in lists.items():
        for line, row in files.csv_rows(table) if table.exists() else ():
            if len(row) < 2 or row[1] not in classes:
                label = row[1] if len(row) > 1 else ""
                hint = files.nearest(label, classes)
                raise files.wrong(table, line, f"class {label!r} is in no list of classes{hint}")
            entries.append((row[0], classes[row[1]], split))
    if not entries:
        raise AnnotationError(f"{path}: holds neither trainingSet.csv nor validationSet.csv")
    names = tuple(sorted(classes, key=classes.__getitem__))
    return _named(entries, names, root or path, MOMENTS_LAYOUTS)


def _moments_classes(folder: Path) -> dict[str, int]:
    known = (folder / "moments_categories.txt", folder / "label_map.txt")
    table = next(
        (file for file in (*known, *sorted(folder.glob("category*.txt"))) if file.exists()), None
    )
    if table is None:
        raise AnnotationError(f"{folder}: holds none of moments_categories.txt and label_map.txt")
    rows = [(name, number) for _, (name, *number) in files.csv_rows(table)]
    return {name: int(number[0]) if number else place for place, (name, number) in enumerate(rows)}


def kinetics_rows(table: Path) -> Iterable[tuple[int, dict[str, str | int]]]:
    """Yield line and fields of every clip of one official csv: label, id, times, split."""
    rows = files.csv_rows(table)
    line, header = next(rows)
    for name in ("youtube_id", "time_start", "time_end"):
        if name not in header:
            hint = files.nearest(name, header)
            raise files.wrong(
                table,
                line,
                f"no column {name!r}, found: {', '.join(header)}{hint}; a list of "
                'paths and labels is read with format "list"',
            )
    for line, row in rows:
        if len(row) != len(header):
            raise files.wrong(table, line, f"has {len(row)} fields, the header has {len(header)}")
        cell = dict(zip(header, row, strict=True))
        split = cell.get("split", table.stem)
        yield (
            line,
            {
                "label": cell.get("label", ""),
                "youtube_id": cell["youtube_id"],
                "start": round(files.number(table, line, "time_start", cell["time_start"])),
                "end": round(files.number(table, line, "time_end", cell["time_end"])),
                "split": SPLITS.get(split, split),
            },
        )


def _read_folds(
    path: str | Path, root: str | Path | None, fold: int, names: str, layouts: Sequence[str]
) -> Annotations:
    path = Path(path)
    folder = path if path.is_dir() else path.parent
    lists = (
        {"train": path / f"trainlist{fold:02}.txt", "test": path / f"testlist{fold:02}.txt"}
        if path.is_dir()
        else {"test" if "test" in path.name else "train": path}
    )
    classes = tuple(re.sub(r"^\d+\s+", "", name) for name in files.class_names(folder / names))
    in_name = re.compile(rf"_({'|'.join(map(re.escape, classes))})_[fhlu]_[cn]m_np\d")
    entries = []
    for split, table in lists.items():
        for line, text in files.lines(table):
            name, _, label = text.rpartition(" ")
            if not (name and label.isdecimal()):
                name, label = text, _label_of_folder(table, line, text, classes)
            if not 1 <= int(label) <= len(classes):
                raise files.wrong(table, line, f"label {label}, expected 1 to {len(classes)}")
            # Names of HMDB51 hold the class. Its lists number a few classes in another order than
            # the label map that is published with them (kick_ball before kick).
            said = in_name.search(name)
            place = classes.index(said[1]) if said else int(label) - 1
            entries.append((name.strip(), place, split))
    return _named(entries, classes, root or folder, layouts)


def _label_of_folder(table: Path, line: int, text: str, classes: Sequence[str]) -> str:
    name = text.split("/")[0]
    if "/" not in text or name not in classes:
        raise files.wrong(
            table, line, f"{text!r} has neither a label after it nor a class folder before it"
        )
    return str(classes.index(name) + 1)


def _named(
    entries: Sequence[tuple[str, int, str]],
    classes: tuple[str, ...],
    root: str | Path,
    layouts: Sequence[str],
) -> Annotations:
    fields = [
        {
            "name": name,
            "label": classes[label],
            "split": split,
            "folder": _MOMENTS_FOLDERS.get(split, split),
        }
        for name, label, split in entries
    ]
    records = tuple(
        Record(video=video, labels=(label,), split=split)
        for video, (_, label, split) in zip(
            place_videos(root, None, layouts, fields), entries, strict=True
        )
    )
    return Annotations(records=records, classes=classes)


def place_videos(
    root: str | Path,
    layout: str | None,
    layouts: Sequence[str],
    entries: Sequence[Mapping[str, str | int]],
) -> list[Path]:
    """Place every entry's video below `root` by the layout given, or the first that finds one.

    A file is found whatever video ending it has; where there is none, the one that the layout says
    is meant. A layout that begins with `*/` finds a file of that name in any folder right below
    `root`; where there is none, that of its label is meant.
    """
    root = Path(root)
    forms = (layout,) if layout else layouts
    listed: dict[str, dict[str, str]] = {}
    # Some clips of every web data set are missing.
    hits = ((form, entry) for entry in islice(entries, 20) for form in forms)
    try:
        form = next(
            (form for form, entry in hits if _is_there(root, form.format(**entry), listed)),
            forms[0],
        )
        names = [form.format(**entry) for entry in entries]
    except (KeyError, ValueError, IndexError) as error:
        known = ", ".join(entries[0])
        raise AnnotationError(f"layout {layout!r}: {error}; its fields are {known}") from None
    if not form.startswith("*/"):
        return [root / (file_in_folder(listed, root, name) or name) for name in names]
    found = {}
    for path in sorted(root.glob("*/*")):
        if has_known_ending(path.name):
            found.setdefault(bare_name(path.name), path)
    bare = [name.removeprefix("*/") for name in names]
    return [
        found.get(bare_name(name), root / str(entry.get("label", "")) / name)
        for name, entry in zip(bare, entries, strict=True)
    ]


def _is_there(root: Path, name: str, listed: dict[str, dict[str, str]]) -> bool:
    if not name.startswith("*/"):
        return (root / name).exists() or file_in_folder(listed, root, name) is not None
    stem = glob.escape(bare_name(name.removeprefix("*/")))
    return any(has_known_ending(path.name) for path in root.glob(f"*/{stem}.*"))
