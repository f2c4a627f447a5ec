"""A model for those who named none: what it is, what it weighs, what it costs on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from internvideo.models import MULTIMODAL_ENCODERS, MultimodalEncoder
from internvideo.weights import release

# The paper's own, for it was trained on videos; B/16 is what a laptop bears.
PROPOSED, _SIZE = "internvideo-mm-base", "base"
_NUM_CLIPS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A release with what it costs here; `seconds_per_hour` is for an hour of video, decoding
    apart."""

    name: str
    license: str
    source: str
    num_bytes: int
    seconds_per_hour: float

    def __str__(self) -> str:
        return (
            f"{self.name}: encoder B of InternVideo, {self.num_bytes / 1e6:.0f} MB of weights, "
            f"license {self.license}, from {self.source}; on this machine its visual tower takes "
            f"{self.seconds_per_hour:.0f} s for an hour of video"
        )


@torch.no_grad()
def propose(stride_s: float | int) -> Proposal:
    """Measure the proposed model here, for windows `stride_s` apart, by a network of its size."""
    config = MULTIMODAL_ENCODERS[_SIZE]
    model = MultimodalEncoder(config).eval()
    num_bytes = sum(weight.numel() * 4 for weight in model.state_dict().values())
    side_px = config.video.side_px
    clips = torch.zeros(_NUM_CLIPS, 3, 8, side_px, side_px)
    model.encode_video(clips[:1])
    started_s = time.perf_counter()
    model.encode_video(clips)
    per_clip_s = (time.perf_counter() - started_s) / _NUM_CLIPS
    known = release(PROPOSED)
    return Proposal(
        name=PROPOSED,
        license=known.license or "unknown",
        source=known.source,
        num_bytes=num_bytes,
        seconds_per_hour=per_clip_s * 3600 / stride_s,
    )
