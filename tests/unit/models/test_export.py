"""Exported files: they compute what the networks compute, at any batch size, or do not exist."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    CoordinatedClassifier,
    CoordinatedClassifierConfig,
    VideoClassifier,
    VideoClassifierConfig,
)
from internvideo.models import (
    CoordinationConfig,
    JointEncoderConfig,
    MaskedEncoder,
    MaskedEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    Viclip,
    ViclipConfig,
)
from internvideo.models import export as exporting
from internvideo.models.export import METADATA_FILE, SUFFIXES, Input, Part, export_part, parts_of
from internvideo.tiny import MaskedFrontEndConfig, UniFormerFrontEndConfig

SIZE = {"width": 16, "depth": 1, "num_heads": 2}
A = MaskedEncoderConfig(num_frames=2, side_px=32, final_norm=False, **SIZE)
B = UniFormerConfig(side_px=32, num_global_heads=2, global_layers=(0,), **SIZE)
TEXT = TextEncoderConfig(vocabulary_size=9999, context_length=6, **SIZE)

FRONT_END = MaskedFrontEndConfig(frame_differences=True, num_salient_tubelets=2)

ON_A = VideoClassifierConfig(encoder=A, num_classes=5)
ON_B = VideoClassifierConfig(encoder=B, num_classes=5, pooling="query", dropout=0.5)

MODELS = {
    "encoder A": lambda: MaskedEncoder(A),
    "classifier on A": lambda: VideoClassifier(ON_A),
    "classifier on B": lambda: VideoClassifier(ON_B),
    "classifier on A behind a front end": lambda: VideoClassifier(
        replace(ON_A, front_end=FRONT_END, pooling="attentive")
    ),
    "classifier on B behind a front end": lambda: VideoClassifier(
        replace(
            ON_B,
            encoder=replace(B, temporal_patch_size=3),
            front_end=UniFormerFrontEndConfig(stem_width=4, num_salient_patches=2),
        )
    ),
    "classifier of frame differences": lambda: VideoClassifier(
        replace(ON_B, front_end=UniFormerFrontEndConfig(stem_width=4, frame_differences=True))
    ),
    "coordinated": lambda: CoordinatedClassifier(
        CoordinatedClassifierConfig(
            masked=ON_A, multimodal=ON_B, coordination=CoordinationConfig(blocks=1, head_width=8)
        )
    ),
    "encoder B": lambda: MultimodalEncoder(
        MultimodalEncoderConfig(video=B, text=TEXT, embed_dim=8)
    ),
    "ViCLIP": lambda: Viclip(
        ViclipConfig(
            video=JointEncoderConfig(num_frames=2, side_px=32, **SIZE), text=TEXT, embed_dim=8
        )
    ),
}


def _part(model: str, part: str) -> Part:
    torch.manual_seed(0)
    network = MODELS[model]()
    for parameter in network.parameters():  # no branch that starts at zero stays silent
        nn.init.normal_(parameter, std=0.1)
    return parts_of(network, num_frames=2, side_px=32)[part]


def _outputs(path: Path, inputs: tuple[torch.Tensor, ...]) -> dict[str, torch.Tensor]:
    """Run a file as others would, without this package."""
    if path.suffix == ".pt2":
        extra = {METADATA_FILE: ""}
        run = torch.export.load(path, extra_files=extra).module()
        outputs = run(*inputs)
        outputs = (outputs,) if isinstance(outputs, torch.Tensor) else outputs
        return dict(zip(json.loads(extra[METADATA_FILE])["outputs"], outputs, strict=True))
    session = pytest.importorskip("onnxruntime").InferenceSession(path)
    names = [one.name for one in session.get_inputs()]
    arrays = dict(zip(names, (one.numpy() for one in inputs), strict=True))
    outputs = (torch.from_numpy(array) for array in session.run(None, arrays))
    return dict(zip([one.name for one in session.get_outputs()], outputs, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "part", "to"),
    [
        ("encoder A", "encoder", "onnx"),
        ("classifier on A", "classifier", "onnx"),
        ("classifier on B", "classifier", "onnx"),
        ("classifier on A behind a front end", "classifier", "onnx"),
        ("classifier on B behind a front end", "classifier", "onnx"),
        ("classifier of frame differences", "classifier", "onnx"),
        ("coordinated", "classifier", "onnx"),
        ("encoder B", "video", "onnx"),
        ("encoder B", "video", "torch"),
        ("encoder B", "text", "onnx"),
        ("ViCLIP", "video", "onnx"),
    ],
)
def test_a_file_computes_what_its_network_does_at_any_batch_size(tmp_path, model, part, to):
    if to == "onnx":
        pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
    exported = _part(model, part)
    out = tmp_path / f"model{SUFFIXES[to]}"

    report = export_part(exported, out, to=to)

    assert list(report.max_errors) == [1, 3]
    assert report.max_error < 1e-4
    generator = torch.Generator().manual_seed(7)
    for batch_size in (2, 5):
        inputs = tuple(one.sample(batch_size, generator) for one in exported.inputs.values())
        with torch.no_grad():
            expected = exported.network.eval()(*inputs)
        expected = (expected,) if isinstance(expected, torch.Tensor) else expected
        found = _outputs(out, inputs)
        assert tuple(found) == exported.outputs
        for ours, theirs in zip(expected, found.values(), strict=True):
            torch.testing.assert_close(theirs, ours, atol=1e-4, rtol=0)


class _Sums(nn.Module):
    """Two named results of two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"sum": a * self.scale + b, "difference": a - b}


