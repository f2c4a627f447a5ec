"""Zero-shot retrieval, with its page."""

from internvideo.tasks.retrieval.result import RetrievalResult
from internvideo.tasks.retrieval.task import FoundVideos, Retrieval, RetrievalRequest

__all__ = ["FoundVideos", "Retrieval", "RetrievalRequest", "RetrievalResult"]
