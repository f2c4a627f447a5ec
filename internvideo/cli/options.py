"""Dataclasses that know no command line become options: of a task, its data, its request."""

from __future__ import annotations

from dataclasses import MISSING, Field, field, fields, is_dataclass, make_dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from tyro.conf import Positional, UseAppendAction, arg

_COUNT = "num_"


@cache
def as_options(configuration: type) -> type:
    """Make a subclass whose fields are spelled as on a command line.

    Fields of configurations inside it stand beside its own. `num_crops` becomes `--crops`, a field
    `video` is positional, `more` follows it, and a tuple of strings is an option that is given once
    for each.
    """
    hints = get_type_hints(configuration)
    spelled = [(f.name, *_spelled(f, hints[f.name])) for f in fields(configuration)]
    return make_dataclass(
        configuration.__name__, spelled, bases=(configuration,), frozen=True, kw_only=True
    )


def _spelled(declared: Field[Any], hint: Any) -> tuple[Any, Any]:
    """Type and default of a field as an option."""
    if is_dataclass(hint) and isinstance(hint, type):
        inner = as_options(hint)

        def default() -> Any:
            usual = hint() if declared.default is MISSING else declared.default
            if declared.default_factory is not MISSING:
                usual = declared.default_factory()
            return inner(**{f.name: getattr(usual, f.name) for f in fields(hint)})

        return Annotated[inner, arg(name="")], field(default_factory=default)
    if declared.name in ("video", "more"):
        hint = Positional[hint]
    elif get_origin(hint) is tuple and get_args(hint)[0] is str:
        hint = UseAppendAction[hint]
    if declared.name.startswith(_COUNT):
        hint = Annotated[hint, arg(name=declared.name.removeprefix(_COUNT))]
    if declared.default_factory is not MISSING:
        return hint, field(default_factory=declared.default_factory)
    return hint, field(default=declared.default)
