from __future__ import annotations

import sys

import numpy as np
import pytest

from internvideo.errors import ConfigError
from internvideo.search import ExactStore, Index, IndexSettings, NewVideo, WindowPlan, open_store
from internvideo.search.approximate import measured_recall

_WIDTH, _NUM = 24, 600


def random_index(folder, *, vectors="float16"):
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(20, _WIDTH))
    rows = centres[generator.integers(0, 20, _NUM)] + 0.4 * generator.normal(size=(_NUM, _WIDTH))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    index = index_of(folder, rows, vectors=vectors)
    index.remove(["3.mp4"])
    return index, rows


def index_of(folder, rows, *, vectors="float16"):
    settings = IndexSettings(
        folder=str(folder),
        model="m",
        model_sha256="0",
        width=_WIDTH,
        trained_on_generated=False,
        plan=WindowPlan(),
        vectors=vectors,
    )
    index = Index.create(folder / "index", settings)
    videos = [
        NewVideo(
            path=f"{i}.mp4",
            sha256=f"{i:064}",
            num_bytes=1,
            time_ns=1,
            duration_s=9.0,
            rate_fps=8.0,
            width=8,
            height=8,
            windows=[(float(j), j + 1.0, 0, b"") for j in range(60)],
            vectors=rows[i * 60 : (i + 1) * 60],
        )
        for i in range(10)
    ]
    index.add(videos)
    return index


def _brute_force(rows, query, allowed):
    scores = rows.astype(np.float64) @ query.astype(np.float64)
    order = np.argsort(-scores, kind="stable")
    return [int(row) for row in order if allowed[row]], scores


@pytest.fixture
def queries():
    drawn = np.random.default_rng(1).normal(size=(5, _WIDTH))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("masked", [False, True])
def test_exact_search_is_brute_force_in_double_precision(tmp_path, queries, masked):
    index, _ = random_index(tmp_path)
    stored = index.vectors()["values"]
    allowed = np.ones(_NUM, bool)
    allowed[180:240] = False  # the video that has left
    mask = np.arange(_NUM) % 3 != 0 if masked else None

    for query in queries:
        right, scores = _brute_force(stored, query, allowed if mask is None else allowed & mask)
        rows, found = ExactStore(index).top(query, 20, mask)

        assert rows.tolist() == right[:20]
        assert np.abs(found - scores[rows]).max() < 1e-4


@pytest.mark.parametrize("vectors", ["float16", "int8"])
def test_rows_that_half_precision_cannot_tell_apart_are_in_order(tmp_path, vectors):
    generator = np.random.default_rng(0)
    query = generator.normal(size=_WIDTH)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    rows = query + 4e-3 * generator.normal(size=(_NUM, _WIDTH))
    index = index_of(tmp_path, rows / np.linalg.norm(rows, axis=1, keepdims=True), vectors=vectors)
    store = ExactStore(index)

    found, scores = store.top(query, 25, None)

    exact = store.vectors(np.arange(_NUM)).astype(np.float64) @ query.astype(np.float64)
    assert len(np.unique(exact.astype(np.float16))) < 25
    assert np.abs(scores - np.sort(exact)[::-1][:25]).max() < 1e-6
    assert np.abs(exact[found] - scores).max() < 1e-6


def test_more_than_there_are_gives_all_that_are_in_use(tmp_path, queries):
    index, _ = random_index(tmp_path)

    rows, _ = ExactStore(index).top(queries[0], 10_000, None)

    assert len(rows) == _NUM - 60


def test_int8_takes_half_the_room_and_loses_little(tmp_path):
    index, rows = random_index(tmp_path, vectors="int8")

    store = ExactStore(index)

    assert index.vector_file.stat().st_size == _NUM * (_WIDTH + 4)
    assert np.abs(store.vectors(np.arange(_NUM)) - rows).max() < 0.5 / 127 + 1e-6


@pytest.mark.parametrize(("engine", "library"), [("faiss", "faiss"), ("lance", "lancedb")])
def test_other_engines_find_what_exact_search_finds(tmp_path, queries, engine, library):
    pytest.importorskip(library, reason=f"the package {library} is missing")
    index, _ = random_index(tmp_path)
    store, exact = open_store(index, engine), ExactStore(index)
    mask = np.arange(_NUM) < 120

    assert measured_recall(index, store) > 0.9
    rows, scores = store.top(queries[0], 10, mask)
    assert set(rows.tolist()) <= set(range(120))
    assert np.abs(scores - exact.scores(queries[0], rows)).max() < 1e-4
    again = open_store(index, engine)
    assert again.top(queries[0], 10, mask)[0].tolist() == rows.tolist()


@pytest.mark.parametrize(("engine", "library"), [("faiss", "faiss"), ("lance", "lancedb")])
def test_a_missing_engine_is_named_with_its_extra(tmp_path, monkeypatch, engine, library):
    index, _ = random_index(tmp_path)
    monkeypatch.setitem(sys.modules, library, None)

    with pytest.raises(ConfigError, match=r"needs the extra `\w+`: pip install"):
        open_store(index, engine)
