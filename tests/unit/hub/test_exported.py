"""Exported classifiers, opened to predict with."""

from __future__ import annotations

import json
import shutil
import zipfile
from dataclasses import replace

import pytest
import torch

from internvideo.errors import CheckpointError
from internvideo.hub import export_model, load_pretrained, open_exported
from internvideo.hub.exported import ExportedClassifier
from internvideo.tasks import RecognitionModel
from tests.unit.hub.test_export import CLASSIFIER, pretrained

MODEL = pretrained("video-classifier", replace(CLASSIFIER, multi_label=True), classes=("a", "b"))
FRAMES = torch.randint(0, 256, (3, 2, 16, 16, 3), dtype=torch.uint8)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return export_model(MODEL, tmp_path_factory.mktemp("exported") / "model.pt2", to="torch").path


@pytest.fixture(scope="module")
def onnx(tmp_path_factory):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    return export_model(MODEL, tmp_path_factory.mktemp("exported") / "model.onnx", to="onnx").path


@pytest.fixture(params=["program", pytest.param("onnx", marks=pytest.mark.slow)])
def file(request):
    return request.getfixturevalue(request.param)


def test_a_file_answers_as_the_model_did(file):
    found = open_exported(file)

    expected = RecognitionModel.from_pretrained(MODEL, source="it").classify_clips(FRAMES)
    torch.testing.assert_close(found.classify_clips(FRAMES), expected, atol=1e-5, rtol=1e-4)
    assert (found.classes, found.multi_label) == (("a", "b"), True)
    assert (found.num_frames, found.mean) == (2, MODEL.preprocessing.mean)
    assert isinstance(found, ExportedClassifier)


def test_what_stands_beside_a_file_is_read(file, tmp_path):
    copy = shutil.copy(file, tmp_path / file.name)
    (tmp_path / "model.json").write_text('{"classes": ["left", "right"]}')

    assert open_exported(copy).classes == ("left", "right")


@pytest.mark.parametrize(
    ("beside", "said"),
    [
        (
            '{"classes": []}',
            r'says no classes; write them beside it, into .*model.json: {"classes"',
        ),
        ('{"classes": ["a"]}', r"does not name clips .*gives 2 scores for 1 classes"),
        ('{"classes": "ab"}', r"classes are a list of names, found 'ab'"),
        ('{"preprocessing": {"num_frames": 2, "side_px": 32}}', "does not name clips of 2 frames"),
        ('{"preprocessing": {"layout": "b t c h w"}}', "is for clips of another layout"),
        ('{"part": "video"}', "holds the part 'video' of a model, which names no classes"),
        ("[]", "expected an object"),
        ("{", "is no JSON"),
    ],
)
def test_a_description_that_does_not_fit_is_one_line(file, tmp_path, beside, said):
    copy = shutil.copy(file, tmp_path / file.name)
    (tmp_path / "model.json").write_text(beside)

    with pytest.raises(CheckpointError, match=said):
        open_exported(copy)


def test_a_damaged_file_is_one_line(file, tmp_path):
    (tmp_path / file.name).write_bytes(file.read_bytes()[:3000])

    with pytest.raises(CheckpointError, match="that runs"):
        open_exported(tmp_path / file.name)


def test_weights_are_not_looked_for_in_a_program(file):
    with pytest.raises(CheckpointError, match="is an exported file, without weights to go on with"):
        load_pretrained(file)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (("torch.ops.aten.linear.default", "torch.os.system"), "asks for target 'torch.os.system'"),
        (('"use_pickle": false', '"use_pickle": true'), "asks for use_pickle True"),
        (('"expr_str": "', '"expr_str": "__import__(1)'), "asks for expr_str .__import__"),
    ],
)
def test_a_program_that_does_more_than_compute_is_not_loaded(
    tmp_path, monkeypatch, program, changes, said
):
    hostile = tmp_path / "hostile.pt2"
    with zipfile.ZipFile(program) as before, zipfile.ZipFile(hostile, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name.endswith(".json"):
                content = json.dumps(json.loads(content)).replace(*changes).encode()
            after.writestr(name, content)
    monkeypatch.setattr(torch.export, "load", lambda *_, **__: pytest.fail("it was loaded"))

    with pytest.raises(CheckpointError, match=f"{said}.*nothing was executed"):
        open_exported(hostile)


def test_compiled_code_is_not_loaded(tmp_path):
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as archive:
        archive.writestr("model/data/aotinductor/model/model.so", b"")

    with pytest.raises(CheckpointError, match="holds compiled code"):
        open_exported(tmp_path / "model.pt2")
