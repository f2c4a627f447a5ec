"""Videos of one brightness each, and models that understand them: brightness is what is said.

Video i is grey at level 40 * i and brightens a little from frame to frame; its caption is
"level i". A sentence and a clip lie on the same place of a circle where they agree.
"""

from __future__ import annotations

import math
import re

import torch

from internvideo.tasks import ClipSampling

NUM_VIDEOS, NUM_FRAMES, STEP, BRIGHTER = 5, 8, 40, 4


def _on_circle(levels):
    angles = torch.as_tensor(levels, dtype=torch.float32) * (2 * math.pi / (NUM_VIDEOS + 1))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


class Eye:
    """Embedder and captioner that sees levels; counts what it is asked, keeps what it saw."""

    num_frames = 4
    side_px = 16
    clip_sampling = ClipSampling()
    logit_scale = torch.tensor(3.0)

    def __init__(self, *, blind_to=None):
        self.seen = []
        self.read = []
        self.blind_to = blind_to

    def levels(self, frames):
        self.seen += list(frames)
        means = frames.float().mean((1, 2, 3, 4)) - BRIGHTER * NUM_FRAMES / 2
        return (means / STEP).round().clamp(min=0)

    def embed_clips(self, frames):
        levels = self.levels(frames)
        embeddings = _on_circle(levels)
        if self.blind_to is not None:
            embeddings[levels == self.blind_to] = math.nan
        return embeddings

    def embed_texts(self, sentences):
        self.read += sentences
        return _on_circle([int(re.findall(r"\d+", text)[0]) for text in sentences])

    def caption(self, frames, *, num_beams=1):
        return [f"a video of level {int(level)}" for level in self.levels(frames)]


class Namer(Eye):
    """Classifier that knows levels by name; `wrong` maps a level to what it takes it for."""

    def __init__(self, classes=None, *, wrong=None, blind_to=None, multi_label=False):
        super().__init__(blind_to=blind_to)
        self.multi_label = multi_label
        self.classes = classes or tuple(f"level {i}" for i in range(NUM_VIDEOS + 1))
        self.wrong = wrong or {}
        self.batch_sizes = []

    def classify_clips(self, frames):
        self.batch_sizes.append(len(frames))
        levels = [self.wrong.get(int(level), int(level)) for level in self.levels(frames)]
        logits = torch.tensor([[5.0 * (c == f"level {i}") for c in self.classes] for i in levels])
        if self.blind_to is not None:
            logits[torch.tensor(levels) == self.blind_to] = math.nan
        return logits
