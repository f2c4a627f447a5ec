"""The wheel, installed without constraints into a fresh environment, does what a user does first.

Every Python at hand gets the newest versions that the bounds allow; the oldest Python gets the
oldest ones too, torch included. Environments of other Pythons download torch, which is gigabytes
with its CUDA libraries; `INTERNVIDEO_TEST_CACHE` names a folder that keeps it between runs.
"""

from __future__ import annotations

import functools
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# `INTERNVIDEO_WHEEL_PYTHONS` names fewer, for a run that has no time for all.
PYTHONS = tuple(os.environ.get("INTERNVIDEO_WHEEL_PYTHONS", "3.11 3.12 3.13 3.14").split())
# Torch is not left to the resolver: every new release would be gigabytes of unasked libraries.
NEWEST_TORCH = "2.13.0"

pytestmark = pytest.mark.slow


@functools.cache
def interpreter(version: str) -> Path | None:
    """A Python of this version: this one, one on the path, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    named = shutil.which(f"python{version}")
    candidates = [
        Path(sys.executable).resolve(),
        *([Path(named)] if named else []),
        *sorted(pyenv.glob(f"versions/{version}.*/bin/python")),
    ]
    for candidate in candidates:
        told = subprocess.run(
            [candidate, "-c", "import sys, venv; print('%d.%d' % sys.version_info[:2])"],
            capture_output=True,
            text=True,
            check=False,
        )
        if told.returncode == 0 and told.stdout.strip() == version:
            return candidate
    return None


def oldest_versions() -> dict[str, str]:
    """The lower bound of every dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return {
        re.match(r"[\w-]+", line)[0]: re.search(r">=([\w.]+)", line)[1]
        for line in project["dependencies"]
    }


def call(*arguments: str | Path, cwd: Path | None = None, timeout_s: int = 900) -> str:
    """Run a command outside the checkout, without our constraints; its output on failure."""
    kept = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "PIP_CONSTRAINT"}}
    done = subprocess.run(
        [str(argument) for argument in arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        timeout=timeout_s,
        env={**kept, "PYTHONNOUSERSITE": "1"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


@pytest.fixture(scope="session")
def wheel(tmp_path_factory) -> Path:
    """Built from the tracked files, so that nothing is left in the checkout."""
    sources, built = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
    tracked = call(
        "git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"
    )
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (sources / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, sources / name)
    call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", built, sources)
    (wheel,) = built.glob("*.whl")
    return wheel


def environment(folder: Path, python: Path, torch: str) -> Path:
    """A fresh virtual environment that sees torch, kept apart for other runs; its Python."""
    call(python, "-m", "venv", folder)
    version = call(python, "-c", "import sys; print('%d.%d.%d' % sys.version_info[:3])").strip()
    cache = os.environ.get("INTERNVIDEO_TEST_CACHE")
    kept = (Path(cache) if cache else folder.parent) / f"torch-{torch}-python-{version}"
    if not (kept / "complete").exists():
        shutil.rmtree(kept, ignore_errors=True)
        call(python, "-m", "venv", kept)
        install = (kept / "bin/python", "-m", "pip", "install", "--quiet", "--no-cache-dir")
        call(*install, "--no-compile", f"torch=={torch}")
        (kept / "complete").touch()
    packages = "lib", f"python{version.rpartition('.')[0]}", "site-packages"
    folder.joinpath(*packages, "torch.pth").write_text(f"{kept.joinpath(*packages)}\n")
    return folder / "bin" / "python"


@pytest.fixture
def folder(tmp_path):
    """Emptied again, since environments are large."""
    yield tmp_path
    shutil.rmtree(tmp_path)


def first_hour(python: Path, folder: Path, given: list[Path]) -> dict[str, str]:
    """Run the script from a folder without the checkout; the versions that it used."""
    script = Path(__file__).with_name("first_hour.py")
    out = call(python, "-I", script, folder / "hour", *given, cwd=folder)
    used = next(line for line in out.splitlines() if line.startswith("used "))
    assert "encode and decode" in out
    return dict(re.findall(r"(\w+) (\d[\w.]*)", used))


@pytest.fixture
def real_clips(request) -> list[Path]:
    """Three videos of different containers and codecs."""
    videos = request.getfixturevalue("real_videos")
    names = ("flipping_a_pancake.mkv", "golfdb_test_video.mp4", "grid_lbbc2a.mpg")
    return [videos / name for name in names]


@pytest.mark.parametrize("version", PYTHONS)
def test_the_newest_versions_serve(version, wheel, folder, real_clips):
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} with venv here")

    python = environment(folder / "venv", found, NEWEST_TORCH)
    call(python, "-m", "pip", "install", "--quiet", wheel, cwd=folder)
    used = first_hour(python, folder, real_clips)

    assert used["torch"] == NEWEST_TORCH
    if version != "3.11":  # for which no PyAV 19 was built
        assert used["av"].startswith("19.")


def test_the_oldest_versions_serve(wheel, folder, real_clips):
    oldest = oldest_versions()
    found = interpreter(PYTHONS[0])
    if found is None:
        pytest.skip(f"no Python {PYTHONS[0]} with venv here")

    torch = oldest.pop("torch")
    python = environment(folder / "venv", found, f"{torch}.0")
    pinned = [f"{name}=={version}" for name, version in oldest.items()]
    call(python, "-m", "pip", "install", "--quiet", wheel, *pinned, cwd=folder)
    used = first_hour(python, folder, real_clips)

    assert used["torch"].startswith(f"{torch}.")
    assert used["av"].startswith(oldest["av"])
    assert used["numpy"].startswith(oldest["numpy"])


def test_a_type_checker_finds_an_editable_install(folder):
    """pyrefly, from another folder, reads the types of the package and of what it returns."""
    checkout = folder / "checkout"
    checkout.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, checkout / name)
    shutil.copytree(ROOT / "internvideo", checkout / "internvideo")
    call(sys.executable, "-m", "venv", folder / "venv")
    python = folder / "venv" / "bin" / "python"
    call(python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", checkout)
    user = folder / "elsewhere" / "user.py"
    user.parent.mkdir()
    user.write_text(
        "from internvideo.values import Segment\n"
        "start: str = Segment(start_s=0.0, end_s=1.0).start_s\n"
    )

    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("pyrefly"), "check", user, "--preset", "default"),
            *("--python-interpreter-path", python, "--output-format", "json"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=user.parent,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
    )

    told = [error["name"] for error in json.loads(done.stdout)["errors"]]
    assert told == ["bad-assignment"], done.stdout  # and not a missing import
