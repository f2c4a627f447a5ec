"""The front end of small UniFormers: what it reads of a clip, and what it gives to the tower."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import UniFormer, UniFormerConfig, uniformer_macs
from internvideo.tiny import (
    UniFormerFrontEnd,
    UniFormerFrontEndConfig,
    build_uniformer,
    front_end_macs,
)
from internvideo.tiny.uniformer_front_end import Convolution, differences, salient_patches

TOWER = UniFormerConfig(
    side_px=32,
    patch_px=8,
    width=32,
    depth=2,
    num_heads=4,
    temporal_patch_size=3,
    global_layers=(1,),
    num_global_heads=2,
    num_local=1,
    local_norm="layer",
)
FRONT_END = UniFormerFrontEndConfig(stem_width=4)


def _clip(b: int = 2, t: int = 4) -> Tensor:
    return torch.randn(b, 3, t, 32, 32, generator=torch.Generator().manual_seed(0))


def _front_end(config: UniFormerFrontEndConfig = FRONT_END) -> UniFormerFrontEnd:
    torch.manual_seed(0)
    return UniFormerFrontEnd(config, TOWER).eval()


def _moving(clip: Tensor, positions: list[list[int]]) -> Tensor:
    """The first frame of each clip throughout, but for what changes at some positions."""
    still = clip[:, :, :1].repeat(1, 1, clip.shape[2], 1, 1)
    for i, chosen in enumerate(positions):
        for position in chosen:
            row, column = 8 * (position // 4), 8 * (position % 4)
            still[i, :, 2, row : row + 8, column : column + 8] += 1
    return still


def test_the_patches_that_vary_most_over_the_frames_are_read_in_order():
    moving = [[0, 5, 14], [3, 4, 7]]
    clip = _moving(_clip(), moving)

    assert salient_patches(clip, (4, 4), 3).tolist() == moving


def test_salient_patches_are_those_of_the_whole_clip_at_their_positions():
    clip = _moving(_clip(), [[0, 5, 14], [3, 4, 7]])
    some = _front_end(replace(FRONT_END, num_salient_patches=3))(clip)
    whole = _front_end()(clip)

    for i in range(2):
        torch.testing.assert_close(some.patches[i], whole.patches[i][:, some.index[i]])
    assert whole.index is None


def test_an_image_is_read_as_a_whole():
    embedded = _front_end(replace(FRONT_END, num_salient_patches=3))(_clip(t=1))

    assert embedded.index is None
    assert embedded.patches.shape == (2, 1, 16, 32)


def test_what_stands_still_in_a_clip_is_read_as_in_an_image():
    front_end, image = _front_end(), _clip(t=1)

    of_clip, of_image = front_end(image.expand(-1, -1, 5, -1, -1)), front_end(image)

    expected = of_image.patches.expand(-1, 3, -1, -1)
    torch.testing.assert_close(of_clip.patches, expected)
    torch.testing.assert_close(of_clip.class_start, expected.amax(2, keepdim=True))


def test_a_slot_is_its_middle_frame_and_how_its_neighbours_differ_from_it():
    front_end, clip = _front_end(), _clip(t=4)
    before, middle, after = (
        front_end.stem(clip[:, :, i : i + 1])[:, :, 0].flatten(2).mT for i in (1, 2, 3)
    )
    appearance = front_end.appearance(middle)
    # The matrix of the neighbours has those before and after side by side, channel by channel.
    motion = front_end.motion(torch.stack([before - middle, after - middle], -1).flatten(2))

    embedded = front_end(clip)

    torch.testing.assert_close(embedded.patches[:, 1], appearance + motion)
    start = appearance.amax(1) + motion.amax(1)
    torch.testing.assert_close(embedded.class_start[:, 1, 0], start)


def test_frame_differences_hide_what_stands_still_whatever_the_contrast():
    config = replace(FRONT_END, frame_differences=True)
    front_end, clip = _front_end(config), _clip()

    same = front_end(clip + _clip(t=1).expand_as(clip))
    louder = front_end(clip * 5)

    torch.testing.assert_close(same.patches, front_end(clip).patches, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(louder.patches, front_end(clip).patches, atol=0.05, rtol=0.1)
    assert torch.equal(differences(clip)[:, :, 0], torch.zeros(2, 3, 32, 32))


def test_the_matrix_of_the_stem_is_a_convolution_with_its_start():
    torch.manual_seed(0)
    ours, maps = Convolution(4, 6, 2), torch.randn(2, 4, 8, 8)
    torch.manual_seed(0)
    usual = nn.Conv2d(4, 6, 3, 2, padding=1)

    torch.testing.assert_close(ours(maps), usual(maps))


def test_a_frame_alone_has_the_gradients_that_it_has_among_others():
    stem, frames = _front_end().stem, _clip(t=1)
    weight = torch.randn(2, 16, 1, 4, 4, generator=torch.Generator().manual_seed(1))

    def gradients(*parts: slice) -> list[Tensor]:
        total = sum((stem(frames[part]) * weight[part]).sum() for part in parts)
        return list(torch.autograd.grad(total, list(stem.parameters())))

    together, alone = gradients(slice(0, 2)), gradients(slice(0, 1), slice(1, 2))

    torch.testing.assert_close(together, alone, atol=1e-3, rtol=1e-3)


def test_a_tower_behind_a_front_end_keeps_samples_apart():
    model = build_uniformer(TOWER, FRONT_END).train()
    clip = _clip()

    apart = torch.cat([model(clip[:1]).pooled, model(clip[1:]).pooled])

    torch.testing.assert_close(model(clip).pooled, apart, atol=1e-5, rtol=1e-5)


def test_attention_starts_with_keys_equal_to_queries():
    query, key, _ = build_uniformer(TOWER, FRONT_END).blocks[0].attn.qkv.weight.detach().chunk(3)

    assert torch.equal(query, key)


def test_without_a_front_end_the_tower_is_the_published_one():
    torch.manual_seed(0)
    ours = build_uniformer(TOWER, None)
    torch.manual_seed(0)
    published = UniFormer(TOWER)

    assert ours.state_dict().keys() == published.state_dict().keys()
    assert torch.equal(ours(_clip()).tokens, published(_clip()).tokens)
    assert front_end_macs(TOWER, None, 8) == uniformer_macs(TOWER, 8)


def test_reading_salient_patches_alone_costs_less_and_images_cost_the_same():
    fewer = replace(FRONT_END, num_salient_patches=4)

    assert front_end_macs(TOWER, fewer, 8) < front_end_macs(TOWER, FRONT_END, 8)
    assert front_end_macs(TOWER, fewer, 1) == front_end_macs(TOWER, FRONT_END, 1)


def test_the_cost_is_that_of_the_modules():
    counted = 0

    def count(module: nn.Linear, given: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal counted
        counted += output.numel() * module.in_features  # of a convolution: channels x 3 x 3

    front_end = _front_end()
    for module in front_end.modules():
        if isinstance(module, nn.Linear):
            module.register_forward_hook(count)
    front_end(_clip(b=1, t=4))

    embedding = front_end_macs(TOWER, FRONT_END, 4) - uniformer_macs(TOWER, 4, embedding_macs=0)
    assert embedding == counted


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stem_width": 0}, "stem_width 0 must be positive"),
        ({"num_salient_patches": -1}, "num_salient_patches -1"),
        ({"mimetic_init_scale": -1.0}, "mimetic_init_scale -1.0 not negative"),
    ],
)
def test_an_impossible_front_end_is_refused(fields: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        UniFormerFrontEndConfig(**fields)


def test_a_front_end_must_fit_the_tower():
    with pytest.raises(ConfigError, match="num_salient_patches is 17; a frame has 16 patches"):
        replace(FRONT_END, num_salient_patches=17).check(TOWER)
    with pytest.raises(ConfigError, match=r"encoder\.patch_px is 12; the stem of front_end halves"):
        FRONT_END.check(replace(TOWER, side_px=48, patch_px=12))
