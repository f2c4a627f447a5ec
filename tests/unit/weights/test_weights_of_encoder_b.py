"""Layouts of released weights, strict loading, and merging."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from internvideo.errors import CheckpointError, ConfigError
from internvideo.models import (
    JointEncoderConfig,
    MultimodalEncoder,
    MultimodalEncoderConfig,
    TextEncoderConfig,
    UniFormer,
    UniFormerConfig,
    Viclip,
    ViclipConfig,
    resize_positions,
)
from internvideo.values import TokenGrid
from internvideo.weights import (
    INTERNVIDEO_MM,
    MERGE_RULES,
    OPENAI_CLIP,
    UNIFORMER_V2,
    VICLIP,
    average_weights,
    infer_multimodal_encoder,
    inflate_kernel,
    initialise_from_clip,
    load_weights,
    merge_with_clip,
)

VIDEO = UniFormerConfig(
    side_px=32,
    patch_px=8,
    width=64,
    depth=3,
    num_heads=1,
    global_layers=(1, 2),
    num_global_heads=1,
)
JOINT = JointEncoderConfig(num_frames=2, side_px=32, patch_px=8, width=64, depth=3, num_heads=1)
TEXT = TextEncoderConfig(vocabulary_size=50, context_length=12, width=64, depth=2, num_heads=1)
CLIP = MultimodalEncoderConfig(
    video=replace(VIDEO, global_layers=(), num_global_heads=1), text=TEXT, embed_dim=24
)
TINY = replace(CLIP, video=VIDEO, text=replace(TEXT, mask_token=True))


@pytest.fixture
def clip_state() -> dict[str, Tensor]:
    """CLIP's own layout, whose patch kernel has no time axis."""
    torch.manual_seed(0)
    state = OPENAI_CLIP.write(MultimodalEncoder(CLIP).state_dict())
    state["visual.conv1.weight"] = state["visual.conv1.weight"][:, :, 0]
    return state | {"context_length": torch.tensor(77)}


@pytest.mark.parametrize("layout", [OPENAI_CLIP, INTERNVIDEO_MM, UNIFORMER_V2, VICLIP])
def test_reading_undoes_writing(layout):
    if layout is VICLIP:
        video = JointEncoderConfig(
            num_frames=2, side_px=32, patch_px=8, width=64, depth=2, num_heads=1
        )
        model: nn.Module = Viclip(ViclipConfig(video=video, text=TEXT, embed_dim=24))
    elif layout is UNIFORMER_V2:
        model = UniFormer(replace(VIDEO, num_local=2, temporal_patch_size=3))
    else:
        model = MultimodalEncoder(TINY if layout is INTERNVIDEO_MM else CLIP)
    state = model.state_dict()

    again = layout.read(layout.write(state))

    assert list(again) == list(state)
    torch.testing.assert_close(again, dict(state))


@pytest.mark.parametrize(
    ("layout", "prefix"), [(INTERNVIDEO_MM, "clip."), (UNIFORMER_V2, "backbone.")]
)
def test_the_prefix_of_released_files_is_removed(layout, prefix: str):
    written = layout.write(UniFormer(VIDEO).state_dict())

    assert (
        layout.read({prefix + k: v for k, v in written.items()}).keys()
        == layout.read(written).keys()
    )


def test_starting_from_clip_reports_what_became_of_each_tensor(clip_state):
    config = replace(
        TINY,
        video=replace(VIDEO, side_px=48, temporal_patch_size=3),
        text=replace(TINY.text, context_length=8),
    )
    model = MultimodalEncoder(config)

    report = initialise_from_clip(model, clip_state)

    assert report.inflated == ("video.patch_embed.weight",)
    assert report.resized == ("video.positions", "text.positions")
    kinds = {name.split(".")[1] for name in report.new}
    assert kinds == {"query_token", "balance", "global_blocks", "mask_token"}
    assert len(report.loaded) + 3 + len(report.new) == len(model.state_dict())
    assert "1 inflated (video.patch_embed.weight), 2 resized" in str(report)


def test_a_kernel_is_inflated_to_the_central_frame(clip_state):
    model = UniFormer(replace(VIDEO, temporal_patch_size=3))

    initialise_from_clip(model, clip_state)

    kernel = model.patch_embed.weight
    assert torch.equal(kernel[:, :, 1], clip_state["visual.conv1.weight"])
    assert not kernel[:, :, [0, 2]].any()


def test_an_averaging_kernel_gives_the_same_on_a_still_clip():
    kernel = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))

    torch.testing.assert_close(inflate_kernel(kernel, 5, centre=False).sum(2), kernel)


def test_the_row_of_the_class_token_is_not_resized(clip_state):
    model = UniFormer(replace(VIDEO, side_px=48))
    table = clip_state["visual.positional_embedding"]

    initialise_from_clip(model, clip_state)

    small, large = (TokenGrid(time=1, height=side, width=side) for side in (4, 6))
    assert torch.equal(model.positions[0], table[0])
    torch.testing.assert_close(model.positions[1:], resize_positions(table[1:], small, large))


