"""A player with moments: a video, its timeline, and a picture of each moment that jumps to it.

The video stays where it is and is only referred to; timeline and pictures are in the page.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from internvideo.report.plots import Svg

# Whatever has `data-at` inside a player (bars of the timeline, pictures) jumps to that second.
SCRIPT = """
document.addEventListener("click", event => {
  const spot = event.target.closest("[data-at]"), home = spot && spot.closest(".player");
  if (!home) return;
  const video = home.querySelector("video");
  video.currentTime = Number(spot.dataset.at);
  video.play().catch(() => {});
  video.scrollIntoView({behavior: "smooth", block: "nearest"});
});
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """A span of a video to show: a picture of it, a name, and a line below the name."""

    start_s: float
    picture: bytes
    name: str
    detail: str


def player(video: Path, chart: Svg, moments: Sequence[Excerpt], *, caption: str = "") -> str:
    """Give the HTML of a player; `Page.player` adds it to a page."""
    cards = "".join(_card(moment) for moment in moments)
    below = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    address = escape(video.absolute().as_uri())
    return (
        f'<div class="player"><video controls muted playsinline preload="metadata" '
        f'src="{address}"></video><figure>{chart}{below}</figure>'
        f'<div class="moments">{cards}</div></div>'
    )


def _card(moment: Excerpt) -> str:
    picture = base64.b64encode(moment.picture).decode("ascii")
    return (
        f'<button type="button" data-at="{moment.start_s:.2f}">'
        f'<img alt="" src="data:image/jpeg;base64,{picture}">'
        f"<b>{escape(moment.name)}</b><span>{escape(moment.detail)}</span></button>"
    )
