from __future__ import annotations

import json

import numpy as np
import pytest

from internvideo.cli import main
from internvideo.errors import AnnotationError
from internvideo.search.qvhighlights import (
    predict_moments,
    read_ego4d,
    read_queries,
    score_moments,
)
from tests.conftest import SHARED

_FOLDER = SHARED / "data/moment_retrieval"


def test_the_command_gives_the_published_scores_of_published_predictions(capsys):
    if not _FOLDER.is_dir():
        pytest.skip("no predictions on QVHighlights beside the project (set INTERNVIDEO_SHARED)")
    truth, given = _FOLDER / "highlight_val_release.jsonl", _FOLDER / "sample_val_preds.jsonl"

    words = ["--data", str(truth), "--predictions", str(given), "--json"]
    assert main(["evaluate", "moment-retrieval", *words]) == 0

    scores = json.loads(capsys.readouterr().out)
    published = {"full/R1@0.5": 53.94, "full/R1@0.7": 34.84, "full/mAP": 32.20}
    published |= {"highlights/VeryGood/mAP": 35.65, "highlights/VeryGood/HIT@1": 55.55}
    for name, value in published.items():
        assert 100 * scores[name] == pytest.approx(value, abs=0.0051), name


def test_an_index_is_searched_for_the_queries_of_its_videos(searcher, tmp_path):
    lines = [
        {"qid": 1, "query": "red", "vid": "red in the middle", "relevant_windows": [[6, 10]]},
        {"qid": 2, "query": "green", "vid": "blue then green", "relevant_windows": [[5, 10]]},
        {"qid": 3, "query": "x", "vid": "elsewhere", "relevant_windows": [[0, 2]]},
    ]
    path = tmp_path / "truth.jsonl"
    path.write_text("\n".join(json.dumps({**line, "duration": 16}) for line in lines))

    queries = read_queries(path)
    found, missing = predict_moments(searcher, queries)

    assert missing == ["elsewhere"]
    assert score_moments(queries, found)["full/R1@0.5"] == pytest.approx(2 / 3)
    assert np.all(np.diff(found[1].windows[:, 2]) <= 0)


def test_queries_of_ego4d_are_searched_and_scored(searcher, tmp_path, capsys):
    asked = {"query": "red", "clip_start_sec": 6, "clip_end_sec": 10}
    clip = {"clip_uid": "red in the middle", "annotations": [{"language_queries": [asked]}]}
    path = tmp_path / "nlq_val.json"
    path.write_text(json.dumps({"split": "val", "videos": [{"clips": [clip]}]}))
    given = tmp_path / "given.jsonl"
    given.write_text(json.dumps({"qid": 0, "pred_relevant_windows": [[6, 8, 0.5]]}))

    queries = read_ego4d(path)
    found, missing = predict_moments(searcher, queries)
    words = ["--data", str(path), "--format", "ego4d-queries", "--predictions", str(given)]
    assert main(["evaluate", "moment-retrieval", *words, "--json"]) == 0

    assert not missing and score_moments(queries, found)["ego4d/R1@0.3"] == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ego4d/R1@0.3"], told["ego4d/R1@0.5"], told["ego4d/mean_r1"]) == (1, 1, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "is empty"), ("{", "line 1: is no JSON"), ('{"qid": 1}', "line 1: is no query")],
)
def test_what_is_no_annotation_is_named_by_its_line(tmp_path, text, message):
    path = tmp_path / "truth.jsonl"
    path.write_text(text)

    with pytest.raises(AnnotationError, match=message):
        read_queries(path)


def test_nothing_to_score_is_one_line(tmp_path, capsys):
    assert main(["evaluate", "moment-retrieval", "--data", str(tmp_path / "x.jsonl")]) == 2

    assert "either --predictions or --index" in capsys.readouterr().err
