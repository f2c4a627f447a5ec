"""`torch.compile`, block by block.

The blocks of a stack are one piece of code: the compiler works once for all of them, takes seconds
instead of minutes, and does not meet the hooks of FSDP2, which sit between blocks. A network that
is called by methods of its own (`encode_video`) is compiled all the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def compile_blocks(
    model: nn.Module, wanted: bool | None, device: torch.device, **options: Any
) -> bool:
    """Compile each block of every stack in place; names of weights stay.

    Args:
        model: A network without any stack is compiled as a whole.
        wanted: None stands for yes with CUDA and no on a processor, where it gains little.
        device: Where the model is.
        options: Of `torch.compile`.

    Returns:
        Whether it was compiled.
    """
    is_wanted = device.type == "cuda" if wanted is None else wanted
    if is_wanted:
        stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
        blocks = [block for stack in stacks for block in stack]
        for block in blocks or [model]:
            block.compile(**options)
    return is_wanted
