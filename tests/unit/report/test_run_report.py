from __future__ import annotations

import json
import math

import pytest

from internvideo.report import RunFiles, run_charts, write_run_report
from tests.unit.report.test_reconstructions import reconstruction


def _run(folder, *, metrics="", log="", broken=None, document=None):
    document = document or {
        "run": {"stage": {"mask_ratio": 0.75}, "seed": 3},
        "revision": "0.1.0 abc",
        "versions": {"torch": "2.13.0"},
        "starts": [{"step": 0, "at": "2026-01-02T03:04:05+00:00"}],
    }
    (folder / "run.json").write_text(json.dumps(document))
    (folder / "metrics.jsonl").write_text(metrics)
    (folder / "log.txt").write_text(log)
    if broken is not None:
        (folder / "broken.jsonl").write_text(broken)
    return folder


def _lines(*rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


METRICS = _lines(
    {
        "step": 10,
        "loss/reconstruction": 0.5,
        "loss/mean_baseline": 0.6,
        "lr": 1e-3,
        "clips_per_s": 40.0,
    },
    {
        "step": 20,
        "loss/reconstruction": 0.25,
        "loss/mean_baseline": 0.6,
        "lr": 5e-4,
        "clips_per_s": 44.0,
    },
    {"step": 20, "eval/loss/reconstruction": 0.375, "eval/relative_error": 0.625},
)


def test_the_page_tells_scores_steps_and_speed(tmp_path):
    path = write_run_report(_run(tmp_path, metrics=METRICS))

    html = path.read_text()
    assert path == tmp_path / "report.html"
    for number, name in (("0.625", "relative error"), ("20", "steps"), ("42", "clips/s, median")):
        assert f"<b>{number}</b><span>{name}</span>" in html


def test_the_page_tells_configuration_versions_and_start(tmp_path):
    html = write_run_report(_run(tmp_path, metrics=METRICS)).read_text()

    for cell in ("stage.mask_ratio", "0.75", "2.13.0", "0.1.0 abc", "2026-01-02T03:04:05+00:00"):
        assert f">{cell}<" in html


@pytest.mark.parametrize("content", [None, ""])
def test_a_run_that_has_just_begun_has_a_page(tmp_path, content):
    for name in ("run.json", "metrics.jsonl", "log.txt") if content is not None else ():
        (tmp_path / name).write_text(content)

    html = write_run_report(tmp_path).read_text()

    assert "Nothing has been measured yet." in html
    assert "run.json is missing or empty." in html


def test_a_last_line_cut_off_is_left_out_in_silence(tmp_path):
    files = RunFiles.read(_run(tmp_path, metrics=METRICS + '{"step": 30, "loss/rec'))

    assert files.num_steps == 20
    assert files.problems == []


def test_a_damaged_line_elsewhere_is_named(tmp_path):
    html = write_run_report(_run(tmp_path, metrics='{"step": 5, "lo\n' + METRICS)).read_text()

    assert "metrics.jsonl: 1 lines are no objects, first line 1" in html


def test_a_damaged_run_file_is_named_and_costs_nothing_else(tmp_path):
    (_run(tmp_path, metrics=METRICS) / "run.json").write_text('{"run": {')

    html = write_run_report(tmp_path).read_text()

    assert "run.json cannot be read" in html
    assert "relative error" in html


def test_a_loss_that_is_not_a_number_leaves_a_page(tmp_path):
    metrics = _lines({"step": 1, "loss/a": 1.0}, {"step": 2, "loss/a": math.nan, "lr": math.inf})

    html = write_run_report(_run(tmp_path, metrics=metrics)).read_text()

    assert html.count("no data") == 1  # the learning rate; the loss has its first point


def test_of_a_step_logged_twice_the_later_value_counts(tmp_path):
    metrics = _lines({"step": 1, "loss": 5.0}, {"step": 2, "loss": 4.0}, {"step": 1, "loss": 3.0})

    assert RunFiles.read(_run(tmp_path, metrics=metrics)).curve("loss") == ([1, 2], [3.0, 4.0])


def test_a_line_without_a_step_is_left_out(tmp_path):
    metrics = _lines({"loss": 5.0}, {"step": math.nan, "loss": 4.0}, {"step": 7, "loss": 3.0})

    assert RunFiles.read(_run(tmp_path, metrics=metrics)).curve("loss") == ([7], [3.0])


def test_training_and_held_back_losses_share_a_chart_and_come_first(tmp_path):
    charts = run_charts(RunFiles.read(_run(tmp_path, metrics=METRICS)))

    titles = [chart.split('aria-label="')[1].split('"')[0] for chart in charts]
    assert titles == ["Loss", "Relative error", "Learning rate", "Throughput, clips/s"]
    assert "held back reconstruction" in charts[0]


def test_metrics_of_one_family_share_a_chart(tmp_path):
    metrics = _lines({"step": 1, "gate/block 0": 0.0, "gate/block 1": 0.1, "fusion": 0.5})

    charts = run_charts(RunFiles.read(_run(tmp_path, metrics=metrics)))

    assert [chart.count("<polyline") for chart in charts] == [2, 1]


def test_the_number_of_clips_stands_beside_the_scores_and_is_no_curve(tmp_path):
    metrics = _lines({"step": 1, "eval/error_ratio": 0.5, "eval/clips": 32.0})

    html = write_run_report(_run(tmp_path, metrics=metrics)).read_text()

    assert "<b>32</b><span>held-back clips</span>" in html
    assert html.count("<svg") == 1


def test_words_among_the_metrics_are_no_curves(tmp_path):
    metrics = _lines({"step": 1, "note": "resumed", "ok": True, "loss": 1.0})

    assert RunFiles.read(_run(tmp_path, metrics=metrics)).keys == ["loss"]


def test_warnings_of_the_log_are_shown_and_escaped(tmp_path):
    log = "2026-01-02 03:04:05,006 INFO fine\n2026-01-02 03:05:10,006 WARNING <b>.avi: broken\n"

    html = write_run_report(_run(tmp_path, log=log)).read_text()

    warning = '<div class="warning" role="note">2026-01-02 03:05:10,006 WARNING &lt;b&gt;.avi'
    assert html.count('class="warning"') == 1
    assert warning in html


def test_time_is_read_from_the_log_of_a_run_that_was_never_stopped(tmp_path):
    log = "2026-01-02 03:04:05,006 INFO a\nTraceback\n2026-01-02 05:06:05,006 INFO b\n"

    files = RunFiles.read(_run(tmp_path, log=log))
    html = write_run_report(tmp_path).read_text()

    assert files.elapsed_s == 7320
    assert "<b>2 h 2 min</b>" in html


def test_time_of_a_resumed_run_is_told_only_if_it_was_counted(tmp_path):
    log = "2026-01-02 03:04:05,006 INFO a\n2026-01-09 05:06:05,006 INFO b\n"
    document = {"starts": [{"step": 0}, {"step": 10}]}

    silent = RunFiles.read(_run(tmp_path, log=log, document=document)).elapsed_s
    metrics = _lines({"step": 20, "elapsed_s": 61.0})
    counted = RunFiles.read(_run(tmp_path, log=log, document=document, metrics=metrics)).elapsed_s

    assert (silent, counted) == (None, 61.0)


def test_broken_clips_are_listed_up_to_a_limit(tmp_path):
    broken = _lines(*({"path": f"{i}.avi", "reason": "0 bytes"} for i in range(203)))

    html = write_run_report(_run(tmp_path, broken=broken)).read_text()

    assert "<b>203</b><span>broken clips</span>" in html
    assert ">199.avi<" in html
    assert ">200.avi<" not in html
    assert "3 more are named in broken.jsonl." in html


def test_reconstructions_come_as_video_and_strips(tmp_path):
    html = write_run_report(_run(tmp_path), reconstructions=[reconstruction()] * 2).read_text()

    assert html.count("data:video/mp4;base64,") == 1
    assert html.count("data:image/png;base64,") == 2
    assert "over 2 clips: 0.25 of predicting" in html


def test_further_sections_stand_after_the_curves(tmp_path):
    def confusion(page):
        page.section("Confusion")

    html = write_run_report(_run(tmp_path, metrics=METRICS), sections=[confusion]).read_text()

    assert html.index(">Curves</h2>") < html.index(">Confusion</h2>") < html.index(">Log</h2>")
