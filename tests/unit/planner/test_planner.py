"""The plan against published costs, exact counts, and the memory that steps really take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.errors import ConfigError
from internvideo.models import (
    DECODERS,
    ENCODERS,
    MULTIMODAL_ENCODERS,
    CaptionDecoderConfig,
    MaskingConfig,
)
from internvideo.planner import (
    PAPER_STAGES,
    Assumptions,
    Cluster,
    StepMemory,
    make_plan,
    moments_per_weight,
    rank_memory,
    simulated,
    stage_example,
    with_measured,
)
from internvideo.recipes import recipe
from internvideo.runs import override
from internvideo.stages import MaskedPretraining, MultimodalPretraining
from tests.unit.planner.peak import BATCH, run_of

STEP = StepMemory(
    weights=800,
    buffers=8,
    trained=800,
    activations=500,
    peak=900,
    forward_peak=550,
    largest_blocks=200,
    outside=100,
    cast=0,
)


@pytest.mark.parametrize(
    ("size", "width", "depth", "giga", "giga_dual"),
    [
        ("base", 384, 4, 35.44, 25.84),
        ("large", 512, 12, 142.64, 99.33),
        ("huge", 512, 4, 136.86, 122.09),
        ("giant", 512, 4, 262.4, 240.7),
    ],
)
def test_masked_pretraining_costs_what_is_published(size, width, depth, giga, giga_dual):
    decoder = replace(DECODERS[size], width=width, depth=depth)

    full, dual = (
        stage_example(
            MaskedPretraining(
                encoder=ENCODERS[size],
                decoder=decoder,
                masking=MaskingConfig(decoder_mask_ratio=ratio),
            )
        ).published_macs
        for ratio in (0.0, 0.5)
    )

    assert full / 1e9 == pytest.approx(giga, rel=0.01)
    assert dual / 1e9 == pytest.approx(giga_dual, rel=0.01)


@pytest.mark.parametrize(
    ("size", "num_frames", "video", "text", "captions"),
    [
        ("base", 8, 148.1, 2.98, 9.4),
        ("base", 16, 296.2, 2.98, 15.1),
        ("large", 8, 665.6, 6.65, 22.8),
        ("large", 16, 1331.2, 6.65, 38.8),
        ("large-336", 8, 1567.0, 6.65, 42.7),
        ("large", 1, 83.2, 6.65, 8.8),
    ],
)
def test_multimodal_pretraining_costs_what_is_published(size, num_frames, video, text, captions):
    encoder = MULTIMODAL_ENCODERS[size]
    width = encoder.text.width
    # The paper's plain decoder of six layers on all video tokens, as the published cost has it.
    decoder = CaptionDecoderConfig(
        kind="standard",
        width=width,
        context_width=encoder.video.width,
        depth=6,
        num_heads=width // 64,
        num_queries=0,
    )
    stage = MultimodalPretraining(
        encoder=replace(encoder, captioner=decoder), num_frames=num_frames
    )

    macs = stage_example(stage).forward_macs

    assert macs["video"] / 1e9 == pytest.approx(video, rel=0.01)
    assert macs["text"] / 1e9 == pytest.approx(text, rel=0.01)
    # The published count projects video tokens as if they were as narrow as the text's.
    tokens = num_frames * (1 + encoder.video.grid[0] * encoder.video.grid[1])
    wider = 6 * 2 * tokens * (encoder.video.width - width) * width
    assert (macs["captions"] - wider) / 1e9 == pytest.approx(captions, rel=0.015)
    flops = stage.training_flops_per_clip
    assert flops == pytest.approx(6 * sum(macs.values()))


@pytest.mark.parametrize(
    ("name", "count"), [("mae_base_k400", 94_210_944), ("mae_huge_hybrid", 658_266_880)]
)
def test_parameters_are_counted_to_the_last_one(name, count):
    assert recipe(name).stage.num_parameters == count


def test_operations_become_a_range_of_hours():
    run = override(recipe("mae_tiny_videos"), ["training.num_steps=1000000"])

    plan = make_plan(run, Cluster.of("16xA100"), Assumptions())

    assert plan.flops == pytest.approx(1e6 * 32 * run.stage.training_flops_per_clip)
    assert plan.device_hours.low == pytest.approx(plan.flops / (0.5 * 312e12) / 3600)
    assert plan.device_hours.high == pytest.approx(2.5 * plan.device_hours.low)
    assert plan.hours.low == pytest.approx(plan.device_hours.low / 16)
    assert (plan.clips_per_rank, plan.clips_per_step) == (2, 32)
    assert plan.decodes_per_s.low == pytest.approx(plan.clips_per_s.low / 2)  # two views a video
    memory = plan.memory
    assert memory["ddp"].weights > plan.num_parameters * 4 > memory["fsdp"].weights
    assert memory["ddp"].moments == 2 * memory["ddp"].gradients
    assert memory["ddp recompute"].activations < memory["ddp"].activations


def test_what_a_rank_holds_is_sharded_with_fsdp_alone():
    whole, ddp, fsdp = (
        rank_memory(STEP, strategy, count, keeps_average=True)
        for strategy, count in (("fsdp", 1), ("ddp", 4), ("fsdp", 4))
    )

    assert whole.peak == 808 + 1600 + 800 + 900
    assert ddp.peak == whole.peak + 800  # the buckets of the exchange
    assert (fsdp.weights, fsdp.gradients, fsdp.moments, fsdp.average) == (208, 200, 400, 200)
    assert fsdp.activations == ddp.activations
    assert fsdp.peak < ddp.peak


def test_muon_keeps_one_moment_of_a_matrix_and_adamw_two_of_the_rest():
    run = recipe("post_pretrain_tiny_playground")
    example = stage_example(run.stage)

    assert run.training.optimiser.muon
    assert 1 < moments_per_weight(example, run) < 1.2
    without = override(run, ["training.optimiser.muon=none"])
    assert moments_per_weight(example, without) == 2


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells what memory is a process's own"
)
@pytest.mark.parametrize("name", list(BATCH))
def test_the_planned_peak_is_the_measured_one(name):
    run = run_of(name)
    example = stage_example(run.stage)
    step = simulated(example, run, BATCH[name], run.training.precision)
    moments = moments_per_weight(example, run)
    planned = rank_memory(step, "ddp", 1, moments_per_weight=moments).peak

    # Commands that ran in this process before may have told glibc to keep what is freed.
    plain = {key: value for key, value in os.environ.items() if not key.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.unit.planner.peak", name],
        capture_output=True,
        text=True,
        check=True,
        env={**plain, "OMP_NUM_THREADS": "1", "MALLOC_TRIM_THRESHOLD_": "65536"},
    )

    assert planned == pytest.approx(int(done.stdout), rel=0.15)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0xH100", "write a number and a device"),
        ("eight H100", "write a number and a device"),
        ("8xH1000", "did you mean 'H100'"),
    ],
)
def test_a_cluster_that_is_none_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        Cluster.of(text)


def test_a_batch_that_does_not_divide_is_refused():
    with pytest.raises(ConfigError, match="does not divide among 7 devices"):
        make_plan(recipe("mae_base_k400"), Cluster.of("7xA100"), Assumptions())


def test_measurements_take_the_place_of_assumptions(tmp_path):
    path = tmp_path / "bench.json"
    path.write_text(json.dumps({"decode": {"clips_per_core_s": 50.0}, "step": {}}))

    found = with_measured(Assumptions(), path)

    range_ = (found.decodes_per_core_s_low, found.decodes_per_core_s_high)
    assert range_ == pytest.approx((45.0, 55.0))
    assert found.utilisation_high == Assumptions().utilisation_high
    path.write_text("{}")
    with pytest.raises(ConfigError, match="holds no clips_per_core_s"):
        with_measured(Assumptions(), path)


def test_the_recipes_of_the_paper_exist_and_divide():
    for name, count in PAPER_STAGES.values():
        assert recipe(name).training.batch_size % count == 0


def test_the_command_plans_a_recipe(capsys):
    assert main(["plan", "mae_tiny_videos", "--gpus", "2xT4", "--set", "seed=1"]) == 0

    out = capsys.readouterr().out
    assert "mae_tiny_videos on 2xT4, fp16" in out
    assert "fsdp recompute" in out and "fits" in out


def test_a_stage_without_an_example_is_planned_without_its_memory(capsys):
    assert main(["plan", "temporal_localization_tiny", "--gpus", "H100", "--json"]) == 0

    plan = json.loads(capsys.readouterr().out)
    assert plan["memory"] is None
    assert plan["hours"]["low"] < plan["hours"]["high"]
    assert plan["decodes_per_s"]["high"] == plan["cores"]["high"] == 0  # it reads features
    assert main(["plan", "temporal_localization_tiny", "--gpus", "H100"]) == 0
    assert "none: extracted features are read" in capsys.readouterr().out


def test_a_wrong_range_of_utilisation_is_one_line(capsys):
    assert main(["plan", "mae_tiny_videos", "--utilisation", "0.6", "0.2"]) == 2

    assert "the lower one first" in capsys.readouterr().err
