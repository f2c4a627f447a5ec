"""Networks as files that run without this package: ONNX, and programs of `torch.export`.

Shapes: those of the network, with the first axis of every input and output free.
A file is written beside its place, read back, compared with the network on random input at several
batch sizes, and moved to its place only where the two agree. Classes and preprocessing travel in
it: in ONNX as metadata properties, in a `.pt2` as an extra file `internvideo.json`.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.models.masked_autoencoder import MaskedAutoencoder
from internvideo.models.masked_encoder import MaskedEncoder
from internvideo.models.multimodal_encoder import MultimodalEncoder
from internvideo.models.uniformer import UniFormer, UniFormerOutput
from internvideo.models.viclip import Viclip
from internvideo.writing import written_beside

Format = Literal["onnx", "torch"]
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "torch": ".pt2"}
METADATA_FILE = "internvideo.json"

# A protobuf message ends at 2 GiB; weights beyond this go into a second file, FILE.data.
_MOST_INLINE_BYTES = 3 << 29
# What a file holds besides weights, at most: the program, names, a vocabulary.
_ROOM_BESIDE_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Input:
    """A tensor that a network reads: its axes after the batch, and what it holds."""

    axes: tuple[int, ...]
    num_ids: int | None = None  # token ids below this number; None: floats

    def sample(self, batch_size: int, generator: torch.Generator) -> Tensor:
        shape = (batch_size, *self.axes)
        if self.num_ids is None:
            return torch.randn(shape, generator=generator)
        return torch.randint(self.num_ids, shape, generator=generator)

    def document(self) -> dict[str, Any]:
        dtype = "float32" if self.num_ids is None else "int64"
        return {"shape": ["batch", *self.axes], "dtype": dtype}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """What of a model goes into one file: tensors in, one or several tensors out, all named.

    `network` takes the inputs and gives the outputs in this order, as a tensor, a tuple or a
    dictionary. It counts its batch by `x.shape[0]`: `len(x)` would fix it when traced.
    """

    network: nn.Module
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """A written file, and by batch size how far it is from the network, over all outputs."""

    path: Path
    num_bytes: int
    max_errors: dict[int, float]

    @property
    def max_error(self) -> float:
        return max(self.max_errors.values())


class _Encoder(nn.Module):
    def __init__(self, encoder: MaskedEncoder | UniFormer) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, clip: Tensor) -> tuple[Tensor, Tensor]:
        output = self.encoder(clip)
        if isinstance(output, UniFormerOutput):
            return output.tokens, output.pooled
        return output, output.mean(1)


class _VideoTower(nn.Module):
    def __init__(self, model: MultimodalEncoder | Viclip) -> None:
        super().__init__()
        self.model = _without(model, "text", "captioner")

    def forward(self, clip: Tensor) -> Tensor:
        return self.model.encode_video(clip).embedding


class _TextTower(nn.Module):
    def __init__(self, model: MultimodalEncoder | Viclip) -> None:
        super().__init__()
        self.model = _without(model, "video", "captioner")

    def forward(self, ids: Tensor) -> Tensor:
        return self.model.encode_text(ids).embedding


def parts_of(model: nn.Module, *, num_frames: int, side_px: int) -> dict[str, Part]:
    """Name the parts of a model that can be exported; clips are normalised (b, c, t, h, w).

    Encoder A gives its tokens and their mean, a UniFormerV2 its tokens and its pooled vector, both
    towers of encoder B and of ViCLIP their place in the shared space; any other network is taken
    for a classifier, from clips to logits.
    """
    clip = {"clip": Input(axes=(3, num_frames, side_px, side_px))}
    if isinstance(model, MaskedAutoencoder):
        model = model.encoder
    if isinstance(model, MaskedEncoder | UniFormer):
        encoder = _Encoder(model)
        return {"encoder": Part(network=encoder, inputs=clip, outputs=("tokens", "pooled"))}
    if not isinstance(model, MultimodalEncoder | Viclip):
        return {"classifier": Part(network=model, inputs=clip, outputs=("logits",))}
    text = model.config.text
    ids = {"ids": Input(axes=(text.context_length,), num_ids=text.vocabulary_size)}
    return {
        "video": Part(network=_VideoTower(model), inputs=clip, outputs=("embedding",)),
        "text": Part(network=_TextTower(model), inputs=ids, outputs=("embedding",)),
    }


def export_part(
    part: Part,
    out: Path,
    *,
    to: Format,
    metadata: Mapping[str, Any] | None = None,
    batch_sizes: tuple[int, ...] = (1, 3),
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Exported:
    """Write a network, in float32 and for evaluation, with a free batch axis.

    Args:
        part: Unchanged afterwards.
        out: File to write or replace; beyond 1.5 GiB of weights ONNX adds `<out>.data`.
        to: Format; ONNX needs the extra `export`.
        metadata: What readers should know, by name; values that JSON can hold.
        batch_sizes: At which the file is compared with the network.
        tolerance: Largest absolute difference of any output that is still agreement.
        seed: Of the random input.

    Raises:
        ConfigError: If the extra is missing or `out` has another ending.
        CheckpointError: If file and network disagree; then nothing is written.
    """
    if out.suffix != SUFFIXES[to] or out.is_dir():
        raise ConfigError(f"{out}: give a file name that ends in {SUFFIXES[to]} for format {to!r}")
    if to == "onnx":
        _need_onnx()
    write, read = (_write_onnx, _read_onnx) if to == "onnx" else (_write_program, _read_program)
    network = copy.deepcopy(part.network).to("cpu", torch.float32).eval()
    part = Part(network=network, inputs=part.inputs, outputs=part.outputs)
    generator = torch.Generator().manual_seed(seed)
    document = {
        **(metadata or {}),
        "inputs": {name: one.document() for name, one in part.inputs.items()},
        "outputs": list(part.outputs),
    }
    with torch.no_grad(), _without_noise(), written_beside(out) as beside:
        written = beside / out.name
        _need_room(beside, network)
        try:
            write(part, written, document, generator)
        except OSError as error:
            reason = error.strerror or error
            raise CheckpointError(f"{out}: cannot be written ({reason})") from error
        run = read(written)
        errors = {size: _max_error(part, run, size, generator) for size in batch_sizes}
        if not all(error <= tolerance for error in errors.values()):
            told = ", ".join(f"{error:.2g} at batch {size}" for size, error in errors.items())
            raise CheckpointError(
                f"{out}: not written, for the {to} file differs from the model by {told}; "
                f"at most {tolerance:g} is allowed"
            )
        files = sorted(beside.iterdir(), key=lambda path: path == written)
        for path in files:  # weights of their own first: the file that names them comes last
            path.replace(out.parent / path.name)
    num_bytes = sum((out.parent / path.name).stat().st_size for path in files)
    return Exported(path=out, num_bytes=num_bytes, max_errors=errors)


def _need_room(folder: Path, network: nn.Module) -> None:
    """Refuse a disk without room: torch's writer aborts the whole process when it runs full."""
    needed = sum(tensor.nbytes for tensor in network.state_dict().values()) + _ROOM_BESIDE_BYTES
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise CheckpointError(
            f"{folder.parent}: has {free / 1e6:.0f} MB free, the file takes {needed / 1e6:.0f} MB; "
            "make room or choose another place"
        )


