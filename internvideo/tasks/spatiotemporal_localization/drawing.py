"""A video with boxes, names and scores drawn on it.

Between two key frames of a track its box moves from one to the other; before the first and behind
the last it stays for half a distance of key frames.
Shapes: frames (h, w, 3) uint8.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

from internvideo.report.plots import COLOURS
from internvideo.tasks.spatiotemporal_localization.answer import XYXY, FoundActions, FoundBox
from internvideo.video import VideoReader, open_video, write_video
from internvideo.video.sampling import frames_on_screen

_MOST_PX = 720  # short side of the drawn video
_LEAST_PX = 240  # smaller frames are enlarged, so that names can be read


def draw_video(video: Path, found: FoundActions, out: Path, *, max_gap_s: float = 2.0) -> None:
    """Write the video with what was found in it, at an even rate.

    Raises:
        DecodeError: The video cannot be decoded.
        OSError: `out` cannot be written.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with open_video(video) as opened:
        info = opened.info
        rate_fps = min(60.0, max(1.0, info.rate_fps))
        times = np.arange(max(1, round(info.duration_s * rate_fps))) / rate_fps
        numbers = frames_on_screen(opened.timestamps_s, times)
        frames = _in_turn(opened, numbers.tolist())
        drawn = (
            draw_frame(frame, boxes_at(found, float(time_s), max_gap_s=max_gap_s))
            for frame, time_s in zip(frames, times, strict=True)
        )
        write_video(out, drawn, rate_fps, crf=20)


def _in_turn(video: object, numbers: Sequence[int]) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """Frames by rising number, one in memory at a time, repeated where a number is."""
    if not isinstance(video, VideoReader):
        for number in numbers:
            yield video.frames([number]).frames[0].numpy()  # pyrefly: ignore[missing-attribute]
        return
    stream = video.stream(sorted(set(numbers)), short_side_px=_MOST_PX)
    index, frame = -1, None
    for number in numbers:
        while index < number:
            index, frame = next(stream)
        assert frame is not None
        yield frame.numpy()


def boxes_at(
    found: FoundActions, time_s: float, *, max_gap_s: float = 2.0
) -> list[tuple[FoundBox, XYXY]]:
    """What is shown at a moment: of each track the nearest key frame, and where it is by now."""
    tracks: dict[int, list[FoundBox]] = defaultdict(list)
    for box in found.boxes:
        tracks[box.track].append(box)
    shown = []
    for boxes in tracks.values():
        nearest = min(boxes, key=lambda box: abs(box.time_s - time_s))
        before = [box for box in boxes if box.time_s <= time_s]
        after = [box for box in boxes if box.time_s > time_s]
        if before and after and after[0].time_s - before[-1].time_s <= max_gap_s:
            first, second = before[-1], after[0]
            share = (time_s - first.time_s) / (second.time_s - first.time_s)
            a, b, c, d = (x + share * (y - x) for x, y in zip(first.xyxy, second.xyxy, strict=True))
            shown.append((nearest, (a, b, c, d)))
        elif abs(nearest.time_s - time_s) <= found.every_s / 2:
            shown.append((nearest, nearest.xyxy))
    return shown


def draw_frame(
    frame: UInt8[np.ndarray, "h w 3"], boxes: Sequence[tuple[FoundBox, XYXY]]
) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Draw boxes with their track, names and scores; frames that are small are enlarged."""
    image = Image.fromarray(np.ascontiguousarray(frame))
    if (factor := -(-_LEAST_PX // min(image.size))) > 1:
        image = image.resize(
            (image.width * factor, image.height * factor), Image.Resampling.BILINEAR
        )
    draw = ImageDraw.Draw(image)
    size = max(11, round(min(image.size) / 28))
    font, line = ImageFont.load_default(size), max(2, round(min(image.size) / 180))
    for box, (x1, y1, x2, y2) in boxes:
        colour = COLOURS[box.track % len(COLOURS)]
        corners = [x1 * image.width, y1 * image.height, x2 * image.width, y2 * image.height]
        draw.rectangle(corners, outline=colour, width=line)
        named = [f"{label} {s:.2f}" for label, s in zip(box.labels, box.scores, strict=True)]
        left, top = corners[0] + line, corners[1] + line
        for text in (str(box.track), *named):
            left = min(left, max(0.0, image.width - draw.textlength(text, font) - 4))
            area = draw.textbbox((left + 2, top), text, font)
            draw.rectangle((area[0] - 2, area[1] - 1, area[2] + 2, area[3] + 1), fill=colour)
            draw.text((left + 2, top), text, fill="white", font=font)
            top = area[3] + 2
    return np.asarray(image)