class _Restless(nn.Module):
    """Gives another result every time, which no file can."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x + self.count


SUMS = Part(
    network=_Sums(),
    inputs={"a": Input(axes=(3,)), "b": Input(axes=(3,))},
    outputs=("sum", "difference"),
)


def test_onnx_names_inputs_outputs_and_what_it_should_be_fed(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")

    export_part(SUMS, tmp_path / "sums.onnx", to="onnx", metadata={"classes": ["gehen", "ßen"]})

    session = onnxruntime.InferenceSession(tmp_path / "sums.onnx")
    assert [(one.name, one.shape) for one in session.get_inputs()] == [
        ("a", ["batch", 3]),
        ("b", ["batch", 3]),
    ]
    assert [one.name for one in session.get_outputs()] == ["sum", "difference"]
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["classes"]) == ["gehen", "ßen"]
    assert json.loads(metadata["inputs"])["a"] == {"shape": ["batch", 3], "dtype": "float32"}


def test_a_program_carries_what_it_should_be_fed(tmp_path):
    export_part(SUMS, tmp_path / "sums.pt2", to="torch", metadata={"classes": ["ßen"]})

    extra = {METADATA_FILE: ""}
    program = torch.export.load(tmp_path / "sums.pt2", extra_files=extra)
    assert json.loads(extra[METADATA_FILE])["classes"] == ["ßen"]
    ones = torch.ones(4, 3)
    assert program.module()(ones, ones)["difference"].abs().max() == 0


def test_weights_too_large_for_one_message_go_beside(tmp_path, monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    monkeypatch.setattr(exporting, "_MOST_INLINE_BYTES", 0)

    report = export_part(SUMS, tmp_path / "sums.onnx", to="onnx")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["sums.onnx", "sums.onnx.data"]
    assert report.num_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    ones = torch.ones(2, 3).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "sums.onnx")
    assert (session.run(["sum"], {"a": ones, "b": ones})[0] == 2).all()


def test_a_file_that_computes_something_else_is_not_written(tmp_path):
    part = Part(network=_Restless(), inputs={"x": Input(axes=(2,))}, outputs=("y",))
    out = tmp_path / "restless.pt2"
    out.write_text("what was there")

    with pytest.raises(CheckpointError, match=r"not written.* at batch 3; at most 0.0001"):
        export_part(part, out, to="torch")

    assert out.read_text() == "what was there"
    assert list(tmp_path.iterdir()) == [out]


def test_the_network_stays_as_it_was(tmp_path):
    network = nn.Linear(3, 2).double().train()
    part = Part(network=network, inputs={"x": Input(axes=(3,))}, outputs=("y",))

    export_part(part, tmp_path / "line.pt2", to="torch")

    assert network.training
    assert network.weight.dtype == torch.float64


@pytest.mark.parametrize(("part", "other"), [("video", "text"), ("text", "video")])
def test_the_file_of_one_tower_does_not_hold_the_other(part, other):
    names = [name for name, _ in _part("encoder B", part).network.named_parameters()]

    assert any(name.startswith(f"model.{part}.") for name in names)
    assert not any(name.startswith(f"model.{other}.") for name in names)


@pytest.mark.parametrize("name", ["model", "model.pt2", "model.onnx.zip"])
def test_a_name_that_says_another_format_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"ends in \.onnx for format 'onnx'"):
        export_part(SUMS, tmp_path / name, to="onnx")


@pytest.mark.parametrize("package", ["onnxscript", "onnxruntime"])
def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, package):
    monkeypatch.setitem(__import__("sys").modules, package, None)

    with pytest.raises(ConfigError, match="pip install onnx onnxscript onnxruntime"):
        export_part(SUMS, tmp_path / "sums.onnx", to="onnx")

    assert not list(tmp_path.iterdir())


class _OfTwo(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(2, -1) if len(x) == 2 else x


def test_a_network_that_cannot_be_traced_is_named(tmp_path):
    part = Part(network=_OfTwo(), inputs={"x": Input(axes=(3,))}, outputs=("y",))

    with pytest.raises(ConfigError, match="_OfTwo cannot be exported with any batch size"):
        export_part(part, tmp_path / "two.pt2", to="torch")

    assert not list(tmp_path.iterdir())
