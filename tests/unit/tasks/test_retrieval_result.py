from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from internvideo.report import Page
from internvideo.tasks import RetrievalResult
from internvideo.tasks.retrieval.result import (
    add_retrieval_scores,
    add_retrieval_sheet,
    rank_chart,
    similarity_chart,
    similarity_picture,
)
from internvideo.values import Record
from internvideo.video import write_video

WAYS = ("t2v", "t2v_dsl", "v2t", "v2t_dsl")
NAMES = ("r1", "r5", "r10", "median_rank", "mean_rank")


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / f"clip {i}.mp4" for i in range(7)]
    for i, path in enumerate(paths[:-1]):
        write_video(path, torch.full((9, 32, 48, 3), 40 * i, dtype=torch.uint8), 10.0)
    paths[-1].write_text("no video")
    return tuple(Record(video=path) for path in paths)


@pytest.fixture
def result(videos):
    """Seven sentences about as many videos; the third is wrong, the last video is broken."""
    similarity = 5 * torch.eye(7)
    similarity[2, 2] = -3
    similarity[:, 6] = math.nan
    return RetrievalResult(
        scores={f"{way}/{name}": 0.5 for way in WAYS for name in NAMES},
        num_evaluated=6,
        num_total=7,
        failed=(),
        videos=videos,
        similarity=similarity,
        ranks=torch.tensor([0, 0, 6, 0, 0, 0, 6]),
        video_of_text=torch.arange(7),
        sentences=tuple(f"<sentence {i}>" for i in range(7)),
    )


def test_a_sheet_shows_the_query_and_where_the_right_video_stands(result):
    page = Page("t")

    add_retrieval_sheet(page, result, 0)

    assert "“&lt;sentence 0&gt;”" in page.html()
    assert "clip 0.mp4, rank 1 of 7" in page.html()


def test_a_right_video_beyond_the_best_is_shown_below_them(result, monkeypatch):
    drawn = {}

    def draw(rows, *, marked, side_px):
        drawn.update(rows=list(rows), marked=marked)
        return torch.zeros(4, 4, 3, dtype=torch.uint8)

    monkeypatch.setattr("internvideo.tasks.retrieval.result.picture_strip", draw)

    add_retrieval_sheet(Page("t"), result, 2, num_best=3)

    assert len(drawn["rows"]) == 4
    assert drawn["marked"] == drawn["rows"][-1] == "6.  -3.00"


def test_a_video_that_could_not_be_decoded_is_said_to_be_missing(result):
    page = Page("t")

    add_retrieval_sheet(page, result, 6)

    assert "clip 6.mp4, it could not be decoded" in page.html()


def test_scores_are_a_row_for_each_direction_in_percent(result):
    page = Page("t")

    add_retrieval_scores(page, {"video": result.scores, "shuffled": result.scores})

    assert page.html().count("<tr>") == 1 + 2 * 4
    assert "shuffled: text for video, dual softmax" in page.html()
    assert "50.0" in page.html()


def test_a_whole_section_chooses_sentences_from_best_to_worst(result):
    page = Page("t")

    result.add_to(page, num_sheets=2)

    assert "“&lt;sentence 0&gt;”" in page.html()
    assert "“&lt;sentence 6&gt;”" in page.html()


def test_time_and_a_coordinated_pair_are_part_of_the_page(result):
    assert "told apart" not in _page_of(result)

    coordinated = {f"coordinated/{name}": 0.25 for name in result.scores}
    time = {"time/opposite": 0.75, "time/num_opposite": 8.0}
    page = _page_of(replace(result, scores={**result.scores, **coordinated, **time}))

    assert "the pair: video for text" in page
    assert all(f">{cell}</td>" in page for cell in ("25.0", "8", "75.0"))


def _page_of(result):
    page = Page("t")
    result.add_to(page, num_sheets=1)
    return page.html()


def test_a_small_matrix_is_named_and_a_large_one_a_picture(result, videos):
    large = replace(
        result,
        videos=videos * 2,
        similarity=torch.zeros(14, 14),
        video_of_text=torch.arange(14),
        ranks=torch.zeros(14, dtype=torch.int64),
        sentences=("s",) * 14,
    )

    assert "clip 3" in similarity_chart(result)
    assert "<image" in similarity_chart(large)


def test_the_share_found_never_counts_a_video_that_could_not_be_read(result):
    chart = rank_chart(result)

    assert "found, 7: 0.8571" in chart


def test_the_picture_of_a_matrix_is_bright_where_scores_are_high():
    picture = similarity_picture(10 * torch.eye(20)).float().sum(-1)

    assert picture.diagonal().min() > picture.fill_diagonal_(0).max()


def test_absent_videos_are_red_columns():
    similarity = torch.eye(20)
    similarity[:, 3] = math.nan

    picture = similarity_picture(similarity)

    assert (picture[:, 3] == torch.tensor([120, 30, 30])).all()


def test_a_matrix_larger_than_its_picture_keeps_the_diagonal():
    picture = similarity_picture(torch.eye(1000)).float().sum(-1)

    assert picture.shape == (500, 500)
    assert picture.diagonal().min() > picture.fill_diagonal_(0).max()


def test_a_matrix_without_any_score_is_all_absent():
    picture = similarity_picture(torch.full((3, 3), math.nan))

    assert (picture == torch.tensor([120, 30, 30])).all()