Run = Callable[[tuple[Tensor, ...]], tuple[Tensor, ...]]


def _max_error(part: Part, run: Run, batch_size: int, generator: torch.Generator) -> float:
    inputs = _samples(part, batch_size, generator)
    pairs = zip(_tensors(part.network(*inputs)), run(inputs), strict=True)
    errors = torch.stack([(ours - theirs).abs().max() for ours, theirs in pairs])
    return float(errors.max())  # not a number, where one of them is none


def _samples(part: Part, batch_size: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    return tuple(one.sample(batch_size, generator) for one in part.inputs.values())


def _tensors(result: Any) -> tuple[Tensor, ...]:
    if isinstance(result, Tensor):
        return (result,)
    return tuple(result.values() if isinstance(result, Mapping) else result)


def _traced(
    part: Part, generator: torch.Generator
) -> tuple[torch.export.ExportedProgram, tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    samples = _samples(part, 2, generator)  # a batch of one would count as fixed
    batch = torch.export.Dim("batch", min=1)
    axes = tuple({0: batch} for _ in samples)
    try:
        program = torch.export.export(part.network, samples, dynamic_shapes=axes)
    except (torch._dynamo.exc.TorchDynamoException, RuntimeError) as error:
        raise ConfigError(
            f"{type(part.network).__name__} cannot be exported with any batch size "
            f"({str(error).splitlines()[0]}); the network must not ask how many samples it gets"
        ) from error
    return program, samples, axes


def _write_program(
    part: Part, path: Path, document: Mapping[str, Any], generator: torch.Generator
) -> None:
    program, _, _ = _traced(part, generator)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    torch.export.save(program, path, extra_files={METADATA_FILE: text})


def _read_program(path: Path) -> Run:
    program = torch.export.load(path).module()
    return lambda inputs: _tensors(program(*inputs))


def _write_onnx(
    part: Part, path: Path, document: Mapping[str, Any], generator: torch.Generator
) -> None:
    program, samples, axes = _traced(part, generator)
    exported = torch.onnx.export(
        program,
        samples,
        input_names=list(part.inputs),
        output_names=list(part.outputs),
        dynamic_shapes=axes,
        dynamo=True,
        verbose=False,
    )
    assert exported is not None  # only without `dynamo`
    for node in exported.model.graph:  # inner values are named for operations, as `embedding` is
        for value in node.outputs:
            if value.name in part.outputs and not value.is_graph_output():
                value.name += "_"
    for name, value in document.items():
        exported.model.metadata_props[name] = json.dumps(value, ensure_ascii=False)
    num_bytes = sum(tensor.nbytes for tensor in program.state_dict.values())
    exported.save(path, external_data=num_bytes > _MOST_INLINE_BYTES)


def _read_onnx(path: Path) -> Run:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        arrays = (tensor.numpy() for tensor in inputs)
        outputs = session.run(None, dict(zip(names, arrays, strict=True)))
        return tuple(torch.from_numpy(array) for array in outputs)

    return run


def _need_onnx() -> None:
    try:
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"ONNX needs the package {error.name!r}, which is not installed: "
            "pip install onnx onnxscript onnxruntime"
        ) from error


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Hide what torch's exporter says of itself and of libraries that nobody asked for."""
    noisy = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = noisy.level
    noisy.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
            warnings.filterwarnings("ignore", "# The axis name: batch", UserWarning)
            yield
    finally:
        noisy.setLevel(level)


def _without(model: nn.Module, *names: str) -> Any:
    """The model, sharing its weights, without some of its modules, so that no file holds them."""
    kept = copy.copy(model)
    kept._modules = {name: one for name, one in model._modules.items() if name not in names}
    return kept
