"""The catalogue says what is there, and a check of a folder names all that is wrong with it."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.data import ANNOTATIONS
from internvideo.data.catalogue import BENCHMARKS, CORPORA, DataSet, Evidence, data_set
from internvideo.data.catalogue.check import (
    _in_two_splits,
    check_data_set,
    write_stand_in_file,
)
from internvideo.data.catalogue.entry import EPISODES
from internvideo.data.catalogue.episodes import check_episodes
from internvideo.data.catalogue.page import results_page
from internvideo.data.catalogue.report import CheckReport
from internvideo.errors import ConfigError
from internvideo.navigation import read_episodes
from internvideo.playground.stand_ins import STAND_INS, make_stand_in
from internvideo.playground.stand_ins.contents import draw_videos
from internvideo.recipes import RECIPES
from internvideo.tasks import TASKS
from internvideo.values import Record
from tests.parity.case import Case
from tests.parity.run import check_for

PROJECT = Path(__file__).parents[3]
ENTRIES = {**BENCHMARKS, **CORPORA}


def test_the_paper_has_39_benchmarks_of_ten_tasks_and_ego4d() -> None:
    assert len(BENCHMARKS) == 39
    ego4d = [name for name in BENCHMARKS if name.startswith("ego4d-")]
    assert len(ego4d) == 5
    assert {BENCHMARKS[name].task for name in BENCHMARKS if name not in ego4d} <= set(TASKS)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_names_what_exists(entry: DataSet) -> None:
    assert entry.reader in (*ANNOTATIONS, EPISODES)
    assert entry.recipes and set(entry.recipes) <= set(RECIPES)
    assert entry.terms and entry.where and entry.protocol
    if entry.name in BENCHMARKS:
        assert entry.published and entry.splits
        assert entry.reader == EPISODES or entry.name in STAND_INS


# Of each row that claims excerpts: the file or folder, options, and how many records it holds.
EXCERPTS: dict[str, tuple[str, dict[str, str], int]] = {
    "kinetics-400": ("kinetics/kinetics-400_val.csv", {"classes": "label_map_k400.txt"}, 498),
    "kinetics-600": ("kinetics/kinetics-600_val.csv", {"classes": "label_map_k600.txt"}, 500),
    "kinetics-700": ("kinetics/kinetics-600_val.csv", {}, 500),  # the same format
    "kinetics-400-zero-shot": ("kinetics/kinetics-400_test.csv", {}, 300),
    "something-something-v1": ("jester_v1", {}, 6_500),  # the same format
    "activitynet": ("activitynet/anet_anno_action.json", {"classes": "label_map.txt"}, 26),
    "hmdb51": ("hmdb51", {}, 5_100),
    "ucf101-open-set": ("ucf101", {}, 13_320),
    "thumos14": ("thumos14/thumos14.json", {"train": "validation"}, 200),
    "activitynet-localization": (
        "activitynet/anet_anno_action.json",
        {"classes": "label_map.txt"},
        18,
    ),
    **dict.fromkeys(
        ("ava-2.2", "ava-kinetics"),
        (
            "ava/ava_sample.csv",
            {"label_map": "ava_action_list_v2.1_for_activitynet_2018.pbtxt.txt"},
            3,
        ),
    ),
    **dict.fromkeys(
        ("msr-vtt", "msr-vtt-zero-shot"), ("msrvtt/MSRVTT_JSFUSION_test.csv", {}, 1_000)
    ),
    **dict.fromkeys(("msvd", "msvd-zero-shot"), ("msvd", {}, 250)),
    **dict.fromkeys(
        ("activitynet-captions", "activitynet-captions-zero-shot"),
        ("activitynet_captions/train.json", {}, 400),
    ),
    **dict.fromkeys(("didemo", "didemo-zero-shot"), ("didemo", {}, 1_004)),
    "msvd-qa": ("msvd_qa", {}, 3_100),
    "tgif-qa-frame": ("tgif_qa", {}, 500),
}


def test_rows_that_claim_excerpts_are_those_that_are_read() -> None:
    claimed = {name for name, entry in ENTRIES.items() if entry.evidence.excerpts}
    assert claimed == {*EXCERPTS, "r2r-ce"}


@pytest.mark.parametrize("name", EXCERPTS)
def test_a_reader_reads_excerpts_of_the_real_files(
    name: str, real_annotations: Path, tmp_path: Path
) -> None:
    entry, (place, options, count) = data_set(name), EXCERPTS[name]
    source = real_annotations / place
    assert place.split("/")[0] in entry.evidence.excerpts
    if place == "didemo":  # lists of videos; the descriptions are not at hand
        shutil.copytree(source, tmp_path / place)
        source = tmp_path / place
        for split in ("train", "val", "test"):
            listed = (source / f"{split}_list.txt").read_text().split()
            rows = [{"video": video, "description": "x", "times": [[0, 0]]} for video in listed]
            (source / f"{split}_data.json").write_text(json.dumps(rows))
    read = ANNOTATIONS[entry.reader](str(source), **options)
    assert len(read.records) == count or (place == "didemo" and len(read.records) > count)


def test_episodes_of_the_real_files_are_checked(real_annotations: Path) -> None:
    root = real_annotations / "r2r_vlnce/R2R_VLNCE_v1-3_preprocessed"
    report = check_episodes(data_set("r2r-ce"), root, read_episodes)
    assert report.counts == {"train": 600, "val_seen": 778, "val_unseen": 0}
    assert _kinds(report) == {"missing file", "other count", "empty split"}


FACTS = draw_videos(seed=0)


@pytest.mark.parametrize("name", [n for n in STAND_INS if n not in EXCERPTS])
def test_a_reader_reads_the_files_of_the_stand_in(name: str, tmp_path: Path) -> None:
    entry, contents = data_set(name), STAND_INS[name](FACTS)
    for file, text in contents.files.items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    sources = [tmp_path] if entry.source == "." else sorted(tmp_path.glob(entry.source))
    for source in sources:
        assert ANNOTATIONS[entry.reader](str(source), **entry.options).records


def _unshown(entry: DataSet, golden: Path, real_annotations: Path) -> list[str]:
    """What a row claims without anything that shows it."""
    shown = entry.evidence
    found = [
        case
        for case in shown.cases
        if not (golden / case).is_dir() or not check_for(Case(golden / case))
    ]
    found += [folder for folder in shown.excerpts if not (real_annotations / folder).is_dir()]
    if shown.benchmark is not None:
        path = PROJECT / shown.benchmark
        if not path.is_file() or f"`{entry.name}`" not in path.read_text(encoding="utf-8"):
            found.append(shown.benchmark)
    return found


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_state_is_claimed_only_where_something_shows_it(
    entry: DataSet, golden: Path, real_annotations: Path
) -> None:
    assert _unshown(entry, golden, real_annotations) == []


@pytest.mark.parametrize(
    "claimed",
    [
        Evidence(cases=("no_such_case",)),
        Evidence(excerpts=("no_such_folder",)),
        Evidence(benchmark="benchmarks/no_such_file.md"),
        Evidence(benchmark="README.md"),  # a file that does not name the row
    ],
)
def test_a_claim_that_nothing_shows_is_found(
    claimed: Evidence, golden: Path, real_annotations: Path
) -> None:
    entry = replace(data_set("fineaction"), evidence=claimed)
    said = (*claimed.cases, *claimed.excerpts, claimed.benchmark)
    assert _unshown(entry, golden, real_annotations) == [one for one in said if one]


def test_the_page_of_results_is_that_of_the_catalogue() -> None:
    page = (PROJECT / "docs/results.md").read_text(encoding="utf-8")
    assert page == results_page(), "run: internvideo data sets --markdown > docs/results.md"


def test_a_row_is_reproduced_at_the_cost_that_the_planner_tells(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["plan", "temporal_localization_ego4d_mq", "--gpus", "2xH100", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert main(["reproduce", "ego4d-moment-queries", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    low, high = (plan["device_hours"][side] for side in ("low", "high"))
    assert f"{low:,.2g} to {high:,.2g} hours of an H100 on 2xH100" in told["cost"]
    assert told["published"] == "map/average 23.59 (InternVideo; InternVideo, figure 1)"


def test_every_command_of_a_reproduction_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("pretrain-webvid-10m", "lsmdc-choice", "msvd", "ego4d-natural-language-queries"):
        assert main(["reproduce", name, "--rehearse", "--json"]) == 0
        for command in json.loads(capsys.readouterr().out)["commands"]:
            verb, task = shlex.split(command)[1:3]
            if verb == "evaluate":
                assert task in (*TASKS, "moment-retrieval"), command


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="hmdb51"):
        data_set("hmdb")


@pytest.fixture(scope="module")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    home = tmp_path_factory.mktemp("stand_ins")
    for name in ("something-something-v1", "kinetics-400"):
        make_stand_in(name, home / name)
        write_stand_in_file(data_set(name), home / name)
    yield home


def _kinds(report: CheckReport) -> set[str]:
    return {problem.kind for problem in report.problems}


def test_a_stand_in_is_as_described(stand_ins: Path) -> None:
    report = check_data_set(data_set("kinetics-400"), stand_ins / "kinetics-400")
    assert report.problems == ()
    assert report.counts == {"train": 14, "val": 2, "test": 4}
    assert len(report.usable.records) == 20


def test_ten_planted_faults_are_all_named(stand_ins: Path, tmp_path: Path) -> None:
    root = tmp_path / "ssv1"
    shutil.copytree(stand_ins / "something-something-v1", root)
    start = "something-something-v1-"
    (root / f"{start}test.csv").unlink()  # missing file
    train = (root / f"{start}train.csv").read_text().splitlines()
    first, second, third, fourth, fifth, *others = train
    validation = (root / f"{start}validation.csv").read_text().splitlines()
    swapped = ";".join(reversed(second.split(";")))
    outside = f"{third.split(';')[0]};Juggling something"
    rows = [first, swapped, outside, fourth, fifth, *others, validation[0]]  # in two splits
    (root / f"{start}train.csv").write_text("\n".join(rows) + "\n")  # another hash and count
    (root / f"{start}validation.csv").write_text(f"{validation[0]}\n")
    labels = (root / f"{start}labels.csv").read_text().splitlines()
    (root / f"{start}labels.csv").write_text("\n".join(reversed(labels)) + "\n")
    frames = root / fourth.split(";")[0]
    (frames / "00003.jpg").write_bytes((frames / "00003.jpg").read_bytes()[:100])  # broken
    numbered = root / fifth.split(";")[0]
    (numbered / "00001.jpg").rename(numbered / "00099.jpg")  # wrong frame numbers

    report = check_data_set(data_set("something-something-v1"), root)

    kinds = _kinds(report)
    assert kinds >= {
        "missing file",
        "other hash",
        "swapped columns",
        "label outside",
        "other label order",
        "in two splits",
        "other count",
        "broken video",
        "wrong frame numbers",
        "empty split",
    }
    told = "\n".join(report.lines())
    for place in (
        f"{start}test.csv",
        f"{start}train.csv, line 2",
        f"{start}train.csv, line 3",
        str(frames),
        str(numbered),
        validation[0].split(";")[0],
    ):
        assert place in told
    assert all(r.video != frames for r in report.usable.records)


def test_faults_of_video_files_are_named(stand_ins: Path, tmp_path: Path) -> None:
    root = tmp_path / "k400"
    shutil.copytree(stand_ins / "kinetics-400", root)
    clips = sorted((root / "train").glob("*.mp4"))
    clips[0].write_bytes(clips[0].read_bytes()[:500])
    clips[1].unlink()
    tested = min((root / "val").glob("*.mp4"))
    shutil.copyfile(tested, clips[2])  # the same bytes in two splits
    report = check_data_set(data_set("kinetics-400"), root, decoded=None)
    named = {problem.kind: problem.where for problem in report.problems}
    assert named["broken video"] == str(clips[0])
    assert named["missing video"] == str(clips[1])
    assert named["in two splits"] in (str(clips[2]), str(tested))


def test_another_folder_is_refused(stand_ins: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="stand-in for kinetics-400"):
        check_data_set(data_set("hmdb51"), stand_ins / "kinetics-400")
    with pytest.raises(ConfigError, match="no such folder"):
        check_data_set(data_set("hmdb51"), tmp_path / "nothing")


def test_parts_of_a_video_are_in_two_splits_only_where_they_overlap() -> None:
    def kept(split: str, start_s: float | None, end_s: float | None) -> Record:
        return Record(video=Path("film.mp4"), split=split, start_s=start_s, end_s=end_s)

    apart = [kept("train", 0.0, 4.0), kept("val", 4.0, 6.0), kept("train", 6.0, None)]
    assert list(_in_two_splits(apart)) == []
    for leak in (kept("val", 3.0, 5.0), kept("val", None, 1.0), kept("val", 8.0, None)):
        (problem,) = _in_two_splits([*apart, leak])
        assert (problem.where, problem.what) == ("film.mp4", "is in train and val")


def test_one_odd_byte_does_not_hide_the_other_faults(stand_ins: Path, tmp_path: Path) -> None:
    root = tmp_path / "ssv1"
    shutil.copytree(stand_ins / "something-something-v1", root)
    train = root / "something-something-v1-train.csv"
    first, second, *others = train.read_text().splitlines()
    lines = [first, f"{second.split(';')[0]};Juggling", *others, f"caf\xe9;{first.split(';')[1]}"]
    train.write_bytes("\n".join(lines).encode("latin-1"))
    report = check_data_set(data_set("something-something-v1"), root, decoded=0)
    where = {p.where: (p.kind, p.what) for p in report.problems}
    assert where[f"{train}, line 2"][0] == "label outside"
    assert "is not UTF-8" in where[f"{train}, line {len(lines)}"][1]
