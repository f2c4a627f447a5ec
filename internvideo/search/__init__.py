"""Search: a folder of videos becomes an index, and questions become moments.

    with Index("videos.internvideo") as index:
        searcher = Searcher(index, lambda: open_search_model(index.settings.model))
        answer = searcher.search(Query(text="a dog jumps into water"))

`Index` is the folder with facts and vectors, `update_index` keeps it in step with the videos.
"""

from internvideo.search.approximate import (
    Engine,
    FaissStore,
    LanceStore,
    measured_recall,
    open_store,
)
from internvideo.search.clips import CutClip, cut_clip
from internvideo.search.embedding import Advance
from internvideo.search.facts import IndexedVideo, IndexSettings, Name, NewVideo, WindowTable
from internvideo.search.index import SUFFIX, Index
from internvideo.search.indexing import Update, pending_units, update_index
from internvideo.search.model import EncoderSearch, SearchModel, open_search_model
from internvideo.search.prepared import PrepareWork
from internvideo.search.proposal import Proposal, propose
from internvideo.search.query import Answer, Filters, Moment, Query, moment_id, parse_moment
from internvideo.search.runtime import Runtime, choose_runtime
from internvideo.search.searcher import Searcher, Timeline
from internvideo.search.sheet import check_sheet, write_sheet
from internvideo.search.stores import ExactStore, VectorStore, recall
from internvideo.search.tracks import add_track, label_windows, namer, read_labels
from internvideo.search.vectors import VectorType
from internvideo.search.windows import Frames, WindowPlan, cut_video

__all__ = [
    "add_track",
    "check_sheet",
    "choose_runtime",
    "cut_clip",
    "CutClip",
    "Engine",
    "FaissStore",
    "label_windows",
    "LanceStore",
    "measured_recall",
    "namer",
    "open_store",
    "pending_units",
    "PrepareWork",
    "propose",
    "Proposal",
    "read_labels",
    "Runtime",
    "write_sheet",
    "Advance",
    "Answer",
    "EncoderSearch",
    "ExactStore",
    "Filters",
    "Frames",
    "Index",
    "IndexSettings",
    "IndexedVideo",
    "Moment",
    "Name",
    "NewVideo",
    "Query",
    "SUFFIX",
    "SearchModel",
    "Searcher",
    "Timeline",
    "Update",
    "VectorStore",
    "VectorType",
    "WindowPlan",
    "WindowTable",
    "cut_video",
    "moment_id",
    "open_search_model",
    "parse_moment",
    "recall",
    "update_index",
]
