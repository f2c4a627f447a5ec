from __future__ import annotations

import base64
import re
from html.parser import HTMLParser

import pytest

from internvideo.report import Page, Series, line_chart

VOID = {"meta", "link", "img", "br", "hr"}


class _Tags(HTMLParser):
    """Collects tags with their attributes and checks that each is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def named(self, name):
        return [attrs for tag, attrs in self.tags if tag == name]


def _full_page(word: str = "plain") -> Page:
    page = Page(word, subtitle=word)
    page.headline({word: word})
    for i in range(4):
        page.section(f"{word} {i}")
    page.text(f"{word}\n\n{word}")
    page.warning(word)
    page.facts({word: word})
    page.table([word, "n"], [[word, 1], [word, 2.5]])
    page.chart(line_chart([Series(name=word, x=[0], y=[1])], title=word), caption=word)
    page.charts([line_chart([], title=word)])
    page.picture(b"png", alt=word, caption=word, width_px=700)
    page.video(b"mp4", caption=word)
    page.log(word)
    page.raw(word, {word: word})
    return page


def test_a_page_is_well_formed():
    assert _Tags(_full_page().html()).tags


def test_whatever_comes_from_outside_is_escaped():
    hostile = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>&amp;"
    tags = _Tags(_full_page(hostile).html())

    assert not tags.named("script")
    assert [image.get("onerror") for image in tags.named("img")] == [None]
    assert tags.text.count(hostile) >= 12


def test_a_page_fetches_nothing():
    html = _full_page().html()
    addresses = re.findall(r'(?:src|href)="([^"]*)"', html)

    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)
    assert "url(" not in html
    assert "@import" not in html


def test_pictures_and_videos_are_inside_the_page():
    tags = _Tags(_full_page().html())
    picture, video = tags.named("img")[0], tags.named("video")[0]

    assert base64.b64decode(picture["src"].removeprefix("data:image/png;base64,")) == b"png"
    assert base64.b64decode(video["src"].removeprefix("data:video/mp4;base64,")) == b"mp4"
    assert {"controls", "loop", "muted"} <= video.keys()


@pytest.mark.parametrize(("sections", "is_listed"), [(3, False), (4, True)])
def test_a_page_of_many_sections_opens_with_their_list(sections, is_listed):
    page = Page("a run")
    for i in range(sections):
        page.section(f"part {i}")
    tags = _Tags(page.html())

    links = [link["href"] for link in tags.named("a")]
    assert links == ([f"#s{i}" for i in range(1, sections + 1)] if is_listed else [])
    assert [heading["id"] for heading in tags.named("h2")] == [f"s{i + 1}" for i in range(sections)]


def test_columns_of_numbers_stand_to_the_right():
    page = Page("a run")
    page.table(["name", "n"], [["a", 1], ["b", 2]])

    classes = [cell["class"] for cell in _Tags(page.html()).named("td")]
    assert classes == ["word", "number", "word", "number"]


def test_the_page_replaces_the_one_before_at_once(tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    page = Page("new")

    page.write(path)

    assert "<title>new</title>" in path.read_text(encoding="utf-8")
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_file_name_that_is_no_utf8_does_not_cost_the_page(tmp_path):
    page = Page("a run")
    page.text(b"clip\xff.mp4".decode("utf-8", errors="surrogateescape"))

    page.write(tmp_path / "report.html")

    assert r"clip\udcff.mp4" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_links_keep_odd_names_from_becoming_html_or_another_address():
    page = Page("Links")
    page.links({"A <b>": "a run#1/report.html"})

    tags = _Tags(page.html())
    assert {"href": "a%20run%231/report.html"} in tags.named("a")
    assert not tags.named("b") and "A <b>" in tags.text
