"""Model cards: what is known is said, in the hub's form; what is not is said to be unknown."""

from __future__ import annotations

import pytest
import yaml

from internvideo.hub.card import model_card

KNOWN = {
    "license": "mit",
    "datasets": ["kinetics-400", "WebVid: ten million clips"],
    "metrics": {"top1": 0.8125, "loss": 1.5, "num_evaluated": 64},
    "source": "https://example.org/weights.pth",
    "sha256": "abc",
}
PREPROCESSING = {"num_frames": 16, "side_px": 224, "mean": (0.5, 0.5, 0.5)}


def _card(**more) -> str:
    defaults = {
        "name": "me/walks",
        "kind": "video-classifier",
        "num_parameters": 86_500_000,
        "preprocessing": PREPROCESSING,
    }
    return model_card(**defaults | more)


def _front(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def _section(card: str, title: str) -> str:
    return card.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def test_the_front_matter_is_what_the_hub_reads():
    assert _front(_card(provenance=KNOWN)) == {
        "license": "mit",
        "pipeline_tag": "video-classification",
        "library_name": "internvideo",
        "tags": ["internvideo", "video", "video-classifier"],
        "datasets": ["kinetics-400"],
        "metrics": ["accuracy"],
    }


def test_the_hub_accepts_the_front_matter():
    hub = pytest.importorskip("huggingface_hub", reason="the extra `hub` is not installed")

    data = hub.ModelCard(_card(provenance=KNOWN)).data

    assert data.license == "mit"
    assert data.library_name == "internvideo"


def test_numbers_come_with_how_many_clips_they_were_measured_on():
    numbers = _section(_card(provenance=KNOWN), "Numbers")

    assert "Measured on 64 clips scored." in numbers
    assert "| top1 | 0.8125 |" in numbers
    assert "num_evaluated" not in numbers


def test_everything_of_the_provenance_is_listed():
    source = _section(_card(provenance=KNOWN), "Source")

    assert "- source: https://example.org/weights.pth" in source
    assert "- sha256: abc" in source
    assert "- license: mit" in source


def test_what_is_not_known_is_not_guessed():
    card = _card()

    assert set(_front(card)) == {"pipeline_tag", "library_name", "tags"}
    assert "Not stated" in _section(card, "Training data")
    assert "None were recorded" in _section(card, "Numbers")
    assert "not stated; ask the authors" in _section(card, "Source")


def test_numbers_without_a_count_say_so():
    numbers = _section(_card(provenance={"metrics": {"top1": 0.5}}), "Numbers")

    assert "On how many clips is not stated." in numbers


def test_the_use_of_a_folder_needs_no_hub():
    assert "snapshot_download" in _section(_card(), "How to use it")
    assert "snapshot_download" not in _section(_card(name="walks"), "How to use it")


def test_a_few_of_many_classes_are_named():
    what = _section(_card(classes=[f"class{i}" for i in range(40)]), "What it is")

    assert "40 classes (labels.json): class0, " in what
    assert "class11" not in what
