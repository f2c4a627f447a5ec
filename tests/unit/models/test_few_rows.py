"""Linear layers of a few rows give what they always give."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from internvideo.models.few_rows import FewRows


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1,), (1, 1), (2, 1), (1, 3), (8,), (9,), (3, 4)])
@pytest.mark.parametrize("sizes", [(16, 40), (40, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_result_is_that_of_a_linear_layer(shape, sizes, bias):
    torch.manual_seed(0)
    layer, tokens = nn.Linear(*sizes, bias=bias), torch.randn(*shape, sizes[0])

    with FewRows():
        got = layer(tokens)

    torch.testing.assert_close(got, layer(tokens), rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_rows_that_are_not_contiguous_give_the_same():
    weight, tokens = torch.randn(40, 16), torch.randn(3, 5, 16)[:, -1]

    with FewRows():
        got = F.linear(tokens, weight)

    torch.testing.assert_close(got, F.linear(tokens, weight), rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_other_precisions_pass_through_unchanged():
    weight, tokens = torch.randn(40, 16).bfloat16(), torch.randn(2, 16).bfloat16()

    with FewRows():
        got = F.linear(tokens, weight)

    assert torch.equal(got, F.linear(tokens, weight))
