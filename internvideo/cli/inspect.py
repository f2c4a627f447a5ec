"""`internvideo list`, `show` and `doctor`: what exists, what a recipe is, what would fail."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg

if TYPE_CHECKING:
    from internvideo.runs import Run


@dataclass(frozen=True, kw_only=True)
class List:
    """List what the package knows by name.

    Example: internvideo list recipes
    """

    what: Positional[Literal["recipes", "tasks", "sizes", "formats", "actions"]] = "recipes"
    """recipes to train, tasks to evaluate, encoder sizes, annotation formats, or the playground's
    actions."""
    json: bool = False
    """Print a JSON list."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json

        if self.what == "tasks":
            return self._tasks()
        rows = _catalogue(self.what)
        if self.json:
            print_json([{"name": name, "about": about} for name, about in rows])
            return 0
        width = max(len(name) for name, _ in rows)
        for name, about in rows:
            print(f"{name:<{width}}  {about}")
        return 0

    def _tasks(self) -> int:
        """Tasks with what they are asked of, their metrics, data sets and formats."""
        from internvideo.cli.terminal import print_json
        from internvideo.tasks import TASKS

        rows = [
            {
                "name": name,
                "about": task.summary,
                "model": task.model_type.kind,
                "metrics": list(task.metrics),
                "datasets": list(task.datasets),
                "formats": list(task.formats),
                "is_trained": task.training is not None,
            }
            for name, task in TASKS.items()
        ]
        if self.json:
            print_json(rows)
            return 0
        for row in rows:
            print(f"{row['name']}: {row['about']} ({row['model']} model)")
            for what in ("metrics", "datasets", "formats"):
                print(f"  {what:<8}  {', '.join(row[what])}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Show:
    """Show a recipe with every field resolved, and what one clip of it costs.

    Example: internvideo show mae_base_k400
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE.toml")]
    """A name from `internvideo list recipes`, or a TOML file with a line `recipe = "NAME"`."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field first."""
    json: bool = False
    """Print the run as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.cli.train import named_run
        from internvideo.runs import override, to_document

        run = override(named_run(self.recipe), self.set)
        document = to_document(run)
        if self.json:
            print_json(document)
            return 0
        for path, value in _flattened(document):
            print(f"{path} = {value}")
        grid = run.stage.grid
        flops = run.stage.training_flops_per_clip
        print(
            f"\n{grid.time} x {grid.height} x {grid.width} = {grid.num_tokens} tokens, "
            f"{run.stage.num_parameters / 1e6:.1f} M parameters, "
            f"{flops / 1e9:.3g} GFLOP a clip in training, "
            f"{_flops_per_step(run) * run.training.num_steps:.3g} FLOP the whole run"
        )
        return 0


def _flops_per_step(run: Run) -> float:
    """Average over the sources that take turns, each with clips and batches of its own."""
    flops = [(1.0, run.stage.training_flops_per_clip * run.training.batch_size)]
    for source in run.other_sources.values():
        shorter = {"num_frames": source.num_frames} if source.num_frames else {}
        batch_size = source.batch_size or run.training.batch_size
        per_clip = replace(run.stage, **shorter).training_flops_per_clip
        flops.append((source.weight, per_clip * batch_size))
    return sum(share * count for share, count in flops) / sum(share for share, _ in flops)


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
            print_json([{"ok": ok, "what": what, "found": found} for ok, what, found in findings])
        else:
            for ok, what, found in findings:
                print(f"{'ok  ' if ok else 'FAIL'}  {what:<22} {found}")
        return 0 if all(ok for ok, _, _ in findings) else 1


def _catalogue(what: str) -> list[tuple[str, str]]:
    if what == "recipes":
        from internvideo.recipes import RECIPES

        return [(name, _first_line(make)) for name, make in RECIPES.items()]
    if what == "formats":
        from internvideo.data import ANNOTATIONS

        return [(name, _first_line(read)) for name, read in ANNOTATIONS.items()]
    if what == "actions":
        from internvideo.playground import ACTIONS

        return [(name, action.template) for name, action in ACTIONS.items()]
    from internvideo.models import ENCODERS

    return [
        (name, f"width {size.width}, depth {size.depth}, {size.num_heads} heads")
        for name, size in ENCODERS.items()
    ]


def _first_line(thing: object) -> str:
    return (thing.__doc__ or "").strip().partition("\n")[0]


def _flattened(value: object, path: str = "") -> list[tuple[str, object]]:
    if not isinstance(value, dict) or not value:
        return [(path, value)]
    rows = []
    for name, inner in value.items():
        rows += _flattened(inner, f"{path}.{name}" if path else name)
    return rows


def _findings() -> list[tuple[bool, str, str]]:
    """(fine, what, what was found), one for each thing a run depends on."""
    import av
    import torch

    from internvideo.training.precision import resolve_precision

    findings = [
        (sys.version_info >= (3, 11), "python", platform.python_version() + " (3.11 or newer)"),
        (
            tuple(int(part) for part in torch.__version__.split(".")[:2]) >= (2, 11),
            "torch",
            f"{torch.__version__} (2.11 or newer)",
        ),
    ]
    packages = ("numpy", "pillow", "einops", "safetensors", "pydantic", "tyro", "rich")
    findings += [_package(package) for package in packages]
    codecs = {"h264": "r", "mpeg4": "r", "vp9": "r", "libx264": "w"}
    missing = [name for name, mode in codecs.items() if not _has_codec(name, mode)]
    findings.append(
        (
            not missing,
            "av (video)",
            f"{av.__version__}, " + (f"lacks {', '.join(missing)}" if missing else "codecs there"),
        )
    )
    if torch.cuda.is_available():
        device = torch.device("cuda", 0)
        found = f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(device)}"
    else:
        device = torch.device("cpu")
        found = f"processor only, {torch.get_num_threads()} threads"
    findings.append(
        (True, "device", f"{found}; precision auto = {resolve_precision('auto', device)}")
    )
    try:
        found = version("tensorboard")
    except PackageNotFoundError:
        found = "absent (optional): pip install 'internvideo[tensorboard]'"
    findings.append((True, "tensorboard", found))
    unwanted = [name for name in ("torchvision", "decord", "timm") if _installed(name)]
    findings.append((True, "not needed", ", ".join(unwanted) or "nothing superfluous found"))
    free_gib = shutil.disk_usage(".").free / 2**30
    findings.append((free_gib > 1, "disk here", f"{free_gib:.1f} GiB free (1 GiB or more)"))
    return findings


def _package(name: str) -> tuple[bool, str, str]:
    try:
        return True, name, version(name)
    except PackageNotFoundError:
        return False, name, f"missing: pip install {name}"


def _installed(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _has_codec(name: str, mode: str) -> bool:
    import av

    try:
        av.codec.Codec(name, mode)
    except (ValueError, LookupError):
        return False
    return True
