"""What a run will cost: memory, operations, hours, decoding, storage and network.

Source of the way of counting: 6 FLOP for each multiply-add of the forward pass, 8 where blocks are
computed again; hours = FLOP / (utilisation x dense peak x devices). Everything that is not known
before the run is a range, and what the ranges stand on is said with them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from internvideo.errors import ConfigError, unknown_name
from internvideo.planner.examples import StageExample, stage_example
from internvideo.planner.measured import Assumptions
from internvideo.planner.memory import RankMemory, StepMemory, rank_memory, step_memory
from internvideo.runs import Run, from_document, to_document
from internvideo.training.devices import DEVICES, Device
from internvideo.training.optim import count_moments
from internvideo.training.precision import Precision

_CLUSTER = re.compile(r"(?:(\d+)x)?(\w+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Cluster:
    """So many devices of one kind."""

    count: int
    name: str

    @classmethod
    def of(cls, text: str) -> Cluster:
        """Read `128xH100`, or `H100` for one.

        Raises:
            ConfigError: If it has another form, or the device is not in the table.
        """
        said = _CLUSTER.fullmatch(text)
        if said is None or said[1] == "0":
            raise ConfigError(f"--gpus {text!r}: write a number and a device, such as 8xH100")
        if said[2] not in DEVICES:
            raise unknown_name("device", said[2], DEVICES)
        return cls(count=int(said[1] or 1), name=said[2])

    @property
    def device(self) -> Device:
        return DEVICES[self.name]

    def __str__(self) -> str:
        return f"{self.count}x{self.name}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """From the low to the high estimate."""

    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The cost of a run. Memory is in bytes, by strategy; None where the stage has no example."""

    recipe: str
    cluster: str
    precision: str
    num_parameters: int
    clips_per_step: int
    clips_per_rank: int
    num_steps: int
    forward_macs: Mapping[str, int]
    published_macs: int | None
    flops_per_clip: float
    flops: float
    hours: Range
    device_hours: Range
    clips_per_s: Range
    decodes_per_s: Range
    cores: Range
    read_mb_per_s: Range
    exchanged_gb_per_step: float
    network_gb_per_s: Range
    checkpoint_gb: float
    memory: Mapping[str, RankMemory] | None
    memory_gb: int
    assumptions: Assumptions


def make_plan(run: Run, cluster: Cluster, assumptions: Assumptions) -> Plan:
    """Plan a run on a cluster.

    Raises:
        ConfigError: If the device does not know the run's precision, or the batch is smaller than
            the cluster.
    """
    precision = _precision(run, cluster)
    example = stage_example(run.stage)
    micro_batches = cluster.count * run.training.accumulation
    clips_per_rank, rest = divmod(run.training.batch_size, micro_batches)
    if rest or not clips_per_rank:
        raise ConfigError(
            f"batch_size {run.training.batch_size} does not divide among {cluster.count} devices "
            f"x accumulation {run.training.accumulation}; choose another number of devices, or "
            "set training.batch_size"
        )
    of_step = flops_per_step(run)
    flops = of_step * run.training.num_steps
    peak = cluster.count * cluster.device.peak[precision]
    device_hours = {
        side: flops / (getattr(assumptions, f"utilisation_{other}") * peak) / 3600 * cluster.count
        for side, other in (("low", "high"), ("high", "low"))
    }
    steps_per_s = {
        side: getattr(assumptions, f"utilisation_{side}") * peak / of_step
        for side in ("low", "high")
    }
    num_clips, num_decodes = _clips_per_step(run)
    memory, trained = None, run.stage.num_parameters * 4
    if example is not None:
        memory, trained = _memory(run, example, cluster, clips_per_rank, precision)
    exchanged = 2 * (cluster.count - 1) / cluster.count * trained / 1e9
    decodes = {side: rate * num_decodes for side, rate in steps_per_s.items()}
    return Plan(
        recipe=run.name,
        cluster=str(cluster),
        precision=precision,
        num_parameters=run.stage.num_parameters,
        clips_per_step=num_clips,
        clips_per_rank=clips_per_rank,
        num_steps=run.training.num_steps,
        forward_macs={} if example is None else example.forward_macs,
        published_macs=None if example is None else example.published_macs,
        flops_per_clip=run.stage.training_flops_per_clip,
        flops=flops,
        hours=Range(**{side: hours / cluster.count for side, hours in device_hours.items()}),
        device_hours=Range(**device_hours),
        clips_per_s=Range(**{side: rate * num_clips for side, rate in steps_per_s.items()}),
        decodes_per_s=Range(**decodes),
        cores=Range(
            low=decodes["low"] / assumptions.decodes_per_core_s_high,
            high=decodes["high"] / assumptions.decodes_per_core_s_low,
        ),
        read_mb_per_s=Range(
            low=decodes["low"] * assumptions.video_mb_low,
            high=decodes["high"] * assumptions.video_mb_high,
        ),
        exchanged_gb_per_step=exchanged,
        network_gb_per_s=Range(**{side: exchanged * rate for side, rate in steps_per_s.items()}),
        checkpoint_gb=(run.stage.num_parameters * 4 + 2 * trained) / 1e9,
        memory=memory,
        memory_gb=cluster.device.memory_gb,
        assumptions=assumptions,
    )


