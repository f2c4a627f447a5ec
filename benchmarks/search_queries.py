"""Time of one query over many vectors: the exact store, faiss, and the obvious numpy product.

    python benchmarks/search_queries.py --rows 100000 --engines exact faiss

Vectors are random (clustered), of width 512, in float16. Process start and text tower are apart.
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
    WindowPlan,
    measured_recall,
    open_store,
)

_WIDTH, _WINDOWS_A_VIDEO = 512, 10_000


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
    for number in range(-(-num_rows // _WINDOWS_A_VIDEO)):
        rows = centres[draw.integers(0, 256, _WINDOWS_A_VIDEO)]
        rows = rows + 0.7 * draw.normal(size=rows.shape).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        windows = [(2.0 * i, 2.0 * i + 4.0, 0, b"") for i in range(_WINDOWS_A_VIDEO)]
        video = NewVideo(
            path=f"{number}.mp4",
            sha256=f"{number:064}",
            num_bytes=1,
            time_ns=1,
            duration_s=20_004.0,
            rate_fps=25.0,
            width=1280,
            height=720,
            windows=windows,
            vectors=rows,
        )
        index.add([video])
    return index


def milliseconds(ask, queries: np.ndarray) -> tuple[float, float]:
    """Median and worst over the queries, after one that is not counted."""
    ask(queries[0])
    times = []
    for query in queries:
        started_s = time.perf_counter()
        ask(query)
        times.append(1000 * (time.perf_counter() - started_s))
    return statistics.median(times), max(times)


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
        middle, worst = milliseconds(
            lambda query: np.argsort(-(stored.astype(np.float32) @ query))[:10], queries[:5]
        )
        print(f"numpy   median {middle:.1f} ms, worst {worst:.1f} ms")
        for engine in options.engines:
            store = open_store(index, engine)
            ours, worst = milliseconds(lambda query, s=store: s.top(query, 10, None), queries)
            recall = measured_recall(index, store)
            print(
                f"{engine:<7} median {ours:.1f} ms, worst {worst:.1f} ms, "
                f"{middle / ours:.1f} times numpy, recall@10 {recall:.3f}"
            )
        index.close()


if __name__ == "__main__":
    main()
