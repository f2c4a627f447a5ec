"""Retrieval: protocols, fine-tuning, evaluation, search, and its page."""

from internvideo.tasks.retrieval.protocols import PROTOCOLS, RetrievalProtocol, protocol
from internvideo.tasks.retrieval.result import RetrievalResult
from internvideo.tasks.retrieval.task import (
    FoundVideos,
    Retrieval,
    RetrievalData,
    RetrievalRequest,
)
from internvideo.tasks.retrieval.training import RetrievalTraining

__all__ = [
    "PROTOCOLS",
    "FoundVideos",
    "Retrieval",
    "RetrievalData",
    "RetrievalProtocol",
    "RetrievalRequest",
    "RetrievalResult",
    "RetrievalTraining",
    "protocol",
]
