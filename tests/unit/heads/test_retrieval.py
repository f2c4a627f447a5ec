from __future__ import annotations

import torch

from internvideo.heads import (
    TokenWeights,
    equal_weights,
    mean_frame_similarity,
    token_similarity,
)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def padding(lengths, longest):
    return torch.arange(longest) >= torch.tensor(lengths)[:, None]


def test_frames_are_averaged_before_they_are_normalised():
    text, frames = random(2, 6), random(3, 4, 6, seed=1)

    got = mean_frame_similarity(text, frames, padding([4, 2, 1], 4))

    means = torch.stack([frames[0].mean(0), frames[1, :2].mean(0), frames[2, 0]])
    torch.testing.assert_close(got, torch.cosine_similarity(text[:, None], means[None], dim=-1))


def test_token_similarity_equals_its_sums_written_out():
    tokens, frames = random(2, 3, 6), random(2, 4, 6, seed=1)
    no_padding = {"padded_tokens": padding([3, 3], 3), "padded_frames": padding([4, 4], 4)}
    weights = {"token_weights": random(2, 3).softmax(1), "frame_weights": random(2, 4).softmax(1)}

    got = token_similarity(tokens, frames, **weights, **no_padding)

    for i in range(2):
        for j in range(2):
            cosine = torch.cosine_similarity(tokens[i][:, None], frames[j][None], dim=-1)
            of_tokens = (cosine.max(1).values * weights["token_weights"][i]).sum()
            of_frames = (cosine.max(0).values * weights["frame_weights"][j]).sum()
            torch.testing.assert_close(got[i, j], (of_tokens + of_frames) / 2)


def test_what_stands_in_the_padding_does_not_matter():
    tokens, frames = random(2, 3, 6), random(2, 4, 6, seed=1)
    padded_tokens, padded_frames = padding([2, 3], 3), padding([4, 1], 4)
    learned = TokenWeights(6)

    def similarity(tokens, frames):
        return token_similarity(
            tokens,
            frames,
            token_weights=learned.of_tokens(tokens, padded_tokens),
            frame_weights=learned.of_frames(frames, padded_frames),
            padded_tokens=padded_tokens,
            padded_frames=padded_frames,
        )

    changed = tokens.masked_fill(padded_tokens[..., None], 5.0)
    torch.testing.assert_close(
        similarity(changed, frames.masked_fill(padded_frames[..., None], -3.0)),
        similarity(tokens, frames),
    )


def test_equal_weights_leave_padding_out():
    assert equal_weights(padding([2, 4], 4)).tolist() == [[0.5, 0.5, 0, 0], [0.25] * 4]
