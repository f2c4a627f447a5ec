"""A forward pass of exported networks beside the network they came from, on a processor.

    python benchmarks/export.py [--networks A-classifier ...] [--formats onnx torch]
        [--clips 1] [--compared 1 3] [--repeats 3]

Random weights, float32, one thread. Each network is exported by `export_part`, which compares file
and network at the batch sizes `--compared`; then the ways take turns in one process, and seconds
are those of the processor, since others may use the machine:

torch     the network as it is, in inference mode
program   the .pt2 file of `torch.export`, read back
onnx      the .onnx file, in ONNX Runtime with its default graph optimisations
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
from torch import Tensor

from internvideo.heads import VideoClassifier, VideoClassifierConfig
from internvideo.models import MULTIMODAL_ENCODERS, MultimodalEncoder
from internvideo.models.export import SUFFIXES, Format, Part, export_part, parts_of

Way = Callable[[Tensor], object]


def networks() -> dict[str, Callable[[], Part]]:
    """Parts to export, made when they are needed."""

    def classifier() -> Part:
        network = VideoClassifier(VideoClassifierConfig(init_scale=1.0))
        return parts_of(network, num_frames=16, side_px=224)["classifier"]

    def tower(name: str) -> Part:
        network = MultimodalEncoder(MULTIMODAL_ENCODERS["base"])
        return parts_of(network, num_frames=8, side_px=224)[name]

    return {
        "A-classifier": classifier,  # ViT-B/16, 16 frames of 224 px, 400 classes
        "B-video": lambda: tower("video"),  # B/16, 8 frames of 224 px
        "B-text": lambda: tower("text"),  # 77 tokens
    }


def ways(
    part: Part, folder: Path, formats: list[Format], batch_sizes: tuple[int, ...]
) -> dict[str, Way]:
    """Export, telling how far the files are off, and open what was written."""
    runs: dict[str, Way] = {"torch": part.network.eval()}
    for to in formats:
        start = time.monotonic()
        out = folder / f"network{SUFFIXES[to]}"
        report = export_part(part, out, to=to, batch_sizes=batch_sizes)
        runs["program" if to == "torch" else to] = opened(out, *part.inputs)
        print(
            f"  {out.suffix}: {report.num_bytes / 1e6:.0f} MB, exported and compared in "
            f"{time.monotonic() - start:.0f} s, max_error {report.max_error:.2g}",
            flush=True,
        )
    return runs


def opened(path: Path, name: str) -> Way:
    if path.suffix == ".pt2":
        return torch.export.load(path).module()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, settings)
    return lambda tensor: session.run(None, {name: tensor.numpy()})


@torch.inference_mode()
def seconds(run: Way, tensor: Tensor) -> float:
    start = time.process_time()
    run(tensor)
    return time.process_time() - start


def main() -> None:
    known = networks()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=known, default=list(known))
    parser.add_argument("--formats", nargs="+", choices=SUFFIXES, default=list(SUFFIXES))
    parser.add_argument("--compared", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}, "
        f"Python {platform.python_version()}, one thread, float32, batch {options.clips}"
    )
    for name in options.networks:
        print(name)
        part = known[name]()
        (one,) = part.inputs.values()
        tensor = one.sample(options.clips, torch.Generator().manual_seed(1))
        with tempfile.TemporaryDirectory() as folder:
            runs = ways(part, Path(folder), options.formats, tuple(options.compared))
            taken: dict[str, list[float]] = {way: [] for way in runs}
            for _ in range(options.repeats + 1):
                for way, run in runs.items():
                    taken[way].append(seconds(run, tensor))
        ours = statistics.median(taken["torch"][1:])
        for way, all_taken in taken.items():
            kept = all_taken[1:]  # the first is the warm-up
            median = statistics.median(kept)
            print(
                f"  {way:>8} {median:8.3f} s ({min(kept):.3f}-{max(kept):.3f}), "
                f"{ours / median:.2f} x torch",
                flush=True,
            )


if __name__ == "__main__":
    main()
