"""Videos with sentences as the six data sets of text-video retrieval publish them.

Sources: MSR-VTT (Xu et al. 2016; the 9,000 / 1,000 split of JSFUSION), MSVD (Chen and Dolan 2011),
DiDeMo (Hendricks et al. 2017), ActivityNet Captions (Krishna et al. 2017), LSMDC (Rohrbach et al.
2017), VATEX (Wang et al. 2019); which files and splits as the retrieval code of InternVideo, after
CLIP4Clip. A record is a video with all its sentences, unless a reader says otherwise.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from internvideo.data.annotations import files
from internvideo.data.annotations.gathering import (
    Gathering,
    bare_name,
    ids_by_split,
    objects,
    rows_with,
    split_of,
    tab_rows,
    tables,
    with_fields,
)
from internvideo.errors import AnnotationError, ConfigError, unknown_name
from internvideo.reading import check_pickle, why_no_file
from internvideo.values import Annotations, Segment

MSRVTT_FOLDERS = ("", "all/", "videos/", "TrainValVideo/", "TestVideo/")
_MSRVTT_TRAIN = {
    "9k": ("MSRVTT_train.9k.csv", "MSRVTT_train.csv", "MSRVTT_train.7k.csv"),
    "7k": ("MSRVTT_train.7k.csv",),
}
_MSRVTT_TEST = "MSRVTT_JSFUSION_test.csv"
_MSRVTT_DATA = "MSRVTT_data.json"
_MSVD_CAPTIONS = ("raw-captions.pkl", "raw-captions.json", "captions_msvd.json")
_DIDEMO_CHUNK_S = 5.0


@files.reader
def read_msrvtt(
    path: str | Path, *, root: str | Path | None = None, train: str = "9k"
) -> Annotations:
    """Read MSR-VTT: its folder, `MSRVTT_data.json`, or one of the csv files.

    A folder gives the 9,000 / 1,000 split, as far as its files are there: videos of
    `MSRVTT_train.9k.csv` with all their sentences, those of `MSRVTT_JSFUSION_test.csv` with the one
    given there; without either of them, and for the json alone, the official split. A csv without
    sentences takes them from the json beside it. With `train` "7k" a folder gives the videos of
    `MSRVTT_train.7k.csv` instead.
    """
    if train not in _MSRVTT_TRAIN:
        raise unknown_name("part of MSR-VTT to train on", train, _MSRVTT_TRAIN)
    path = Path(path)
    gathering = Gathering(path, root)
    if path.is_dir():
        listed = [path / name for name in _MSRVTT_TRAIN[train] if (path / name).exists()][:1]
        found = [*listed, *(t for t in [path / _MSRVTT_TEST] if t.exists())]
        found = found or [path / _MSRVTT_DATA]
    else:
        found = [path]
    for table in found:
        items = _msrvtt_json(table) if table.suffix == ".json" else _msrvtt_csv(table)
        for where, name, said, split in items:
            gathering.add(where, [folder + name for folder in MSRVTT_FOLDERS], said, split=split)
    return gathering.done()


_MsrvttItem = tuple[str, str, list[Any], str | None]


def _msrvtt_csv(table: Path) -> Iterator[_MsrvttItem]:
    said = None
    for where, row in rows_with(table, "video_id"):
        name = row["video_id"]
        if "sentence" in row:
            yield where, name, [row["sentence"]], split_of(table)
            continue
        if said is None:
            data = table.parent / _MSRVTT_DATA
            said = {video: captions for _, video, captions, _ in _msrvtt_json(data)}
        yield where, name, said.get(name, []), split_of(table)


def _msrvtt_json(path: Path) -> Iterator[_MsrvttItem]:
    data = with_fields(str(path), files.read_json(path), "videos", "sentences")
    said: dict[str, list[Any]] = {}
    entries: dict[str, Any] = {}
    for place, video in enumerate(data["videos"]):
        where = f"{path}, video {place}"
        name = with_fields(where, video, "video_id")["video_id"]
        if entries.setdefault(name, video) != video:
            raise AnnotationError(f"{where}: {name!r} is another video before; each needs its own")
        said[name] = []
    for place, sentence in enumerate(data["sentences"]):
        where = f"{path}, sentence {place}"
        sentence = with_fields(where, sentence, "video_id", "caption")
        if sentence["video_id"] not in said:
            raise AnnotationError(f"{where}: is of {sentence['video_id']!r}, which is no video")
        said[sentence["video_id"]].append(sentence["caption"])
    for place, (name, video) in enumerate(entries.items()):
        split = split_of(Path(str(video.get("split", ""))))
        yield f"{path}, video {place}", name, said[name], split


@files.reader
def read_msvd(
    path: str | Path, *, root: str | Path | None = None, captions: str | None = None
) -> Annotations:
    """Read MSVD's folder: `train_list.txt`, `val_list.txt`, `test_list.txt` and the captions.

    Args:
        path: The folder.
        root: Folder of the videos; that of the lists without it.
        captions: File in it that maps a video to its captions, each a text or a list of words:
            json, or a pickle, of which only plain containers and texts are read. Without it the
            first of `raw-captions.pkl`, `raw-captions.json`, `captions_msvd.json`.
    """
    path = Path(path)
    gathering = Gathering(path, root)
    known = [captions] if captions else _MSVD_CAPTIONS
    file = next((path / name for name in known if (path / name).exists()), None)
    if file is None:
        raise AnnotationError(f"{path}: holds none of {', '.join(known)}")
    said = read_plain_pickle(file) if file.suffix == ".pkl" else files.read_json(file)
    splits = ids_by_split(path)
    if not splits:
        raise AnnotationError(f"{path}: holds none of train_list.txt, val_list.txt, test_list.txt")
    if not isinstance(said, dict):
        raise AnnotationError(f"{file}: expected captions by video, found {said!r:.80}")
    for name, split in splits.items():
        where = f"{file}, {name}"
        spoken = said.get(name, [])
        if not isinstance(spoken, list | tuple):
            raise AnnotationError(f"{where}: expected a list of captions, found {spoken!r:.80}")
        texts = [" ".join(map(str, c)) if isinstance(c, list | tuple) else c for c in spoken]
        gathering.add(where, (name,), texts, split=split)
    return gathering.done()


@files.reader
def read_didemo(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read DiDeMo: `train_data.json`, `val_data.json`, `test_data.json`, or a folder of them.

    Descriptions of a video are joined to one caption; where each happens stays as a segment, the
    mean of what the annotators said. With `train_list.txt` and so on beside them, only the videos
    listed there are taken.
    """
    path = Path(path)
    gathering = Gathering(path, root)
    listed = ids_by_split(path if path.is_dir() else path.parent)
    for table in tables(path, "*_data.json"):
        moments: dict[str, list[Segment]] = {}
        for where, entry in objects(table, "video", "description", "times"):
            text = entry["description"]
            if not (isinstance(text, str) and text.strip()):
                gathering.leave_out("empty captions", where)
                continue
            moments.setdefault(str(entry["video"]), []).append(
                _didemo_moment(where, entry["times"], text.strip())
            )
        for name, segments in moments.items():
            where = f"{table}, {name}"
            if listed and listed.get(bare_name(name)) != split_of(table):
                gathering.leave_out("videos that are in no list", where)
                continue
            said = " ".join(str(segment.caption) for segment in segments)
            gathering.add(where, (name,), [said], split=split_of(table), segments=tuple(segments))
    return gathering.done()


