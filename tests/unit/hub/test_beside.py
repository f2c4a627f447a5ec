"""Facts that shapes do not tell are read from files beside the weights, or said to be missing."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from internvideo.errors import CheckpointError
from internvideo.hub import ImportOptions, import_weights, load_pretrained, save_pretrained
from internvideo.weights import read_document
from tests.unit.hub.test_importing import _made

HEADS = {"quick-gelu": lambda y: y * torch.sigmoid(1.702 * y), "gelu": F.gelu}


def _clip_state(width: int, text_width: int, patch: int, side: int) -> dict[str, torch.Tensor]:
    """OpenAI's names, with one block of random weights in each tower."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int, scale: float) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * scale

    def block(start: str, d: int) -> dict[str, torch.Tensor]:
        shapes = {
            "attn.in_proj_weight": (3 * d, d),
            "attn.out_proj.weight": (d, d),
            "mlp.c_fc.weight": (4 * d, d),
            "mlp.c_proj.weight": (d, 4 * d),
        }
        made = {
            name: draw(*shape, scale=(3 if "in_proj" in name else 1) / math.sqrt(shape[1]))
            for name, shape in shapes.items()
        }
        made |= {
            name.replace("weight", "bias"): torch.zeros(len(value)) for name, value in made.items()
        }
        for norm in ("ln_1", "ln_2"):
            made |= {f"{norm}.weight": torch.ones(d), f"{norm}.bias": torch.zeros(d)}
        return {start + name: value for name, value in made.items()}

    state = {
        "positional_embedding": draw(77, text_width, scale=0.01),
        "text_projection": draw(text_width, 16, scale=0.1),
        "logit_scale": torch.tensor(4.6),
        "token_embedding.weight": draw(99, text_width, scale=0.02),
        "visual.class_embedding": draw(width, scale=0.1),
        "visual.positional_embedding": draw((side // patch) ** 2 + 1, width, scale=0.1),
        "visual.proj": draw(width, 16, scale=1 / math.sqrt(width)),
        "visual.conv1.weight": draw(width, 3, patch, patch, scale=0.05),
        "ln_final.weight": torch.ones(text_width),
        "ln_final.bias": torch.zeros(text_width),
    }
    for norm in ("ln_pre", "ln_post"):
        state |= {f"visual.{norm}.weight": torch.ones(width)}
        state |= {f"visual.{norm}.bias": torch.zeros(width)}
    state |= block("visual.transformer.resblocks.0.", width)
    return state | block("transformer.resblocks.0.", text_width)


def _embedded(state, image: torch.Tensor, heads: int, activation: str) -> torch.Tensor:
    """CLIP's image tower, written down once more."""
    get = lambda name: state[f"visual.{name}"]  # noqa: E731
    width = len(get("class_embedding"))
    norm = lambda x, name: F.layer_norm(x, (width,), get(f"{name}.weight"), get(f"{name}.bias"))  # noqa: E731
    kernel = get("conv1.weight")
    x = F.conv2d(image, kernel, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([get("class_embedding").expand(len(x), 1, -1), x], 1)
    x = norm(x + get("positional_embedding"), "ln_pre")
    at = "transformer.resblocks.0."
    linear = lambda x, name, kind="": F.linear(  # noqa: E731
        x, get(f"{at}{name}{kind or '.'}weight"), get(f"{at}{name}{kind or '.'}bias")
    )
    q, k, v = linear(norm(x, f"{at}ln_1"), "attn.in_proj", "_").chunk(3, -1)
    split = lambda t: t.unflatten(-1, (heads, -1)).transpose(1, 2)  # noqa: E731
    seen = F.scaled_dot_product_attention(split(q), split(k), split(v))
    x = x + linear(seen.transpose(1, 2).flatten(2), "attn.out_proj")
    hidden = HEADS[activation](linear(norm(x, f"{at}ln_2"), "mlp.c_fc"))
    x = x + linear(hidden, "mlp.c_proj")
    return F.normalize(norm(x[:, 0], "ln_post") @ get("proj"), dim=-1)


def _cosine(imported, state, heads: int, activation: str) -> float:
    side = imported.pretrained.preprocessing.side_px
    image = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours = imported.pretrained.model.encode_video(image[:, :, None]).embedding
    return float(F.cosine_similarity(ours, _embedded(state, image, heads, activation)).min())


@pytest.mark.parametrize("activation", ["gelu", "quick-gelu"])
def test_a_tower_of_openclips_widths_has_its_heads_and_the_activation_it_is_given(
    activation, tmp_path
):
    state = _clip_state(1280, 64, 14, 28)
    torch.save(state, tmp_path / "h.pt")
    given = {name: {"activation": activation} for name in ("video", "text")}

    imported = import_weights(tmp_path / "h.pt", ImportOptions(config=given))

    assert imported.pretrained.config.video.num_heads == 16
    assert _cosine(imported, state, 16, activation) > 0.9999


def test_what_nobody_tells_is_said_with_the_setting_that_changes_it(tmp_path):
    torch.save(_clip_state(128, 64, 16, 32), tmp_path / "clip.pt")

    steps = " ".join(import_weights(tmp_path / "clip.pt").steps)

    assert "not told by the file, taken as usual: video.num_heads=2, " in steps
    assert "video.activation=quick-gelu; change with --set" in steps


@pytest.mark.parametrize("name", ["folder", "file"])
def test_the_config_of_openclip_is_read_beside_a_file_and_in_a_folder(name, tmp_path):
    state = _clip_state(128, 64, 16, 32)
    save_file(state, tmp_path / "model.safetensors")
    config = {
        "model_cfg": {
            "embed_dim": 16,
            "vision_cfg": {"width": 128, "layers": 1, "head_width": 32, "patch_size": 16},
            "text_cfg": {"width": 64, "heads": 2, "layers": 1},
        },
        "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3, "resize_mode": "shortest"},
    }
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))

    source = tmp_path if name == "folder" else tmp_path / "model.safetensors"
    imported = import_weights(source)

    found = imported.pretrained
    assert (found.config.video.num_heads, found.config.text.num_heads) == (4, 2)
    assert found.config.video.activation == found.config.text.activation == "gelu"
    assert (found.preprocessing.mean, found.preprocessing.crop) == ((0.5,) * 3, 1.0)
    assert "read open_clip_config.json" in imported.steps
    assert not any("not told" in step for step in imported.steps)
    assert _cosine(imported, state, 4, "gelu") > 0.9999


VISION = {"hidden_size": 128, "num_attention_heads": 4, "hidden_act": "gelu"}
PROCESSOR = {
    "do_resize": True,
    "size": {"shortest_edge": 32},
    "do_center_crop": True,
    "crop_size": {"height": 32, "width": 32},
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.4, 0.5, 0.6],
    "image_std": [0.2, 0.25, 0.3],
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, (1.0, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))),
        ({"size": {"shortest_edge": 40}}, (0.8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))),
        ({"size": 40, "crop_size": 32}, (0.8, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))),
        (
            {"size": {"shortest_edge": 40}, "do_center_crop": False},
            (1.0, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)),
        ),
        ({"do_normalize": False}, (1.0, (0.0,) * 3, (1.0,) * 3)),
        (
            {"do_rescale": False, "image_mean": [102.0] * 3, "image_std": [51.0] * 3},
            (1.0, (0.4,) * 3, (0.2,) * 3),
        ),
    ],
)
def test_the_processor_of_a_clip_folder_decides_what_is_seen(changes, expected, tmp_path):
    save_file(_clip_state(128, 64, 16, 32), tmp_path / "model.safetensors")
    config = {
        "model_type": "clip",
        "vision_config": VISION,
        "text_config": {"num_attention_heads": 2, "hidden_act": "gelu"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**PROCESSOR, **changes}))

    found = import_weights(tmp_path).pretrained

    seen = found.preprocessing
    assert seen.crop == pytest.approx(expected[0])
    assert seen.mean == pytest.approx(expected[1])
    assert seen.std == pytest.approx(expected[2])
    assert (seen.side_px, found.config.video.num_heads) == (32, 4)


