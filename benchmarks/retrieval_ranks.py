"""Ranks of retrieval with several sentences a video: counting, beside the two ways of sorting.

Ours counts what stands above each target; the released code (`tensor_text_to_video_metrics` and
`tensor_video_to_text_sim` of Video-Text-Retrieval) pads to three axes and sorts twice; the obvious
loop sorts one row after another. All give the same ranks, which is checked.

    python benchmarks/retrieval_ranks.py [NUM_VIDEOS] [SENTENCES_A_VIDEO]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import torch

from internvideo.metrics import best_of_each_video, ranks
from internvideo.metrics.retrieval import tied_ranks

WIDTH = 64


def counted(texts: torch.Tensor, videos: torch.Tensor, of_text: torch.Tensor):
    similarity = 100 * texts @ videos.T
    best = best_of_each_video(similarity, of_text, len(videos))
    return ranks(similarity, of_text), tied_ranks(best, torch.arange(len(videos)))


def sorted_twice(texts: torch.Tensor, videos: torch.Tensor, of_text: torch.Tensor):
    similarity = 100 * texts @ videos.T
    parts = [similarity[of_text == video] for video in range(len(videos))]
    most = max(map(len, parts))
    stacked = torch.stack(
        [torch.cat([p, p.new_full((most - len(p), p.shape[1]), -torch.inf)]) for p in parts]
    ).permute(1, 0, 2)
    places = stacked.argsort(dim=-1, descending=True).argsort(dim=-1)
    own = places.diagonal(dim1=1, dim2=2)
    counts = torch.tensor([len(part) for part in parts])
    given = torch.arange(most)[:, None] < counts
    best = stacked.amax(0).T  # a video against each video's sentences
    order = best.argsort(dim=1, descending=True)
    of_videos = (order == torch.arange(len(videos))[:, None]).nonzero()[:, 1]
    return own.T[given.T], of_videos


def looped(texts: torch.Tensor, videos: torch.Tensor, of_text: torch.Tensor):
    def place(scores: torch.Tensor, target: int) -> int:
        return scores.argsort(descending=True).tolist().index(target)

    found = [
        place(100 * videos @ text, target)
        for text, target in zip(texts, of_text.tolist(), strict=True)
    ]
    of_videos = []
    for number, video in enumerate(videos):
        scores = 100 * texts @ video
        best = torch.full((len(videos),), -torch.inf).scatter_reduce(0, of_text, scores, "amax")
        of_videos.append(place(best, number))
    return torch.tensor(found), torch.tensor(of_videos)


def timed(way: Callable, *arguments: torch.Tensor, repeats: int):
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        found = way(*arguments)
        seconds.append(time.process_time() - began)
    return sorted(seconds), found


def main() -> None:
    num_videos, several = (int(word) for word in (*sys.argv[1:], "5000", "2")[:2])
    generator = torch.Generator().manual_seed(0)
    videos = torch.randn(num_videos, WIDTH, generator=generator)
    of_text = torch.arange(num_videos).repeat_interleave(several)
    texts = videos[of_text] + 3 * torch.randn(len(of_text), WIDTH, generator=generator)
    texts, videos = (torch.nn.functional.normalize(rows, dim=1) for rows in (texts, videos))
    print(
        f"torch {torch.__version__}, {torch.get_num_threads()} threads, seconds of processor time"
    )
    print(f"{len(texts)} sentences x {num_videos} videos, {several} sentences a video")
    arguments = (texts, videos, of_text)
    counted(*arguments)
    ours, expected = timed(counted, *arguments, repeats=5)
    print(f"counting       {ours[2]:8.2f} s  ({ours[0]:.2f} to {ours[-1]:.2f})")
    for name, way in (("sorting twice", sorted_twice), ("obvious loop", looped)):
        theirs, found = timed(way, *arguments, repeats=1)
        different = [int((one != other).sum()) for one, other in zip(expected, found, strict=True)]
        print(
            f"{name:<14} {theirs[0]:8.2f} s  {theirs[0] / ours[2]:.1f} x; other ranks: {different}"
        )


if __name__ == "__main__":
    main()
