"""`internvideo doctor`: what is installed, what this machine can do, what would fail."""

from __future__ import annotations

import platform
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import NamedTuple

PYTHON_AT_LEAST = (3, 11)
# A decoded frame may differ from the encoded one by so many grey levels on average.
ERROR_AT_MOST = 4.0
UNWANTED = ("torchvision", "decord", "timm", "mmcv")
# What an optional part is for, by the name of its extra.
OPTIONAL = {
    "tensorboard": "curves in TensorBoard",
    "ray": "files spread over a Ray cluster",
    "export": "weights export --to onnx",
    "detect": "detectors of boxes: ONNX files, transformers",
    "nav": "generated houses as an environment of gymnasium",
    "hub": "downloads from and uploads to the Hugging Face hub",
    "transformers": "index with CLIP, SigLIP or X-CLIP",
    "ann": "search among millions of windows",
    "lance": "vectors of an index in LanceDB",
}


class Finding(NamedTuple):
    """One line of the report; `ok` is False where something would fail."""

    ok: bool
    what: str
    found: str


class Requirement(NamedTuple):
    """One dependency with its bounds, as the package's metadata state it; empty where it has none.

    `extra` names the optional part it belongs to.
    """

    name: str
    at_least: str
    below: str
    extra: str

    @property
    def specifier(self) -> str:
        """Name and bounds as `pip install` takes them."""
        return f"{self.name}{self.bounds}"

    @property
    def bounds(self) -> str:
        ends = ((">=", self.at_least), ("<", self.below))
        return ",".join(operator + end for operator, end in ends if end)

    def admits(self, installed: str) -> bool:
        """Whether a version lies within the bounds, by its numbers alone."""
        numbers = _numbers(installed)
        above = not self.at_least or _numbers(self.at_least) <= numbers
        return above and (not self.below or numbers < _numbers(self.below))


