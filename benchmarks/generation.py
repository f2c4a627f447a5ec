"""Writing captions with kept keys and values, and without, at a released size.

    python benchmarks/generation.py [--videos 1 4] [--beams 1 4] [--tokens 40 76] [--repeats 3]

Text tower and caption decoder of B/16 (width 512, 12 and 4 layers, 49408 tokens, 256 queries over
8 frames of 197 tokens), random weights, captions of exactly so many tokens (76 fill the context),
float32 on one thread. Three ways take turns in one process and must write the same captions;
seconds are those of the processor, since others may use the machine:

cached    `generate` as it is: each step reads one token
uncached  `generate` with cached=False: each step reads the caption begun; the video is pooled once
plain     each step calls `decoder(text, video_tokens)`, which pools the video and scores every
          position; a search without any thought of speed
"""

from __future__ import annotations

import argparse
import itertools
import platform
import statistics
import time
from dataclasses import replace

import torch
from torch import Tensor

from internvideo.models import (
    CaptionDecoder,
    CaptionDecoderConfig,
    GenerationConfig,
    TextEncoder,
    TextEncoderConfig,
    beam_search,
    generate,
    greedy_search,
)

NEVER = -1  # no token ends a caption, so that all have the same length


class PlainScores:
    """What follows captions begun, by one whole forward pass."""

    def __init__(
        self, text: TextEncoder, decoder: CaptionDecoder, video_tokens: Tensor, num_beams: int
    ) -> None:
        self.text, self.decoder = text, decoder
        self.video_tokens = video_tokens.repeat_interleave(num_beams, dim=0)

    def __call__(self, ids: Tensor) -> Tensor:
        return self.decoder(self.text(ids).tokens, self.video_tokens)[:, -1]

    def keep_rows(self, rows: Tensor) -> None:
        pass


@torch.inference_mode()
def write(
    way: str,
    text: TextEncoder,
    decoder: CaptionDecoder,
    video_tokens: Tensor,
    config: GenerationConfig,
) -> Tensor:
    if way != "plain":
        config = replace(config, cached=way == "cached")
        return generate(text, decoder, video_tokens, config).ids
    scores = PlainScores(text, decoder, video_tokens, config.num_beams)
    search = greedy_search if config.num_beams == 1 else beam_search
    return search(scores, len(video_tokens), config).ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--beams", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--tokens", type=int, nargs="+", default=[40, 76])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=["cached", "uncached", "plain"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    text = TextEncoder(TextEncoderConfig()).eval()
    decoder = CaptionDecoder(CaptionDecoderConfig()).eval()
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread, float32")
    titles = ("tokens", 6), ("videos", 6), ("beams", 5), ("way", 9), ("median s", 9)
    titles += ("spread", 13), ("x cached", 9)
    print(" ".join(f"{title:>{width}}" for title, width in titles))
    for num_tokens, num_videos, num_beams in itertools.product(
        options.tokens, options.videos, options.beams
    ):
        video_tokens = torch.randn(num_videos, 8 * 197, 768)
        config = GenerationConfig(max_length=num_tokens + 1, num_beams=num_beams, end_id=NEVER)
        seconds: dict[str, list[float]] = {way: [] for way in options.ways}
        captions: dict[str, Tensor] = {}
        for _ in range(options.repeats + 1):
            for way, taken in seconds.items():
                start = time.process_time()
                captions[way] = write(way, text, decoder, video_tokens, config)
                taken.append(time.process_time() - start)
        same = all(torch.equal(captions["cached"], other) for other in captions.values())
        cached = statistics.median(seconds["cached"][1:])
        for way, taken in seconds.items():
            kept = taken[1:]  # the first is the warm-up
            median, spread = statistics.median(kept), f"{min(kept):.2f}-{max(kept):.2f}"
            print(
                f"{num_tokens:6} {num_videos:6} {num_beams:5} {way:>9} {median:9.2f} {spread:>13} "
                f"{median / cached:9.1f}" + ("" if same else "  CAPTIONS DIFFER"),
                flush=True,
            )


if __name__ == "__main__":
    main()
