"""Single frames of videos as image files, for pairs of image and text.

The frame is one in which all that act are whole, opaque and beside each other, so that a sentence
about looks is true of it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from internvideo.playground.facts import Facts, track_array
from internvideo.playground.looks import outline
from internvideo.playground.render import render

IMAGE_SPLITS = ("train", "val")

_OPAQUE = 0.95
# Of nearly the same clearness, any frame will do.
_NEARLY = 0.02


def image_path(facts: Facts) -> str:
    """Say where the image lies below the root of the data set."""
    return f"images/{facts.split}/{facts.id}.jpg"


def clear_frame(facts: Facts) -> int:
    """Choose a frame in which all actors show as well as in any, always the same."""
    clearness = np.minimum.reduce([*_margins(facts), *_gaps(facts)])
    best = np.flatnonzero(clearness >= clearness.max() - _NEARLY)
    rng = np.random.default_rng((facts.seed, 4, facts.index + 1))
    return int(best[int(rng.random() * len(best))])


def write_image(path: Path, facts: Facts) -> None:
    """Write the clear frame as JPEG."""
    (frame,) = render(facts, frames=(clear_frame(facts),))
    Image.fromarray(frame).save(path, format="JPEG", quality=92)


def _margins(facts: Facts) -> list[np.ndarray]:
    """Measure how far inside each actor is, 0 once it is; far below where it is faint."""
    margins = []
    for actor in facts.actors:
        x, y, radius, opacity = (
            track_array(track, facts.num_frames)
            for track in (actor.x, actor.y, actor.radius, actor.opacity)
        )
        reach = radius * float(np.hypot(*outline(actor.look.shape)).max())
        x, y = (
            at - track_array(camera, facts.num_frames)
            for at, camera in ((x, facts.camera_x), (y, facts.camera_y))
        )
        inside = np.minimum.reduce([x, y, 1 - x, 1 - y]) - reach
        margins.append(inside.clip(None, 0) - (opacity < _OPAQUE))
    return margins


def _gaps(facts: Facts) -> list[np.ndarray]:
    """Measure how far apart the two actors are, 0 once they do not overlap."""
    if len(facts.actors) < 2:
        return []
    (x, y, reach), (other_x, other_y, other_reach) = (
        [track_array(track, facts.num_frames) for track in (actor.x, actor.y, actor.radius)]
        for actor in facts.actors
    )
    return [(np.hypot(x - other_x, y - other_y) - reach - other_reach).clip(None, 0)]
