"""Timelines on a page: a row for each class, a picture at every segment, a player that jumps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from internvideo.errors import DecodeError
from internvideo.report import Excerpt, Page, Span, jpeg_bytes, timeline_chart
from internvideo.tasks.temporal_localization.segments import FoundSegment, FoundSegments
from internvideo.values import Record
from internvideo.video import open_video

_MOST_SPANS, _MOST_PICTURES, _PICTURE_PX = 60, 24, 120


def add_timeline(
    page: Page,
    video: Path,
    found: Sequence[FoundSegment],
    *,
    duration_s: float,
    truth: Sequence[Span] = (),
) -> None:
    """Add the timeline of a video, with pictures and a player where the video can be opened."""
    spans = [
        Span(start_s=one.start_s, end_s=one.end_s, label=one.label, score=one.score)
        for one in found[:_MOST_SPANS]
    ]
    chart = timeline_chart(spans, truth, duration_s=duration_s, title=video.name)
    moments = _moments(video, found[:_MOST_PICTURES])
    if moments is None:
        page.chart(chart)
    else:
        page.player(video, chart, moments)


def truth_of(record: Record, names: Sequence[str]) -> list[Span]:
    """The annotated segments of a record."""
    return [
        Span(start_s=one.start_s, end_s=one.end_s, label=names[one.label])
        for one in record.segments
        if one.label is not None
    ]


def write_page(path: Path, videos: Sequence[FoundSegments]) -> None:
    """Write a page of what was found in one or several videos."""
    count = sum(len(found.segments) for found in videos)
    title = videos[0].video.name if len(videos) == 1 else f"{len(videos)} videos"
    page = Page(title, subtitle=f"{count} segments")
    page.text("The darker a segment, the surer. A click on a segment or a picture plays it.")
    for found in videos:
        if len(videos) > 1:
            page.section(found.video.name)
        add_timeline(page, found.video, found.segments, duration_s=found.duration_s)
        page.table(
            ["start (s)", "end (s)", "score", "class"],
            [
                [round(one.start_s, 2), round(one.end_s, 2), round(one.score, 3), one.label]
                for one in found.segments
            ],
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    page.write(path)


def _moments(video: Path, found: Sequence[FoundSegment]) -> list[Excerpt] | None:
    """A picture from the middle of each segment, in order of time; None without the video."""
    if not video.is_file():
        return None
    in_order = sorted(found, key=lambda one: one.start_s)
    try:
        with open_video(video) as opened:
            last_s = float(opened.timestamps_s[-1])
            times = [min((one.start_s + one.end_s) / 2, last_s) for one in in_order]
            pictures = [
                opened.frames_at([time_s], short_side_px=_PICTURE_PX).frames[0] for time_s in times
            ]
    except DecodeError:
        return None
    return [
        Excerpt(
            start_s=one.start_s,
            picture=jpeg_bytes(picture),
            name=one.label,
            detail=f"{one.start_s:.1f} to {one.end_s:.1f} s, score {one.score:.2f}",
        )
        for one, picture in zip(in_order, pictures, strict=True)
    ]
