"""The visual tower of a search model as an ONNX graph, where that is quicker.

A graph is exported once for each set of weights, compared with the network (1e-3 at most) and kept
in the cache of models. Differs by 1e-6 or so in practice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.hub.released import cache_folder
from internvideo.models.export import Input, Part, export_part
from internvideo.search.model import Tower

_log = logging.getLogger(__name__)

Runtime = Literal["torch", "onnx", "auto"]
_TOLERANCE = 1e-3
_NUM_MEASURED = 3


def choose_runtime(
    model: Tower, runtime: Runtime, *, batch_size: int = 8, folder: Path | None = None
) -> str:
    """Let a model run its tower in torch or ONNX; `auto` measures both and takes the quicker.

    Args:
        model: Changed in place.
        runtime: Which.
        batch_size: Of the measurement.
        folder: Where graphs are kept; default in the cache of models.

    Returns:
        The runtime chosen.

    Raises:
        ConfigError: ONNX is asked for and the extra `export` is missing, or the model cannot be
            exported.
        CheckpointError: Graph and network differ by more than 1e-3.
    """
    if runtime == "torch":
        return "torch"
    try:
        graph = _graph(model, folder or cache_folder() / "graphs")
    except ConfigError as error:
        if runtime == "onnx":
            raise
        _log.info("staying with torch: %s", error)
        return "torch"
    if runtime == "auto":
        inputs = tuple(
            torch.randn(batch_size, *shape, generator=torch.Generator().manual_seed(0))
            for shape in model.input_shapes.values()
        )
        times = {"torch": _seconds(model.run, inputs), "onnx": _seconds(graph, inputs)}
        _log.info(
            "a batch of %d takes %.3f s in torch, %.3f s in ONNX",
            *(batch_size, times["torch"], times["onnx"]),
        )
        if times["torch"] <= times["onnx"]:
            return "torch"
    model.run = graph
    return "onnx"


def _graph(model: Tower, folder: Path) -> Callable[[tuple[Tensor, ...]], Tensor]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ConfigError(
            "--runtime onnx needs the extra `export`: pip install 'internvideo[export]'"
        ) from error
    if len(model.input_shapes) != 1:
        raise ConfigError(f"{model.name}: a model of variable image sizes runs in torch alone")
    path = folder / f"{model.sha256[:32]}.onnx"
    if not path.exists():
        _log.info("exporting the visual tower to %s", path)
        inputs = {name: Input(axes=shape) for name, shape in model.input_shapes.items()}
        part = Part(network=model.network, inputs=inputs, outputs=("vector_of_clip",))
        export_part(part, path, to="onnx", tolerance=_TOLERANCE)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())

    def run(inputs: tuple[Tensor, ...]) -> Tensor:
        return torch.from_numpy(session.run(None, {name: inputs[0].numpy()})[0])

    return run


def _seconds(run: Callable[[tuple[Tensor, ...]], Tensor], inputs: tuple[Tensor, ...]) -> float:
    run(inputs)
    times = []
    for _ in range(_NUM_MEASURED):
        started_s = time.perf_counter()
        run(inputs)
        times.append(time.perf_counter() - started_s)
    return min(times)
