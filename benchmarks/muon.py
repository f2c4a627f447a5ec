"""A step of Muon on the matrices of the tiny recipe's encoder B: torch's and ours, in turns.

python benchmarks/muon.py --threads 1
"""

from __future__ import annotations

import argparse

import torch
from side_by_side import line, take_turns
from torch import nn

from internvideo.recipes import recipe
from internvideo.tiny import build_multimodal
from internvideo.training.muon import Muon
from internvideo.training.optim import build_optimisers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--repeats", type=int, default=10)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    run = recipe("multimodal_tiny_playground")
    torch.manual_seed(0)
    model = build_multimodal(run.stage.encoder, run.stage.front_end)
    optimisers = build_optimisers(model, run.training.optimiser)
    (ours,) = (optimiser for optimiser in optimisers if isinstance(optimiser, Muon))
    matrices = [p.detach() for group in ours.param_groups for p in group["params"]]
    sides = {name: [nn.Parameter(m.clone()) for m in matrices] for name in ("torch", "ours")}
    for matrix, *copies in zip(matrices, *sides.values(), strict=True):
        gradient = torch.randn_like(matrix)
        for parameter in copies:
            parameter.grad = gradient.clone()
    of_torch = torch.optim.Muon(sides["torch"], lr=1e-3, adjust_lr_fn="match_rms_adamw")
    of_ours = Muon([{"params": sides["ours"]}], lr=1e-3)
    steps = {"torch": of_torch.step, "ours": of_ours.step}
    measured = take_turns(steps, device="cpu", repeats=options.repeats)
    print(f"{len(matrices)} matrices, {options.threads} threads, torch {torch.__version__}")
    for name in sides:
        print(f"{name:6} {line(name, *measured, beside='torch')}")
    pairs = zip(*sides.values(), matrices, strict=True)
    far = max(((p - q).norm() / (p - m).norm()).item() for p, q, m in pairs)
    print(f"where they came to differs by {far:.1e} of the way, at most")


if __name__ == "__main__":
    main()
