"""Which folder of the package may import which, and the check that reads it from the source.

Imports inside functions, under `TYPE_CHECKING` and by `import_module("...")` count like all others.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "internvideo"
NAME = PACKAGE.name

# What everybody may import, and what these may import among themselves.
FOUNDATIONS = {
    "errors": set(),
    "values": {"errors"},
    "geometry": {"errors", "values"},
    "config": {"errors"},
    "processes": {"errors"},
    "reading": set(),
    "ranges": {"errors"},
    "writing": {"errors", "processes"},
}

_SCIENCE = {
    *("video", "text", "objectives", "metrics", "models", "weights", "data", "heads", "training"),
}
_WORLDS = {"playground", "navigation", "tiny", "jobs"}
_SURFACE = {
    *("stages", "tasks", "hub", "runs", "recipes", "planner", "report", "search", "cli", "web"),
}
_EVERYTHING = _SCIENCE | _WORLDS | _SURFACE

ARROWS: dict[str, set[str]] = {
    "video": set(),
    "text": set(),
    "objectives": set(),
    "metrics": set(),
    "models": set(),
    "weights": {"models"},
    "data": {"video", "text"},
    "jobs": {"video"},
    "playground": {"video"},
    "navigation": {"metrics"},
    # Front ends of small networks, handed in to the published models, which never import them.
    "tiny": {"models"},
    "heads": {"models", "tiny"},
    "training": set(),
    "report": {"video"},
    "stages": _SCIENCE | {"tiny"},
    # A task draws its own results with what draws anything.
    "tasks": _SCIENCE | {"tiny", "report", "navigation"},
    "hub": _SCIENCE | {"tasks", "tiny"},
    "runs": _SCIENCE | {"stages", "tasks", "hub", "tiny"},
    "search": _SCIENCE | {"tasks", "hub", "jobs"},
    # Recipes name the configurations of whatever their runs are made of.
    "recipes": _SCIENCE | {"stages", "tasks", "runs", "playground", "tiny"},
    "planner": _SCIENCE | {"stages", "tasks", "runs", "tiny"},
    "api": _EVERYTHING,
    "cli": _EVERYTHING | {"api"},
    "web": _EVERYTHING | {"api"},
    "__init__": _EVERYTHING | {"api"},
    "__main__": _EVERYTHING,
}
# One module here is one stage or task; it does not know its neighbours.
APART = {"stages", "tasks"}
# Modules of these folders that are no stage or task but what all of them need.
SHARED = {
    ("tasks", "shared"),
    ("stages", "retrieval_evaluation"),
    ("stages", "kept_features"),
}


def sources() -> list[Path]:
    """List every Python file of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def folders() -> list[Path]:
    """List every folder of the package that holds Python files, itself included."""
    return sorted({path.parent for path in sources()})


def imported_modules(source: str, module: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Yield line and absolute dotted name of all that a module imports.

    Args:
        source: Text of the module.
        module: Its dotted name in parts, with `__init__` as last part for a package.
    """
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=origin, names=names, level=level):
                start = ".".join((*module[: len(module) - level], *([origin] if origin else [])))
                origin = start if level else str(origin)
                yield from ((node.lineno, f"{origin}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__")
                | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield node.lineno, name


def wrong_arrows(source: str, module: tuple[str, ...]) -> list[str]:
    """Name each import of ours in `source` that the table above does not allow."""
    home = module[1]
    known = ARROWS.keys() | FOUNDATIONS.keys()
    if home not in known:
        return [f"{'.'.join(module)}: {home!r} has no row in tests/architecture/arrows.py"]
    allowed = FOUNDATIONS[home] if home in FOUNDATIONS else ARROWS[home] | FOUNDATIONS.keys()
    wrong = []
    for line, name in imported_modules(source, module):
        parts = name.split(".")
        if parts[0] != NAME or name == f"{NAME}.__version__":
            continue
        target = parts[1] if len(parts) > 1 else "__init__"
        inside = target == home and not _reaches_neighbour(module, parts)
        if not inside and target not in allowed:
            wrong.append(f"{'.'.join(module)}, line {line}: imports {name}")
    return wrong


def _reaches_neighbour(module: tuple[str, ...], parts: list[str]) -> bool:
    """Whether a stage (task) imports another one; the folder's own `__init__` may."""
    if module[1] not in APART or module[2] == "__init__" or tuple(parts[1:3]) in SHARED:
        return False
    return len(parts) < 3 or parts[2] != module[2]
