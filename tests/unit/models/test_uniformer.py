"""UniFormerV2: its two clever parts against the obvious ones, and the laws it starts with."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.models import EmbeddedPatches, UniFormer, UniFormerConfig
from internvideo.models.uniformer_blocks import GlobalBlock, LocalMHRA, convolve_on_grid

TINY = UniFormerConfig(
    side_px=32,
    patch_px=8,
    width=32,
    depth=3,
    num_heads=4,
    global_layers=(1, 2),
    num_global_heads=2,
)
LOCAL = replace(TINY, num_local=2, temporal_patch_size=3)


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


def test_a_local_mhra_is_the_published_convolutions():
    branch = _seeded(LocalMHRA(32, 21))
    branch.norm.running_mean.normal_(generator=torch.Generator().manual_seed(0))
    tokens = torch.randn(2, 5, 16, 32, generator=torch.Generator().manual_seed(0))

    normed = branch.norm(tokens.flatten(0, 2)).view(tokens.shape)
    x = rearrange(normed, "b t (h w) d -> b d t h w", h=4)
    x = F.conv3d(x, branch.down.weight[:, :, None, None, None], branch.down.bias)
    x = branch.time(x)
    x = F.conv3d(x, branch.up.weight[:, :, None, None, None], branch.up.bias)

    torch.testing.assert_close(branch(tokens), rearrange(x, "b d t h w -> b t (h w) d"))


@pytest.mark.parametrize("config", [TINY, LOCAL])
def test_the_patch_embedding_is_the_published_convolution(config: UniFormerConfig):
    model, clip = _seeded(UniFormer(config)), _clip(t=5)
    embed = model.patch_embed

    expected = F.conv3d(clip, embed.weight, stride=embed.stride, padding=embed.padding)

    patches = embed(clip).patches
    torch.testing.assert_close(patches, rearrange(expected, "b d t h w -> b t (h w) d"))


class _SomePatches(nn.Module):
    """The published patch embedding, of which only some patches are read."""

    def __init__(self, whole: nn.Module, index: Tensor) -> None:
        super().__init__()
        self.whole, self.index = whole, index

    def forward(self, clip: Tensor) -> EmbeddedPatches:
        patches = self.whole(clip).patches
        where = self.index[:, None, :, None].expand(-1, patches.shape[1], -1, patches.shape[3])
        return EmbeddedPatches(patches=patches.gather(2, where), index=self.index)


def _reading(config: UniFormerConfig, index: Tensor) -> UniFormer:
    """A seeded tower behind an embedding that was handed in."""
    model = _seeded(UniFormer(config))
    model.patch_embed = _SomePatches(model.patch_embed, index)
    return model


@pytest.mark.parametrize("config", [TINY, LOCAL])
def test_an_embedding_handed_in_that_reads_all_patches_changes_nothing(config: UniFormerConfig):
    whole, clip = _seeded(UniFormer(config)), _clip()
    everything = torch.arange(16).expand(2, -1)

    output = _reading(config, everything)(clip)

    torch.testing.assert_close(output.pooled, whole(clip).pooled)
    torch.testing.assert_close(output.tokens, whole(clip).tokens)


@pytest.mark.parametrize("config", [TINY, LOCAL])
def test_patches_that_are_not_read_change_nothing(config: UniFormerConfig):
    clip, index = _clip(), _places(2, 6)
    model = _reading(config, index)
    shown = torch.zeros(2, 16).scatter(1, index, 1.0)
    shown = F.interpolate(shown.view(2, 1, 4, 4), scale_factor=8)[:, :, None].bool()

    output = model(clip)

    assert output.tokens.shape[2] == 7
    assert torch.equal(model(torch.where(shown, clip, -clip)).pooled, output.pooled)


def test_tokens_on_the_grid_are_zero_where_no_patch_is_read():
    clip, index = _clip(), _places(2, 6)
    model = _reading(TINY, index)
    output = model(clip)

    on_grid = model.on_grid(clip)

    assert torch.equal(on_grid[:, :, 0], output.tokens[:, :, 0])
    for i in range(2):
        assert torch.equal(on_grid[i, :, 1 + index[i]], output.tokens[i, :, 1:])
    assert on_grid[:, :, 1:].abs().sum(3).count_nonzero() == 2 * 4 * 6


def test_an_embedding_handed_in_may_say_where_class_tokens_start():
    class Started(nn.Module):
        def forward(self, clip: Tensor) -> EmbeddedPatches:
            patches = torch.zeros(2, 4, 16, 32)
            return EmbeddedPatches(patches=patches, class_start=torch.full((2, 4, 1, 32), 3.0))

    model = UniFormer(TINY, patch_embed=Started())
    model.norm_pre = nn.Identity()

    tokens, _ = model.embed(_clip())

    expected = (3 + model.class_token + model.positions[0]).expand(2, 4, -1)
    torch.testing.assert_close(tokens[:, :, 0], expected)


def test_the_forward_is_backbone_then_global_blocks_then_pooling():
    model, clip = _seeded(UniFormer(LOCAL)), _clip()
    output = model(clip)

    after, index = model.backbone(clip, {1, 2})
    query = model.read_layers(after, index)

    assert list(after) == [1, 2]
    assert torch.equal(model.pool(query, after[2]), output.pooled)


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
        ("temporal_patch_size", 2, "temporal_patch_size 2 is not odd and positive"),
    ],
)
def test_an_impossible_configuration_is_refused(field: str, value: object, message: str):
    with pytest.raises(ConfigError, match=message.replace("(", r"\(")):
        replace(TINY, **{field: value})


def test_frames_of_another_size_are_refused():
    with pytest.raises(ConfigError, match=r"frames of \(32, 48\) pixels.*made for 32 x 32"):
        UniFormer(TINY)(torch.zeros(1, 3, 1, 32, 48))