@dataclass(frozen=True, kw_only=True)
class Doctor:
    """Say what is installed, what this machine can do, and what would fail.

    Example: internvideo doctor
    """

    json: bool = False
    """Print a JSON list."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json

        findings = _findings()
        if self.json:
            print_json([finding._asdict() for finding in findings])
        else:
            for ok, what, found in findings:
                print(f"{'ok  ' if ok else 'FAIL'}  {what:<22} {found}")
        return 0 if all(finding.ok for finding in findings) else 1


def requirements() -> list[Requirement]:
    """The dependencies of the installed package, optional ones too."""
    stated = requires("internvideo") or []
    pattern = re.compile(r"([\w.-]+)(?:\[.*\])?([^;]*)(?:;\s*extra == ['\"](\w+)['\"])?")
    found = []
    for line in stated:
        name, bounds, extra = pattern.match(line).groups()
        found.append(
            Requirement(
                name=name,
                at_least=_bound(bounds, ">="),
                below=_bound(bounds, "<"),
                extra=extra or "",
            )
        )
    return found


def _bound(bounds: str, operator: str) -> str:
    found = re.search(rf"(?:^|,)\s*{operator}\s*([\w.]+)", bounds)
    return found[1] if found else ""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.match(r"\d+(?:\.\d+)*", text)[0].split("."))


def _findings() -> list[Finding]:
    python = ".".join(map(str, PYTHON_AT_LEAST))
    found = f"{platform.python_version()} ({python} or newer)"
    needed = requirements()
    unwanted = [name for name in UNWANTED if _installed(name)]
    free_gib = shutil.disk_usage(".").free / 2**30
    return [
        Finding(sys.version_info >= PYTHON_AT_LEAST, "python", found),
        *(_dependency(requirement) for requirement in needed if not requirement.extra),
        _codecs(),
        _round_trip(),
        _device(),
        *(_optional(extra, needed) for extra in OPTIONAL),
        Finding(True, "not needed", ", ".join(unwanted) or "nothing superfluous found"),
        Finding(free_gib > 1, "disk here", f"{free_gib:.1f} GiB free (1 GiB or more)"),
    ]


def _dependency(needed: Requirement) -> Finding:
    installed = _installed(needed.name)
    if not installed:
        found = f"missing: pip install '{needed.specifier}'"
        return Finding(False, needed.name, found)
    fits = needed.admits(installed)
    found = f"{installed} ({needed.bounds})"
    if not fits:
        found += f": pip install '{needed.specifier}'"
    return Finding(fits, needed.name, found)


def _optional(extra: str, needed: list[Requirement]) -> Finding:
    """Absent is fine; present in a version that was not tested is not."""
    parts = [requirement for requirement in needed if requirement.extra == extra]
    there = {part.name: installed for part in parts if (installed := _installed(part.name))}
    absent = [part for part in parts if part.name not in there]
    odd = [part for part in parts if part.name in there and not part.admits(there[part.name])]
    found = ", ".join(f"{name} {installed}" for name, installed in there.items())
    if absent or odd:
        command = "pip install " + " ".join(f"'{part.specifier}'" for part in [*absent, *odd])
        state = "absent" if not there else f"{found}, incomplete"
        if odd and not absent:
            state = f"{found}, not a tested version"
        found = f"{state} (optional: {OPTIONAL[extra]}): {command}"
    return Finding(not odd, f"extra {extra!r}", found)


def _codecs() -> Finding:
    import av

    codecs = {"h264": "r", "mpeg4": "r", "vp9": "r", "libx264": "w"}
    missing = [name for name, mode in codecs.items() if not _has_codec(name, mode)]
    ffmpeg = ".".join(map(str, av.library_versions["libavcodec"]))
    found = f"lacks {', '.join(missing)}" if missing else f"libavcodec {ffmpeg}, codecs there"
    return Finding(not missing, "video codecs", found)


def _has_codec(name: str, mode: str) -> bool:
    import av

    try:
        av.codec.Codec(name, mode)
    except (ValueError, LookupError):
        return False
    return True


def _round_trip() -> Finding:
    """Encode a clip of a moving bar, decode it by number and by time, and compare."""
    import torch

    from internvideo.errors import InternVideoError
    from internvideo.video import open_video, write_video

    frames = torch.full((12, 64, 96, 3), 64, dtype=torch.uint8)
    for number, frame in enumerate(frames):
        frame[:, 4 * number : 4 * number + 32] = torch.tensor([200, 120, 40], dtype=torch.uint8)
    with tempfile.TemporaryDirectory(prefix="internvideo-doctor-") as folder:
        path = Path(folder) / "clip.mp4"
        try:
            write_video(path, frames, 12)
            with open_video(path) as video:
                decoded = video.frames(range(len(frames))).frames
                last = video.frames_at([11 / 12]).frames[0]
        except (InternVideoError, OSError, TypeError, AttributeError) as error:
            # What an incompatible version of PyAV raises has no common class.
            return Finding(False, "encode and decode", f"{type(error).__name__}: {error}")
    decoded = torch.as_tensor(decoded).float()
    error = (decoded - frames.float()).abs().mean().item()
    same = torch.equal(decoded[-1], torch.as_tensor(last).float())
    found = f"a clip of {len(frames)} frames differs by {error:.2f} of 255 grey levels"
    if not same:
        found += "; the last frame by number and by time are not the same"
    return Finding(error <= ERROR_AT_MOST and same, "encode and decode", found)


def _device() -> Finding:
    import torch

    from internvideo.training.precision import resolve_precision

    if torch.cuda.is_available():
        device = torch.device("cuda", 0)
        found = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(device)}"
    else:
        device = torch.device("cpu")
        found = f"processor only, {torch.get_num_threads()} threads"
    return Finding(True, "device", f"{found}; precision auto = {resolve_precision('auto', device)}")


def _installed(name: str) -> str:
    """The installed version of a package; empty where there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