def _didemo_moment(where: str, times: Any, text: str) -> Segment:
    """Turn the annotators' first and last chunks of five seconds into one segment."""
    try:
        chunks = [(float(first), float(last)) for first, last in times]
        count = len(chunks)
        start = sum(first for first, _ in chunks) / count
        end = sum(last for _, last in chunks) / count + 1
    except (TypeError, ValueError, ZeroDivisionError):
        raise AnnotationError(
            f"{where}: times are {times!r:.80}, expected pairs of first and last chunk"
        ) from None
    return Segment(start_s=start * _DIDEMO_CHUNK_S, end_s=end * _DIDEMO_CHUNK_S, caption=text)


@files.reader
def read_activitynet_captions(
    path: str | Path, *, root: str | Path | None = None, per_segment: bool = False
) -> Annotations:
    """Read ActivityNet Captions: `train.json`, `val_1.json`, `val_2.json`, or a folder of them.

    The sentences of a video are joined to one paragraph and kept as segments. The split is that of
    the name, where `val_1` is "val" and the second annotation of the same videos "val_2".

    Args:
        path: A json file, video to `duration`, `timestamps`, `sentences`, or a folder.
        root: Folder of the videos.
        per_segment: Whether every sentence becomes a record of its own part of the video.
    """
    path = Path(path)
    gathering = Gathering(path, root)
    for table in tables(path, "*.json"):
        split = "val_2" if re.search(r"val_2", table.stem) else split_of(table)
        data = files.read_json(table)
        if not isinstance(data, dict):
            raise AnnotationError(f"{table}: expected annotations by video, found {data!r:.80}")
        for name, entry in data.items():
            where = f"{table}, {name}"
            entry = with_fields(where, entry, "timestamps", "sentences")
            segments = _segments(where, entry, gathering)
            names = (name, name.removeprefix("v_"), f"v_{name}")
            if per_segment:
                for segment in segments:
                    span = {"start_s": segment.start_s, "end_s": segment.end_s}
                    gathering.add(where, names, [segment.caption], split=split, **span)
            else:
                said = " ".join(str(segment.caption) for segment in segments)
                gathering.add(where, names, [said], split=split, segments=segments)
    return gathering.done()


