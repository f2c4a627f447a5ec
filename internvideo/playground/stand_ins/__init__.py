"""Tiny stand-ins for published data sets: their files and formats, videos of the playground.

What runs on a stand-in runs on the data set, as far as files are concerned: names, columns, splits
and places are the published ones; there are twenty videos of four actions, of 64 x 64 pixels.
Features, where a task is trained on them, are noise with the direction of the class within its
segment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from internvideo.errors import ConfigError, unknown_name
from internvideo.playground.facts import Facts
from internvideo.playground.generate import write_clip
from internvideo.playground.render import render
from internvideo.playground.stand_ins import ego4d, localization, recognition, video_text
from internvideo.playground.stand_ins.contents import STAND_IN_ACTIONS, Contents, draw_videos
from internvideo.writing import naming

_FEATURE_STEPS = 32
# Channels, as the published recipes have them.
_FEATURE_WIDTHS = {
    "thumos14": 1408,
    "activitynet-localization": 1280,
    "hacs-segments": 2560,
    "fineaction": 1408,
    "ego4d-moment-queries": 1024,
}

_Maker = Callable[[Sequence[Facts]], Contents]

_RETRIEVAL: dict[str, _Maker] = {
    "msr-vtt": video_text.msrvtt,
    "msvd": video_text.msvd,
    "lsmdc": video_text.lsmdc,
    "activitynet-captions": video_text.activitynet_captions,
    "didemo": video_text.didemo,
    "vatex": video_text.vatex,
}

# By the names of `internvideo data sets`.
STAND_INS: dict[str, _Maker] = {
    **{f"kinetics-{n}": partial(recognition.kinetics, version=n) for n in (400, 600, 700)},
    "something-something-v1": recognition.something_v1,
    "something-something-v2": recognition.something_v2,
    "activitynet": partial(recognition.activitynet, file="activity_net.v1-3.min.json"),
    "hacs": partial(recognition.activitynet, file="HACS_segments_v1.1.1.json"),
    "hmdb51": recognition.hmdb51,
    "kinetics-400-zero-shot": recognition.kinetics_zero_shot,
    "ucf101-open-set": recognition.ucf101,
    "thumos14": partial(
        localization.temporal, file="thumos14.json", features="thumos_features", is_thumos=True
    ),
    "activitynet-localization": partial(
        localization.temporal, file="anet1.3.json", features="anet_features", prefix="v_"
    ),
    "hacs-segments": partial(
        localization.temporal,
        file="HACS_segments_v1.1.1.json",
        features="hacs_features",
        prefix="v_",
    ),
    "fineaction": partial(
        localization.temporal,
        file="annotations_gt.json",
        features="fineaction_features",
        prefix="v_",
    ),
    "ava-2.2": localization.ava,
    "ava-kinetics": partial(localization.ava, with_kinetics=True),
    **_RETRIEVAL,
    **{f"{name}-zero-shot": make for name, make in _RETRIEVAL.items()},
    "msr-vtt-qa": video_text.msrvtt_qa,
    "msvd-qa": video_text.msvd_qa,
    "tgif-qa-frame": video_text.tgif_frame_qa,
    "msr-vtt-choice": video_text.msrvtt_choice,
    "lsmdc-choice": video_text.lsmdc_choice,
    "ego4d-short-term-anticipation": ego4d.anticipation,
    "ego4d-hand-forecasting": ego4d.hands,
    "ego4d-natural-language-queries": ego4d.queries,
    "ego4d-state-change-detection": ego4d.state_changes,
    "ego4d-moment-queries": ego4d.moment_queries,
    "kinetics-710": recognition.kinetics710,
}


def make_stand_in(name: str, folder: str | Path, *, seed: int = 0) -> None:
    """Write the stand-in of a data set into a new or empty folder.

    Raises:
        ConfigError: There is none of this name, or the folder holds something.
    """
    if name not in STAND_INS:
        raise unknown_name("stand-in", name, STAND_INS)
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: is not empty; choose another folder or remove it")
    facts = draw_videos(seed)
    contents = STAND_INS[name](facts)
    rng = np.random.default_rng(seed)
    with naming(folder):
        _write(folder, name, facts, contents, rng)


def _write(
    folder: Path,
    name: str,
    facts: Sequence[Facts],
    contents: Contents,
    rng: np.random.Generator,
) -> None:
    for one in facts:
        if one.id in contents.videos:
            _write_video(folder / contents.videos[one.id], contents.videos[one.id], one)
        if one.id in contents.features:
            path = folder / contents.features[one.id]
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, _features(one, rng, _FEATURE_WIDTHS[name]))
    for file, text in contents.files.items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())


def _write_video(path: Path, name: str, one: Facts) -> None:
    frames = render(one)
    if name.endswith("/"):
        path.mkdir(parents=True, exist_ok=True)
        for number, frame in enumerate(frames, start=1):
            Image.fromarray(frame).save(path / f"{number:05}.jpg", quality=90)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".gif":
        first, *rest = (Image.fromarray(frame) for frame in frames)
        first.save(path, save_all=True, append_images=rest, duration=1000 // one.rate_fps, loop=0)
        return
    write_clip(path, frames, one.rate_fps)


def _features(one: Facts, rng: np.random.Generator, width: int) -> Float[np.ndarray, "f d"]:
    """Noise, and within the segment of `localization` the direction of the class."""
    features = 0.3 * rng.normal(size=(_FEATURE_STEPS, width))
    directions = np.random.default_rng(1).normal(size=(len(STAND_IN_ACTIONS), width))
    edge = round(0.25 / one.duration_s * _FEATURE_STEPS)
    features[edge:-edge] += directions[STAND_IN_ACTIONS.index(one.action)]
    return features.astype(np.float32)


__all__ = ["STAND_INS", "make_stand_in"]
