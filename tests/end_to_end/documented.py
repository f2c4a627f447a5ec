"""Commands of the documents: found in code blocks, parsed without being run."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from internvideo import cli

ROOT = Path(__file__).parents[2]
# A fenced block (group 2), or a paragraph indented by four spaces (group 3).
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```|^\n((?:    .*\n)+)", re.MULTILINE | re.DOTALL)
SHELL = {"", "bash", "sh", "console"}
COMMAND = re.compile(r"\s*(?:internvideo|torchrun .*-m internvideo) ")


@dataclass(frozen=True)
class Documented:
    """One command line and the document that shows it."""

    document: str
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.document}: {' '.join(self.words)}"


class Parsed(BaseException):
    """Carries a command out of `main` before it runs."""

    def __init__(self, command: Any) -> None:
        super().__init__()
        self.command = command


def documented(*folders: str) -> Iterator[Documented]:
    """Commands of the README and of these folders of documents, in the order of reading.

    Schemes of a command, with optional parts in brackets, and abbreviated ones are left out.
    """
    paths = [ROOT / "README.md"]
    for folder in folders:
        paths += sorted((ROOT / "docs" / folder).glob("*.md"))
    for path in paths:
        seen = set()
        for language, fenced, indented in BLOCK.findall(path.read_text()):
            if language not in SHELL:
                continue
            for line in (fenced or indented).replace("\\\n", " ").splitlines():
                if not COMMAND.match(line):
                    continue
                words = tuple(shlex.split(line, comments=True))
                scheme = any(word.startswith("[") or word == "..." for word in words)
                if not scheme and words not in seen:
                    seen.add(words)
                    yield Documented(path.relative_to(ROOT).as_posix(), words)


def arguments(command: Documented) -> list[str]:
    """What comes behind the name of the program, also where torchrun starts it."""
    return list(command.words[command.words.index("internvideo") + 1 :])


def parse(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """What `main` would run, whatever it does with the words before they reach the parser."""
    parser = cli.tyro.cli

    def parse_only(*args: Any, **kwargs: Any) -> None:
        raise Parsed(parser(*args, **kwargs))

    monkeypatch.setattr(cli.tyro, "cli", parse_only)
    try:
        status = cli.main(words)
    except Parsed as parsed:
        return parsed.command
    finally:
        monkeypatch.setattr(cli.tyro, "cli", parser)
    raise AssertionError(f"internvideo {shlex.join(words)} ends with status {status}")
