"""Classes of several versions of one data set (Kinetics-400, 600, 700) become rows of one head.

Sources: InternVideo, supervised post-pretraining: the labels of Kinetics-400, 600 and 700 are
united by name, fifteen older names being written as Kinetics-700 writes them. Published row orders
are those of MMAction2 (`label_map_k710.txt`, `map_k*.json`), of InternVideo and UniFormerV2
(`label_mixto*.json`) and of VideoMAE V2 (`label_710to*.json`). The first counts the classes of a
vintage by the alphabet; the others, which have the same rows, by lists of their own.
Differs: published lists do not all write "throwing ball" in the same way, so a class is found by
its place in the list of its own vintage, and names are compared only after renaming.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from internvideo.data.annotations import files
from internvideo.errors import AnnotationError, ConfigError, unknown_name

# Names in Kinetics-400 or 600, and how Kinetics-700 calls these classes or those they went into.
RENAMED: dict[str, str] = {
    "balloon blowing": "inflating balloons",
    "changing wheel": "changing wheel (not on bike)",
    "cooking sausages": "cooking sausages (not on barbeque)",
    "drinking": "sipping cup",
    "dying hair": "dyeing hair",
    "garbage collecting": "person collecting garbage",
    "hugging": "hugging (not baby)",
    "making bed": "making the bed",
    "opening bottle": "opening bottle (not wine)",
    "passing american football (not in game)": "passing American football (not in game)",
    "picking fruit": "picking apples",
    "skiing (not slalom or crosscountry)": "skiing mono",
    "sniffing": "smelling feet",
    "throwing ball": "throwing ball (not baseball or American football)",
    "tying tie": "tying necktie",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class RowOrder:
    """Files of a published row order: where each vintage's classes are among the rows.

    A vintage without a file has the first rows, in order. `names` is the file with the names of
    all rows, where one was published with the maps.
    """

    maps: dict[str, str]
    names: str | None = None


ROW_ORDERS: dict[str, RowOrder] = {
    "mmaction2": RowOrder(
        names="label_map_k710.txt",
        maps={"k400": "map_k400.json", "k600": "map_k600.json", "k700": "map_k700.json"},
    ),
    "internvideo": RowOrder(maps={"k600": "label_mixto600.json", "k700": "label_mixto700.json"}),
    "videomae-v2": RowOrder(
        maps={
            "k400": "label_710to400.json",
            "k600": "label_710to600.json",
            "k700": "label_710to700.json",
        }
    ),
}
_NUM_FIRST_ROWS = 400  # of Kinetics-400, where its map is not written down


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMaps:
    """Rows of a head over several vintages: `rows[vintage][i]` is the row of its class i.

    `names` has the name of every row, or nothing where only the maps are known.
    """

    rows: dict[str, tuple[int, ...]]
    names: tuple[str, ...] = ()

    @property
    def num_rows(self) -> int:
        return 1 + max(max(places) for places in self.rows.values())


def unite_classes(
    classes: Mapping[str, Sequence[str]], renamed: Mapping[str, str] = RENAMED
) -> ClassMaps:
    """Unite the classes of vintages by name after renaming, in the order in which they come."""
    for vintage, names in classes.items():
        places_of(vintage, names, renamed)
    named = {vintage: [renamed.get(n, n) for n in names] for vintage, names in classes.items()}
    union = tuple(dict.fromkeys(name for names in named.values() for name in names))
    row = {name: number for number, name in enumerate(union)}
    return ClassMaps(
        rows={vintage: tuple(row[n] for n in names) for vintage, names in named.items()},
        names=union,
    )


def read_class_maps(
    folder: str | Path,
    order: str,
    classes: Mapping[str, Sequence[str]] | None = None,
    renamed: Mapping[str, str] = RENAMED,
) -> ClassMaps:
    """Read a published row order from the files that came with it.

    Args:
        folder: Where the files that `ROW_ORDERS` names are.
        order: A name in `ROW_ORDERS`.
        classes: Names of the classes of each vintage, in the order that the maps count them in.
            Without them the rows have the names of the order's own list, if it has one.
        renamed: Older names and the newer ones they are to be compared as.

    Raises:
        AnnotationError: If a file is missing or is no map, or the classes are in another order
            than the maps count them in, which shows in a row with two names.
    """
    if order not in ROW_ORDERS:
        raise unknown_name("row order", order, ROW_ORDERS)
    folder, files_of = Path(folder), ROW_ORDERS[order]
    rows = {"k400": tuple(range(_NUM_FIRST_ROWS))}
    rows |= {vintage: _read_map(folder / name) for vintage, name in files_of.maps.items()}
    names: tuple[str, ...] = ()
    if files_of.names is not None:
        names = files.class_names(folder / files_of.names)
    maps = ClassMaps(rows=rows, names=names)
    if names and len(names) != maps.num_rows:
        raise AnnotationError(
            f"{folder / str(files_of.names)} names {len(names)} rows, the maps have {maps.num_rows}"
        )
    return maps if classes is None else named_rows(maps, classes, renamed)


def named_rows(
    maps: ClassMaps, classes: Mapping[str, Sequence[str]], renamed: Mapping[str, str] = RENAMED
) -> ClassMaps:
    """Name the rows by the classes that are mapped to them, which have to agree after renaming."""
    named: dict[int, tuple[str, str]] = {
        row: (renamed.get(name, name), "the list of all rows")
        for row, name in enumerate(maps.names)
    }
    for vintage, names in classes.items():
        if vintage not in maps.rows:
            raise unknown_name("version of the class maps", vintage, maps.rows)
        if len(names) != len(maps.rows[vintage]):
            raise AnnotationError(
                f"{vintage} has {len(names)} classes, its map has {len(maps.rows[vintage])}; give "
                "the whole list of its classes (its label map)"
            )
        for row, name in zip(maps.rows[vintage], names, strict=True):
            name = renamed.get(name, name)
            known, source = named.setdefault(row, (name, vintage))
            if known != name:
                raise AnnotationError(
                    f"row {row} is {known!r} in {source} and {name!r} in {vintage}: the classes "
                    "are not in the order that the map counts; give the list published with it"
                )
    missing = sorted(set(range(maps.num_rows)) - set(named))
    if missing:
        raise AnnotationError(f"row {missing[0]} has no name, as {len(missing)} rows in all")
    ours = tuple(named[row][0] for row in range(maps.num_rows))
    return ClassMaps(rows=maps.rows, names=maps.names or ours)


def places_of(
    vintage: str, names: Iterable[str], renamed: Mapping[str, str] = RENAMED
) -> dict[str, int]:
    """Find the place of each class by its name after renaming; two of one name are refused."""
    places: dict[str, int] = {}
    for place, name in enumerate(names):
        newer = renamed.get(name, name)
        if newer in places:
            raise ConfigError(f"{vintage}: {newer!r} is the name of two classes after renaming")
        places[newer] = place
    return places


def read_renamed(path: str | Path) -> dict[str, str]:
    """Read a csv of older and newer names, with the header `old,new`."""
    rows = files.csv_rows(Path(path))
    line, header = next(rows)
    if header != ["old", "new"]:
        raise files.wrong(
            Path(path), line, f"expected the header old,new, found {','.join(header)}"
        )
    renamed: dict[str, str] = {}
    for line, row in rows:
        if len(row) != 2 or not all(row):
            raise files.wrong(Path(path), line, f"expected two names, found {','.join(row)!r}")
        renamed[row[0]] = row[1]
    return renamed


def _read_map(path: Path) -> tuple[int, ...]:
    found = files.read_json(path)
    is_map = isinstance(found, list) and all(
        type(row) is int and 0 <= row < files.MOST_CLASSES for row in found
    )
    if not is_map or not found or len(set(found)) != len(found):
        raise AnnotationError(f"{path}: expected a list of different rows, found {found!r:.60}")
    return tuple(found)