def test_files_of_another_model_are_an_error_in_its_folder_and_passed_over_beside_a_file(tmp_path):
    save_file(_clip_state(128, 64, 16, 32), tmp_path / "model.safetensors")
    config = {"model_type": "clip", "vision_config": {**VISION, "hidden_size": 96}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))

    with pytest.raises(CheckpointError, match=r"config\.json is of a model of width 96, the weigh"):
        import_weights(tmp_path)
    imported = import_weights(tmp_path / "model.safetensors")
    assert any("width 96" in step and "not read" in step for step in imported.steps)
    assert imported.pretrained.preprocessing.mean != (0.4, 0.5, 0.6)


def test_class_names_travel_from_beside_a_file(tmp_path):
    _, state = _made("videomae classifier")
    torch.save(state, tmp_path / "ft.pth")
    labels = {str(i): name for i, name in enumerate(("run", "sit", "jump", "fall", "wave"))}
    config = {"model_type": "videomae", "num_attention_heads": 4, "id2label": labels}
    (tmp_path / "config.json").write_text(json.dumps(config))

    found = import_weights(tmp_path / "ft.pth").pretrained

    assert found.classes == ("run", "sit", "jump", "fall", "wave")
    assert found.config.encoder.num_heads == 4
    config["id2label"] = {str(i): f"LABEL_{i}" for i in range(5)}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert import_weights(tmp_path / "ft.pth").pretrained.classes == ()


