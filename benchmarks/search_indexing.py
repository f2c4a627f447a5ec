"""What indexing 720p video costs at the size of B/16, beside decoding and plain embedding.

    python benchmarks/search_indexing.py --minutes 4

Random weights. Each measurement is a process of its own, so that its peak memory is known:

    plain   every frame decoded by PyAV, one a second embedded by `transformers` CLIP B/16 in torch
    frames  an index by the same CLIP B/16: key frames where they are dense, stills once
    clips   an index by encoder B (UniFormerV2-B/16, 8 frames), windows of 4 s every 2 s
    keys    the key frames decoded at the size that the model needs, and nothing else
    tower   CLIP B/16 on as many frames as `frames` embeds, and nothing else

The video is a short encoded one under a moving camera, repeated packet by packet, with a key frame
every two seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import av
import torch
from extract import RATE_FPS, SEGMENT_FRAMES, drifting, repeated

from internvideo.models import MULTIMODAL_ENCODERS, MultimodalEncoder
from internvideo.search import (
    EncoderSearch,
    Index,
    IndexSettings,
    SearchModel,
    WindowPlan,
    update_index,
)
from internvideo.tasks import VideoTextModel
from internvideo.text import load_clip_tokenizer
from internvideo.training.journal import code_revision
from internvideo.video import VideoReader, write_video

_WORK = ("plain", "frames", "clips", "keys", "tower")


def clip_of_transformers() -> tuple[Any, Any]:
    """CLIP B/16 with random weights, and its preprocessing."""
    import transformers

    config = transformers.CLIPConfig(vision_config={"patch_size": 16})
    processor = transformers.CLIPImageProcessorPil()
    return transformers.CLIPModel(config).eval(), processor


class RandomClip:
    """The `SearchModel` of that CLIP; nobody asks it in words, so its tokenizer is not needed."""

    def __new__(cls) -> Any:
        from internvideo.search.transformers_model import TransformersSearch

        class Wordless(TransformersSearch):
            def embed_texts(self, sentences):
                return torch.nn.functional.normalize(torch.ones(len(sentences), 512), dim=1)

        return Wordless(*clip_of_transformers(), None, name="CLIP B/16, random")


def encoder_b() -> EncoderSearch:
    model = VideoTextModel(
        MultimodalEncoder(MULTIMODAL_ENCODERS["base"]), load_clip_tokenizer(), num_frames=8
    )
    return EncoderSearch(model, name="encoder B/16, random", trained_on_generated=False)


@torch.no_grad()
def plain(path: Path) -> dict[str, float]:
    model, processor = clip_of_transformers()
    num_frames = num_embedded = 0
    with av.open(str(path)) as video:
        batch = []
        for number, frame in enumerate(video.decode(video=0)):
            image = frame.to_ndarray(format="rgb24")
            num_frames += 1
            if number % RATE_FPS == 0:
                batch.append(image)
            if len(batch) == 32:
                num_embedded += _embed(model, processor, batch)
        num_embedded += _embed(model, processor, batch) if batch else 0
    return {"decoded": num_frames, "embedded": num_embedded}


def _embed(model: Any, processor: Any, images: list[Any]) -> int:
    model.get_image_features(**processor(images, return_tensors="pt"))
    count = len(images)
    images.clear()
    return count


def indexed(path: Path, model: SearchModel, plan: WindowPlan) -> dict[str, float]:
    embedded = 0
    run = model.run

    def counted(inputs):
        nonlocal embedded
        embedded += len(inputs[0])
        return run(inputs)

    model.run = counted
    settings = IndexSettings(
        folder=str(path.parent),
        model=model.name,
        model_sha256=model.sha256,
        width=model.width,
        trained_on_generated=False,
        plan=plan,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        Index.create(Path(folder) / "i", settings) as index,
    ):
        update = update_index(index, model)
        return {"embedded": embedded, "windows": update.num_windows, "bytes": update.num_bytes}


def keys(path: Path) -> dict[str, float]:
    with VideoReader(path) as video:
        numbers = video.key_frames
        for at in range(0, len(numbers), 32):
            video.frames(numbers[at : at + 32], short_side_px=224)
    return {"decoded": len(numbers)}


def tower(path: Path) -> dict[str, float]:
    with VideoReader(path) as video:
        count = len(video.key_frames)
    model, _ = clip_of_transformers()
    with torch.no_grad():
        for at in range(0, count, 32):
            model.get_image_features(torch.zeros(min(32, count - at), 3, 224, 224))
    return {"embedded": count}


def measure(work: str, path: Path) -> None:
    """What one process does; prints a JSON object."""
    torch.manual_seed(0)
    model: Any = {"frames": RandomClip, "clips": encoder_b}.get(work, lambda: None)()
    before_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    start, start_cpu = time.perf_counter(), time.process_time()
    if work in ("frames", "clips"):
        found = indexed(path, model, WindowPlan(rate_fps=1.0 if work == "frames" else 4.0))
    else:
        found = {"plain": plain, "keys": keys, "tower": tower}[work](path)
    found |= {
        "wall_s": time.perf_counter() - start,
        "cpu_s": time.process_time() - start_cpu,
        "before_mib": before_mib,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    print(json.dumps(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=4)
    parser.add_argument("--work", nargs="+", choices=_WORK, default=_WORK)
    parser.add_argument("--measure", nargs=2, metavar=("WORK", "PATH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options.measure[0], Path(options.measure[1]))
        return
    print(
        f"{code_revision()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"av {av.__version__}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    with tempfile.TemporaryDirectory() as folder:
        segment = Path(folder) / "segment.mp4"
        write_video(segment, drifting(SEGMENT_FRAMES), RATE_FPS, crf=30, gop=50)
        path = Path(folder) / "videos" / "long.mp4"
        path.parent.mkdir()
        repeated(segment, path, round(options.minutes * 60 * RATE_FPS / SEGMENT_FRAMES))
        print(f"{options.minutes:g} min of 1280 x 720, {path.stat().st_size / 2**20:.0f} MiB")
        for work in options.work:
            command = [sys.executable, __file__, "--measure", work, str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            row = json.loads(done.stdout.splitlines()[-1])
            hours = options.minutes / 60
            print(
                f"{work:7s} {row['wall_s']:7.1f} s, {row['cpu_s']:7.1f} s of CPU, "
                f"{hours * 3600 / row['cpu_s']:6.2f} hours of video a CPU hour; "
                f"decoded {row.get('decoded', '')}, embedded {row.get('embedded', '')}, "
                f"memory {row['before_mib']:.0f} to {row['peak_mib']:.0f} MiB"
                + (
                    f", index {row['bytes'] / 1e6 / hours:.1f} MB an hour" if "bytes" in row else ""
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
