from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F

from internvideo.errors import CheckpointError
from internvideo.search import Query, Searcher, choose_runtime, open_search_model, update_index
from tests.unit.search.conftest import new_index

transformers = pytest.importorskip("transformers", reason="the extra `transformers` is missing")

from tests.unit.search.foreign import FOREIGN, save_foreign  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

_SENTENCES = ["a red dog", "the dog jumps into the water"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("foreign")
    return {kind: save_foreign(kind, home / kind) for kind in FOREIGN}


def _features(output):
    return output if isinstance(output, torch.Tensor) else output.pooler_output


@pytest.mark.parametrize("kind", FOREIGN)
def test_vectors_are_those_of_the_library_itself(folders, kind):
    model = open_search_model(folders[kind], device="cpu")
    theirs = transformers.AutoModel.from_pretrained(folders[kind]).eval()
    process = transformers.AutoImageProcessor.from_pretrained(folders[kind])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folders[kind])
    generator = torch.Generator().manual_seed(1)
    shape = (2, model.num_frames, 32, 48, 3)
    clips = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    pictures = model.embed(torch.stack([model.prepare(clip) for clip in clips]))
    texts = model.embed_texts(_SENTENCES)

    with torch.no_grad():
        if kind == "x-clip":
            given = process([list(clip.numpy()) for clip in clips], return_tensors="pt")
            right = _features(theirs.get_video_features(**given))
        else:
            given = process([clip[0].numpy() for clip in clips], return_tensors="pt")
            right = _features(theirs.get_image_features(**given))
        padding = "max_length" if "siglip" in kind else True
        words = tokenizer(
            _SENTENCES, padding=padding, max_length=12, truncation=True, return_tensors="pt"
        )
        words.pop("token_type_ids", None)
        right_texts = _features(theirs.get_text_features(**words))
    assert (pictures - F.normalize(right, dim=1)).abs().max() < 1e-5
    assert (texts - F.normalize(right_texts, dim=1)).abs().max() < 1e-5


def test_a_folder_is_indexed_and_searched_with_it(folders, colour_folder, tmp_path):
    model = open_search_model(folders["clip"], device="cpu")
    with new_index(tmp_path / "index", colour_folder, model) as index:
        update_index(index, model)
        answer = Searcher(index, lambda: model).search(
            Query(text="a red dog", least_confidence=0, duplicates=2)
        )

        assert index.settings.width == 12
        assert answer.moments


def test_onnx_gives_the_same_vectors(folders, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra `export` is missing")
    model = open_search_model(folders["clip"], device="cpu")
    clip = torch.randint(0, 256, (1, 32, 40, 3), dtype=torch.uint8)
    prepared = model.prepare(clip)[None]
    right = model.embed(prepared)

    assert choose_runtime(model, "onnx", folder=tmp_path) == "onnx"

    assert (model.embed(prepared) - right).abs().max() < 1e-3


def test_torchvision_is_never_loaded(folders):
    code = (
        "import sys; from internvideo.search import open_search_model; "
        f"open_search_model({str(folders['clip'])!r}, device='cpu'); "
        "print('torchvision' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.stdout.strip() == "False", done.stderr


def test_a_model_without_words_is_refused(tmp_path):
    config = transformers.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8
    )
    transformers.ViTModel(config).save_pretrained(tmp_path)

    with pytest.raises(CheckpointError, match="cannot be opened"):
        open_search_model(tmp_path)


def test_a_damaged_folder_is_named_with_what_it_should_hold(folders, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))

    with pytest.raises(CheckpointError, match=r"should hold config.json, model.safetensors"):
        open_search_model(tmp_path)


def test_without_a_network_the_files_to_fetch_are_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    with pytest.raises(CheckpointError, match=r"huggingface.co/nobody/nothing into a folder"):
        open_search_model("nobody/nothing")
