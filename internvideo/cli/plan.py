"""`internvideo plan`: what a run will cost, before it is begun."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from internvideo.planner import Assumptions, Plan, RankMemory

_PAPER = "internvideo"


@dataclass(frozen=True, kw_only=True)
class PlanRun:
    """Tell memory, operations, hours, decoding and network of a run before it is begun.

    Everything that only the machine can tell is a range; --measured narrows it. The name
    `internvideo` plans the paper's own stages, each on the GPUs that its script names.

    Example: internvideo plan mae_huge_hybrid --gpus 64xA100
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE.toml|internvideo")]
    """A name from `internvideo list recipes`, a TOML file, or internvideo: all of the paper."""
    gpus: str | None = None
    """Devices, such as 128xH100; default 8xH100, and with internvideo A100s as the scripts have."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field of the recipe before planning."""
    utilisation: Annotated[tuple[float, float] | None, arg(metavar="LOW HIGH")] = None
    """Shares of the devices' peak that are reached; default 0.2 to 0.5."""
    measured: Path | None = None
    """What `internvideo bench` wrote on the machine that will train."""
    json: bool = False
    """Print the plan as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.cli.train import named_run
        from internvideo.planner import (
            Assumptions,
            Cluster,
            make_plan,
            plan_document,
            with_measured,
        )
        from internvideo.runs import override

        assumptions = Assumptions()
        if self.measured is not None:
            assumptions = with_measured(assumptions, self.measured)
        if self.utilisation is not None:
            low, high = self.utilisation
            assumptions = replace(assumptions, utilisation_low=low, utilisation_high=high)
        if self.recipe == _PAPER:
            return self._paper(assumptions)
        cluster = Cluster.of(self.gpus or "8xH100")
        plan = make_plan(override(named_run(self.recipe), self.set), cluster, assumptions)
        if self.json:
            print_json(plan_document(plan))
        else:
            print("\n".join(_lines(plan)))
        return 0

    def _paper(self, assumptions: Assumptions) -> int:
        from internvideo.cli.terminal import print_json, progress
        from internvideo.errors import ConfigError
        from internvideo.planner import (
            PAPER_A100_HOURS,
            PAPER_STAGES,
            Cluster,
            make_plan,
            plan_document,
        )
        from internvideo.recipes import recipe

        if self.set:
            raise ConfigError("--set changes one recipe; leave it out with internvideo")
        plans: dict[str, Plan] = {}
        with progress("planning") as tell:
            for stage, (name, count) in PAPER_STAGES.items():
                cluster = Cluster.of(self.gpus or f"{count}xA100")
                plans[stage] = make_plan(recipe(name), cluster, assumptions)
                tell(len(plans), len(PAPER_STAGES))
        if self.json:
            print_json({stage: plan_document(plan) for stage, plan in plans.items()})
            return 0
        print(
            f"{'stage':<15} {'on':>9} {'parameters':>14} {'GMAC':>7} {'FLOP':>8} "
            f"{'GB a rank: ddp':>15} {'fsdp':>6} {'recomputed':>11} {'device hours':>16} "
            f"{'decodes/s':>14}"
        )
        for stage, plan in plans.items():
            memory = [_gb(plan, name) for name in ("ddp", "fsdp", "fsdp recompute")]
            print(
                f"{stage:<15} {plan.cluster:>9} {plan.num_parameters:>14,} "
                f"{(plan.published_macs or 0) / 1e9:>7.0f} {plan.flops:>8.2g} "
                f"{memory[0]:>15} {memory[1]:>6} {memory[2]:>11} "
                f"{_span(plan.device_hours.low, plan.device_hours.high):>16} "
                f"{_span(plan.decodes_per_s.low, plan.decodes_per_s.high):>14}"
            )
        low, high = (
            sum(getattr(plan.device_hours, side) for plan in plans.values())
            for side in ("low", "high")
        )
        print(
            f"together {_span(low, high)} device hours at {assumptions.utilisation_low:.0%} to "
            f"{assumptions.utilisation_high:.0%} of the peak; the paper spent {PAPER_A100_HOURS:,} "
            "hours of A100"
        )
        return 0


def _lines(plan: Plan) -> list[str]:
    """A plan as lines, in the order in which a reader asks."""
    assumed = plan.assumptions
    macs = " + ".join(f"{name} {count / 1e9:.1f}" for name, count in plan.forward_macs.items())
    lines = [
        f"{plan.recipe} on {plan.cluster}, {plan.precision}",
        f"parameters     {plan.num_parameters:,}",
        f"batch          {plan.clips_per_step:,} clips a step, {plan.clips_per_rank} a micro-batch "
        f"and rank, {plan.num_steps:,} steps",
        f"operations     {plan.flops_per_clip / 1e12:.3g} TFLOP a clip, {plan.flops:.3g} FLOP"
        + (f"; forward {macs} GMAC a clip" if macs else "")
        + (f", {plan.published_macs / 1e9:.1f} as papers count" if plan.published_macs else ""),
        f"time           {_span(plan.hours.low, plan.hours.high)} h, "
        f"{_span(plan.device_hours.low, plan.device_hours.high)} device hours, at "
        f"{assumed.utilisation_low:.0%} to {assumed.utilisation_high:.0%} of the peak",
        *_decoding(plan),
        f"checkpoints    {plan.checkpoint_gb:.2g} GB each",
        f"network        {plan.exchanged_gb_per_step:.2g} GB a rank and step with ddp (fsdp: half "
        f"as much again), {_span(plan.network_gb_per_s.low, plan.network_gb_per_s.high)} GB/s",
    ]
    if plan.memory is None:
        return [*lines, "memory         not known for this kind of stage"]
    lines.append(
        f"GB a rank      {'weights':>8} {'gradients':>10} {'moments':>8} {'average':>8} "
        f"{'activations':>12} {'exchange':>9} {'peak':>7}  of {plan.memory_gb}"
    )
    lines += [f"  {name:<14}{_memory_row(rank, plan)}" for name, rank in plan.memory.items()]
    return [*lines, "recomputing blocks (recompute_activations) costs a third more operations"]


def _memory_row(rank: RankMemory, plan: Plan) -> str:
    gb = {
        name: getattr(rank, name) / 1e9
        for name in ("weights", "gradients", "moments", "average", "activations", "exchange")
    }
    widths = (7, 10, 8, 8, 12, 9)
    cells = " ".join(f"{v:>{w}.2f}" for v, w in zip(gb.values(), widths, strict=True))
    fits = "fits" if rank.peak < 0.9 * plan.memory_gb * 1e9 else "does not fit"
    return f"{cells} {rank.peak / 1e9:>7.2f}  {fits}"


def _gb(plan: Plan, strategy: str) -> str:
    return "-" if plan.memory is None else f"{plan.memory[strategy].peak / 1e9:.1f}"


def _decoding(plan: Plan) -> list[str]:
    """What reading the videos asks for; nothing where features are read."""
    assumed = plan.assumptions
    if not plan.decodes_per_s.high:
        return ["decoding       none: extracted features are read"]
    return [
        f"decoding       {_span(plan.decodes_per_s.low, plan.decodes_per_s.high)} videos/s for "
        f"{_span(plan.clips_per_s.low, plan.clips_per_s.high)} clips/s: "
        f"{_span(plan.cores.low, plan.cores.high)} cores, at "
        f"{_span(assumed.decodes_per_core_s_low, assumed.decodes_per_core_s_high)} a core",
        f"storage        {_span(plan.read_mb_per_s.low, plan.read_mb_per_s.high)} MB/s read",
    ]


def _span(low: float, high: float) -> str:
    """A range to two or three digits."""
    return f"{_short(low)} to {_short(high)}"


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"
