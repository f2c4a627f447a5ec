"""Every documented command parses, and names recipes, fields and formats that exist."""

from __future__ import annotations

import pytest

from internvideo.data import ANNOTATIONS
from internvideo.recipes import RECIPES, recipe
from internvideo.runs import override
from tests.end_to_end.documented import arguments, documented, parse

COMMANDS = list(documented("guides", "reference", "explanation"))


def test_commands_are_found():
    documents = {command.document for command in COMMANDS}

    assert {"README.md", "docs/guides/pretraining.md", "docs/reference/tasks.md"} <= documents
    assert any("--resume" in command.words for command in COMMANDS)
    assert any(command.words[0] == "torchrun" for command in COMMANDS)
    # Continued lines are one command.
    assert any({"evaluate", "--root"} <= set(command.words) for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_a_documented_command_parses(command, monkeypatch, tmp_path):
    (tmp_path / "videos").mkdir()
    generated = tmp_path / "runs" / "actors" / "videos"
    generated.mkdir(parents=True)
    for video in (tmp_path / "clip.mp4", generated / "a000016.mp4"):
        video.touch()  # a request about a video that is not there is refused
    monkeypatch.chdir(tmp_path)

    parsed = parse(arguments(command), monkeypatch)

    name = str(getattr(parsed, "recipe", ""))
    if name and not name.endswith(".toml"):
        assert name in RECIPES
        override(recipe(name), parsed.set)
    if hasattr(parsed, "data") and hasattr(parsed, "format"):
        assert parsed.format in ANNOTATIONS


def test_a_command_that_does_not_parse_is_found(monkeypatch):
    with pytest.raises(AssertionError, match="ends with status 2"):
        parse(["train", "mae_tiny_videos", "--no-such-option"], monkeypatch)
