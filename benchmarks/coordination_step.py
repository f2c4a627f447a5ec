"""One training step of the coordinated pair beside the two frozen forwards that it cannot avoid.

    python benchmarks/coordination_step.py [--blocks 1 2 4] [--scopes clip slot]

ViT-B on 16 frames and B/16 on 8 of them, 400 classes. `frozen` is each encoder's own forward,
without gradients; a step is forward, loss, backward and AdamW, on the same clips. All take turns in
one process, so that only ratios need a quiet machine; processor seconds stand beside wall-clock
seconds. `kept` is what the forward keeps for the backward pass, parameters left out. On CUDA the
peak of memory is printed as well.
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    VideoClassifierConfig,
)
from internvideo.models import ENCODERS, MULTIMODAL_ENCODERS, CoordinationConfig
from internvideo.objectives import classification_loss

CLASSES = 400


def pair_of(coordination: CoordinationConfig) -> CoordinatedClassifier:
    a = replace(ENCODERS["base"], final_norm=False)
    b = MULTIMODAL_ENCODERS["base"].video
    config = CoordinatedClassifierConfig(
        masked=VideoClassifierConfig(encoder=a, num_classes=CLASSES),
        multimodal=VideoClassifierConfig(encoder=b, num_classes=CLASSES, pooling="query"),
        coordination=coordination,
    )
    return CoordinatedClassifier(config).train()


def training_step(
    model: CoordinatedClassifier,
    clip: Tensor,
    labels: Tensor,
    autocast: Callable[[], torch.autocast],
) -> Callable[[], None]:
    learned = [parameter for _, parameter in model.trainable_parameters()]
    optimiser = torch.optim.AdamW(learned, lr=5e-5, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        with autocast():
            fused = model.score(model.read(clip)).fused
        classification_loss(fused, labels).backward()
        optimiser.step()

    return step


def frozen_forwards(
    model: CoordinatedClassifier, clip: Tensor, autocast: Callable[[], torch.autocast]
) -> Callable[[], None]:
    @torch.no_grad()
    def step() -> None:
        with autocast():
            model.masked.encoder(clip)
            model.multimodal.encoder(clip[:, :, ::2])

    return step


def kept_mib(
    model: CoordinatedClassifier, clip: Tensor, autocast: Callable[[], torch.autocast]
) -> float:
    """Bytes of different tensors that autograd holds on to, without the parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), autocast():
        model.score(model.read(clip))
    return sum(kept.values()) / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--blocks", nargs="+", type=int, default=[1, 2, 4])
    parser.add_argument("--scopes", nargs="+", default=["clip", "slot"])
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = options.batch or (64 if device == "cuda" else 2)
    machine = f"{platform.machine()}, {torch.get_num_threads()} threads, {device}"
    print(f"{machine}, torch {torch.__version__}, batch {batch}, {options.precision}")

    def autocast() -> torch.autocast:
        return torch.autocast(device, torch.bfloat16, enabled=options.precision == "bf16")

    generator = torch.Generator().manual_seed(0)
    clip = torch.rand(batch, 3, 16, 224, 224, generator=generator).to(device)
    labels = torch.randint(CLASSES, (batch,), generator=generator).to(device)
    models: dict[str, CoordinatedClassifier] = {}
    for blocks, scope in itertools.product(options.blocks, options.scopes):
        model = pair_of(CoordinationConfig(blocks=blocks, scope=scope)).to(device)
        for first in itertools.islice(models.values(), 1):  # all share one pair of encoders
            model.masked.encoder = first.masked.encoder
            model.multimodal.encoder = first.multimodal.encoder
        models[f"{blocks} modules, {scope}"] = model
    sides = {"frozen": frozen_forwards(next(iter(models.values())), clip, autocast)} | {
        name: training_step(model, clip, labels, autocast) for name, model in models.items()
    }
    wall: dict[str, list[float]] = {name: [] for name in sides}
    processor: dict[str, list[float]] = {name: [] for name in sides}
    peaks = {}
    for repeat in range(-1, options.repeats):  # one turn of warm-up
        for name, step in sides.items():
            if device == "cuda":
                torch.cuda.reset_peak_memory_stats()
            wall_start, processor_start = time.perf_counter(), time.process_time()
            step()
            if device == "cuda":
                torch.cuda.synchronize()
                peaks[name] = torch.cuda.max_memory_allocated() / 2**20
            print(
                f"turn {repeat}: {name} {time.process_time() - processor_start:.2f} s", flush=True
            )
            if repeat >= 0:
                wall[name].append(time.perf_counter() - wall_start)
                processor[name].append(time.process_time() - processor_start)
    for name in sides:
        ratios = [a / b for a, b in zip(wall[name], wall["frozen"], strict=True)]
        ratio = statistics.median(ratios)
        of_processor = statistics.median(processor[name]) / statistics.median(processor["frozen"])
        kept = f"  kept {kept_mib(models[name], clip, autocast):7.0f} MiB" if name in models else ""
        peak = f"  peak {peaks[name]:7.0f} MiB" if peaks else ""
        learned = (
            sum(p.numel() for _, p in models[name].trainable_parameters()) / 1e6
            if name in models
            else 0
        )
        print(
            f"{name:16} {statistics.median(wall[name]):7.3f} s "
            f"({min(wall[name]):.3f}-{max(wall[name]):.3f})  {ratio:.2f}x "
            f"[{min(ratios):.2f}-{max(ratios):.2f}]  processor {of_processor:.2f}x"
            f"{kept}{peak}  {learned:.1f} M learned"
        )


if __name__ == "__main__":
    main()
