"""One masked-pretraining step (forward, loss, backward, fused AdamW), ours beside `transformers`.

    python benchmarks/masked_pretraining_step.py [--sizes small base] [--precisions fp32 bf16]

Same sizes, batch, precision, 90 % tube mask and normalised targets on both sides, taking turns step
by step in one process. Ours starts from decoded bytes and includes normalising, masks and targets;
the peer gets normalised floats, since it reads nothing else, and draws masks. `dual` is ours with
half of every running cell neither seen nor predicted. On CUDA ours is compiled and MFU is printed.
"""

from __future__ import annotations

import argparse
import platform
import statistics
from collections.abc import Callable

import torch
from side_by_side import line, own_peak_mib, peak_mib_alone, take_turns
from torch import Tensor, nn

from internvideo.models import (
    DECODERS,
    ENCODERS,
    MaskedAutoencoder,
    MaskingConfig,
    autoencoder_macs,
    gather_tokens,
    patchify_frames,
    sample_masks,
    training_flops,
)
from internvideo.objectives import pixel_targets, reconstruction_loss
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD

CPU_BATCH = {"small": 4, "base": 2}
CUDA_BATCH = {"small": 128, "base": 64, "large": 64, "huge": 32}
H100_BF16_FLOPS = 989e12
SIDES = ("peer", "ours", "dual")


def frames_of(size: str, device: str) -> Tensor:
    batch = (CPU_BATCH if device == "cpu" else CUDA_BATCH)[size]
    generator = torch.Generator().manual_seed(0)
    shape = (batch, 16, 224, 224, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)


def finish(model: nn.Module, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        optimiser.zero_grad()  # before the forward, so that old gradients do not add to the peak
        loss_of().backward()
        optimiser.step()

    return step


def our_step(
    size: str, precision: str, device: str, *, decoder_mask_ratio: float
) -> Callable[[], None]:
    encoder = ENCODERS[size]
    frames = frames_of(size, device)
    model = MaskedAutoencoder(encoder, DECODERS[size]).to(device)
    run = torch.compile(model) if device == "cuda" else model
    masking = MaskingConfig(decoder_mask_ratio=decoder_mask_ratio)
    generator = torch.Generator().manual_seed(0)

    def loss_of() -> Tensor:
        seeds = torch.randint(2**62, (len(frames),), generator=generator)
        masks = sample_masks(masking, encoder.grid, seeds).to(device)
        patches = patchify_frames(frames, encoder.tubelet)
        visible = gather_tokens(patches, masks.visible_index)
        target = pixel_targets(gather_tokens(patches, masks.predicted_index), normalised=True)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            predicted = run(visible, masks.visible_index, masks.predicted_index)
        return reconstruction_loss(predicted, target, masks.loss_mask)

    return finish(model, loss_of)


def peer_step(size: str, precision: str, device: str) -> Callable[[], None]:
    from transformers import VideoMAEConfig, VideoMAEForPreTraining

    encoder, decoder = ENCODERS[size], DECODERS[size]
    config = VideoMAEConfig(
        hidden_size=encoder.width,
        num_hidden_layers=encoder.depth,
        num_attention_heads=encoder.num_heads,
        intermediate_size=4 * encoder.width,
        decoder_hidden_size=decoder.width,
        decoder_num_hidden_layers=decoder.depth,
        decoder_num_attention_heads=decoder.num_heads,
        decoder_intermediate_size=4 * decoder.width,
        norm_pix_loss=True,
        attn_implementation="sdpa",
    )
    model = VideoMAEForPreTraining(config).train().to(device)
    frames = frames_of(size, device)
    mean, std = (torch.tensor(s, device=device) for s in (IMAGENET_MEAN, IMAGENET_STD))
    clip = ((frames / 255 - mean) / std).permute(0, 1, 4, 2, 3).contiguous()
    masking, generator = MaskingConfig(), torch.Generator().manual_seed(0)

    def loss_of() -> Tensor:
        masked = torch.stack([masking.sample(encoder.grid, generator) for _ in clip]).to(device)
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            return model(clip, bool_masked_pos=masked).loss

    return finish(model, loss_of)


def step_of(side: str, size: str, precision: str, device: str) -> Callable[[], None]:
    torch.manual_seed(0)
    if side == "peer":
        return peer_step(size, precision, device)
    decoder_mask_ratio = 0.5 if side == "dual" else 0.0
    return our_step(size, precision, device, decoder_mask_ratio=decoder_mask_ratio)


def macs_of(side: str, size: str) -> int:
    """Multiply-adds that the task needs, the same for both implementations of it."""
    n = ENCODERS[size].grid.num_tokens
    visible = n - int(0.9 * ENCODERS[size].grid.num_places) * ENCODERS[size].grid.time
    predicted = (n - visible) // 2 if side == "dual" else n - visible
    return autoencoder_macs(
        ENCODERS[size], DECODERS[size], num_visible=visible, num_predicted=predicted
    )


def measure(size: str, precision: str, device: str, repeats: int) -> None:
    steps = {side: step_of(side, size, precision, device) for side in SIDES}
    wall, processor = take_turns(steps, device=device, repeats=repeats)
    for side in SIDES:
        text = f"{size} {precision} {side:4}  {line(side, wall, processor)}"
        if device == "cuda":
            clips_per_s = CUDA_BATCH[size] / statistics.median(wall[side])
            share = clips_per_s * training_flops(macs_of(side, size)) / H100_BF16_FLOPS
            text += f";  {clips_per_s:.0f} clips/s, MFU {share:.1%} of an H100"
        print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["small", "base"], choices=CUDA_BATCH)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        step = step_of(*options.child, "cpu")
        for _ in range(3):
            step()
        print(own_peak_mib())
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {device} {name}")
    print(f"{options.threads} threads, 16x224x224, 90 % tube mask, {options.repeats} repeats")
    for size in options.sizes:
        for precision in options.precisions:
            measure(size, precision, device, options.repeats)
            if device == "cpu" and not options.no_memory:
                peaks = {side: peak_mib_alone(__file__, side, size, precision) for side in SIDES}
                for side, peak in peaks.items():
                    ratio = peak / peaks["peer"]
                    print(f"{size} {precision} {side:4}  peak {peak:.0f} MiB, {ratio:.2f}x")


if __name__ == "__main__":
    main()
