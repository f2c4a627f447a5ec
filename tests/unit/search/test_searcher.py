from __future__ import annotations

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.search import Filters, Query, Searcher
from tests.unit.search.toys import COLOURS, ColourModel, colour_video


def paths(answer):
    return [moment.path for moment in answer.moments]


def test_moments_are_found_with_their_times(searcher):
    answer = searcher.search(Query(text="red", duplicates=2))

    assert set(paths(answer)) == {"red in the middle.mp4", "sub/red at the end.mp4"}
    found = {moment.path: (moment.start_s, moment.end_s) for moment in answer.moments}
    assert found["red in the middle.mp4"] == pytest.approx((6, 10), abs=0.5)
    assert found["sub/red at the end.mp4"] == pytest.approx((3, 6), abs=0.5)
    assert answer.notes == ()


def test_order_and_scores_are_those_of_all_vectors_in_double_precision(searcher):
    query = Query(text="green", least_confidence=0, duplicates=2, limit=4, per_video=1)
    answer = searcher.search(query)

    stored = searcher.index.vectors()["values"].astype(np.float64)
    scores = stored @ ColourModel().embed_texts(["green"])[0].double().numpy()
    best = {}
    for row, video in zip(searcher.windows.row, searcher.windows.video, strict=True):
        best[int(video)] = max(best.get(int(video), -1.0), scores[row])
    right = sorted(best.items(), key=lambda item: -item[1])
    assert [moment.video for moment in answer.moments] == [video for video, _ in right]
    assert [moment.score for moment in answer.moments] == pytest.approx(
        [score for _, score in right], abs=1e-4
    )


def test_nothing_found_is_an_answer(searcher):
    answer = searcher.search(Query(text="a bicycle"))

    assert answer.moments == ()
    assert answer.best_unsure is not None
    assert answer.best_unsure.confidence < 0.8


def test_near_duplicates_are_folded(searcher):
    answer = searcher.search(Query(text="red"))

    assert len(answer.moments) == 1
    assert len(answer.moments[0].same) == 1


def test_what_should_not_be_there_is_left_out(searcher):
    with_both = searcher.search(Query(text="blue green", least_confidence=0, per_video=1))
    without = searcher.search(
        Query(text="blue green", without=("green",), least_confidence=0, per_video=1)
    )

    first = without.moments[0]
    assert paths(with_both)[0] == paths(without)[0] == "blue then green.mp4"
    assert first.end_s <= 5.5


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(folder="sub"), ["sub/red at the end.mp4"]),
        (Filters(longer_than_s=10), ["red in the middle.mp4"]),
        (Filters(shorter_than_s=7), ["sub/red at the end.mp4"]),
        (Filters(before="1990-01-01"), []),
        (Filters(after="1990-01-01", folder="sub/"), ["sub/red at the end.mp4"]),
    ],
)
def test_filters_come_first(searcher, filters, expected):
    answer = searcher.search(Query(text="red", filters=filters))

    assert paths(answer) == expected


def test_a_moment_of_the_index_finds_others_like_it(searcher):
    answer = searcher.search(Query(like="red in the middle.mp4@6-10"))

    assert paths(answer)[0] == "sub/red at the end.mp4"
    assert all(m.start_s >= 9.5 for m in answer.moments if m.path == "red in the middle.mp4")


def test_an_id_means_the_same_moment(searcher):
    moment = searcher.search(Query(text="red", duplicates=2)).moments[0]

    video, start_s, end_s = searcher.find_moment(moment.id)

    assert video.path == moment.path
    assert (start_s, end_s) == pytest.approx((moment.start_s, moment.end_s), abs=0.01)


def test_a_clip_finds_what_looks_like_it(searcher, tmp_path):
    clip = colour_video(tmp_path / "clip.mp4", [(COLOURS["green"], 1)])

    answer = searcher.search(Query(example=clip))

    assert paths(answer)[0] == "blue then green.mp4"
    assert answer.moments[0].start_s >= 4.5


def test_a_timeline_has_every_window_of_a_video(searcher):
    video = next(v for v in searcher.index.videos() if v.path == "red in the middle.mp4")

    timeline = searcher.timeline(Query(text="red"), video.id)

    inside = (timeline.start_s >= 6) & (timeline.end_s <= 10)
    assert timeline.score[inside].min() > timeline.score[~inside].max()


def test_a_model_of_generated_videos_says_so(colour_index):
    object.__setattr__(colour_index.settings, "trained_on_generated", True)
    try:
        answer = Searcher(colour_index, ColourModel).search(Query(text="red"))
    finally:
        object.__setattr__(colour_index.settings, "trained_on_generated", False)

    assert "trained on generated videos" in answer.notes[0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "none of them is given"),
        ({"text": "a", "like": "b"}, "2 of them is given"),
        ({"text": " "}, "is empty"),
        ({"text": "a", "limit": 0}, "must be positive"),
        ({"text": "a", "least_confidence": 2}, "lies in 0..1"),
        ({"like": "x", "track": "t"}, "searched by words"),
    ],
)
def test_an_impossible_question_is_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        Query(**wrong)


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"like": "gone.mp4@1-2"}, "has no such video"),
        ({"like": "grey.mp4@7"}, "is no moment"),
        ({"like": "grey.mp4@90-91"}, "ends at 8.00 s"),
        ({"text": "x", "track": "faces"}, "has no track 'faces'"),
    ],
)
def test_what_the_index_does_not_have_is_named(searcher, query, message):
    with pytest.raises(ConfigError, match=message):
        searcher.search(Query(**query))


def test_a_day_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="is no day"):
        Filters(after="yesterday")


def test_a_searcher_refuses_another_model(colour_index):
    searcher = Searcher(colour_index, lambda: ColourModel(name="other"))

    with pytest.raises(ConfigError, match="other weights"):
        searcher.search(Query(text="red"))
