"""`internvideo evaluate moment-retrieval`: moments found by a sentence, in data of two kinds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from internvideo.errors import ConfigError

if TYPE_CHECKING:
    from internvideo.search.qvhighlights import MomentPrediction, MomentQuery

NAME = "moment-retrieval"
ABOUT = "Score moments as QVHighlights and Ego4D do: predictions in a file, or those of an index."


@dataclass(frozen=True, kw_only=True)
class EvaluateMoments:
    """Score moments as QVHighlights and Ego4D do: predictions in a file, or those of an index.

    Example: internvideo evaluate moment-retrieval --data highlight_val_release.jsonl --predictions
    predictions.jsonl
    """

    data: Path
    """Annotations, as --format says."""
    format: Literal["qvhighlights", "ego4d-queries"] = "qvhighlights"
    """One JSON object a line, as QVHighlights has them, or an nlq_val.json of Ego4D."""
    predictions: Path | None = None
    """Predictions in the format of QVHighlights; a query of Ego4D is known by its place, from 0."""
    index: Path | None = None
    """An index whose videos are named as the annotations name them, to search instead."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    json: bool = False
    """Print one JSON object."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.search.qvhighlights import (
            read_ego4d,
            read_predictions,
            read_queries,
            score_moments,
        )

        if (self.predictions is None) == (self.index is None):
            raise ConfigError("what is to be scored? give either --predictions or --index")
        read = read_queries if self.format == "qvhighlights" else read_ego4d
        queries = read(self.data)
        missing: list[str] = []
        if self.predictions is not None:
            found = read_predictions(self.predictions)
        else:
            found, missing = self._searched(queries)
        scores = score_moments(queries, found)
        counts = {"num_queries": len(queries), "num_videos_missing": len(missing)}
        if self.json:
            print_json({**scores, **counts, "missing": missing})
            return 0
        for name, value in {**scores, **counts}.items():
            print(f"{name:<24} {value:.4f}" if isinstance(value, float) else f"{name:<24} {value}")
        return 0

    def _searched(
        self, queries: tuple[MomentQuery, ...]
    ) -> tuple[dict[int | str, MomentPrediction], list[str]]:
        from internvideo.cli.terminal import progress
        from internvideo.search import Index, Searcher, open_search_model
        from internvideo.search.qvhighlights import predict_moments

        assert self.index is not None
        with Index(self.index) as index, progress("searching") as tell:
            searcher = Searcher(
                index, lambda: open_search_model(index.settings.model, device=self.device)
            )
            found, missing = predict_moments(searcher, queries, progress=tell)
        if len(missing) == len({query.video for query in queries}):
            raise ConfigError(
                f"{self.index}: has none of the videos of {self.data}; files have to be named as "
                f"they are there, such as {missing[0]}.mp4"
            )
        return found, missing
