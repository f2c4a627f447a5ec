from __future__ import annotations

import torch
import torch.nn.functional as F

from internvideo.objectives import dual_softmax_loss


def test_an_endless_temperature_leaves_plain_cross_entropy():
    logits = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))

    loss = dual_softmax_loss(logits, temperature=1e9)

    expected = F.cross_entropy(logits, torch.arange(5), reduction="none")
    torch.testing.assert_close(loss, expected)
