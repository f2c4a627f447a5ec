"""The catalogue says what is there, and a check of a folder names all that is wrong with it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from internvideo.data import ANNOTATIONS
from internvideo.data.catalogue import BENCHMARKS, CORPORA, DataSet, data_set
from internvideo.data.catalogue.check import CheckReport, check_data_set, write_stand_in_file
from internvideo.data.catalogue.page import results_page
from internvideo.errors import ConfigError
from internvideo.playground.stand_ins import STAND_INS, make_stand_in
from internvideo.recipes import RECIPES
from internvideo.tasks import TASKS
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
    assert entry.reader is None or entry.reader in ANNOTATIONS
    assert set(entry.recipes) <= set(RECIPES)
    assert entry.terms and entry.where and entry.protocol
    if entry.name in BENCHMARKS:
        assert entry.published and entry.splits
        assert entry.reader is None or entry.name in STAND_INS


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_state_is_claimed_only_where_something_shows_it(
    entry: DataSet, golden: Path, real_annotations: Path
) -> None:
    for case in entry.evidence.cases:
        assert check_for(Case(golden / case)), f"{case} is compared by no test"
    for folder in entry.evidence.excerpts:
        assert any((real_annotations / folder).iterdir())
    if entry.evidence.benchmark:
        text = (PROJECT / entry.evidence.benchmark).read_text()
        assert f"`{entry.name}`" in text


def test_the_page_of_results_is_that_of_the_catalogue() -> None:
    page = (PROJECT / "docs/results.md").read_text(encoding="utf-8")
    assert page == results_page(), "run: internvideo data sets --markdown > docs/results.md"


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
