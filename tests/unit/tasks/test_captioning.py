from __future__ import annotations

import re
from dataclasses import replace

import pytest

from internvideo.errors import ConfigError
from internvideo.report import Page
from internvideo.tasks import Captioning, VideoRequest, slot_accuracy
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
    answer = Captioning().predict(Eye(), VideoRequest(video=level_videos[4]))

    assert answer.lines() == ["a video of level 4"]
    assert answer.to_json() == {"caption": "a video of level 4"}


def test_a_page_has_captions_beside_their_references_and_what_failed(with_broken):
    records = tuple(replace(r, captions=("<level>", "level", "level")) for r in with_broken.records)
    page = Page("t")

    Captioning().evaluate(Eye(), Annotations(records=records)).add_to(page, num_videos=2)

    html = page.html()
    assert "“a video of level 0”" in html
    assert "References: &lt;level&gt; · level<" in html
    assert "broken.mp4 could not be decoded; references: &lt;level&gt; · level" in html


def test_beams_reach_the_model(levels):
    class Searcher(Eye):
        def caption(self, frames, *, num_beams=1):
            return [f"{num_beams} beams"] * len(frames)

    result = Captioning(num_beams=3).evaluate(Searcher(), levels)

    assert set(result.captions) == {"3 beams"}


def test_no_beams_at_all_are_refused():
    with pytest.raises(ConfigError, match="num_beams is 0, expected 1 or more"):
        Captioning(num_beams=0)


def test_a_fact_is_the_first_that_a_reference_tells():
    captions = ["level 1", "level 2", "nothing"]
    references = [["no level", "level 1"], ["level 1", "level 2"], ["level 3"]]

    assert slot_accuracy(captions, references, level_of) == {"level": pytest.approx(1 / 3)}
