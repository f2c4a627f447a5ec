"""A mode in which whatever makes the processor wait for a device is an error, shown on a processor.

Values that become numbers of Python, and shapes that depend on values, cannot be had before the
device has computed them. What works on tensors that never leave the processor (tokens, masks drawn
from seeds) runs outside of the mode: `on_the_processor`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_ATEN = {
    "aten::_local_scalar_dense",
    "aten::nonzero",
    "aten::masked_select",
    "aten::_unique2",
    "aten::unique_dim",
    "aten::unique_consecutive",
    "aten::equal",
    "aten::repeat_interleave.Tensor",
}
_METHODS = {"tolist", "numpy", "cpu", "__array__"}


class Synchronised(AssertionError):
    """Something waited for the device."""


class _Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name()
        if name in _ATEN or name.removesuffix(".out") in _ATEN:
            raise Synchronised(name)
        if name.startswith(("aten::index.", "aten::index_put")):
            indices = [index for index in args[1] if index is not None]
            if any(index.dtype in (torch.bool, torch.uint8) for index in indices):
                raise Synchronised(f"{name} with a mask")
        return func(*args, **(kwargs or {}))


class _Methods(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", "") in _METHODS:
            raise Synchronised(f"Tensor.{func.__name__}")
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def no_syncs() -> Iterator[None]:
    """Raise `Synchronised` at whatever would wait."""
    with _Operations(), _Methods():
        yield


def on_the_processor(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function do as it likes within `no_syncs`: it is given nothing of the device."""

    @functools.wraps(function)
    def outside(*arguments: Any, **options: Any) -> Any:
        with torch.utils._python_dispatch._disable_current_modes(), torch._C.DisableTorchFunction():
            return function(*arguments, **options)

    return outside
