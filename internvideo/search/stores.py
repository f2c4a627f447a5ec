"""Stores of vectors: the nearest rows to a query, and the scores of given rows.

`ExactStore` reads every row of the memory map; its scores are those of float64 to 1e-4 and better.
Others answer the same questions for more vectors than that takes in a second; `recall` says what
they miss.
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

# Up to this size all vectors are kept in memory in float32 after the first query.
_KEPT_BYTES = 1 << 30
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
    """All rows are compared with every query."""

    def __init__(self, index: Index) -> None:
        self._stored = index.vectors()
        self._live = np.zeros(len(self._stored), bool)
        self._live[index.windows().row] = True
        self._kept: torch.Tensor | None = None

    def all_scores(self, query: Float[np.ndarray, " e"]) -> Scores:
        """Cosines with every row, those out of use included."""
        vector = torch.from_numpy(np.ascontiguousarray(query, dtype=np.float32))
        if self._kept is None and len(self._stored) * len(query) * 4 <= _KEPT_BYTES:
            self._kept = torch.from_numpy(decode_rows(self._stored))
        if self._kept is not None:
            return (self._kept @ vector).numpy()
        parts = [
            torch.from_numpy(decode_rows(self._stored[at : at + _CHUNK_ROWS])) @ vector
            for at in range(0, len(self._stored), _CHUNK_ROWS)
        ]
        return torch.cat(parts).numpy()

    def top(
        self, query: Float[np.ndarray, " e"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> tuple[Rows, Scores]:
        scores = self.all_scores(query)
        rows = np.flatnonzero(self._live if allowed is None else self._live & allowed)
        return best(rows, scores[rows], count)

    def scores(self, query: Float[np.ndarray, " e"], rows: Rows) -> Scores:
        return self.vectors(rows) @ np.asarray(query, dtype=np.float32)

    def vectors(self, rows: Rows) -> Float[np.ndarray, "k e"]:
        if self._kept is not None:
            return self._kept[torch.from_numpy(np.asarray(rows))].numpy()
        return decode_rows(self._stored[rows])


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
