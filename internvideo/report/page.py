"""One HTML file that holds all it shows: words, numbers, tables, charts, pictures, videos.

Nothing is fetched when it is opened, so it can be mailed, kept and read years later. Whatever
comes from outside is escaped; only `Svg`, which our own charts make, is taken as it is.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from internvideo.reading import why_no_file
from internvideo.report.player import SCRIPT, Excerpt, player
from internvideo.report.plots import Svg
from internvideo.report.theme import STYLE
from internvideo.writing import replace_text

_MANY_SECTIONS = 3
# Tells pages of ours from files of others, which are not replaced.
_MARK = '<meta name="generator" content="internvideo">'


class Page:
    """A page in the making; what is added appears in that order.

    >>> page = Page("A run")
    >>> page.section("Results")
    >>> page.facts({"top-1": "0.71"})
    >>> "<h2 id" in page.html()
    True
    """

    def __init__(self, title: str, *, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self._parts: list[str] = []
        self._sections: list[str] = []
        self._script = ""

    def section(self, title: str) -> None:
        """Begin a section; above three of them the page opens with a list."""
        self._sections.append(title)
        self._parts.append(f'<h2 id="s{len(self._sections)}">{escape(title)}</h2>')

    def text(self, text: str) -> None:
        """Add paragraphs; an empty line separates them."""
        self._parts += [f"<p>{escape(part)}</p>" for part in text.split("\n\n") if part.strip()]

    def warning(self, text: str) -> None:
        self._parts.append(f'<div class="warning" role="note">{escape(text)}</div>')

    def headline(self, numbers: Mapping[str, str]) -> None:
        """Add a row of tiles, a large number above its name."""
        tiles = "".join(
            f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
            for name, value in numbers.items()
        )
        self._parts.append(f'<div class="tiles">{tiles}</div>')

    def facts(self, facts: Mapping[str, object]) -> None:
        """Add a table of names and values."""
        rows = "".join(
            f"<tr><th>{escape(str(name))}</th><td>{escape(str(value))}</td></tr>"
            for name, value in facts.items()
        )
        self._parts.append(f'<div class="scroll"><table class="facts">{rows}</table></div>')

    def links(self, links: Mapping[str, str]) -> None:
        """Add a list of links, from their words to addresses relative to the page."""
        items = "".join(
            f'<li><a href="{escape(quote(address))}">{escape(words)}</a></li>'
            for words, address in links.items()
        )
        self._parts.append(f"<ul>{items}</ul>")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Add a table; columns that hold only numbers stand to the right."""
        rows = [list(row) for row in rows]
        numeric = [
            bool(rows) and all(isinstance(row[i], int | float) for row in rows)
            for i in range(len(header))
        ]
        lines = [_row("th", header, numeric), *(_row("td", row, numeric) for row in rows)]
        table = f'<table class="rows">{"".join(lines)}</table>'
        self._parts.append(f'<div class="scroll">{table}</div>')

    def charts(self, charts: Sequence[Svg]) -> None:
        """Add charts side by side, below each other where the page is narrow."""
        figures = "".join(f"<figure>{chart}</figure>" for chart in charts)
        self._parts.append(f'<div class="figures">{figures}</div>')

    def chart(self, chart: Svg, *, caption: str = "") -> None:
        self._figure(chart, caption)

    def picture(self, png: bytes, *, alt: str, caption: str = "", width_px: int = 0) -> None:
        """Add a picture; one that would become narrower than `width_px` scrolls instead."""
        narrow = f' style="min-width:{width_px}px"' if width_px else ""
        image = f'<img alt="{escape(alt)}" src="{_inline("image/png", png)}"{narrow}>'
        self._figure(f'<div class="scroll">{image}</div>', caption)

    def video(self, mp4: bytes, *, caption: str = "") -> None:
        """Add a video that plays by itself, silently and over and over."""
        source = _inline("video/mp4", mp4)
        self._figure(
            f'<video controls loop muted autoplay playsinline src="{source}"></video>', caption
        )

    def player(self, video: Path, chart: Svg, moments: Sequence[Excerpt]) -> None:
        """Add a video with its timeline and pictures, a click on which jumps to their moment.

        The page refers to the file of the video, which stays where it is.
        """
        self._parts.append(player(video, chart, moments))
        self._script = SCRIPT

    def log(self, text: str) -> None:
        """Add text as a machine wrote it."""
        self._parts.append(f"<pre>{escape(text)}</pre>")

    def raw(self, title: str, value: Any) -> None:
        """Add a value as JSON, folded away under its title."""
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        folded = f"<summary>{escape(title)}</summary><pre>{escape(text)}</pre>"
        self._parts.append(f"<details>{folded}</details>")

    def html(self) -> str:
        """Return the whole page as it stands."""
        links = "".join(
            f'<a href="#s{i}">{escape(name)}</a>' for i, name in enumerate(self._sections, 1)
        )
        contents = f"<nav>{links}</nav>" if len(self._sections) > _MANY_SECTIONS else ""
        subtitle = f'<p class="soft">{escape(self.subtitle)}</p>' if self.subtitle else ""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'{_MARK}<meta name="viewport" content="width=device-width, initial-scale=1">'
            '<link rel="icon" href="data:,">'
            f"<title>{escape(self.title)}</title><style>{STYLE}</style></head>\n"
            f"<body><main><header><h1>{escape(self.title)}</h1>{subtitle}{contents}</header>\n"
            + "\n".join(self._parts)
            + "\n</main>"
            + (f"<script>{self._script}</script>" if self._script else "")
            + "</body></html>\n"
        )

    def write(self, path: Path) -> None:
        """Write the page beside and rename it, so that a reader never finds half of it."""
        replace_text(path, self.html())

    def _figure(self, content: str, caption: str) -> None:
        below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
        self._parts.append(f"<figure>{content}{below}</figure>")


def is_page(path: Path) -> bool:
    """Whether a file is a page that this module wrote."""
    if why_no_file(path) is not None:
        return False
    try:
        with path.open("rb") as file:
            return _MARK.encode() in file.read(400)
    except OSError:
        return False


def _row(tag: str, values: Sequence[object], numeric: Sequence[bool]) -> str:
    kinds = ["number" if right else "word" for right in numeric]
    cells = "".join(
        f'<{tag} class="{kind}">{escape(str(value))}</{tag}>'
        for value, kind in zip(values, kinds, strict=True)
    )
    return f"<tr>{cells}</tr>"


def _inline(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
