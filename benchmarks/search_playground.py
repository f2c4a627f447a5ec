"""How good search is on a playground: moments, "nothing found", and which way time runs.

    internvideo data playground --size 2000 --seed 0 --out W/playground
    internvideo data untrimmed --videos 60 --out W/untrimmed
    internvideo train multimodal_tiny_playground --data W/playground --out W/b
    python benchmarks/search_playground.py W/b --world W --out W/indexes

One index holds both, but for half of what occurs only in the test split: captions of that half ask
for what is not there, those of the other half and of the untrimmed test videos for what is. A
moment is right whose video shows what the caption says at a temporal IoU of 0.5 or more. Whole
videos are compared by the mean of their windows.

Reversed pairs are the same frames in both orders, in an index of their own: the caption of one is
right where its video scores higher than the other. Frame-wise search is the same tower, given each
frame as a clip that stands still.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from internvideo.playground import PAIRS, World, caption, draw_action, read_facts, render
from internvideo.playground.language import meaning, meanings
from internvideo.search import (
    EncoderSearch,
    Index,
    IndexSettings,
    Query,
    Searcher,
    SearchModel,
    WindowPlan,
    open_search_model,
    update_index,
)
from internvideo.search.asking import direction
from internvideo.search.model import image_clip
from internvideo.video import write_video

_LEAST_IOU = 0.5
_KEPT = 0.9


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shown:
    """Something that happens in a video, and the sentence that says so."""

    path: str
    start_s: float
    end_s: float
    said: str
    means: tuple[object, ...]
    true: frozenset[tuple[object, ...]]
    group: str


class FrameWise:
    """The same towers, which see one frame at a time."""

    num_frames, trained_on_generated = 1, True

    def __init__(self, model: EncoderSearch) -> None:
        self.model, self.name = model, f"{model.name} by frames"
        self.width, self.scale, self.short_side_px = model.width, model.scale, model.short_side_px
        self.sha256 = hashlib.sha256(f"frames {model.sha256}".encode()).hexdigest()

    def prepare(self, frames: torch.Tensor) -> torch.Tensor:
        return self.model.prepare(image_clip(frames, self.model.num_frames))

    def embed(self, prepared: torch.Tensor) -> torch.Tensor:
        return self.model.embed(prepared)

    def embed_texts(self, sentences: Sequence[str]) -> torch.Tensor:
        return self.model.embed_texts(sentences)


def shown(folder: Path, name: str) -> Iterator[Shown]:
    """All that happens in the videos of a generated folder, for queries that of the test split."""
    for facts in read_facts(folder):
        path = facts.path if name == "trimmed" else f"videos/{facts.id}.mp4"
        is_new = facts.split == "test" and (facts.has_unseen_combination or name != "trimmed")
        for event in facts.events:
            one = dataclasses.replace(facts, events=(event,))
            yield Shown(
                path=f"{name}/{path}",
                start_s=event.start_s,
                end_s=event.end_s,
                said=caption(one),
                means=meaning(one),
                true=meanings(one),
                group=name if is_new else "",
            )


def build(
    folder: Path, videos: Path, model: SearchModel, plan: WindowPlan, *, calibrated: bool = True
) -> Searcher:
    """Index the videos and say what that took."""
    settings = IndexSettings(
        folder=str(videos.absolute()),
        model=model.name,
        model_sha256=model.sha256,
        width=model.width,
        trained_on_generated=True,
        plan=plan,
    )
    index = Index.create(folder, settings)
    started_s = time.process_time()
    update = update_index(index, model)
    searcher = Searcher(index, lambda: model)
    if calibrated:
        searcher.calibrate()
    print(
        f"{folder.name}: {update.num_videos} videos, {update.num_windows} windows, "
        f"{update.hours * 60:.0f} min of video in {time.process_time() - started_s:.0f} s of CPU"
    )
    return searcher


def overlap(start_s: float, end_s: float, one: Shown) -> float:
    shared = min(end_s, one.end_s) - max(start_s, one.start_s)
    return max(0.0, shared) / (max(end_s, one.end_s) - min(start_s, one.start_s))


def moments(searcher: Searcher, everything: Sequence[Shown], absent: Sequence[str]) -> None:
    """R@1 of moments and of whole videos; how many of both kinds of queries are answered."""
    by_path: dict[str, list[Shown]] = {}
    for one in everything:
        by_path.setdefault(one.path, []).append(one)
    videos = searcher.index.videos()
    places = searcher.windows.places_by_video()
    rows = [searcher.store.vectors(searcher.windows.row[places[v.id]]) for v in videos]
    whole = np.stack([direction(one) for one in rows])
    texts = searcher.model
    kept = []
    for group in ("trimmed", "untrimmed"):
        asked = list({one.means: one for one in everything if one.group == group}.values())
        hits = np.zeros((len(asked), 4))
        for place, one in enumerate(asked):
            best = searcher.search(Query(text=one.said, least_confidence=0, limit=1)).moments[0]
            vector = texts.embed_texts([one.said])[0].numpy()
            video = videos[int(np.argmax(whole @ vector))]
            for column, (path, start_s, end_s) in enumerate(
                [(best.path, best.start_s, best.end_s), (video.path, 0.0, video.duration_s)]
            ):
                same = [x for x in by_path[path] if one.means in x.true]
                hits[place, 2 * column] = bool(same)
                hits[place, 2 * column + 1] = any(
                    overlap(start_s, end_s, x) >= _LEAST_IOU for x in same
                )
            kept.append(best.confidence)
        share = hits.mean(0)
        print(
            f"  {group}: {len(asked)} queries; R@1 of moments {share[1]:.3f} (of their videos "
            f"{share[0]:.3f}), by whole videos {share[3]:.3f} ({share[2]:.3f})"
        )
    confidences = np.array(kept)
    none = np.array(
        [
            searcher.search(Query(text=text, least_confidence=0, limit=1)).moments[0].confidence
            for text in absent
        ]
    )
    least = float(np.quantile(confidences, 1 - _KEPT))
    for threshold, why in ((least, f"keeps {_KEPT}"), (0.8, "the default")):
        print(
            f"  confidence {threshold:.3f} ({why}): {np.mean(confidences >= threshold):.3f} of "
            f"{len(confidences)} that occur answered, {np.mean(none < threshold):.3f} of "
            f"{len(none)} that do not answered nothing"
        )


def reversed_pairs(model: EncoderSearch, out: Path, count: int) -> None:
    world = World(seed=1000, side_px=model.model.side_px)
    videos, asked = out / "reversed", []
    videos.mkdir(parents=True)
    for pair in PAIRS:
        for seed in range(count):
            drawn = [draw_action(name, seed, world) for name in pair]
            names = [f"{facts.action}-{seed}.mp4" for facts in drawn]
            for facts, name in zip(drawn, names, strict=True):
                write_video(videos / name, torch.from_numpy(render(facts)), world.rate_fps, crf=20)
            asked += [
                (pair, caption(facts), names[i], names[1 - i]) for i, facts in enumerate(drawn)
            ]
    for name, one in (("clips", model), ("frames", FrameWise(model))):
        plan = WindowPlan(rate_fps=4.0, frames="all")
        searcher = build(out / f"reversed-{name}", videos, one, plan, calibrated=False)
        numbers = {video.path: video.id for video in searcher.index.videos()}
        right: dict[tuple[str, str], list[float]] = {}
        for pair, said, own, other in asked:
            query = Query(text=said, least_confidence=0)
            scores = [searcher.moments_of(query, numbers[path])[0].score for path in (own, other)]
            tie = abs(scores[0] - scores[1]) < 1e-3
            right.setdefault(pair, []).append(0.5 if tie else float(scores[0] > scores[1]))
        everyone = [hit for hits in right.values() for hit in hits]
        print(f"  by {name}: {np.mean(everyone):.3f} of {len(everyone)}")
        for pair, hits in right.items():
            print(f"    {pair[0]} / {pair[1]}: {np.mean(hits):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a run of encoder B on the playground")
    parser.add_argument("--world", type=Path, required=True, help="holds playground and untrimmed")
    parser.add_argument("--out", type=Path, required=True, help="new folder for the indexes")
    parser.add_argument("--windows", nargs="+", default=["4/2", "3/1"], metavar="S/STRIDE")
    parser.add_argument("--pairs", type=int, default=8, help="of each kind")
    options = parser.parse_args()
    model = open_search_model(options.model, device="cpu")
    assert isinstance(model, EncoderSearch)
    everything = [
        *shown(options.world / "playground", "trimmed"),
        *shown(options.world / "untrimmed", "untrimmed"),
    ]
    asked = sorted({one.means for one in everything if one.group == "trimmed"}, key=str)
    left_out = set(asked[::2])
    gone = {
        one.path for one in everything if one.path.startswith("trimmed") and one.true & left_out
    }
    there = [one for one in everything if one.path not in gone]
    left_out -= {means for one in there for means in one.true}
    absent = {x.means: x.said for x in everything if x.group == "trimmed" and x.means in left_out}
    videos = options.out / "videos"
    for name, folder in (("trimmed", "playground"), ("untrimmed", "untrimmed")):
        for path in sorted({x.path for x in there if x.path.startswith(f"{name}/")}):
            (videos / path).parent.mkdir(parents=True, exist_ok=True)
            os.link(options.world / folder / path.removeprefix(f"{name}/"), videos / path)
    print(f"{len(gone)} videos are left out; torch {torch.__version__}")
    for windows in options.windows:
        window_s, stride_s = map(float, windows.split("/"))
        plan = WindowPlan(
            window_s=window_s, stride_s=stride_s, rate_fps=2 * model.num_frames / window_s
        )
        searcher = build(options.out / f"windows-{windows.replace('/', '-')}", videos, model, plan)
        moments(searcher, there, list(absent.values()))
    reversed_pairs(model, options.out, options.pairs)


if __name__ == "__main__":
    main()
