"""What a run will cost before it is begun: memory, operations, hours, decoding, network."""

from internvideo.planner.examples import StageExample, stage_example
from internvideo.planner.measured import Assumptions, with_measured
from internvideo.planner.measuring import measure_data, measure_decoding, measure_step
from internvideo.planner.memory import RankMemory, StepMemory, rank_memory, step_memory
from internvideo.planner.paper import PAPER_A100_HOURS, PAPER_STAGES
from internvideo.planner.plan import (
    Cluster,
    Plan,
    Range,
    flops_per_step,
    make_plan,
    moments_per_weight,
    plan_document,
    simulated,
    with_recompute,
)

__all__ = [
    "Assumptions",
    "Cluster",
    "PAPER_A100_HOURS",
    "PAPER_STAGES",
    "Plan",
    "Range",
    "RankMemory",
    "StageExample",
    "StepMemory",
    "flops_per_step",
    "make_plan",
    "measure_data",
    "measure_decoding",
    "measure_step",
    "moments_per_weight",
    "plan_document",
    "rank_memory",
    "simulated",
    "stage_example",
    "step_memory",
    "with_measured",
    "with_recompute",
]
