"""A stand-in for `internvideo.video.write_video`, used only until the package has its own."""

from __future__ import annotations

import sys
import types

import av
import pytest

from tests.architecture.arrows import PACKAGE


def _write_video(path, frames, rate_fps):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=int(rate_fps))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames.numpy():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        container.mux(stream.encode())


@pytest.fixture(autouse=True)
def _stand_in(monkeypatch):
    if not (PACKAGE / "video" / "encode.py").exists():
        module = types.ModuleType("internvideo.video")
        module.write_video = _write_video
        monkeypatch.setitem(sys.modules, "internvideo.video", module)
