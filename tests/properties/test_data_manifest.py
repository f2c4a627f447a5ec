"""Whatever a manifest can hold is read back as it was written."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.data import write_manifest
from internvideo.data.annotations import read_manifest
from internvideo.values import Annotations, Record

# A manifest strips blanks around a field and cannot hold control characters.
words = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zs", "Zl", "Zp")), min_size=1, max_size=8
)
names = words.filter(lambda name: not name.isdecimal() and "/" not in name and name.strip("."))


rows = st.lists(
    st.tuples(
        names, st.none() | st.just(0.5), st.none() | st.floats(1, 1e6), st.none() | words,
        st.none() | words,
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@given(classes=st.sets(names, min_size=1, max_size=4), rows=rows)
@settings(deadline=None, max_examples=60)
def test_reading_a_manifest_undoes_writing_it(classes, rows):
    classes = sorted(classes)[: len(rows)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        records = tuple(
            Record(
                video=folder / f"{video}.mp4",
                start_s=start_s,
                end_s=end_s,
                labels=(number % len(classes),),
                captions=(caption,) if caption else (),
                split=split,
            )
            for number, (video, start_s, end_s, caption, split) in enumerate(rows)
        )
        written = Annotations(records=records, classes=tuple(classes))

        write_manifest(written, folder / "videos.csv")

        assert read_manifest(folder / "videos.csv") == written
