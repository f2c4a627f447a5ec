"""Protocols of text-video retrieval: what is trained on, chosen on, and tested on once.

Source: the loaders of Video-Text-Retrieval in the InternVideo release. Its checkpoints are chosen
on the test videos; here on videos held back from training, or on the validation split of sets that
have one. Counts are those of the published files.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from internvideo.data import VideoData
from internvideo.errors import unknown_name


@dataclass(frozen=True, kw_only=True, slots=True)
class RetrievalProtocol:
    """Which files and splits, and how many sentences a video has.

    `choose_split` None means a share of the videos to train on. `num_sentences` are those of the
    videos to train on, `num_test_sentences` those of the test videos.
    """

    name: str
    about: str
    format: str
    num_train: int
    num_sentences: int
    num_test: int
    num_test_sentences: int
    test_split: str = "test"
    choose_split: str | None = None
    options: dict[str, str | int] = field(default_factory=dict)

    def data(self, source: str = ".", **fields: object) -> VideoData:
        """Its files as the data of a run; `fields` are further ones of `VideoData`."""
        return VideoData(
            source=source,
            format=self.format,
            options=dict(self.options),
            eval_split=self.choose_split or "chosen-on",
            **fields,  # pyrefly: ignore[bad-argument-type]
        )


_TABLE = (
    RetrievalProtocol(
        name="msrvtt-9k-1ka",
        about="9,000 videos with 20 sentences each; 1,000 test videos with the one of JSFUSION",
        format="msr-vtt",
        num_train=9_000,
        num_sentences=180_000,
        num_test=1_000,
        num_test_sentences=1_000,
    ),
    RetrievalProtocol(
        name="msrvtt-7k",
        about="the official 6,513 + 497 videos; the same 1,000 test videos",
        format="msr-vtt",
        options={"train": "7k"},
        num_train=7_010,
        num_sentences=140_200,
        num_test=1_000,
        num_test_sentences=1_000,
    ),
    RetrievalProtocol(
        name="msvd",
        about="about 40 sentences a video, all of them queries: a rank each, a video by its best",
        format="msvd",
        choose_split="val",
        num_train=1_200,
        num_sentences=48_774,
        num_test=670,
        num_test_sentences=27_763,
    ),
    RetrievalProtocol(
        name="lsmdc",
        about="one sentence a clip; the 1,000 public test clips of the challenge",
        format="lsmdc",
        choose_split="val",
        num_train=101_079,
        num_sentences=101_079,
        num_test=1_000,
        num_test_sentences=1_000,
    ),
    RetrievalProtocol(
        name="didemo-paragraph",
        about="all descriptions of a video are one paragraph",
        format="didemo",
        choose_split="val",
        num_train=8_395,
        num_sentences=8_395,
        num_test=1_004,
        num_test_sentences=1_004,
    ),
    RetrievalProtocol(
        name="activitynet-val1",
        about="all sentences of a video are one paragraph; tested on val_1 (val_2 has its videos)",
        format="activitynet-captions",
        test_split="val",
        num_train=10_009,
        num_sentences=10_009,
        num_test=4_917,
        num_test_sentences=4_917,
    ),
    RetrievalProtocol(
        name="vatex",
        about="ten English sentences a video; tested on the listed half of the validation videos",
        format="vatex",
        num_train=25_991,
        num_sentences=259_910,
        num_test=1_500,
        num_test_sentences=15_000,
    ),
)
PROTOCOLS: dict[str, RetrievalProtocol] = {one.name: one for one in _TABLE}


def protocol(name: str) -> RetrievalProtocol:
    """A protocol by its name; an unknown one is answered with the nearest known."""
    if name not in PROTOCOLS:
        raise unknown_name("retrieval protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
