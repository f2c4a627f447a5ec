"""The ACAR head relates the actors of a clip, and those alone."""

from __future__ import annotations

import torch

from internvideo.heads import ActorContextHead


def _head() -> ActorContextHead:
    torch.manual_seed(0)
    return ActorContextHead(8, 5).eval()


def test_order_and_grouping_of_actors_do_not_matter():
    head, maps = _head(), torch.randn(2, 8, 6, 6)
    actors, clips = torch.randn(4, 8), torch.tensor([0, 1, 0, 1])
    order = torch.tensor([2, 0, 3, 1])

    whole = head(actors, maps, clips)

    torch.testing.assert_close(head(actors[order], maps, clips[order]), whole[order])


def test_an_actor_answers_to_those_of_its_clip_and_to_no_other():
    head, maps = _head(), torch.randn(2, 8, 6, 6)
    actors, clips = torch.randn(3, 8), torch.tensor([0, 0, 1])
    changed = actors.clone()
    changed[1] += 1

    before, after = head(actors, maps, clips), head(changed, maps, clips)

    assert not torch.allclose(before[0], after[0])
    torch.testing.assert_close(before[2], after[2])
