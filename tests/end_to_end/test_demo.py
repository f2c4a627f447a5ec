"""The whole chain of `internvideo demo`, in a few steps, cut off on its way and continued."""

from __future__ import annotations

import contextlib
import io
import json
import re
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import pytest
import torch

import internvideo.playground
from internvideo.cli import demo, demo_report, main
from internvideo.hub import load_recogniser
from internvideo.stages import FinetuneStage
from internvideo.weights import RELEASES

pytestmark = pytest.mark.slow

_CUT_OFF = "post_pretrain_tiny_playground_b"
_STEPS = 2


@dataclass(frozen=True, kw_only=True)
class Told:
    """The demo's folder, and what it printed before it was cut off and after."""

    out: Path
    before: str
    after: str
    page_before: str

    @property
    def results(self) -> dict[str, dict[str, dict[str, float]]]:
        return json.loads((self.out / "results.json").read_text())


@pytest.fixture(scope="module")
def told(playground, tmp_path_factory) -> Told:
    out = tmp_path_factory.mktemp("demo")
    (out / "playground").symlink_to(playground)
    prepare, of_length = FinetuneStage.prepare, demo._of_length
    steps = iter(range(_STEPS + 1))  # all of encoder A's, one of encoder B's

    def prepare_or_stop(stage, batches):
        if next(steps, None) is None:
            raise SystemExit("power cut")
        return prepare(stage, batches)

    def of_small_batches(training, num_steps):
        training = of_length(training, num_steps)
        return replace(training, batch_size=8, precision="fp32", cpu_processes=1)

    with pytest.MonkeyPatch.context() as patched:
        # Generating has tests of its own.
        patched.setattr(internvideo.playground, "generate", lambda *_, **__: "100 videos")
        patched.setattr(demo, "PLAN", tuple(s._replace(small=_STEPS) for s in demo.PLAN))
        patched.setattr(demo, "_of_length", of_small_batches)
        with pytest.MonkeyPatch.context() as cut:
            cut.setattr(FinetuneStage, "prepare", prepare_or_stop)
            before = said(out, stops=True)
        page_before = (out / "report.html").read_text()
        assert not (out / "results.json").exists()
        after = said(out)
    return Told(out=out, before=before, after=after, page_before=page_before)


def said(out: Path, *, stops: bool = False) -> str:
    """Run the demo and return what it printed."""
    printed = io.StringIO()
    stopping = pytest.raises(SystemExit, match="power cut") if stops else contextlib.nullcontext()
    with contextlib.redirect_stdout(printed), stopping:
        assert main(["demo", "--out", str(out), "--size", "small", "--seed", "1"]) == 0
    return printed.getvalue()


def test_every_stage_says_what_it_does_and_how_long_it_took(told):
    for number, stage in enumerate(demo.PLAN, 2):
        assert f"{number}/6 {stage.does}\n" in told.after
    assert told.after.count(" s\n") >= len(demo.PLAN) + 1


def test_what_was_complete_is_not_trained_again(told):
    done = [stage.recipe for stage in demo.PLAN[:3]]

    assert [name for name in done if f"{told.out / name} is there already" in told.after] == done
    assert "is there already" not in told.before
    for name in done:
        assert starts(told.out / name) == [0]


def test_the_stage_that_was_cut_off_goes_on_where_it_was(told):
    assert starts(told.out / _CUT_OFF) == [0, 1]


@pytest.mark.parametrize("multiplies_bf16", [True, False])
def test_a_processor_that_does_not_multiply_bf16_takes_fewer_steps(monkeypatch, multiplies_bf16):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: multiplies_bf16)

    for stage in demo.PLAN:
        expected = stage.demo if multiplies_bf16 else stage.in_fp32
        assert stage.num_steps("demo", device="cpu") == expected
        assert stage.num_steps("small", device="cpu") == stage.small


def test_each_stage_starts_from_the_demo_s_own_runs(told):
    config = json.loads((told.out / demo.PLAN[-1].recipe / "run.json").read_text())["run"]

    assert config["stage"]["masked"] == str(told.out / "post_pretrain_tiny_playground")
    assert config["stage"]["multimodal"] == str(told.out / _CUT_OFF)
    assert config["seed"] == 1


