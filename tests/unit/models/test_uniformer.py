"""UniFormerV2: its two clever parts against the obvious ones, and the laws it starts with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import UniFormer, UniFormerConfig
from internvideo.models.uniformer_blocks import (
    Convolution,
    GlobalBlock,
    LocalBranch,
    convolve_on_grid,
)

TINY = UniFormerConfig(
    side_px=32,
    patch_px=8,
    width=32,
    depth=3,
    num_heads=4,
    global_layers=(1, 2),
    num_global_heads=2,
)
LOCAL = replace(TINY, num_local=2, time_kernel=3)
STEM = replace(LOCAL, stem_width=4)
IN_SPACE = replace(LOCAL, local_in_space=True)


def _seeded(module: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    return module.eval()


def _clip(b: int = 2, t: int = 4) -> Tensor:
    return torch.randn(b, 3, t, 32, 32, generator=torch.Generator().manual_seed(0))


def _places(b: int, k: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.stack(
        [torch.randperm(16, generator=generator)[:k].sort().values for _ in range(b)]
    )


def _obvious_global_block(block: GlobalBlock, query: Tensor, tokens: Tensor) -> Tensor:
    """As published: a 3-D convolution, and keys and values of every token."""
    b, d = len(tokens), tokens.shape[3]
    patches = rearrange(tokens[:, :, 1:], "b t (h w) d -> b d t h w", h=4)
    patches = patches + F.conv3d(
        patches, block.positions.weight, block.positions.bias, padding=1, groups=d
    )
    patches = rearrange(patches, "b d t h w -> b t (h w) d")
    context = torch.cat([tokens[:, :, :1], patches], dim=2).view(b, -1, d)
    attention = nn.MultiheadAttention(d, block.attn.num_heads, batch_first=True)
    attention.in_proj_weight, attention.in_proj_bias = block.attn.qkv.weight, block.attn.qkv.bias
    attention.out_proj = block.attn.proj
    query, context = query[:, None], block.norm_context(context)
    query = query + attention(block.norm1(query), context, context, need_weights=False)[0]
    return (query + block.mlp(block.norm2(query)))[:, 0]


@pytest.mark.parametrize("t", [1, 2, 5])
def test_a_global_block_is_the_published_one_with_its_gradients(t: int):
    block = _seeded(GlobalBlock(32, 4, 64)).double()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(2, t, 17, 32, dtype=torch.float64, generator=generator).requires_grad_()
    query = torch.randn(2, 32, dtype=torch.float64, generator=generator).requires_grad_()
    expected = _obvious_global_block(block, query, tokens)
    wanted = [tokens, query, *block.parameters()]

    got = block(query, tokens, (4, 4))

    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(
        torch.autograd.grad(got.square().sum(), wanted),
        torch.autograd.grad(expected.square().sum(), wanted),
    )


def test_values_of_a_global_block_are_also_of_looks_and_keys_are_not():
    block = _seeded(GlobalBlock(32, 4, 64, reads_looks=True)).double()
    generator = torch.Generator().manual_seed(0)
    tokens, looks = torch.randn(2, 2, 3, 17, 32, dtype=torch.float64, generator=generator)
    query = torch.randn(2, 32, dtype=torch.float64, generator=generator)
    plain = block.positions(rearrange(tokens[:, :, 1:], "b t (h w) d -> b d t h w", h=4))
    patches = tokens[:, :, 1:] + rearrange(plain, "b d t h w -> b t (h w) d")
    context = block.norm_context(torch.cat([tokens[:, :, :1], patches], dim=2).flatten(1, 2))
    q, _, _ = block.attn.qkv(block.norm1(query)).view(2, 3, 4, 8).unbind(1)
    _, k, v = block.attn.qkv(context).view(2, -1, 3, 4, 8).unbind(2)
    v = v + block.looks(looks.flatten(1, 2)).view(2, -1, 4, 8)
    weights = torch.einsum("bae,bnae->ban", q * 8**-0.5, k).softmax(-1)
    attended = query + block.attn.proj(torch.einsum("ban,bnae->bae", weights, v).flatten(1))

    got = block(query, tokens, (4, 4), None, looks)

    torch.testing.assert_close(got, attended + block.mlp(block.norm2(attended)))


@pytest.mark.parametrize("in_space", [False, True])
def test_a_local_branch_is_the_published_convolutions(in_space):
    branch = _seeded(LocalBranch(32, 21, in_space=in_space))
    branch.norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(2, 5, 16, 32, generator=torch.Generator().manual_seed(0))

    normed = branch.norm(tokens.flatten(0, 2)).view(tokens.shape)
    x = rearrange(normed, "b t (h w) d -> b d t h w", h=4)
    x = F.conv3d(x, branch.down.weight[:, :, None, None, None], branch.down.bias)
    x = branch.time(x)
    x = F.conv3d(x, branch.up.weight[:, :, None, None, None], branch.up.bias)

    expected = rearrange(x, "b d t h w -> b t (h w) d")
    torch.testing.assert_close(branch(tokens, (4, 4)), expected)


@pytest.mark.parametrize("config", [TINY, LOCAL, IN_SPACE])
def test_naming_all_places_as_visible_changes_nothing(config: UniFormerConfig):
    model, clip = _seeded(UniFormer(config)), _clip()
    everything = torch.arange(16).expand(2, -1)

    whole, named = model(clip), model(clip, everything)

    torch.testing.assert_close(named.pooled, whole.pooled)
    torch.testing.assert_close(named.tokens, whole.tokens)


@pytest.mark.parametrize("config", [TINY, LOCAL, IN_SPACE])
def test_what_hides_at_dropped_places_changes_nothing(config: UniFormerConfig):
    model, clip, visible = _seeded(UniFormer(config)), _clip(), _places(2, 6)
    shown = torch.zeros(2, 16).scatter(1, visible, 1.0)
    shown = F.interpolate(shown.view(2, 1, 4, 4), scale_factor=8)[:, :, None].bool()

    output = model(clip, visible)
    changed = model(torch.where(shown, clip, -clip), visible)

    assert output.tokens.shape[2] == 7
    assert torch.equal(changed.pooled, output.pooled)


def test_a_dropped_place_is_a_zero_to_the_convolution():
    block, visible = _seeded(GlobalBlock(32, 4, 64)), _places(2, 6)
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(2, 3, 6, 32, generator=generator)
    grid = torch.zeros(2, 3, 16, 32)
    for i in range(2):
        grid[i, :, visible[i]] = patches[i]

    mixed = block.positions(rearrange(grid, "b t (h w) d -> b d t h w", h=4))
    mixed = rearrange(mixed, "b d t h w -> b t (h w) d")
    expected = torch.stack([mixed[i, :, visible[i]] for i in range(2)])

    got = convolve_on_grid(patches, block.positions, (4, 4), visible)
    torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("config", [LOCAL, STEM])
def test_what_stands_still_in_a_clip_is_read_as_in_an_image(config: UniFormerConfig):
    model = _seeded(UniFormer(replace(config, time_differences=True)))
    image = _clip(t=1)

    of_clip, _ = model.embed(image.expand(-1, -1, 4, -1, -1))

    torch.testing.assert_close(of_clip[:, 1:], model.embed(image)[0])


def test_other_frames_are_read_as_differences_to_their_own():
    model, plain = (_seeded(UniFormer(replace(LOCAL, time_differences=on))) for on in (True, False))
    before, own, after = model.patch_embed.weight.detach().unbind(2)
    with torch.no_grad():
        plain.patch_embed.weight.copy_(torch.stack([before, own - before - after, after], 2))

    torch.testing.assert_close(model.embed(_clip(t=4))[0], plain.embed(_clip(t=4))[0])


def test_a_class_token_starts_at_the_maxima_of_looks_and_of_differences_apart():
    model, clip = _seeded(UniFormer(replace(STEM, time_differences=True))), _clip(t=4)
    model.norm_pre = nn.Identity()
    looks = torch.stack([model.embed(clip[:, :, i : i + 1])[0][:, 0] for i in (0, 2)], 1)

    tokens, _ = model.embed(clip)

    differences = (tokens - looks)[:, :, 1:].amax(2)
    torch.testing.assert_close(tokens[:, :, 0], looks[:, :, 0] + differences)


@pytest.mark.parametrize("config", [LOCAL, STEM])
def test_looks_of_a_clip_are_those_of_its_frames_as_images(config: UniFormerConfig):
    model = _seeded(UniFormer(replace(config, time_differences=True, global_looks=True)))
    clip = _clip(t=4)

    _, looks = model.embed(clip)

    images = [model.embed(clip[:, :, i : i + 1])[1][:, 0] for i in (0, 2)]
    torch.testing.assert_close(looks, torch.stack(images, 1))
    assert torch.equal(looks[:, :, 0], looks[:, :, 1:].amax(2))


@pytest.mark.parametrize("config", [LOCAL, STEM])
def test_what_changes_alone_is_read(config: UniFormerConfig):
    whole = _seeded(UniFormer(config))
    model = UniFormer(replace(config, num_changing=3))
    model.load_state_dict(whole.state_dict())
    clip = _clip()
    clip[:, :, 1:] = clip[:, :, :1]
    moving = torch.tensor([[0, 5, 14], [3, 4, 7]])
    for i, places in enumerate(moving.tolist()):
        for place in places:
            row, column = 8 * (place // 4), 8 * (place % 4)
            clip[i, :, 2, row : row + 8, column : column + 8] += 1
    model.eval()

    output, expected = model(clip), whole(clip, moving)

    assert torch.equal(output.pooled, expected.pooled)
    on_grid = model.on_grid(clip)
    assert on_grid.shape == (2, 2, 17, 32)
    assert torch.equal(on_grid[:, :, 0], output.tokens[:, :, 0])
    for i in range(2):
        assert torch.equal(on_grid[i, :, 1 + moving[i]], output.tokens[i, :, 1:])
    assert on_grid[:, :, 1:].abs().sum(3).count_nonzero() == 2 * 2 * 3


def _clip_of_three_changes() -> torch.Tensor:
    """A clip of which places 6 and 12 change, and place 0 a sixteenth as much."""
    clip = _clip(b=1)
    clip[:, :, 1:] = clip[:, :, :1]
    clip[:, :, 2, 8:16, 16:24] += 2
    clip[:, :, 2, 24:, :8] += 2
    clip[:, :, 2, :8, :8] += 0.5
    return clip


def test_what_changes_too_little_is_blank():
    whole = _seeded(UniFormer(STEM))
    model = _seeded(UniFormer(replace(STEM, num_changing=3, least_change=0.5)))
    clip = _clip_of_three_changes()

    places, change = model.changing(clip)
    (tokens, _), (seen, _) = model.embed(clip, places, change), whole.embed(clip, places[:, 1:])

    assert places.tolist() == [[0, 6, 12]]
    assert change.max() == 1 and (change < 0.5).tolist() == [[True, False, False]]
    torch.testing.assert_close(tokens[:, :, [0, 2, 3]], seen)
    blank = model.norm_pre(model.positions[1])
    torch.testing.assert_close(tokens[:, :, 1], blank.expand(1, 2, -1))


def test_what_acts_too_little_lends_a_class_token_its_differences_alone():
    config = replace(STEM, time_differences=True)
    whole = _seeded(UniFormer(config))
    model = _seeded(UniFormer(replace(config, num_changing=3, least_acting=0.5)))
    clip = _clip_of_three_changes()
    places, change = model.changing(clip)
    for tower in (model, whole):
        tower.norm_pre = nn.Identity()
        tower.positions.data[1:] = 0
    frames = [clip[:, :, i : i + 1] for i in (0, 2)]
    looks = torch.stack([whole.embed(frame, places)[0][:, 0] for frame in frames], 1)
    start = whole.class_token + whole.positions[0]

    (tokens, _), (seen, _) = model.embed(clip, places, change), whole.embed(clip, places)

    assert torch.equal(tokens[:, :, 1:], seen[:, :, 1:])
    differences = (seen - looks)[:, :, 1:]
    torch.testing.assert_close(
        tokens[:, :, 0], start + looks[:, :, 2:].amax(2) + differences.amax(2)
    )
    assert not torch.allclose(tokens[:, :, 0], seen[:, :, 0])


def test_nothing_is_blank_where_nothing_changes():
    config = replace(STEM, time_differences=True, num_changing=3)
    model, strict = (
        _seeded(UniFormer(replace(config, least_change=least, least_acting=least)))
        for least in (0.0, 0.5)
    )
    still = torch.zeros(1, 3, 4, 32, 32)

    assert torch.equal(strict(still).tokens, model(still).tokens)


def test_an_image_is_read_whole_without_a_number_of_its_own():
    model = _seeded(UniFormer(replace(TINY, num_changing=3)))
    assert isinstance(model, UniFormer)
    image = _clip(t=1)

    assert model(image).tokens.shape == (2, 1, 17, 32)
    assert torch.equal(model.on_grid(image), model(image).tokens)


@pytest.mark.parametrize("config", [LOCAL, STEM])
def test_of_an_image_what_varies_most_within_is_read(config: UniFormerConfig):
    whole = _seeded(UniFormer(config))
    model = _seeded(UniFormer(replace(config, num_varying=2)))
    image = torch.rand(2, 3, 1, 1, 1) + 0.01 * _clip(t=1)
    varied = torch.tensor([[0, 14], [3, 7]])
    for i, places in enumerate(varied.tolist()):
        for place in places:
            row, column = 8 * (place // 4), 8 * (place % 4)
            image[i, :, 0, row : row + 8, column : column + 4] += 1

    output, expected = model(image), whole(image, varied)

    assert torch.equal(output.pooled, expected.pooled)
    assert model.on_grid(image)[:, :, 1:].abs().sum(3).count_nonzero() == 2 * 2
    assert torch.equal(model(_clip()).pooled, whole(_clip()).pooled)


def test_permuting_the_batch_permutes_the_output():
    model, clip = _seeded(UniFormer(LOCAL)), _clip(3)
    order = torch.tensor([2, 0, 1])

    torch.testing.assert_close(model(clip[order]).pooled, model(clip).pooled[order])


def test_the_query_starts_at_zero_and_stays_there():
    output = UniFormer(TINY)(_clip())

    assert torch.equal(output.query, torch.zeros(2, 32))
    torch.testing.assert_close(output.pooled, output.tokens[:, :, 0].mean(1) / 2)


def test_local_branches_start_as_identity():
    model = UniFormer(LOCAL).eval()
    plain = UniFormer(replace(LOCAL, num_local=0)).eval()
    plain.load_state_dict(model.state_dict(), strict=False)

    torch.testing.assert_close(model(_clip()).tokens, plain(_clip()).tokens)


def test_only_the_last_layers_of_global_blocks_learn_in_the_first_step():
    model = UniFormer(replace(TINY, global_dropout=0.0))
    output = model(_clip())
    output.pooled.square().sum().backward()

    moved = {n for n, p in model.global_blocks.named_parameters() if p.grad.abs().max() > 0}

    parts = {name.split(".", 1)[1] for name in moved}
    assert parts == {"attn.proj.weight", "attn.proj.bias", "mlp.fc2.bias"}


def test_a_stem_gives_one_place_for_each_patch_and_starts_class_tokens_at_the_maximum():
    model = _seeded(UniFormer(STEM))
    assert isinstance(model, UniFormer)
    model.norm_pre = nn.Identity()  # what comes before it is looked at
    tokens, _ = model.embed(_clip(t=4))
    assert tokens.shape == (2, 2, 1 + 16, 32)
    contents = tokens[:, :, 1:] - model.positions[1:]
    classes = tokens[:, :, 0] - model.class_token - model.positions[0]
    torch.testing.assert_close(classes, contents.amax(2), atol=1e-6, rtol=1e-5)


def test_a_stem_s_matrix_is_a_convolution_with_its_start():
    torch.manual_seed(0)
    ours, maps = Convolution(4, 6, 2), torch.randn(2, 4, 8, 8)
    torch.manual_seed(0)
    usual = nn.Conv2d(4, 6, 3, 2, padding=1)

    torch.testing.assert_close(ours(maps), usual(maps))


def test_a_stem_keeps_samples_apart():
    model = UniFormer(STEM).train()
    clip = _clip()
    apart = torch.cat([model(clip[:1]).pooled, model(clip[1:]).pooled])
    torch.testing.assert_close(model(clip).pooled, apart, atol=1e-5, rtol=1e-5)


def test_tokens_after_chosen_layers_are_returned():
    output = _seeded(UniFormer(TINY))(_clip(), layers=(0, 2))

    assert list(output.after) == [0, 2]
    assert torch.equal(output.after[2], output.tokens)


def test_a_frozen_backbone_gets_no_gradient():
    model = UniFormer(replace(TINY, frozen_backbone=True))
    nn.init.normal_(model.query_token)

    model(_clip()).pooled.square().sum().backward()

    with_gradient = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert with_gradient == {"query_token", "global_blocks"}


def test_no_gradient_leaks_from_one_clip_to_another():
    clip = _clip().requires_grad_()
    config = replace(LOCAL, local_norm="layer")

    _seeded(UniFormer(config)).train()(clip).pooled[0].sum().backward()

    assert clip.grad[0].abs().max() > 0
    assert torch.equal(clip.grad[1], torch.zeros_like(clip[1]))


def test_recomputed_activations_give_the_same_gradients():
    model = _seeded(UniFormer(replace(TINY, global_dropout=0.0)))
    again = UniFormer(replace(TINY, global_dropout=0.0, recompute_activations=True))
    again.load_state_dict(model.state_dict())

    for network in (model, again):
        network(_clip()).pooled.square().sum().backward()

    for ours, theirs in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize(("num_frames", "slots"), [(1, 1), (4, 2), (5, 3)])
def test_halving_time_keeps_the_odd_frame(num_frames: int, slots: int):
    output = UniFormer(LOCAL).eval()(_clip(1, num_frames))

    assert output.tokens.shape[1] == LOCAL.num_slots(num_frames) == slots


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("num_heads", 5, "width 32 is not divisible by 5 heads"),
        ("side_px", 30, "side_px 30 is not a positive multiple of patch_px 8"),
        ("global_layers", (2, 1), "are not increasing layers between 0 and 2"),
        ("global_layers", (3,), "are not increasing layers between 0 and 2"),
        ("num_local", 3, "num_local 3 is not 0, 1 or 2"),
        ("time_kernel", 2, "time_kernel 2 is not odd and positive"),
        ("time_differences", True, "time_differences needs other frames"),
        ("num_changing", 17, "num_changing is 17; a frame has 16 places"),
        ("num_varying", -1, "num_varying is -1; a frame has 16 places"),
        ("least_change", 1.5, "least_change is 1.5; it is a share"),
        ("least_change", 0.5, "least_change tells places apart that num_changing chose"),
        ("least_acting", -0.1, "least_acting is -0.1; it is a share"),
        ("stem_width", -1, "stem_width is -1; it must not be negative"),
    ],
)
def test_an_impossible_configuration_is_refused(field: str, value: object, message: str):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        replace(TINY, **{field: value})


def test_frames_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"frames of \(32, 48\) pixels.*made for 32 x 32"):
        UniFormer(TINY)(torch.zeros(1, 3, 1, 32, 48))


def test_a_stem_needs_patches_that_halving_reaches():
    with pytest.raises(ConfigError, match="patch_px 12 with a stem"):
        replace(STEM, side_px=48, patch_px=12)


def test_looks_of_what_acts_need_a_maximum_of_looks():
    with pytest.raises(ConfigError, match="least_acting is about the maximum of a frame's own"):
        replace(STEM, num_changing=3, least_acting=0.1)
