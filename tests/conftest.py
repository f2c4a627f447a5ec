"""What all tests share: where the reference material lies, and generators with a seed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

SHARED = Path(
    os.environ.get("INTERNVIDEO_SHARED", Path(__file__).parents[1].parent / "shared")
).resolve()


def _shared(folder: str) -> Path:
    path = SHARED / folder
    if not path.is_dir():
        if os.environ.get("INTERNVIDEO_REQUIRE_SHARED"):
            pytest.fail(f"{path} is missing and must be there")
        pytest.skip(f"no {folder!r} folder beside the project (set INTERNVIDEO_SHARED)")
    return path


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder with the recorded outputs of the official implementations."""
    return _shared("golden")


@pytest.fixture(scope="session")
def real_actions() -> Path:
    """655 labelled clips of ten actions from UCF101."""
    return _shared("data/actions")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Small inputs like those that people had trouble with elsewhere."""
    return _shared("cases")


@pytest.fixture(scope="session")
def real_videos() -> Path:
    """76 odd clips from many sources."""
    return _shared("data/videos")


@pytest.fixture(scope="session")
def real_annotations() -> Path:
    """Annotation files of published data sets, in their own formats."""
    return _shared("data/annotations")


@pytest.fixture
def free_port() -> int:
    """A port on the loopback interface for the processes of one test to meet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
