"""InternVideo in one package: from video files to pretrained, coordinated, adapted encoders.

The names below are the public surface for scripts; each is imported when it is first used, so that
importing the package costs nothing. Everything else is reached through its folder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from internvideo.api import load
    from internvideo.hub import load_model
    from internvideo.recipes import recipe
    from internvideo.runs import execute
    from internvideo.video import open_video, read_clip, scan

__version__ = "0.1.0"

__all__ = ["execute", "load", "load_model", "open_video", "read_clip", "recipe", "scan"]

_HOMES = {
    "execute": "internvideo.runs",
    "load": "internvideo.api",
    "load_model": "internvideo.hub",
    "open_video": "internvideo.video",
    "read_clip": "internvideo.video",
    "recipe": "internvideo.recipes",
    "scan": "internvideo.video",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
