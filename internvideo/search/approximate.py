"""Stores for more vectors than a comparison with all of them takes in a second.

`FaissStore` keeps inverted lists beside the index (extra `ann`); `LanceStore` a table of LanceDB
(extra `lance`), in the index or wherever its address says, such as an object store. Both find rows;
scores and neighbours are still computed from the index's own vectors, so what is found has its
exact score. `measured_recall` says what is missed.
"""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from internvideo.errors import ConfigError
from internvideo.search.index import Index
from internvideo.search.stores import ExactStore, Rows, Scores, VectorStore, best, recall
from internvideo.search.vectors import decode_rows

Engine = Literal["auto", "exact", "faiss", "lance"]

# Lists that are searched, of all, and how many vectors train their centres, for each centre.
_PROBED_SHARE, _LEAST_PROBED, _TRAINED_A_LIST = 0.1, 8, 64
_CHUNK_ROWS = 1 << 16
# From here on `auto` takes faiss, where it is installed.
_MANY_ROWS = 1_000_000
_NUM_ASKED = 100


def open_store(index: Index, engine: Engine = "auto", *, address: str | None = None) -> VectorStore:
    """Open the vectors of an index; `auto` compares all, or asks faiss beyond a million.

    Raises:
        ConfigError: The engine's extra is missing.
    """
    if engine == "faiss" or (
        engine == "auto" and index.meta("next_row") > _MANY_ROWS and find_spec("faiss")
    ):
        return FaissStore(index)
    return LanceStore(index, address) if engine == "lance" else ExactStore(index)


def measured_recall(index: Index, store: VectorStore) -> float:
    """Share of the ten nearest that a store finds for 100 vectors of the index."""
    rows = index.windows().row
    asked = rows[np.linspace(0, len(rows) - 1, min(_NUM_ASKED, len(rows))).astype(np.int64)]
    return recall(store, ExactStore(index), store.vectors(asked))


class FaissStore(ExactStore):
    """Inverted lists of faiss (IVF, flat); written beside the index and made anew when it grows."""

    def __init__(self, index: Index) -> None:
        super().__init__(index)
        faiss = _faiss()
        generation, count = index.meta("generation"), index.meta("next_row")
        path = index.folder / f"faiss-{generation}-{count}.bin"
        if path.exists():
            self._lists = faiss.read_index(str(path))
        else:
            self._lists = self._build(faiss, index.settings.width)
            part = path.with_suffix(".part")
            faiss.write_index(self._lists, str(part))
            part.replace(path)
            for old in index.folder.glob("faiss-*.bin"):
                if old != path:
                    old.unlink(missing_ok=True)
        self._faiss = faiss
        self._probed = max(_LEAST_PROBED, round(_PROBED_SHARE * self._lists.nlist))

    def _build(self, faiss: Any, width: int) -> Any:
        rows = np.flatnonzero(self._live)
        num_lists = max(1, round(math.sqrt(len(rows))))
        centres = faiss.IndexFlatIP(width)
        lists = faiss.IndexIVFFlat(centres, width, num_lists, faiss.METRIC_INNER_PRODUCT)
        lists.own_fields = True
        centres.this.disown()
        num_training = min(len(rows), num_lists * _TRAINED_A_LIST)
        chosen = np.linspace(0, len(rows) - 1, num_training).astype(np.int64)
        lists.train(decode_rows(self._stored[rows[chosen]]))
        for at in range(0, len(rows), _CHUNK_ROWS):
            part = rows[at : at + _CHUNK_ROWS]
            lists.add_with_ids(decode_rows(self._stored[part]), part)
        return lists

    def top(
        self, query: Float[np.ndarray, " e"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> tuple[Rows, Scores]:
        mask = self._live if allowed is None else self._live & allowed
        chosen = self._faiss.IDSelectorBitmap(np.packbits(mask, bitorder="little"))
        asked = self._faiss.SearchParametersIVF(sel=chosen, nprobe=self._probed)
        count = min(count, int(mask.sum()))
        vector = np.ascontiguousarray(query, dtype=np.float32)[None]
        scores, rows = self._lists.search(vector, count, params=asked)
        found = rows[0] >= 0
        return best(rows[0][found], scores[0][found], count)


class LanceStore(ExactStore):
    """A table of LanceDB at `address` (default: in the index), filled when the index has grown."""

    def __init__(self, index: Index, address: str | Path | None = None) -> None:
        super().__init__(index)
        lancedb = _lancedb()
        database = lancedb.connect(str(address or index.folder / "lance"))
        name = f"vectors_{index.meta('generation')}_{index.meta('next_row')}"
        if name in database.list_tables().tables:
            self._table = database.open_table(name)
            return
        rows = np.flatnonzero(self._live)
        parts = (
            [
                {"row": int(row), "vector": vector}
                for row, vector in zip(part, decode_rows(self._stored[part]), strict=True)
            ]
            for part in (rows[at : at + _CHUNK_ROWS] for at in range(0, len(rows), _CHUNK_ROWS))
        )
        self._table = database.create_table(name, next(parts))
        for part in parts:
            self._table.add(part)
        for old in database.list_tables().tables:
            if old.startswith("vectors_") and old != name:
                database.drop_table(old)

    def top(
        self, query: Float[np.ndarray, " e"], count: int, allowed: Bool[np.ndarray, " n"] | None
    ) -> tuple[Rows, Scores]:
        mask = self._live if allowed is None else self._live & allowed
        count, total = min(count, int(mask.sum())), int(self._live.sum())
        asked = count
        while True:
            nearest = self._table.search(np.asarray(query, dtype=np.float32)).distance_type("dot")
            found = nearest.select(["row", "_distance"]).limit(asked).to_arrow()
            rows = found["row"].to_numpy()
            rows = rows[mask[rows]]
            if len(rows) >= count or asked >= total:
                return best(rows, self.scores(query, rows), count)
            asked = min(total, asked * 4)


def _faiss() -> Any:
    try:
        import faiss
    except ImportError as error:
        raise ConfigError(
            "--engine faiss needs the extra `ann`: pip install 'internvideo[ann]'"
        ) from error
    return faiss


def _lancedb() -> Any:
    try:
        import lancedb
    except ImportError as error:
        raise ConfigError(
            "--engine lance needs the extra `lance`: pip install 'internvideo[lance]'"
        ) from error
    return lancedb