def test_half_precision_weights_become_float32(clip_state):
    model = MultimodalEncoder(TINY)

    initialise_from_clip(model, {k: v.half() for k, v in clip_state.items()})

    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_viclip_starts_from_clip(clip_state):
    model = Viclip(ViclipConfig(video=JOINT, text=TEXT, embed_dim=24))

    report = initialise_from_clip(model, clip_state)

    assert report.new == ("video.time_positions",)


def test_a_missing_tensor_of_clip_is_an_error(clip_state):
    del clip_state["visual.ln_pre.bias"]

    with pytest.raises(CheckpointError, match=r"1 tensors of the model.*norm_pre\.bias"):
        initialise_from_clip(MultimodalEncoder(TINY), clip_state)


def test_a_tensor_without_a_place_is_an_error(clip_state):
    clip_state["visual.transformer.resblocks.3.ln_1.bias"] = torch.zeros(64)

    with pytest.raises(CheckpointError, match=r"1 tensors of the weights.*video\.blocks\.3\.norm1"):
        initialise_from_clip(MultimodalEncoder(TINY), clip_state)


def test_a_tensor_of_another_shape_is_an_error_and_changes_nothing(clip_state):
    model = MultimodalEncoder(TINY)
    before = model.logit_scale.clone()
    clip_state |= {"ln_final.weight": torch.zeros(65), "logit_scale": torch.tensor(1.0)}

    with pytest.raises(CheckpointError, match=r"text\.norm\.weight.*\(65,\).*needs \(64,\)"):
        initialise_from_clip(model, clip_state)
    assert torch.equal(model.logit_scale, before)


def test_a_longer_context_than_clips_is_an_error(clip_state):
    model = MultimodalEncoder(replace(TINY, text=replace(TEXT, context_length=20)))

    with pytest.raises(CheckpointError, match=r"text\.positions.*\(12, 64\).*needs \(20, 64\)"):
        initialise_from_clip(model, clip_state)


def test_the_configuration_is_read_off_the_shapes(clip_state):
    assert infer_multimodal_encoder(OPENAI_CLIP.read(clip_state)) == CLIP
    written = INTERNVIDEO_MM.write(MultimodalEncoder(TINY).state_dict())
    assert infer_multimodal_encoder(INTERNVIDEO_MM.read(written)) == TINY


def test_weights_of_something_else_have_no_configuration():
    with pytest.raises(CheckpointError, match=r"no tensor 'video\.patch_embed\.weight'"):
        infer_multimodal_encoder({"head.weight": torch.zeros(1)})


def _depth_14() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Trained weights, all 1, and CLIP's, all 0, of towers deeper than B/16."""
    video = replace(VIDEO, width=8, patch_px=16, depth=14, global_layers=(13,))
    text = replace(TEXT, width=8)
    trained, clip = (
        MultimodalEncoder(MultimodalEncoderConfig(video=v, text=text, embed_dim=4)).state_dict()
        for v in (video, replace(video, global_layers=()))
    )
    return {k: torch.ones_like(v) for k, v in trained.items()}, {
        k: torch.zeros_like(v) for k, v in clip.items()
    }


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ("all", set()),
        ("recognition", {"logit_scale"}),
        ("recognition-released", {"logit_scale", "video.blocks.12", "video.blocks.13"}),
        ("retrieval", {"norm_post", "video_projection"}),
    ],
)
def test_a_merge_rule_keeps_what_it_says(rule: str, kept: set[str]):
    trained, clip = _depth_14()

    merged = merge_with_clip(trained, clip, clip_share=0.25, rule=rule)

    untouched = {k for k, v in merged.items() if k in clip and (v == 1).all()}
    assert {k for k in untouched if not k.startswith(tuple(kept))} == set()
    assert all(any(k.startswith(start) for k in untouched) for start in kept)
    assert {v.unique().item() for k, v in merged.items() if k in clip.keys() - untouched} == {0.75}
    assert all((v == 1).all() for k, v in merged.items() if k not in clip)
    assert rule in MERGE_RULES


def test_an_unknown_merge_rule_is_refused():
    with pytest.raises(
        ConfigError, match="unknown merge rule 'retrival'; did you mean 'retrieval'"
    ):
        merge_with_clip({}, {}, rule="retrival")


def test_merging_another_architecture_is_refused():
    with pytest.raises(CheckpointError, match=r"a: CLIP's shape \(3,\) is not the trained \(2,\)"):
        merge_with_clip({"a": torch.zeros(2)}, {"a": torch.zeros(3)})


def test_checkpoints_are_averaged_and_counts_kept():
    states = [{"a": torch.full((2,), x), "n": torch.tensor(7)} for x in (1.0, 3.0, 5.0)]

    averaged = average_weights(states)

    assert averaged["a"].tolist() == [3.0, 3.0]
    assert averaged["n"] == 7


def test_checkpoints_of_different_models_are_not_averaged():
    with pytest.raises(CheckpointError, match="checkpoint 1 differs from checkpoint 0 in 2 names"):
        average_weights([{"a": torch.zeros(1)}, {"b": torch.zeros(1)}])
    with pytest.raises(CheckpointError, match="no checkpoint to average"):
        average_weights([])


def test_loading_our_own_names_allows_nothing_new():
    state = MultimodalEncoder(CLIP).state_dict()

    with pytest.raises(CheckpointError, match="missing from the weights"):
        load_weights(MultimodalEncoder(TINY), state)