def _segments(where: str, entry: dict[str, Any], gathering: Gathering) -> tuple[Segment, ...]:
    times, sentences = entry["timestamps"], entry["sentences"]
    try:
        pairs = [
            (float(start), float(end), text.strip())
            for (start, end), text in zip(times, sentences, strict=True)
        ]
    except (TypeError, ValueError, AttributeError):
        raise AnnotationError(
            f"{where}: timestamps and sentences do not go together, "
            f"found {times!r:.60} and {sentences!r:.60}"
        ) from None
    segments = []
    for start_s, end_s, text in pairs:
        if not text:
            gathering.leave_out("empty captions", where)
        elif not 0 <= start_s < end_s:
            gathering.leave_out("segments that hold no time", where)
        else:
            segments.append(Segment(start_s=start_s, end_s=end_s, caption=text))
    return tuple(segments)


@files.reader
def read_lsmdc(path: str | Path, *, root: str | Path | None = None) -> Annotations:
    """Read LSMDC's tab-separated files, or a folder of them, in which the test is the challenge's.

    Columns are clip, four times in the film, sentence, without a header. A clip lies in a folder
    of its film, or directly below `root`.
    """
    path = Path(path)
    gathering = Gathering(path, root)
    found = tables(path, "LSMDC16_annos_*.csv")
    challenge = sorted(path.glob("LSMDC16_challenge_*.csv"))  # none where path is a file
    if challenge:
        found = [table for table in found if split_of(table) != "test"] + challenge
    for table in found:
        split = "test" if "challenge" in table.name else split_of(table)
        for where, (clip, *_, sentence) in tab_rows(table, 6):
            gathering.add(where, lsmdc_names(clip), [sentence], split=split)
    return gathering.done()


def lsmdc_names(clip: str) -> tuple[str, str]:
    """Say where a clip may lie: its film is its id up to the last underscore before the times.

    >>> lsmdc_names("0001_American_Beauty_00.00.51.926-00.00.54.129")[0]
    '0001_American_Beauty/0001_American_Beauty_00.00.51.926-00.00.54.129'
    """
    film = clip.split(".")[0].rpartition("_")[0]
    return f"{film}/{clip}".lstrip("/"), clip


@files.reader
def read_vatex(
    path: str | Path, *, root: str | Path | None = None, language: str = "en"
) -> Annotations:
    """Read VATEX: `vatex_training_v1.0.json`, `vatex_validation_v1.0.json`, or a folder of them.

    With `train_list.txt`, `test_list.txt` and so on beside them only the videos listed are taken,
    as retrieval does, which tests on a half of the validation videos. `language` is "en" or "ch".
    """
    if language not in ("en", "ch"):
        raise ConfigError(f"language {language!r} of VATEX is neither 'en' nor 'ch'")
    path = Path(path)
    gathering = Gathering(path, root)
    listed = ids_by_split(path if path.is_dir() else path.parent)
    field = f"{language}Cap"
    for table in tables(path, "vatex*.json"):
        for where, entry in objects(table, "videoID", field):
            name = str(entry["videoID"])
            split = listed.get(name) if listed else split_of(table)
            if split is None:
                gathering.leave_out("videos that are in no list", where)
                continue
            if not isinstance(entry[field], list):
                raise AnnotationError(f"{where}: {field} is {entry[field]!r:.80}, expected a list")
            gathering.add(where, (name,), entry[field], split=split)
    return gathering.done()


# All that a damaged pickle has been seen to raise.
_BAD_PICKLE = (
    *(pickle.UnpicklingError, EOFError, LookupError, AttributeError, ValueError, TypeError),
    *(OSError, OverflowError, MemoryError, RecursionError),
)


class _PlainUnpickler(pickle.Unpickler):
    """Reads containers, texts and numbers; whatever else a pickle asks for is refused."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"asks for {module}.{name}")


def read_plain_pickle(path: Path) -> Any:
    """Read a pickle of dictionaries, lists, texts and numbers; no code in it is ever run."""
    if path.exists() and (why := why_no_file(path)) is not None:
        raise AnnotationError(f"{path}: cannot be read ({why})")
    try:
        with path.open("rb") as file:
            check_pickle(file)
            file.seek(0)
            return _PlainUnpickler(file, encoding="utf-8").load()
    except FileNotFoundError:
        raise AnnotationError(f"{path}: there is no such annotation file") from None
    except _BAD_PICKLE as error:
        raise AnnotationError(
            f"{path}: is not a pickle of plain texts ({error}); save it as JSON"
        ) from None
