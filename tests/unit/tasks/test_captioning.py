from __future__ import annotations

import re
from dataclasses import replace

import pytest

from internvideo.errors import ConfigError
from internvideo.tasks import Captioning, slot_accuracy
from internvideo.values import Annotations
from tests.unit.tasks.toys import Eye


def level_of(sentence):
    found = re.findall(r"level (\d)", sentence)
    return {"level": found[0] if found else None, "sound": None}


def test_what_a_caption_says_is_compared_fact_by_fact(levels):
    result = Captioning().evaluate(Eye(), levels, slots=level_of)

    assert result.captions[2] == "a video of level 2"
    assert result.scores["slot/level"] == 1
    assert "slot/sound" not in result.scores


def test_a_video_that_cannot_be_decoded_has_no_caption_and_nothing_right(with_broken):
    result = Captioning().evaluate(Eye(), with_broken, slots=level_of)

    assert result.captions[5] is None
    assert result.scores["slot/level"] == pytest.approx(5 / 6)
    assert (result.num_evaluated, result.num_total) == (5, 6)


def test_the_captions_of_all_records_of_a_video_are_its_references(levels):
    again = tuple(replace(r, captions=("a video of " + r.captions[0],)) for r in levels.records)

    result = Captioning().evaluate(Eye(), Annotations(records=(*levels.records, *again)))

    assert result.references[1] == ("level 1", "a video of level 1")
    assert result.scores["bleu4"] == pytest.approx(1)


def test_a_video_without_references_is_named(levels):
    records = (replace(levels.records[0], captions=()),)

    with pytest.raises(ConfigError, match=r"level 0.mp4: has no caption to compare with"):
        Captioning().evaluate(Eye(), Annotations(records=records))


def test_a_video_is_described(level_videos):
    assert Captioning().predict(Eye(), level_videos[4]) == "a video of level 4"


def test_a_fact_is_the_first_that_a_reference_tells():
    captions = ["level 1", "level 2", "nothing"]
    references = [["no level", "level 1"], ["level 1", "level 2"], ["level 3"]]

    assert slot_accuracy(captions, references, level_of) == {"level": pytest.approx(1 / 3)}
