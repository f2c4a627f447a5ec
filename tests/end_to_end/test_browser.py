"""The page of an index in a real Chromium: search, preview, play, more like this, save, upload."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.search.toys import COLOURS, ColourModel
from tests.unit.web.conftest import make_index

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("served")


@pytest.fixture(scope="module")
def address(served: Path) -> Iterator[str]:
    uvicorn = pytest.importorskip("uvicorn")
    from internvideo.web import Access, IndexService, create_app

    folder = make_index(served)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    service = IndexService(folder, lambda name: ColourModel(name=name))
    app = create_app(service, Access(port=port))
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(20)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed (Debian package `chromium`)")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page, and all that it asked for and complained about."""

    def __init__(self, browser: Any, address: str, width: int, height: int) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": height})
        self.page = self.context.new_page()
        self.page.set_default_timeout(120_000)
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.goto(address)

    def search(self, text: str) -> None:
        self.page.fill("#text", text)
        self.page.press("#text", "Enter")
        self.page.wait_for_function(
            "words => document.getElementById('status').textContent.startsWith(words)",
            arg=f"“{text}”",
        )


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Visit]:
    made = Visit(browser, address, 1300, 900)
    yield made
    assert made.errors == []
    assert all(url.startswith((address, "blob:", "data:")) for url in made.asked)
    made.context.close()


def _time(visit: Visit) -> float:
    return visit.page.evaluate("document.getElementById('video').currentTime")


def test_search_preview_play_and_loop(visit: Visit) -> None:
    page = visit.page
    visit.search("red")
    card = page.locator("#moments button").first
    assert "red in the middle.mp4" in card.inner_text()
    card.hover()
    page.wait_for_selector("#moments .picture video")
    card.click()
    page.wait_for_function("() => document.getElementById('video').currentTime > 4.5")
    start = page.evaluate("document.getElementById('video').currentTime")
    assert 4.5 < start < 11
    # At the end it goes back to the start of the moment.
    page.evaluate("document.getElementById('video').currentTime = 12")
    page.wait_for_function("() => document.getElementById('video').currentTime < 11")
    assert _time(visit) > 4.5
    page.click("#timeline", position={"x": 5, "y": 20})
    page.wait_for_function("() => document.getElementById('video').currentTime < 3")
    page.keyboard.press("Escape")
    assert not page.evaluate("document.getElementById('player').open")


def test_more_like_this_and_saving(visit: Visit, tmp_path: Path) -> None:
    page = visit.page
    visit.search("blue")
    page.keyboard.press("Tab")
    page.locator("#moments button").first.click()
    with page.expect_download() as download:
        page.click("#save")
    saved = tmp_path / "moment.mp4"
    download.value.save_as(saved)
    assert b"ftyp" in saved.read_bytes()[:16]
    page.click("#like")
    page.wait_for_function(
        "() => document.getElementById('status').textContent.startsWith('like ')"
    )
    assert page.locator("#moments button").count() >= 1


def test_filters_unsure_and_nothing(visit: Visit) -> None:
    page = visit.page
    page.click("summary")
    page.select_option("#folder", "sub")
    visit.search("red")
    assert "nothing is sure enough" in page.inner_text("#status")
    page.fill("#longer", "1000")
    visit.search("a red thing")
    assert "nothing found" in page.inner_text("#status")


def test_a_picture_is_a_question(visit: Visit, tmp_path: Path) -> None:
    from PIL import Image

    page = visit.page
    path = tmp_path / "blue.png"
    Image.new("RGB", (64, 48), COLOURS["blue"]).save(path)
    page.set_input_files("#upload", path)
    page.wait_for_selector("#moments button")
    assert "sub/blue.mp4" in page.locator("#moments button").first.inner_text()
    (tmp_path / "text.png").write_text("no picture")
    page.set_input_files("#upload", tmp_path / "text.png")
    page.wait_for_selector("#status.error")
    assert "cannot be read" in page.inner_text("#status") or "no picture" in page.inner_text(
        "#status"
    )


def test_names_are_text_and_not_markup(visit: Visit) -> None:
    visit.search("green")
    assert "<img src=x" in visit.page.locator("#moments button").first.inner_text()
    assert visit.page.locator("#moments img[src=x]").count() == 0


def test_a_phone_shows_it_all(browser: Any, address: str) -> None:
    visit = Visit(browser, address, 390, 800)
    visit.search("red")
    wide = visit.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
    visit.page.locator("#moments button").first.click()
    visit.page.wait_for_function("() => document.getElementById('video').currentTime > 4.5")
    box = visit.page.locator("#player").bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    assert visit.errors == []
    visit.context.close()


def test_a_video_damaged_since_says_so(visit: Visit, served: Path) -> None:
    (served / "videos/sub/blue.mp4").write_bytes(b"no video any more")
    visit.search("blue")
    visit.page.locator("#moments button").first.click()
    visit.page.wait_for_function("() => document.getElementById('trouble').textContent")
    assert "cannot be played here" in visit.page.inner_text("#trouble")
    visit.page.keyboard.press("Escape")
    visit.search("red")
    assert visit.page.locator("#moments button").count() > 0
