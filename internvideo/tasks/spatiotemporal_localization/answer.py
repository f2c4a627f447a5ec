"""What was found in one video: boxes at key frames, each of a track, with classes and scores."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from internvideo.report import Moment, Page, track_chart

XYXY = tuple[float, float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundBox:
    """A box at a key frame; `labels` are the best classes, the surest first, with their scores.

    `score` is the detector's. `all_scores` has that of every class.
    """

    time_s: float
    xyxy: XYXY
    track: int
    score: float
    labels: tuple[str, ...]
    scores: tuple[float, ...]
    all_scores: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "time_s": round(self.time_s, 3),
            "xyxy": [round(side, 5) for side in self.xyxy],
            "track": self.track,
            "score": round(self.score, 5),
            "labels": list(self.labels),
            "scores": [round(score, 5) for score in self.scores],
        }


@dataclass(frozen=True, kw_only=True)
class FoundActions:
    """The answer for one video: its boxes in the order of time, tracks numbered from 0."""

    boxes: tuple[FoundBox, ...]
    classes: tuple[str, ...]
    duration_s: float
    every_s: float
    num_left_out: int = 0  # boxes that the detector was less sure of than is shown

    def lines(self) -> list[str]:
        more = f"; {self.num_left_out} unlikely ones are not shown" * bool(self.num_left_out)
        if not self.boxes:
            return [f"no box was found{more}"]
        lines = []
        for box in self.boxes:
            named = ", ".join(
                f"{label} {score:.2f}" for label, score in zip(box.labels, box.scores, strict=True)
            )
            place = " ".join(f"{side:.2f}" for side in box.xyxy)
            lines.append(f"{box.time_s:7.1f} s  track {box.track:<3} [{place}]  {named or '-'}")
        tracks = len({box.track for box in self.boxes})
        return [*lines, f"{len(self.boxes)} boxes of {tracks} tracks{more}"]

    def to_json(self) -> dict[str, Any]:
        return {
            "duration_s": self.duration_s,
            "boxes": [box.to_json() for box in self.boxes],
            "num_left_out": self.num_left_out,
        }

    def to_csv(self, video: str) -> str:
        """Rows of AVA: `video,second,x1,y1,x2,y2,action,score`, every class of every box.

        Actions are numbered from 1 in the order of the model's classes.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for box in self.boxes:
            for number, score in enumerate(box.all_scores, 1):
                sides = [f"{side:.5f}" for side in box.xyxy]
                writer.writerow([video, f"{box.time_s:g}", *sides, number, f"{score:.5f}"])
        return text.getvalue()

    def page(self, video: Path) -> Page:
        """A page with a row for each track over time, and a table of the tracks."""
        tracks: dict[int, list[FoundBox]] = defaultdict(list)
        for box in self.boxes:
            tracks[box.track].append(box)
        page = Page(video.name, subtitle=f"{len(self.boxes)} boxes of {len(tracks)} tracks")
        rows = [
            (
                f"track {track}",
                [Moment(time_s=b.time_s, labels=b.labels, scores=b.scores) for b in boxes],
            )
            for track, boxes in sorted(tracks.items())
        ]
        chart = track_chart(rows, duration_s=self.duration_s, span_s=self.every_s, title=video.name)
        page.chart(chart, caption="A row for each track; the darker a class, the surer.")
        page.table(
            ["track", "from (s)", "to (s)", "boxes", "mostly"],
            [
                [
                    track,
                    round(boxes[0].time_s, 2),
                    round(boxes[-1].time_s, 2),
                    len(boxes),
                    _mostly(boxes),
                ]
                for track, boxes in sorted(tracks.items())
            ],
        )
        return page


def _mostly(boxes: list[FoundBox]) -> str:
    """The classes of a track with the highest mean score."""
    sums: dict[str, float] = defaultdict(float)
    for box in boxes:
        for label, score in zip(box.labels, box.scores, strict=True):
            sums[label] += score
    best = sorted(sums, key=lambda label: -sums[label])[:3]
    return ", ".join(f"{label} {sums[label] / len(boxes):.2f}" for label in best)
