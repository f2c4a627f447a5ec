"""Stores of vectors: the nearest rows to a query, and the scores of given rows.

`ExactStore` reads every row of the memory map; its order and scores are those of float64, to 1e-4
and better. Others answer the same questions for more vectors than that takes in a second; `recall`
says what they miss.
Shapes: vectors (n, e) of length 1, queries (e,), scores (n,) as cosines.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64

from internvideo.search.index import Index
from internvideo.search.vectors import decode_rows

Rows = Int64[np.ndarray, " k"]
Scores = Float[np.ndarray, " k"]

# Up to this size vectors of int8 are kept in memory in float16 after the first query.
_KEPT_BYTES = 1 << 30
# Of a cosine of unit vectors (int8 makes some a little longer), when the query and the result are
# float16: 2 ** -11 each.
_ROUNDING = 1.1 * 2.0**-10
_CHUNK_ROWS = 1 << 15


@runtime_checkable
class VectorStore(Protocol):
    """What search asks of the vectors of an index; `rows` are numbers of `WindowTable.row`."""

    def top(
        self, query: Float[np.ndarray, " e"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> tuple[Rows, Scores]:
        """The `count` best rows, best first, of those allowed (by row number)."""
        ...

    def scores(self, query: Float[np.ndarray, " e"], rows: Rows) -> Scores:
        """Cosines of the query with these rows."""
        ...

    def vectors(self, rows: Rows) -> Float[np.ndarray, "k e"]:
        """The rows themselves, in float32."""
        ...


class ExactStore:
    """All rows are compared with every query, in float16; those that may be best again in float32.

    Rounding moves no cosine by more than `_ROUNDING` in the first comparison, so whatever lies
    further than twice that below the last of the best is not among them.
    """

    def __init__(self, index: Index) -> None:
        self._stored = index.vectors()
        self._live = np.zeros(len(self._stored), bool)
        self._live[index.windows().row] = True
        self._halves: torch.Tensor | None = None

    def top(
        self, query: Float[np.ndarray, " e"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> tuple[Rows, Scores]:
        rows = np.flatnonzero(self._live if allowed is None else self._live & allowed)
        if 0 < count < len(rows):
            rough = self._rough_scores(query)[rows]
            last = np.partition(rough, len(rows) - count)[len(rows) - count]
            rows = rows[rough >= last - 2 * _ROUNDING * float(np.linalg.norm(query))]
        return best(rows, self.scores(query, rows), count)

    def scores(self, query: Float[np.ndarray, " e"], rows: Rows) -> Scores:
        return self.vectors(rows) @ np.asarray(query, dtype=np.float32)

    def vectors(self, rows: Rows) -> Float[np.ndarray, "k e"]:
        return decode_rows(self._stored[rows])

    def _rough_scores(self, query: Float[np.ndarray, " e"]) -> Scores:
        """Cosines with every row, those out of use included, from numbers of 16 bits."""
        vector = torch.from_numpy(np.asarray(query, dtype=np.float16))
        values = self._stored["values"]
        if values.dtype == np.float16:  # of the file itself, which the system keeps in memory
            return (torch.from_numpy(values) @ vector).float().numpy()
        if self._halves is None and values.size * 2 <= _KEPT_BYTES:
            self._halves = torch.from_numpy(values.astype(np.float16))
        if self._halves is not None:
            found = (self._halves @ vector).float().numpy()
        else:
            parts = (
                torch.from_numpy(values[at : at + _CHUNK_ROWS].astype(np.float16)) @ vector
                for at in range(0, len(values), _CHUNK_ROWS)
            )
            found = torch.cat(list(parts)).float().numpy()
        return found * self._stored["scale"]


def best(
    rows: Int64[np.ndarray, " n"], scores: Float[np.ndarray, " n"], count: int
) -> tuple[Rows, Scores]:
    """The best of these, best first; equal scores in the order of rows."""
    if 0 < count < len(rows):
        among = np.argpartition(-scores, count - 1)[:count]
        rows, scores = rows[among], scores[among]
    order = np.lexsort((rows, -scores))
    return rows[order], scores[order]


def recall(
    store: VectorStore,
    exact: VectorStore,
    queries: Float[np.ndarray, "q e"],
    *,
    count: int = 10,
    on_query: Callable[[int], None] | None = None,
) -> float:
    """Share of the `count` nearest rows that a store finds, over these queries."""
    found = 0.0
    for place, query in enumerate(queries):
        right = set(exact.top(query, count, None)[0].tolist())
        found += len(right.intersection(store.top(query, count, None)[0].tolist())) / len(right)
        if on_query is not None:
            on_query(place)
    return found / len(queries)
