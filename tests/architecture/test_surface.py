"""What the package shows to others, how its files are named, and what importing it costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.architecture.arrows import NAME, PACKAGE, folders, sources

ROOT = PACKAGE.parent
# A function that seems to need one of these belongs to a concept that has no name yet.
NAMELESS = {"utils", "util", "common", "helpers", "helper", "misc", "core"}
OPTIONAL = (
    "transformers",
    "onnxscript",
    "onnxruntime",
    "huggingface_hub",
    "tensorboard",
    "tyro",
    "ray",
    "fastapi",
    "matplotlib",
    "pytest",
)
MACHINE_PATH = re.compile(r"(?<![\w.~>}-])/(?:work|tmp|home|root|Users|mnt)/")
TEXT = {".py", ".md", ".toml", ".txt", ".sh", ".css", ".html", ".yml", ".json", ".csv"}


def _names(body: list[ast.stmt]) -> tuple[set[str], list[str] | None]:
    """Top-level names of a module and its literal `__all__`."""
    defined: set[str] = set()
    listed = None
    for node in body:
        match node:
            case ast.Import(names=names) | ast.ImportFrom(names=names):
                defined |= {alias.asname or alias.name for alias in names}
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                defined.add(name)
            case ast.Assign(targets=[ast.Name(id="__all__")], value=value):
                listed = ast.literal_eval(value)
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                defined.add(name)
    return defined, listed


def _modules_after(statement: str) -> set[str]:
    """Top-level names in `sys.modules` of a fresh interpreter after a statement."""
    code = f"{statement}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("folder", [f for f in folders() if f != PACKAGE], ids=lambda f: f.name)
def test_every_folder_lists_what_others_may_use(folder):
    defined, listed = _names(ast.parse((folder / "__init__.py").read_text()).body)

    assert listed is not None, f"{folder.name}/__init__.py has no __all__"
    assert set(listed) <= defined, f"listed but not there: {set(listed) - defined}"


def test_no_file_or_folder_has_a_name_that_says_nothing():
    parts = {part for path in sources() for part in path.relative_to(ROOT).with_suffix("").parts}

    assert not parts & NAMELESS


def test_every_module_says_what_it_is():
    silent = [str(p) for p in sources() if not ast.get_docstring(ast.parse(p.read_text()))]

    assert not silent


def test_only_the_command_line_prints():
    printing = [
        f"{path.relative_to(PACKAGE)}, line {node.lineno}"
        for path in sources()
        if path.relative_to(PACKAGE).parts[0] != "cli"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", None) == "print"
    ]

    assert not printing


def test_importing_the_package_reaches_neither_torch_nor_anything_optional():
    assert not _modules_after(f"import {NAME}") & {"torch", "av", *OPTIONAL}


def test_importing_every_folder_reaches_nothing_optional():
    # `cli` is the only place that turns configurations into options and reads them from outside.
    names = [f"{NAME}.{f.name}" for f in folders() if f != PACKAGE and f.parent == PACKAGE]
    imports = "\n".join(f"import {name}" for name in names if not name.endswith((".cli", ".web")))

    assert not _modules_after(imports) & set(OPTIONAL)


def test_no_file_contains_a_path_of_one_machine():
    files = [p for f in (NAME, "tests", "benchmarks", "docs") for p in (ROOT / f).rglob("*")]
    files = [p for p in files if p.suffix in TEXT] + [
        p for p in (ROOT / "README.md", ROOT / "Makefile", ROOT / ".ci" / "run") if p.exists()
    ]
    found = [
        f"{path.relative_to(ROOT)}, line {number}: {line.strip()[:80]}"
        for path in files
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if MACHINE_PATH.search(line)
    ]

    assert not found, "\n".join(found)
