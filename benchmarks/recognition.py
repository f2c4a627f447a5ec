"""Fine-tuning and multi-view test of a classifier on encoder A, ours beside `transformers`.

    python benchmarks/recognition.py [--sizes base] [--precisions fp32 bf16] [--views 15]

Both sides have the same weights (`VideoMAEForVideoClassification`, read by our importer) and take
turns in one process; by how much their logits differ is printed first. A fine-tuning step is
forward, cross-entropy, backward and fused AdamW; a test scores all views of one video, `--batch` at
a time, and averages their softmaxes. Ours starts from decoded bytes and includes normalising; the
peer gets normalised floats, since it reads nothing else. On CUDA ours is compiled.
"""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from side_by_side import line, own_peak_mib, peak_mib_alone, take_turns
from torch import Tensor, nn

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import ENCODERS, MaskedEncoderConfig
from internvideo.tasks import RecognitionModel
from internvideo.values import IMAGENET_MEAN, IMAGENET_STD
from internvideo.video.transforms import normalise
from internvideo.weights import from_transformers

NUM_CLASSES = 400
SIDES = ("peer", "ours")
WORK = ("fine-tuning", "test")
TINY = MaskedEncoderConfig(width=48, depth=2, num_heads=3, num_frames=4, side_px=32)
SIZES = {"tiny": TINY, **ENCODERS}


def peer_of(encoder: MaskedEncoderConfig) -> nn.Module:
    """The peer, the same in every process."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    torch.manual_seed(0)
    config = VideoMAEConfig(
        image_size=encoder.side_px,
        num_frames=encoder.num_frames,
        hidden_size=encoder.width,
        num_hidden_layers=encoder.depth,
        num_attention_heads=encoder.num_heads,
        intermediate_size=4 * encoder.width,
        layer_norm_eps=encoder.norm_eps,
        num_labels=NUM_CLASSES,
        attn_implementation="sdpa",
    )
    return VideoMAEForVideoClassification(config)


def ours_of(encoder: MaskedEncoderConfig) -> VideoClassifier:
    """Ours, with the peer's weights; its head normalises with torch's usual epsilon."""
    config = VideoClassifierConfig(
        encoder=replace(encoder, final_norm=False), num_classes=NUM_CLASSES, norm_eps=1e-5
    )
    model = VideoClassifier(config)
    model.load_state_dict(from_transformers(peer_of(encoder).state_dict()))
    return model


def frames_of(encoder: MaskedEncoderConfig, count: int, device: str) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, encoder.num_frames, encoder.side_px, encoder.side_px, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator).to(device)


def for_peer(frames: Tensor) -> Tensor:
    """Bytes (b, t, h, w, c) as the peer reads them, (b, t, c, h, w) float."""
    clip = normalise(frames, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    return clip.transpose(1, 2).contiguous()


def logits_of(side: str, model: nn.Module, given: Tensor) -> Tensor:
    if side == "peer":
        return model(given).logits
    return model(normalise(given, mean=IMAGENET_MEAN, std=IMAGENET_STD))


def model_of(side: str, encoder: MaskedEncoderConfig, device: str) -> nn.Module:
    model = (peer_of if side == "peer" else ours_of)(encoder).to(device)
    if side == "ours" and device == "cuda":
        model.compile()
    return model


def fine_tuning(side: str, size: str, precision: str, device: str, batch: int) -> Callable:
    """A step of training."""
    encoder = SIZES[size]
    model = model_of(side, encoder, device).train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    frames = frames_of(encoder, batch, device)
    given = for_peer(frames) if side == "peer" else frames
    labels = torch.arange(batch, device=device) % NUM_CLASSES

    def step() -> None:
        optimiser.zero_grad()  # before the forward, so that old gradients do not add to the peak
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            loss = F.cross_entropy(logits_of(side, model, given).float(), labels)
        loss.backward()
        optimiser.step()

    return step


def test(
    side: str, size: str, precision: str, device: str, batch: int, views: int
) -> Callable[[], Tensor]:
    """All views of one video become the probabilities of its classes."""
    encoder = SIZES[size]
    model = model_of(side, encoder, device).eval()
    frames = frames_of(encoder, views, device)
    given = for_peer(frames) if side == "peer" else frames
    names = [str(i) for i in range(NUM_CLASSES)]
    recogniser = RecognitionModel(
        model, names, num_frames=encoder.num_frames, side_px=encoder.side_px
    )

    def step() -> Tensor:
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=precision == "bf16"):
            parts = [
                model(part).logits if side == "peer" else recogniser.classify_clips(part)
                for part in given.split(batch)
            ]
        return torch.cat(parts).float().softmax(1).mean(0)

    return step


def step_of(what: str, side: str, size: str, precision: str, device: str, batch: int, views: int):
    if what == "fine-tuning":
        return fine_tuning(side, size, precision, device, batch)
    return test(side, size, precision, device, batch, views)


@torch.no_grad()
def disagreement(size: str, device: str) -> str:
    """Largest difference of the logits of one clip, in float32, beside their deviation."""
    frames = frames_of(SIZES[size], 1, device)
    peer, ours = (
        logits_of(side, model_of(side, SIZES[size], device).eval(), given)
        for side, given in (("peer", for_peer(frames)), ("ours", frames))
    )
    return f"logits differ by at most {(peer - ours).abs().max():.1e}, deviation {peer.std():.1e}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["base"], choices=SIZES)
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    parser.add_argument("--work", nargs="+", default=WORK, choices=WORK)
    parser.add_argument("--batch", type=int, help="clips of a step; 2, on CUDA 32")
    parser.add_argument("--views", type=int, default=15, help="of the video that is tested")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument("--child", nargs=6, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.child:
        *what, batch, views = options.child
        step = step_of(*what, "cpu", int(batch), int(views))
        for _ in range(3):
            step()
        print(own_peak_mib())
        return
    device = "cuda" if torch.cuda.is_available() else "cpu"
    batch = options.batch or (32 if device == "cuda" else 2)
    name = torch.cuda.get_device_name() if device == "cuda" else platform.processor()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, {device} {name}")
    print(
        f"{options.threads} threads, batches of {batch}, {options.views} views, "
        f"{options.repeats} repeats"
    )
    for size in options.sizes:
        print(f"{size} fp32: {disagreement(size, device)}", flush=True)
        for what in options.work:
            for precision in options.precisions:
                title = f"{size} {what} {precision}"
                arguments = (size, precision, device, batch, options.views)
                steps = {side: step_of(what, side, *arguments) for side in SIDES}
                seconds = take_turns(steps, device=device, repeats=options.repeats)
                for side in SIDES:
                    print(f"{title} {side}  {line(side, *seconds)}", flush=True)
                del steps
                if device == "cpu" and not options.no_memory:
                    numbers = (str(batch), str(options.views))
                    peaks = {
                        side: peak_mib_alone(__file__, what, side, size, precision, *numbers)
                        for side in SIDES
                    }
                    for side, peak in peaks.items():
                        print(f"{title} {side}  peak {peak:.0f} MiB, {peak / peaks['peer']:.2f}x")


if __name__ == "__main__":
    main()
