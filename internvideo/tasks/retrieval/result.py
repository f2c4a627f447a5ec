"""What retrieval measured, and its page: scores, sheets of the best clips, similarity matrix.

A sheet has a strip of frames for each of the best videos, and the right one marked; where it is
not among them, it stands below them.
Shapes: similarity (l, v) of l sentences and v videos, NaN for videos that could not be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

from internvideo.report import (
    Page,
    Series,
    Svg,
    frames_to_show,
    heat_map,
    line_chart,
    picture_chart,
    picture_strip,
    png_bytes,
)
from internvideo.tasks.shared.task import Result
from internvideo.values import Record

_WAYS = {
    "t2v": "video for text",
    "t2v_dsl": "video for text, dual softmax",
    "v2t": "text for video",
    "v2t_dsl": "text for video, dual softmax",
}
_COLUMNS = {"r1": "R@1", "r5": "R@5", "r10": "R@10"}
_RANKS = {"median_rank": "median rank", "mean_rank": "mean rank"}
_LARGEST_NAMED = 8  # sides of a matrix whose cells are drawn with their names and numbers
_LOW, _HIGH, _ABSENT = (16, 24, 48), (255, 214, 102), (120, 30, 30)
_MOST_CELLS = 500  # along each side of the picture of a matrix
_MOST_PLACES = 20


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RetrievalResult(Result):
    """Scores such as `t2v/r1`, `v2t_dsl/mean_rank`, and what they were counted from.

    `similarity` is scaled; the columns of failed videos are NaN. `ranks` are those of the right
    video for each sentence, from 0, without dual softmax; failed videos have the last.
    """

    similarity: Float[Tensor, "l v"]
    video_of_text: Int64[Tensor, " l"]
    ranks: Int64[Tensor, " l"]
    sentences: tuple[str, ...]
    videos: tuple[Record, ...]

    def add_to(self, page: Page, *, num_sheets: int = 6) -> None:
        """Add scores, similarity matrix, and sheets evenly from the best to the worst rank."""
        add_retrieval(page, self, num_sheets=num_sheets)


def add_retrieval(page: Page, result: RetrievalResult, *, num_sheets: int = 6) -> None:
    """Add everything below: tables, matrix, and sheets chosen evenly from best to worst rank."""
    pair = "coordinated/"
    theirs = {k.removeprefix(pair): v for k, v in result.scores.items() if k.startswith(pair)}
    add_retrieval_scores(page, {"": result.scores} | ({"the pair": theirs} if theirs else {}))
    _add_time_scores(page, result.scores)
    page.text(
        "The matrix has a row for each sentence, in the order of the videos, and a column for each "
        "video; what belongs together lies on the diagonal. Red columns could not be read."
    )
    page.charts([similarity_chart(result), rank_chart(result)])
    num_sheets = min(num_sheets, len(result.sentences))
    order = result.ranks.argsort(stable=True)
    places = torch.linspace(0, len(order) - 1, num_sheets).round().long()
    page.text(
        f"{num_sheets} of {len(order)} sentences, evenly from the best found to the worst. The "
        "right video is marked; beside each stand its rank and its scaled cosine to the sentence."
    )
    for query in order[places].tolist():
        add_retrieval_sheet(page, result, query)


def add_retrieval_scores(page: Page, scores: Mapping[str, Mapping[str, float]]) -> None:
    """Add a table: both directions of each named evaluation, plainly and with dual softmax."""
    rows = []
    for name, values in scores.items():
        for way, title in _WAYS.items():
            recalls = [f"{100 * values[f'{way}/{key}']:.1f}" for key in _COLUMNS]
            ranks = [f"{values[f'{way}/{key}']:.1f}" for key in _RANKS]
            rows.append([f"{name}: {title}" if name else title, *recalls, *ranks])
    page.table(["direction", *_COLUMNS.values(), *_RANKS.values()], rows)


def _add_time_scores(page: Page, scores: Mapping[str, float]) -> None:
    """Add how often a sentence beats its false counterpart, where there are any."""
    counts = {k[9:]: n for k, n in scores.items() if k.startswith("time/num_")}
    counts = {kind: n for kind, n in counts.items() if f"time/{kind}" in scores}
    if counts:
        page.text("How often the true sentence beats a false one; guessing is right in half:")
        rows = [[kind, int(n), f"{100 * scores[f'time/{kind}']:.1f}"] for kind, n in counts.items()]
        page.table(["the false sentence is", "pairs", "told apart, %"], rows)


def add_retrieval_sheet(
    page: Page, result: RetrievalResult, query: int, *, num_best: int = 5, num_frames: int = 8
) -> None:
    """Add one sentence with its best videos and, wherever it stands, the right one."""
    scores = result.similarity[query].nan_to_num(nan=-torch.inf)
    order = scores.argsort(descending=True, stable=True).tolist()
    right, rank = int(result.video_of_text[query]), int(result.ranks[query])
    shown = [video for video in order[:num_best] if scores[video] > -torch.inf]
    readable = bool(scores[right] > -torch.inf)
    if right not in shown and readable:
        shown.append(right)
    rows, marked = {}, None
    for video in shown:
        name = f"{order.index(video) + 1}.  {scores[video]:.2f}"
        rows[name] = frames_to_show(result.videos[video], num_frames=num_frames)
        marked = name if video == right else marked
    found = f"rank {rank + 1} of {len(order)}" if readable else "it could not be decoded"
    page.text(f"“{result.sentences[query]}”")
    page.picture(
        png_bytes(picture_strip(rows, marked=marked, side_px=1)),
        alt=f"the best videos for: {result.sentences[query]}",
        caption=f"Right: {result.videos[right].video.name}, {found}.",
    )


def similarity_chart(result: RetrievalResult) -> Svg:
    """Draw all sentences (rows, in the order of their videos) against all videos (columns).

    Few are named and numbered, many become a picture.
    """
    order = result.video_of_text.argsort(stable=True)
    similarity = result.similarity[order]
    title = f"Similarity of {similarity.shape[0]} sentences and {similarity.shape[1]} videos"
    if max(similarity.shape) > _LARGEST_NAMED:
        return picture_chart(similarity_picture(similarity), title=title)
    return heat_map(
        similarity.round(decimals=1).tolist(),
        [result.sentences[i] for i in order.tolist()],
        [video.video.stem for video in result.videos],
        title=title,
    )


def rank_chart(result: RetrievalResult) -> Svg:
    """Draw the share of sentences whose video is among the first k, beside that of guessing."""
    places = list(range(1, min(_MOST_PLACES, len(result.videos)) + 1))
    readable = result.similarity.isfinite().any(0)[result.video_of_text]
    found = [float(((result.ranks < k) & readable).double().mean()) for k in places]
    return line_chart(
        [
            Series(name="found", x=places, y=found),
            Series(
                name="guessing", x=places, y=[k / len(result.videos) for k in places], dashed=True
            ),
        ],
        title="Share of sentences whose video is among the first k",
        x_label="k",
        height=480,
    )


def similarity_picture(similarity: Float[Tensor, "l v"]) -> UInt8[Tensor, "h w 3"]:
    """Draw scores from dark (the lowest tenth) to bright (the highest); absent videos are red.

    A pixel is a cell; where there are too many, the highest of those that fall together.
    """
    known = similarity.isfinite()
    values = similarity.masked_fill(~known, -torch.inf)
    shrunk = torch.nn.functional.adaptive_max_pool2d(
        values[None], [min(side, _MOST_CELLS) for side in values.shape]
    )[0]
    finite = shrunk[shrunk.isfinite()]
    if not len(finite):
        return torch.tensor(_ABSENT, dtype=torch.uint8).expand(*shrunk.shape, 3).clone()
    low, high = finite.sort().values[len(finite) // 10], finite.max()
    share = ((shrunk - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)[..., None]
    ends = [torch.tensor(colour, dtype=torch.float32) for colour in (_LOW, _HIGH)]
    picture = torch.lerp(*ends, share.nan_to_num(0.0)).round()
    picture[~shrunk.isfinite()] = torch.tensor(_ABSENT, dtype=torch.float32)
    return picture.to(torch.uint8)
