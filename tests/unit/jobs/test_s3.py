"""A real server that speaks S3: claims are taken by one, and results are those of a folder."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path

import pytest

from internvideo.cli import main
from internvideo.jobs import Ledger, Unit
from tests.unit.video.conftest import dot_frames, encode

pytestmark = pytest.mark.slow
s3fs = pytest.importorskip("s3fs", reason="needs s3fs: pip install s3fs")
moto_server = pytest.importorskip(
    "moto.server", reason="needs a server: pip install 'moto[server]'"
)


@pytest.fixture
def store(monkeypatch):
    """An empty bucket `videos`; programs find the server by the environment."""
    server = moto_server.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host.replace('0.0.0.0', '127.0.0.1')}:{port}"
    urllib.request.urlopen(f"{address}/moto-api/reset", data=b"").close()  # of the test before
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    s3fs.S3FileSystem.clear_instance_cache()
    system = s3fs.S3FileSystem()
    system.mkdir("videos")
    yield system
    s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


def test_a_claim_is_taken_by_one(store):
    ledger = Ledger(out="s3://videos/job")
    unit = Unit(name="a.mp4", source="a.mp4", target="out/a")

    assert (ledger.claim(unit), ledger.claim(unit)) == (1, None)
    ledger.abandon(unit)
    assert ledger.claim(unit) == 2
    ledger.release(unit)
    assert ledger.claim(unit) == 1


def test_a_bucket_becomes_what_a_folder_becomes(store, tmp_path, capsys):
    folder = tmp_path / "videos"
    (folder / "below").mkdir(parents=True)
    for name in ("a.mp4", "below/b.mkv"):
        encode(folder / name, dot_frames(8))
    (folder / "broken.mp4").write_text("no video")
    store.put(str(folder), "videos/in", recursive=True)
    words = ["--short-side", "24", "--workers", "0"]

    here = main(["data", "transcode", str(folder), "--out", str(tmp_path / "out"), *words])
    far = ["data", "transcode", "s3://videos/in", "--out", "s3://videos/out"]
    parts = [main([*far, *words, "--part", f"{index}/2"]) for index in (0, 1)]
    again = main([*far, *words])

    assert here == again == max(parts) == 1  # one is broken
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("s3://")]
    assert said[-1].endswith("0 written, 2 there before, 1 failed, of 3")
    for path in (tmp_path / "out").rglob("*.mp4"):
        name = path.relative_to(tmp_path / "out").as_posix()
        assert store.cat_file(f"videos/out/{name}") == path.read_bytes()
    report = json.loads(store.cat_file("videos/out/report.json"))
    assert [Path(failed["path"]).name for failed in report["failed"]] == ["broken.mp4"]
    assert not [path for path in store.find("videos/out") if path.endswith((".claim", ".part"))]
