"""Single frames as image files, for pairs of image and text.

The frame of a video is one in which all that act are whole, opaque and beside each other, so that a
sentence about looks is true of it. A still is such a frame of a video that is not made, with its
subject alone.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from internvideo.playground.appearance import SIZES, outline
from internvideo.playground.facts import Actor, Facts, Track, track_array
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
    """Write the clear frame as JPEG, of a still its only one."""
    (frame,) = render(facts, frames=(clear_frame(facts),))
    Image.fromarray(frame).save(path, format="JPEG", quality=92)


def still(facts: Facts, frame: int) -> Facts:
    """Reduce a video to one of its frames; what grows or shrinks has the size it shows there."""

    def at(track: Track) -> Track:
        return (track[frame if len(track) > 1 else 0],)

    def stopped(actor: Actor) -> Actor:
        radius, look = at(actor.radius), actor.look
        if len(actor.radius) > 1:
            seen = min(SIZES, key=lambda size: abs(SIZES[size] - radius[0]))
            look = replace(look, size=seen)
        return Actor(
            look=look,
            x=at(actor.x),
            y=at(actor.y),
            radius=radius,
            angle=at(actor.angle),
            opacity=at(actor.opacity),
        )

    return replace(
        facts,
        num_frames=1,
        events=tuple(replace(e, start_s=0.0, end_s=0.0, parameters={}) for e in facts.events),
        actors=tuple(map(stopped, facts.actors)),
        distractors=tuple(map(stopped, facts.distractors)),
        camera_x=at(facts.camera_x),
        camera_y=at(facts.camera_y),
    )


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
