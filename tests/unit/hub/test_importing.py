"""Importing released weights: recognised by content, strict, and everything accounted for."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.heads import (
    QuestionAnswerer,
    QuestionAnswererConfig,
    VideoClassifier,
    VideoClassifierConfig,
)
from internvideo.hub.importing import Imported, ImportOptions, import_weights
from internvideo.models import (
    CaptionDecoderConfig,
    DecoderConfig,
    JointEncoderConfig,
    MaskedAutoencoder,
    MaskedEncoder,
    MaskedEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormerConfig,
    Viclip,
    ViclipConfig,
    resize_positions,
    sine_table,
)
from internvideo.values import TokenGrid
from internvideo.weights import (
    INTERNVIDEO_MM,
    OPENAI_CLIP,
    UNIFORMER_V2_CLASSIFIER,
    VICLIP,
    count_tensors,
    to_official_classifier,
)

# Widths of 64 a head, 16 frames of 224 px: what a file of weights does not say is then as usual.
A = MaskedEncoderConfig(width=64, depth=2, num_heads=1)
DECODER = DecoderConfig(width=64, depth=1, num_heads=1)
B = UniFormerConfig(
    side_px=32,
    patch_px=16,
    width=64,
    depth=3,
    num_heads=1,
    num_global_heads=1,
    global_layers=(1, 2),
)
TEXT = TextEncoderConfig(vocabulary_size=50, context_length=12, width=64, depth=2, num_heads=1)
CAPTIONER = CaptionDecoderConfig(
    width=64, context_width=64, depth=1, num_heads=1, num_queries=4, vocabulary_size=50
)
MM = MultimodalEncoderConfig(video=B, text=replace(TEXT, mask_token=True), embed_dim=24)
CLIP = MultimodalEncoderConfig(video=replace(B, global_layers=()), text=TEXT, embed_dim=24)
JOINT = JointEncoderConfig(num_frames=4, side_px=32, patch_px=16, width=64, depth=2, num_heads=1)


def _classifier(num_classes: int = 5, **more: Any) -> VideoClassifier:
    encoder = replace(A, final_norm=False, **more)
    return VideoClassifier(VideoClassifierConfig(encoder=encoder, num_classes=num_classes))


def _videomae(model: nn.Module) -> dict[str, Tensor]:
    return to_official_classifier(model.state_dict())


def _internvideo(model: MultimodalEncoder) -> dict[str, Tensor]:
    written = INTERNVIDEO_MM.write(model.state_dict())
    return {k if k.startswith("caption_decoder.") else f"clip.{k}": v for k, v in written.items()}


def _made(what: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """A small model of a family, and its weights under the official names."""
    torch.manual_seed(0)
    if what == "videomae pretraining":
        model: nn.Module = MaskedAutoencoder(A, DECODER)
        return model, model.state_dict()
    if what == "videomae encoder":
        model = MaskedEncoder(A)
        return model, {f"encoder.{k}": v for k, v in model.state_dict().items()}
    if what == "videomae classifier":
        model = _classifier()
        return model, _videomae(model)
    if what == "videomae with layer scale":
        model = _classifier(layer_scale_init=0.1, positions="learned")
        return model, _videomae(model)
    if what.startswith("uniformerv2"):
        video = replace(B, num_local=2, temporal_patch_size=3) if "local" in what else B
        config = VideoClassifierConfig(encoder=video, num_classes=5, pooling="query")
        model = VideoClassifier(config)
        return model, UNIFORMER_V2_CLASSIFIER.write(model.state_dict())
    if what == "internvideo":
        model = MultimodalEncoder(replace(MM, captioner=CAPTIONER))
        return model, _internvideo(model)
    if what == "question answering":  # its files have neither projections nor predictor
        encoder = replace(MM, captioner=CAPTIONER, embed_dim=64)
        model = QuestionAnswerer(QuestionAnswererConfig(encoder=encoder, num_answers=7))
        written = INTERNVIDEO_MM.write(model.state_dict())
        written = {k.replace("classifier.", "vqa_classifier."): v for k, v in written.items()}
        own = ("caption_decoder.", "vqa_classifier.")
        return model, {k if k.startswith(own) else f"clip.{k}": v for k, v in written.items()}
    if what == "viclip":
        model = Viclip(ViclipConfig(video=JOINT, text=TEXT, embed_dim=24))
        return model, VICLIP.write(model.state_dict())
    model = MultimodalEncoder(CLIP)
    written = OPENAI_CLIP.write(model.state_dict())
    kernel = {"visual.conv1.weight": written["visual.conv1.weight"][:, :, 0]}
    return model, written | kernel | {"context_length": torch.tensor(77)}


FAMILIES = {
    "videomae pretraining": "masked-autoencoder",
    "videomae encoder": "masked-encoder",
    "videomae classifier": "video-classifier",
    "videomae with layer scale": "video-classifier",
    "uniformerv2": "video-classifier",
    "uniformerv2 local": "video-classifier",
    "internvideo": "multimodal-encoder",
    "question answering": "question-answerer",
    "viclip": "viclip",
    "openai clip": "multimodal-encoder",
}
_OPTIMISER = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
WRAPPERS = {
    "model": lambda s: {"model": s, "optimizer": _OPTIMISER, "args": Namespace(lr=1), "epoch": 3},
    "module": lambda s: {"module": s, "dp_world_size": 8, "optimizer": None},
    "state_dict": lambda s: {"state_dict": s, "epoch": 1, "callbacks": {}, "loops": {"a": {}}},
    "model_state": lambda s: {"epoch": 1, "model_state": s, "optimizer_state": _OPTIMISER},
    "average beside": lambda s: {"model_ema": {k: v * 0 for k, v in s.items()}, "model": s},
    "only an average": lambda s: {"epoch": 1, "model_ema": s},
    "parallel": lambda s: {f"module.{k}": v for k, v in s.items()},
    "hub copy": lambda s: {f"model.{k}": v for k, v in s.items()},
    "both": lambda s: {"state_dict": {f"module.model.{k}": v for k, v in s.items()}},
    "compiled": lambda s: {f"_orig_mod.{k}": v for k, v in s.items()},
}


def _import(path: Path, content: Any, **options: Any) -> Imported:
    torch.save(content, path / "weights.pth")
    return import_weights(path / "weights.pth", ImportOptions(**options))


def _check_same(imported: Imported, model: nn.Module) -> None:
    torch.testing.assert_close(imported.pretrained.model.state_dict(), model.state_dict())


@pytest.mark.parametrize("what", FAMILIES)
def test_each_family_is_recognised_and_every_tensor_accounted_for(tmp_path, what: str):
    model, state = _made(what)

    imported = _import(tmp_path, state)

    assert imported.pretrained.kind == FAMILIES[what]
    _check_same(imported, model)
    told = [source for entry in imported.tensors for source in entry.sources]
    assert sorted(told) == sorted(state)
    ours = [entry.name for entry in imported.tensors if entry.name is not None]
    assert ours == list(model.state_dict())
    assert {entry.how for entry in imported.tensors} <= {"loaded", "renamed", "dropped"}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("what", ["videomae classifier", "internvideo", "viclip"])
def test_each_wrapper_and_prefix_is_taken_off(tmp_path, what: str, wrapper: str):
    model, state = _made(what)

    imported = _import(tmp_path, WRAPPERS[wrapper](state))

    _check_same(imported, model)
    assert "recognised" in " ".join(imported.steps)


def test_the_backbone_of_a_training_wrapper_is_found_beside_its_decoder(tmp_path):
    model, state = _made("videomae classifier")
    wrapped = {
        k if k.startswith(("head", "fc_norm")) else f"backbone.{k}": v for k, v in state.items()
    }

    imported = _import(tmp_path, wrapped | {"decoder.norm.weight": torch.ones(3)})

    _check_same(imported, model)
    assert "took off the prefix 'backbone.'" in imported.steps
    assert [entry.sources for entry in imported.tensors if entry.how == "dropped"] == [
        ("decoder.norm.weight",)
    ]


def test_half_precision_weights_become_float32(tmp_path):
    _, state = _made("videomae classifier")

    imported = _import(tmp_path, {k: v.bfloat16() for k, v in state.items()})

    assert {p.dtype for p in imported.pretrained.model.parameters()} == {torch.float32}


def test_a_deepspeed_folder_is_read(tmp_path):
    model, state = _made("videomae pretraining")
    folder = tmp_path / "out" / "checkpoint-799"
    folder.mkdir(parents=True)
    torch.save({"module": state, "global_steps": 4}, folder / "mp_rank_00_model_states.pt")

    _check_same(import_weights(folder), model)


def test_a_fixed_table_in_the_file_is_the_models_own(tmp_path):
    model, state = _made("videomae classifier")

    imported = _import(tmp_path, state | {"pos_embed": sine_table(1568, 64)[None]})

    _check_same(imported, model)
    assert imported.pretrained.config.encoder.positions == "sine"
    assert [f.reason for f in imported.tensors if f.how == "dropped"] == [
        "the fixed table, which the model makes itself"
    ]


@pytest.mark.parametrize(("num_frames", "side_px"), [(8, 224), (32, 112), (16, 288), (16, 384)])
def test_a_fixed_table_is_resized_by_the_official_rule(tmp_path, num_frames: int, side_px: int):
    _, state = _made("videomae classifier")

    imported = _import(tmp_path, state, num_frames=num_frames, side_px=side_px)

    made = TokenGrid(time=8, height=14, width=14)
    new = TokenGrid(time=num_frames // 2, height=side_px // 16, width=side_px // 16)
    expected = resize_positions(sine_table(1568, 64), made, new)
    torch.testing.assert_close(imported.pretrained.model.encoder.pos_embed[0], expected)
    assert f"to {num_frames} of {side_px} px" in imported.steps[-1]
    assert imported.pretrained.preprocessing.side_px == side_px


def test_learned_tables_are_resized_and_said(tmp_path):
    _, state = _made("videomae with layer scale")
    _, viclip = _made("viclip")
    _, clip = _made("internvideo")

    for content, name in (
        (state, "encoder.pos_embed"),
        (viclip, "video.time_positions"),
        (clip, "video.positions"),
    ):
        imported = _import(tmp_path, content, num_frames=8, side_px=64)
        resized = [entry for entry in imported.tensors if entry.how == "resized"]
        assert name in [entry.name for entry in resized]
        assert resized[-1].source_shape != resized[-1].shape
        assert imported.pretrained.preprocessing.num_frames == 8


def test_rows_of_a_head_are_mapped_to_other_classes(tmp_path):
    model, state = _made("videomae classifier")

    imported = _import(tmp_path, state, rows=[3, 0], classes=("d", "a"))

    assert torch.equal(imported.pretrained.model.head.weight, model.head.weight[[3, 0]])
    assert count_tensors(imported.tensors).endswith("2 mapped")
    assert imported.pretrained.classes == ("d", "a")


def test_a_head_of_another_number_of_classes_is_refused(tmp_path):
    _, state = _made("videomae classifier")

    with pytest.raises(CheckpointError, match=r"weights\.pth: 7 labels for a model with 5 classes"):
        _import(tmp_path, state, classes=tuple("abcdefg"))


def test_weights_of_another_size_are_refused(tmp_path):
    _, state = _made("videomae classifier")

    with pytest.raises(CheckpointError, match="are of size 'width 64, depth 2', not 'base'"):
        _import(tmp_path, state, size="base")


def test_weights_of_another_family_are_refused(tmp_path):
    _, state = _made("videomae classifier")

    with pytest.raises(CheckpointError, match="are not named as in 'viclip'"):
        _import(tmp_path, state, family="viclip")
    with pytest.raises(ConfigError, match=r"unknown family .* 'vicclip'; did you mean 'viclip'"):
        _import(tmp_path, state, family="vicclip")


def test_an_unknown_state_dict_is_refused_with_its_names(tmp_path):
    with pytest.raises(CheckpointError, match=r"its 1 tensors \(layer1\.weight, \.\.\.\) are not"):
        _import(tmp_path, {"layer1.weight": torch.zeros(2)})


def test_a_file_without_a_state_dict_says_what_it_holds(tmp_path):
    with pytest.raises(CheckpointError, match=r"there is no state dict .* but epoch, args"):
        _import(tmp_path, {"epoch": 3, "args": Namespace(lr=1)})


def test_an_image_model_is_no_video_model(tmp_path):
    _, state = _made("videomae classifier")
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, 0]

    with pytest.raises(CheckpointError, match="this encoder reads images"):
        _import(tmp_path, state)


def test_a_trained_tensor_is_never_left_random_in_silence(tmp_path):
    _, state = _made("videomae classifier")
    del state["fc_norm.bias"]

    with pytest.raises(CheckpointError, match=r"missing from the weights \(fc_norm\.bias\)"):
        _import(tmp_path, state)
    imported = _import(tmp_path, state, may_be_new=r"^fc_norm\.bias$")
    assert [entry.name for entry in imported.tensors if entry.how == "new"] == ["fc_norm.bias"]


def test_a_tensor_is_never_dropped_in_silence(tmp_path):
    _, state = _made("videomae classifier")
    state["blocks.0.adapter.weight"] = torch.zeros(2)

    with pytest.raises(CheckpointError, match=r"have no place in the model \(enc.*adapter"):
        _import(tmp_path, state)
    imported = _import(tmp_path, state, may_be_dropped="adapter")
    assert [(f.sources, f.reason) for f in imported.tensors if f.how == "dropped"] == [
        (("blocks.0.adapter.weight",), "as asked")
    ]


def test_facts_that_shapes_do_not_tell_are_taken_from_the_caller(tmp_path):
    _, state = _made("videomae classifier")

    imported = _import(tmp_path, state, config={"encoder": {"num_heads": 4, "norm_eps": 1e-5}})

    encoder = imported.pretrained.config.encoder
    assert (encoder.num_heads, encoder.norm_eps, encoder.width) == (4, 1e-5, 64)
    with pytest.raises(CheckpointError, match="num_haeds"):
        _import(tmp_path, state, config={"encoder": {"num_haeds": 4}})


def test_a_folder_of_transformers_says_what_shapes_do_not(tmp_path):
    model, _ = _made("videomae classifier")
    rules = (
        ("encoder.patch_embed.proj.", "videomae.embeddings.patch_embeddings.projection."),
        ("encoder.blocks.", "videomae.encoder.layer."),
        (".attn.proj.", ".attention.output.dense."),
        (".norm1.", ".layernorm_before."),
        (".norm2.", ".layernorm_after."),
        (".mlp.fc1.", ".intermediate.dense."),
        (".mlp.fc2.", ".output.dense."),
        (".attn.q_bias", ".attention.attention.q_bias"),
        (".attn.v_bias", ".attention.attention.v_bias"),
        ("head.", "classifier."),
    )
    state: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        for ours, theirs in rules:
            name = name.replace(ours, theirs)
        start, packed, _ = name.partition("attn.qkv.weight")
        kinds = [f"{start}attention.attention.{k}.weight" for k in ("query", "key", "value")]
        state |= dict(zip(kinds, value.clone().chunk(3), strict=True)) if packed else {name: value}
    save_file({k: v.clone() for k, v in state.items()}, tmp_path / "model.safetensors")
    names = {str(i): name for i, name in enumerate(("run", "sit", "jump", "fall", "wave"))}
    config = {"num_attention_heads": 4, "num_frames": 8, "id2label": names}
    (tmp_path / "config.json").write_text(json.dumps(config))
    preprocessor = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.25, 0.25, 0.25]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(preprocessor))

    imported = import_weights(tmp_path)

    found = imported.pretrained
    _check_same(imported, model)
    encoder = found.config.encoder
    assert (encoder.num_heads, encoder.num_frames, encoder.norm_eps) == (4, 8, 1e-12)
    assert found.config.norm_eps == 1e-5
    assert found.classes == ("run", "sit", "jump", "fall", "wave")
    entry = next(f for f in imported.tensors if f.name == "encoder.blocks.0.attn.qkv.weight")
    assert len(entry.sources) == 3
    assert found.preprocessing.mean == (0.5, 0.5, 0.5)


def test_where_weights_came_from_is_kept(tmp_path):
    _, state = _made("videomae classifier")
    save_file(state, tmp_path / "mae.safetensors")

    provenance = import_weights(tmp_path / "mae.safetensors").pretrained.provenance

    assert provenance["family"] == "videomae"
    assert len(provenance["imported_from"]["mae.safetensors"]) == 64


def test_a_wrong_hash_is_refused_before_the_file_is_read(tmp_path):
    (tmp_path / "a.pt").write_text("not even weights")

    with pytest.raises(CheckpointError, match="published is 0123"):
        import_weights(tmp_path / "a.pt", ImportOptions(sha256="0123"))
