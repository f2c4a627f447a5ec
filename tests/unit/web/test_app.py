"""What a served index answers, and what it refuses."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from internvideo.errors import ConfigError
from internvideo.web import Access, IndexService, create_app, uploads
from tests.unit.search.toys import COLOURS, ColourModel, colour_video


def _search(client: TestClient, **asked: object) -> dict:
    response = client.post("/api/search", json=asked)
    assert response.status_code == 200, response.text
    return response.json()


def _picture(colour: tuple[int, int, int]) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(data, "PNG")
    return data.getvalue()


def test_words_find_the_moment_and_its_video(client: TestClient) -> None:
    found = _search(client, text="something red")["moments"][0]
    assert found["path"] == "red in the middle.mp4"
    assert found["start_s"] == pytest.approx(6, abs=1.1)
    assert found["end_s"] == pytest.approx(10, abs=1.1)
    assert client.get(f"/api/thumbnails/{found['row']}").content[:3] == b"\xff\xd8\xff"
    whole = client.get(f"/api/videos/{found['video']}/file")
    part = client.get(f"/api/videos/{found['video']}/file", headers={"Range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole.content[10:20])


def test_conditions_hold(client: TestClient) -> None:
    assert not _search(client, text="blue", filters={"longer_than_s": 15})["moments"]
    inside = _search(client, text="blue", filters={"folder": "sub"})
    assert [m["path"] for m in inside["moments"]] == ["sub/blue.mp4"]
    assert not _search(client, text="a quiet afternoon")["moments"]


def test_a_moment_finds_what_is_like_it_and_is_saved(client: TestClient, tmp_path: Path) -> None:
    blue = _search(client, text="blue")["moments"][0]
    assert _search(client, like=blue["id"])["moments"]
    told = client.get(f"/api/moments/{blue['id']}").json()
    assert told["video"]["path"] == "sub/blue.mp4"
    clip = client.get(f"/api/moments/{blue['id']}/clip")
    assert clip.headers["content-type"] == "video/mp4"
    assert b"ftyp" in clip.content[:16]


def test_the_timeline_is_highest_where_the_moment_is(client: TestClient) -> None:
    found = _search(client, text="red")["moments"][0]
    asked = {"text": "red", "video": found["video"]}
    line = client.post("/api/timeline", json=asked).json()
    best = max(line, key=lambda one: one["score"])
    assert found["start_s"] - 1 <= best["start_s"] <= found["end_s"]


@pytest.mark.parametrize("kind", ["picture", "clip"])
def test_an_upload_is_a_question(client: TestClient, tmp_path: Path, kind: str) -> None:
    data = _picture(COLOURS["blue"])
    if kind == "clip":
        path = colour_video(tmp_path / "clip.mp4", [(COLOURS["blue"], 2)], side_px=64)
        data = (path or tmp_path / "clip.mp4").read_bytes()
    example = client.post("/api/uploads", content=data).json()["example"]
    assert _search(client, example=example)["moments"][0]["path"] == "sub/blue.mp4"
    (vector,) = client.get(f"/api/encode/{example}").json()["vectors"]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    labels = ["something red", "something blue"]
    named = client.post("/api/predict", json={"labels": labels, "example": example}).json()
    assert named[0]["label"] == "something blue"


def test_texts_are_encoded_and_moments_named(client: TestClient) -> None:
    vectors = client.post("/api/encode", json={"texts": ["red", "blue"]}).json()["vectors"]
    assert np.shape(vectors) == (2, ColourModel.width)
    red = _search(client, text="red")["moments"][0]
    asked = {"labels": ["blue", "red"], "moment": red["id"]}
    assert client.post("/api/predict", json=asked).json()[0]["label"] == "red"


def test_broken_files_and_the_model_are_told(client: TestClient) -> None:
    facts = client.get("/api/index").json()
    assert (facts["num_videos"], facts["model"]) == (4, "colours")
    assert [one["path"] for one in facts["failed"]] == ["broken.mp4"]
    assert "videos.internvideo" in facts["name"]
    assert "/" not in facts["name"]


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({}, "ask one thing"),
        ({"text": " "}, "empty"),
        ({"text": "red", "like": "x@0-1"}, "ask one thing"),
        ({"like": "nothing@0-1"}, "no such video"),
        ({"text": "red", "filters": {"after": "yesterday"}}, "is no day"),
        ({"text": "red", "limit": 0}, "limit"),
        ({"text": "red", "extra": 1}, "extra"),
        ({"text": "x" * 3000}, "text"),
        ({"example": "../../etc/passwd"}, "example"),
        ({"example": "0" * 32}, "no longer kept"),
    ],
)
def test_a_wrong_question_is_told_so(client: TestClient, asked: dict, why: str) -> None:
    response = client.post("/api/search", json=asked)
    assert 400 <= response.status_code < 500
    assert why in response.json()["error"]


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/..%2fapp.py",
        "/api/videos/../../etc/passwd",
        "/api/videos/9999/file",
        "/api/videos/-1/file",
        "/api/videos/1.mp4/file",
        "/api/thumbnails/99999",
        "/api/moments/..%2F..%2Fetc@0-1/clip",
    ],
)
def test_only_files_of_the_index_are_served(client: TestClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code in (400, 404, 422)
    assert "root:" not in response.text


def test_pages_of_other_origins_and_other_names_are_refused(client: TestClient) -> None:
    for headers in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example:8000"},
    ):
        response = client.get("/api/index", headers=headers)
        assert response.status_code == 403
        assert "access-control-allow-origin" not in response.headers
    assert client.get("/api/index", headers={"Origin": "http://127.0.0.1:8000"}).status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert "http" not in page.text.replace("http-equiv", "")


def test_uploads_are_limited_while_they_arrive(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LIMIT_BYTES", 1000)
    announced = client.post("/api/uploads", content=b"x" * 2000)
    streamed = client.post("/api/uploads", content=(b"x" * 300 for _ in range(100)))
    for response in (announced, streamed):
        assert response.status_code == 413


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"nothing that is a video",
        *(
            pytest.param(data, marks=pytest.mark.slow)
            for data in (
                b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n",
                b"ffconcat version 1.0\nfile '/etc/passwd'\n",
                b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
            )
        ),
    ],
)
def test_an_upload_that_is_no_video_is_refused(client: TestClient, data: bytes) -> None:
    response = client.post("/api/uploads", content=data)
    assert response.status_code == 400
    assert "/" not in response.json()["error"].replace("picture or video", "").replace("and/or", "")


def test_another_address_needs_a_token(index_folder: Path) -> None:
    with pytest.raises(ConfigError, match="give a token"):
        Access(host="0.0.0.0")
    with pytest.raises(ConfigError, match="too short"):
        Access(host="0.0.0.0", token="short")
    token = "a long enough token"
    service = IndexService(index_folder, lambda name: ColourModel(name=name))
    app = create_app(service, Access(host="0.0.0.0", token=token))
    with TestClient(app, base_url="http://videos.example:8000") as client:
        assert client.get("/api/index").status_code == 401
        assert client.get("/").status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        brought = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/index", headers=brought).status_code == 200
        opened = client.get("/", params={"token": token})
        assert opened.status_code == 200
        assert "token" not in str(opened.url)
        assert client.get("/api/index").status_code == 200  # by the cookie


def test_what_was_indexed_meanwhile_is_found(tmp_path: Path) -> None:
    from internvideo.search import Index, Searcher, update_index
    from tests.unit.web.conftest import make_index

    folder = make_index(tmp_path)
    service = IndexService(folder, lambda name: ColourModel(name=name))
    with TestClient(create_app(service, Access()), base_url="http://127.0.0.1:8000") as client:
        assert client.get("/api/index").json()["num_videos"] == 4
        colour_video(tmp_path / "videos/new.mp4", [(COLOURS["red"], 4)], side_px=64)
        model = ColourModel()
        with Index(folder) as index:
            update_index(index, model)
            Searcher(index, lambda: model).calibrate()
        assert client.get("/api/index").json()["num_videos"] == 5
        assert "new.mp4" in str(_search(client, text="red"))
