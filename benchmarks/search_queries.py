"""Time of one query over many vectors: the exact store, faiss, and the obvious numpy product.

    python benchmarks/search_queries.py --rows 100000 --engines exact faiss

Vectors are random (clustered), of width 512, in float16; beyond 100,000 the same ones again. `top`
is the store alone, `search` a whole query for ten moments in videos of 1,000 windows, without the
text tower. Opening an index and the start of Python are told apart. CPU is that of all threads.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from internvideo.search import (
    Index,
    IndexSettings,
    NewVideo,
    Query,
    Searcher,
    WindowPlan,
    measured_recall,
    open_store,
)

_WIDTH, _WINDOWS_A_VIDEO, _NUM_DRAWN = 512, 1_000, 100


def random_index(folder: Path, num_rows: int) -> Index:
    settings = IndexSettings(
        folder=str(folder),
        model="random",
        model_sha256="0",
        width=_WIDTH,
        trained_on_generated=False,
        plan=WindowPlan(),
    )
    index = Index.create(folder / "index", settings)
    draw = np.random.default_rng(0)
    centres = draw.normal(size=(256, _WIDTH)).astype(np.float32)
    drawn = []
    for _ in range(min(_NUM_DRAWN, num_rows // _WINDOWS_A_VIDEO)):
        rows = centres[draw.integers(0, 256, _WINDOWS_A_VIDEO)]
        rows = rows + 0.7 * draw.normal(size=rows.shape).astype(np.float32)
        drawn.append(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    windows = [(2.0 * i, 2.0 * i + 4.0, 0, b"") for i in range(_WINDOWS_A_VIDEO)]
    videos = [
        NewVideo(
            path=f"{number}.mp4",
            sha256=f"{number:064}",
            num_bytes=1,
            time_ns=1,
            duration_s=2.0 * _WINDOWS_A_VIDEO + 2,
            rate_fps=25.0,
            width=1280,
            height=720,
            windows=windows,
            vectors=drawn[number % len(drawn)],
        )
        for number in range(num_rows // _WINDOWS_A_VIDEO)
    ]
    for at in range(0, len(videos), 100):
        index.add(videos[at : at + 100])
    return index


class Vectors:
    """A model whose sentences are the numbers of given vectors."""

    name, sha256, width, num_frames, trained_on_generated = "random", "0", _WIDTH, 1, False

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = torch.from_numpy(vectors)

    def embed_texts(self, sentences):
        return self.vectors[[int(sentence) for sentence in sentences]]


def milliseconds(ask, queries) -> str:
    """Median and worst over the queries, after one that is not counted."""
    ask(queries[0])
    times, of_cpu = [], []
    for query in queries:
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        ask(query)
        times.append(1000 * (time.perf_counter() - started_s))
        of_cpu.append(1000 * (time.process_time() - started_cpu_s))
    return (
        f"{statistics.median(times):7.1f} ms, best {min(times):.1f}, worst {max(times):.1f}; "
        f"CPU {statistics.median(of_cpu):.1f}, best {min(of_cpu):.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--engines", nargs="+", default=["exact"])
    parser.add_argument("--queries", type=int, default=20)
    options = parser.parse_args()
    draw = np.random.default_rng(1)
    queries = draw.normal(size=(options.queries, _WIDTH)).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    print(f"{options.rows} rows of {_WIDTH}, torch {torch.__version__}", end=", ")
    print(f"{torch.get_num_threads()} threads")
    with tempfile.TemporaryDirectory() as folder:
        index = random_index(Path(folder), options.rows)
        stored = index.vectors()["values"]
        if options.rows <= 100_000:
            told = milliseconds(
                lambda query: np.argsort(-(stored.astype(np.float32) @ query))[:10], queries[:3]
            )
            print(f"numpy         {told}")
        for engine in options.engines:
            started_s = time.process_time()
            searcher = Searcher(
                index,
                lambda: Vectors(queries),
                open_store=lambda index, engine=engine: open_store(index, engine),
            )
            print(f"{engine:<6} opened in {time.process_time() - started_s:.1f} s of CPU")
            store = searcher.store
            print(f"       top    {milliseconds(lambda q, s=store: s.top(q, 10, None), queries)}")
            asked = [Query(text=str(i), least_confidence=0) for i in range(len(queries))]
            print(f"       search {milliseconds(searcher.search, asked)}")
            if engine != "exact":
                print(f"       recall@10 {measured_recall(index, store):.3f}")
        index.close()


if __name__ == "__main__":
    main()