def test_results_name_all_models_that_have_a_value(told):
    results = told.results

    assert set(results["masked-pretraining"]["error_ratio"]) == {"A"}
    assert set(results["action-recognition"]["top1"]) == {"A", "B", "mean", "coordinated"}
    for task in ("retrieval", "multiple-choice", "zero-shot-recognition"):
        for row in results[task].values():
            assert set(row) == {"B", "B post-pretrained", "coordinated"}
    assert set(results["multiple-choice"]) == {
        *("motion", "colour", "shape", "opposite"),
        "questions",
    }


def test_results_are_on_all_test_clips(told, playground):
    lines = (playground / "list_test.txt").read_text().splitlines()

    assert set(told.results["action-recognition"]["clips"].values()) == {len(lines)}


def test_classes_are_the_actions(told, playground):
    model = load_recogniser(told.out / demo.PLAN[-1].recipe)

    assert sorted(model.classes) == sorted((playground / "classes.txt").read_text().split())


def test_every_row_of_the_page_s_table_stands_beside_guessing(told):
    header, *rows = table(told.out / "report.html")

    assert header == ["", "A", "B", "B, fine-tuned", "mean of A and B", *header[5:]]
    assert header[5:] == ["coordinated", "guessing"]
    assert len(rows) == len(demo_report._ROWS)
    for row in rows:
        values = [float(cell) for cell in row[1:] if cell]
        assert row[-1]
        assert len(values) >= 2
        assert all(0 <= value <= 1 for value in values) or row[0].startswith("Rebuilt")


def test_the_table_shows_the_results(told):
    _, *rows = table(told.out / "report.html")
    top1 = told.results["action-recognition"]["top1"]

    (row,) = (row for row in rows if row[0] == "Action by a classifier: right at first guess")

    names = ("A", "B", "mean", "coordinated")
    assert row[1:6] == [
        *(f"{top1[n]:.2f}" for n in names[:2]),
        "",
        *(f"{top1[n]:.2f}" for n in names[2:]),
    ]


def test_the_page_grows_with_every_stage(told):
    html = (told.out / "report.html").read_text()
    done, stopped = demo.PLAN[:3], demo.PLAN[3:]

    assert "3 of 5 training stages are finished" in told.page_before
    assert "training stages are finished" not in html
    for stage in demo.PLAN:
        assert f'href="{stage.recipe}/report.html"' in html
        assert (told.out / stage.recipe / "report.html").exists()
    for stage in done:
        assert f'href="{stage.recipe}/report.html"' in told.page_before
    for stage in stopped:
        assert f'href="{stage.recipe}/report.html"' not in told.page_before
    for part in ("Rebuilt: ", "Found: ", "Described: ", "Named: ", "All results", "Your own video"):
        assert part in html
        assert part in told.page_before


def test_what_was_not_learned_is_said_and_not_shown(told):
    html = (told.out / "report.html").read_text()
    described = told.results["captioning"]

    assert described["slot/action"]["B"] < 0.2  # after two steps
    assert "Most captions are wrong after so few training steps" in html
    assert "One of those that are right: “" not in html


def test_the_page_ends_with_what_to_do_for_real_video(told):
    html = (told.out / "report.html").read_text()
    end = html[html.index("Your own video</h2>") :]

    assert "know generated moving shapes and nothing else" in end
    for line in demo_report._OWN_VIDEO.splitlines():
        assert escape(line) in end
    commands = [line.split("#")[0].split()[1:] for line in demo_report._OWN_VIDEO.splitlines()]
    for command in commands:
        with contextlib.redirect_stdout(io.StringIO()):
            assert main([*command, "--help"]) == 0
    assert {"videomae-base-hybrid", "videomae-base-hybrid-k400"} <= set(RELEASES)


def table(page: Path) -> list[list[str]]:
    """The cells of the page's only table, its header first."""
    (found,) = re.findall(r'<table class="rows">(.*?)</table>', page.read_text(), re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", found, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in rows]


def starts(run: Path) -> list[int]:
    """The step of every start of a run."""
    return [start["step"] for start in json.loads((run / "run.json").read_text())["starts"]]
