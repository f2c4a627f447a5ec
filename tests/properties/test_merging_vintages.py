"""However the lists of the vintages overlap, no video is in two parts of the union."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from internvideo.data.class_maps import unite_classes
from internvideo.data.kinetics710 import ListedClip, merge_clips

clips = st.lists(
    st.builds(
        ListedClip,
        vintage=st.sampled_from(["k400", "k600", "k700"]),
        split=st.sampled_from(["train", "val", "test"]),
        youtube_id=st.sampled_from("abcdefghij"),
        row=st.none() | st.integers(0, 3),
        is_missing=st.booleans(),
    ),
    max_size=40,
)
names = st.lists(st.sampled_from("abcdefgh"), unique=True, min_size=1)


@given(clips)
def test_no_video_to_train_on_is_in_any_evaluation_split(listed):
    evaluated = {clip.youtube_id for clip in listed if clip.split != "train"}

    train = {clip.youtube_id for clip in merge_clips(listed).clips if clip.split == "train"}

    assert not train & evaluated


@given(clips)
def test_no_video_is_kept_twice(listed):
    ids = Counter(clip.youtube_id for clip in merge_clips(listed).clips)

    assert set(ids.values()) <= {1}


@given(clips)
def test_every_clip_of_the_lists_is_kept_or_counted_as_dropped(listed):
    merged = merge_clips(listed)

    read = Counter((clip.vintage, clip.split) for clip in listed if clip.split != "test")
    told = Counter((clip.vintage, clip.split) for clip in merged.clips)
    for (vintage, split, _), count in merged.dropped.items():
        told[vintage, split] += count
    assert told == read


@given(clips)
def test_a_video_is_lost_only_to_evaluation_or_for_want_of_label_or_file(listed):
    evaluated = {clip.youtube_id for clip in listed if clip.split != "train"}

    merged = {(clip.split, clip.youtube_id) for clip in merge_clips(listed).clips}

    for clip in listed:
        is_usable = clip.row is not None and not clip.is_missing
        if clip.split == "val" and is_usable:
            assert ("val", clip.youtube_id) in merged
        if clip.split == "train" and is_usable and clip.youtube_id not in evaluated:
            assert ("train", clip.youtube_id) in merged


@given(clips)
def test_the_earliest_usable_clip_of_a_video_is_the_one_kept(listed):
    for kept in merge_clips(listed).clips:
        first = next(
            clip
            for clip in listed
            if (clip.split, clip.youtube_id) == (kept.split, kept.youtube_id)
            and clip.row is not None
            and not clip.is_missing
        )
        assert kept is first


@given(names, names, names)
@settings(max_examples=50)
def test_every_class_is_mapped_to_the_row_of_its_name(first, second, third):
    classes = {"k400": first, "k600": second, "k700": third}

    maps = unite_classes(classes, renamed={"a": "h"} if not _clash(classes) else {})

    for vintage, found in classes.items():
        named = [maps.names[row] for row in maps.rows[vintage]]
        assert named == (found if _clash(classes) else ["h" if n == "a" else n for n in found])
    assert len(set(maps.names)) == len(maps.names) == maps.num_rows


def _clash(classes):
    return any({"a", "h"} <= set(found) for found in classes.values())
