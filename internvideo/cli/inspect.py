"""`internvideo list` and `show`: what exists, and what a recipe is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction, arg


@dataclass(frozen=True, kw_only=True)
class List:
    """List recipes, tasks, encoder sizes or formats by name.

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
    """Show every field of a recipe, its parameters, and its cost per clip.

    Example: internvideo show mae_base_k400
    """

    recipe: Annotated[Positional[str], arg(metavar="RECIPE|FILE.toml")]
    """A name from `internvideo list recipes`, or a TOML file with a line `recipe = "NAME"`."""
    set: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATH.TO.FIELD=VALUE")] = ()
    """Change a field before showing."""
    json: bool = False
    """Print the run as JSON."""

    def run(self) -> int:
        from internvideo.cli.terminal import print_json
        from internvideo.cli.train import named_run
        from internvideo.planner import flops_per_step
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
            f"{flops_per_step(run) * run.training.num_steps:.3g} FLOP the whole run"
        )
        return 0


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
