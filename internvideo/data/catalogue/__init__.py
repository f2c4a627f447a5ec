"""The data sets of InternVideo: what each is, how it is checked and run, what was published.

The paper counts 39: the rows of its ten tasks, open-set recognition being one, are 34, and Ego4D
has five tracks. A data set under two protocols (MSR-VTT fine-tuned and zero-shot) is two rows.
"""

from __future__ import annotations

from internvideo.data.catalogue.entry import (
    STATES,
    AnnotationFile,
    DataSet,
    Evidence,
    Published,
    Split,
    State,
)
from internvideo.data.catalogue.localization import SPATIOTEMPORAL, TEMPORAL
from internvideo.data.catalogue.others import EGO4D, NAVIGATION, PRETRAINING
from internvideo.data.catalogue.recognition import RECOGNITION
from internvideo.data.catalogue.video_text import (
    CHOICES,
    QUESTIONS,
    RETRIEVAL,
    ZERO_SHOT_RETRIEVAL,
)
from internvideo.errors import unknown_name

_BENCHMARKS = (
    *RECOGNITION,
    *TEMPORAL,
    *SPATIOTEMPORAL,
    *RETRIEVAL,
    *ZERO_SHOT_RETRIEVAL,
    *QUESTIONS,
    *CHOICES,
    *NAVIGATION,
    *EGO4D,
)

BENCHMARKS: dict[str, DataSet] = {entry.name: entry for entry in _BENCHMARKS}
CORPORA: dict[str, DataSet] = {entry.name: entry for entry in PRETRAINING}


def data_set(name: str) -> DataSet:
    """The row of this name; an unknown one is answered with the nearest known one."""
    known = {**BENCHMARKS, **CORPORA}
    if name not in known:
        raise unknown_name("data set", name, known)
    return known[name]


__all__ = [
    "BENCHMARKS",
    "CORPORA",
    "STATES",
    "AnnotationFile",
    "DataSet",
    "Evidence",
    "Published",
    "Split",
    "State",
    "data_set",
]
