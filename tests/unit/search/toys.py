"""Videos of plain colours, and models that see colours and know their names."""

from __future__ import annotations

import hashlib
import time

import numpy as np
import torch
import torch.nn.functional as F

from internvideo.search import Index, update_index
from internvideo.video import write_video

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
GREY = (110, 110, 110)
RATE_FPS = 8.0


def colour_video(path, parts, *, side_px=32, seed=0):
    """Write a video of parts (colour, seconds), each with a little noise of its own."""
    noise = np.random.default_rng(seed)

    def frames():
        for colour, seconds in parts:
            for _ in range(round(seconds * RATE_FPS)):
                grain = noise.integers(-6, 7, (side_px, side_px + 8, 3))
                yield np.clip(np.array(colour) + grain, 0, 255).astype(np.uint8)

    path.parent.mkdir(parents=True, exist_ok=True)
    return write_video(path, frames(), RATE_FPS, crf=10)


class ColourModel:
    """Places a clip at its mean colour beside grey, and a sentence at the colours that it names."""

    width = 8
    short_side_px = 16

    def __init__(self, *, num_frames=1, name="colours", trained_on_generated=False):
        self.num_frames, self.name = num_frames, name
        self.trained_on_generated = trained_on_generated
        self.sha256 = hashlib.sha256(name.encode()).hexdigest()
        self.num_embedded, self.scale = 0, 10.0
        mix = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0)))[0]
        self._mix = mix[:4]

    def prepare(self, frames):
        return F.adaptive_avg_pool2d(frames.permute(0, 3, 1, 2).float(), 4)

    def embed(self, prepared):
        self.num_embedded += len(prepared)
        colours = prepared.mean((1, 3, 4)) / 255
        return self._place(colours - colours.mean(1, keepdim=True))

    def embed_texts(self, sentences):
        rows = []
        for sentence in sentences:
            named = [c for word, c in COLOURS.items() if word in sentence.split()]
            colour = torch.tensor(named or [GREY]).float().mean(0) / 255
            colour = colour - colour.mean()
            if not named:  # words of no colour point somewhere near grey
                seed = int.from_bytes(sentence.encode()[-3:], "big")
                colour = 0.02 * torch.randn(3, generator=torch.Generator().manual_seed(seed))
            rows.append(colour)
        return self._place(torch.stack(rows))

    def _place(self, colours):
        whole = torch.cat([colours, torch.full((len(colours), 1), 0.2)], 1)
        return F.normalize(whole @ self._mix, dim=1)


class SlowModel(ColourModel):
    """Takes its time over every batch, so that kills fall in between."""

    def embed(self, prepared):
        time.sleep(0.05)
        return super().embed(prepared)


def index_slowly(folder, connection):
    """Bring an index up to date, in a process that is to be killed."""
    torch.set_num_threads(1)
    with Index(folder) as index:
        connection.send("started")
        update_index(index, SlowModel(), batch_size=4)
