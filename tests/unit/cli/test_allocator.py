"""Memory that is kept: asked for once, and never against the user's own settings."""

from __future__ import annotations

import os
import subprocess
import sys

_CALL = "from internvideo.cli.allocator import keep_freed_memory as k; print(k(), k())"


def called(**settings: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    return subprocess.run(
        [sys.executable, "-c", _CALL],
        capture_output=True,
        text=True,
        check=True,
        env={**kept, **settings},
    ).stdout.strip()


def test_the_second_call_changes_nothing():
    assert called() in ("True False", "False False")


def test_settings_of_the_user_are_left_alone():
    assert called(MALLOC_TRIM_THRESHOLD_="131072") == "False False"