def test_the_weights_of_a_saved_model_given_alone_are_that_model(tmp_path):
    _, state = _made("videomae classifier")
    torch.save(state, tmp_path / "ft.pth")
    found = import_weights(tmp_path / "ft.pth", ImportOptions(num_frames=8)).pretrained
    save_pretrained(found, tmp_path / "saved")

    again = load_pretrained(tmp_path / "saved" / "model.safetensors")

    assert again.preprocessing == found.preprocessing
    assert again.config == found.config


def test_an_encoder_of_videomae_v2_without_head_gives_a_pooled_output(tmp_path):
    _, state = _made("videomae classifier")
    headless = {
        f"model.{name}": value for name, value in state.items() if not name.startswith("head.")
    }
    save_file(headless, tmp_path / "model.safetensors")
    inner = {"all_frames": 16, "img_size": 224, "embed_dim": 64, "num_heads": 2}
    config = {"model_type": "VideoMAEv2_Base", "model_config": inner}
    (tmp_path / "config.json").write_text(json.dumps(config))

    found = import_weights(tmp_path).pretrained

    clip = torch.randn(1, 3, 16, 224, 224)
    with torch.no_grad():
        pooled, tokens = found.model(clip), found.model.encoder(clip)
    norm = found.model.fc_norm
    torch.testing.assert_close(pooled, norm(tokens.mean(1)))
    assert (found.config.num_classes, found.config.encoder.num_heads) == (0, 2)


class HistoryBuffer:
    """What mmengine keeps of a loss; here of no package that the reader has."""

    def __init__(self) -> None:
        self.values = np.arange(3.0)


class AttributeDict(dict):
    """What Lightning keeps options in."""


@pytest.mark.parametrize(
    "beside",
    [
        {"message_hub": {"loss": HistoryBuffer()}, "meta": {"epoch": 1}},
        {"hyper_parameters": AttributeDict(lr=0.1), "history": np.arange(4)},
        {"best": np.float64(0.5), "queue": [np.arange(2)]},
    ],
)
@pytest.mark.parametrize("older", [False, True])
def test_histories_beside_weights_become_inert_and_are_named(beside, older, tmp_path, caplog):
    _, state = _made("videomae classifier")
    path = tmp_path / "a.pth"
    torch.save({"state_dict": state, **beside}, path, _use_new_zipfile_serialization=not older)

    document = read_document(path)
    imported = import_weights(path)

    assert torch.equal(document["state_dict"]["head.bias"], state["head.bias"])
    assert imported.pretrained.config.num_classes == 5
    if "best" not in beside:
        assert "stay unread, nothing of them was executed" in caplog.text


def test_mmaction2s_names_are_read(tmp_path):
    model, state = _made("videomae classifier")
    rules = (
        ("patch_embed.proj.", "patch_embed.projection."),
        (".mlp.fc1.", ".mlp.layers.0.0."),
        (".mlp.fc2.", ".mlp.layers.1."),
    )
    theirs = {}
    for name, value in state.items():
        for official, name_of_mm in rules:
            name = name.replace(official, name_of_mm)
        is_head = name.startswith("head.")
        theirs[name.replace("head.", "cls_head.fc_cls.") if is_head else f"backbone.{name}"] = value
    torch.save({"meta": {"epoch": 1}, "state_dict": theirs}, tmp_path / "mm.pth")

    found = import_weights(tmp_path / "mm.pth").pretrained.model

    for name, value in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name


def test_the_shared_cases(shared_cases):
    for name in ("mm_clean.pth", "mmengine_hub.pth", "pl_attr.ckpt", "nparr.pth", "off.pth"):
        found = import_weights(shared_cases / "15_checkpoints" / name).pretrained
        assert found.config.num_classes == 3, name
    found = import_weights(shared_cases / "15_checkpoints" / "v2hub").pretrained
    assert (found.config.num_classes, found.config.pooling) == (0, "mean")