def _precision(run: Run, cluster: Cluster) -> Precision:
    wanted = run.training.precision
    peak = cluster.device.peak
    if wanted == "auto":
        return "bf16" if "bf16" in peak else "fp16"
    if wanted not in peak:
        raise ConfigError(f"{cluster.name} has no fast {wanted}; known: {', '.join(peak)}")
    return wanted


def _memory(
    run: Run, example: StageExample, cluster: Cluster, batch_size: int, precision: Precision
) -> tuple[dict[str, RankMemory], int]:
    """Memory of a rank by strategy, with and without recomputed blocks, and bytes trained."""
    memory: dict[str, RankMemory] = {}
    trained = 0
    for suffix, recompute in (("", False), (" recompute", True)):
        variant = stage_example(with_recompute(run, recompute).stage)
        assert variant is not None
        step = simulated(variant, run, batch_size, precision, as_on_gpu=True)
        trained = step.trained
        moments = moments_per_weight(variant, run)
        for strategy in ("ddp", "fsdp"):
            memory[strategy + suffix] = rank_memory(
                step,
                strategy,
                cluster.count,
                moments_per_weight=moments,
                keeps_average=run.training.ema_decay is not None,
            )
    return memory, trained


def simulated(
    example: StageExample,
    run: Run,
    batch_size: int,
    precision: Precision,
    *,
    as_on_gpu: bool = False,
) -> StepMemory:
    """The memory of one step of a run's stage; see `step_memory`."""
    return step_memory(
        example.build,
        example.loss,
        batch_size,
        precision=precision,
        as_on_gpu=as_on_gpu,
        accumulates=run.training.accumulation > 1,
    )


def moments_per_weight(example: StageExample, run: Run) -> float:
    """What the run's optimisers keep, in numbers a trained weight."""
    with torch.device("meta"):
        named = list(example.build().named_parameters())
    trained = sum(parameter.numel() for _, parameter in named if parameter.requires_grad)
    return count_moments(named, run.training.optimiser) / trained


def with_recompute(run: Run, recompute: bool) -> Run:
    """The run with the blocks of every network computed again in the backward pass, or not."""

    def changed(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                name: recompute if name == "recompute_activations" else changed(inner)
                for name, inner in value.items()
            }
        return value

    return from_document(changed(to_document(run)))


def _sources(run: Run) -> list[tuple[float, int, int, float]]:
    """Of each source: its weight, clips a step, videos a step, and FLOP a clip."""
    stage, batch_size = run.stage, run.training.batch_size
    # A stage that reads extracted features decodes nothing.
    videos = 0 if hasattr(stage, "features") else batch_size // run.data.views_per_video
    rows = [(1.0, batch_size, videos, stage.training_flops_per_clip)]
    for source in run.other_sources.values():
        shorter = {"num_frames": source.num_frames} if source.num_frames else {}
        clips = source.batch_size or batch_size
        per_clip = replace(stage, **shorter).training_flops_per_clip
        rows.append((source.weight, clips, clips // source.data.views_per_video, per_clip))
    return rows


def flops_per_step(run: Run) -> float:
    """Average over the sources that take turns, each with clips and batches of its own."""
    rows = _sources(run)
    return sum(w * clips * flops for w, clips, _, flops in rows) / sum(row[0] for row in rows)


def _clips_per_step(run: Run) -> tuple[int, float]:
    """Clips that a step trains on and videos that are decoded for it, on average."""
    rows = _sources(run)
    total = sum(row[0] for row in rows)
    clips = sum(w * count for w, count, _, _ in rows) / total
    return round(clips), sum(w * videos for w, _, videos, _ in rows) / total


def plan_document(plan: Plan) -> dict[str, Any]:
    """A plan as a JSON value."""
    return asdict(plan)
