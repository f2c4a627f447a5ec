"""Writing captions: the most likely next token at each step, or a search over several beginnings.

Shapes: video tokens (b, m, c) -> ids (b, l), each from the start token to the end token, then
padding. Beams are rows: r = b * num_beams, those of one video side by side.
Source of the length penalty: Wu et al. 2016 (arXiv:1609.08144, section 7), in its plain form.
Differs: a finished caption keeps its place among the beams while no better beginning takes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from internvideo.errors import ConfigError
from internvideo.models.caption_decoder import CaptionDecoder
from internvideo.models.key_values import KeyValueCache
from internvideo.models.text_encoder import TextEncoder


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationConfig:
    """How captions are searched for; the default tokens are CLIP's."""

    start_id: int = 49406
    end_id: int = 49407
    padding_id: int = 0
    max_length: int = 77  # ids of a caption, start and end token included
    num_beams: int = 1  # 1 takes the most likely token at each step
    length_penalty: float = 1.0  # scores are divided by length ** this; above 0 favours long ones
    cached: bool = True  # changes the time alone
    num_tokens: int | None = None  # ids from here on belong to no token and are never written

    def __post_init__(self) -> None:
        if self.max_length < 2 or self.num_beams < 1 or self.length_penalty < 0:
            raise ConfigError(
                f"generation: max_length {self.max_length} must be at least 2, num_beams "
                f"{self.num_beams} at least 1 and length_penalty {self.length_penalty} at least 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Captions:
    """Written captions, and the sum of the log-probabilities of their tokens."""

    ids: Int64[Tensor, "b l"]
    log_probability: Float[Tensor, " b"]


@runtime_checkable  # so that tests can check annotations
class NextToken(Protocol):
    """Scores what may follow captions begun; it may remember what it read of each row."""

    def __call__(self, ids: Int64[Tensor, "r l"]) -> Float[Tensor, "r y"]: ...

    def keep_rows(self, rows: Int64[Tensor, " r"]) -> None:
        """Row i now goes on from what was row rows[i]; both tell of the same video."""


class CaptionScores:
    """`NextToken` of a text encoder and a caption decoder; the video is pooled once."""

    def __init__(
        self,
        text_encoder: TextEncoder,
        decoder: CaptionDecoder,
        video_tokens: Float[Tensor, "b m video"],
        config: GenerationConfig,
    ) -> None:
        self._text_encoder, self._decoder = text_encoder, decoder
        context = decoder.pool(video_tokens)
        self._context = context.repeat_interleave(config.num_beams, dim=0)
        self._cache = KeyValueCache() if config.cached else None
        self._num_tokens = config.num_tokens
        self._num_read = 0

    def __call__(self, ids: Int64[Tensor, "r l"]) -> Float[Tensor, "r y"]:
        new = ids[:, self._num_read :]
        if self._cache is not None:
            self._num_read = ids.shape[1]
        text = self._text_encoder(new, cache=self._cache).tokens
        hidden = self._decoder.hidden(text, self._context, self._cache)
        return self._decoder.predictor(hidden[:, -1])[:, : self._num_tokens]

    def keep_rows(self, rows: Int64[Tensor, " r"]) -> None:
        if self._cache is not None:
            self._cache.keep_rows(rows)


@torch.inference_mode()
def generate(
    text_encoder: TextEncoder,
    decoder: CaptionDecoder,
    video_tokens: Float[Tensor, "b m video"],
    config: GenerationConfig,
    *,
    prompt: Int64[Tensor, "b p"] | None = None,
) -> Captions:
    """Write a caption for each video; put the networks into `eval` mode first.

    With a `prompt`, which begins with the start token, each goes on behind its own.
    """
    if config.max_length > text_encoder.config.context_length:
        raise ConfigError(
            f"generation: max_length {config.max_length} exceeds the text encoder's context of "
            f"{text_encoder.config.context_length} tokens; lower it"
        )
    next_token = CaptionScores(text_encoder, decoder, video_tokens, config)
    search = greedy_search if config.num_beams == 1 else beam_search
    return search(next_token, len(video_tokens), config, device=video_tokens.device, prompt=prompt)


def greedy_search(
    next_token: NextToken,
    num_videos: int,
    config: GenerationConfig,
    *,
    device: torch.device | None = None,
    prompt: Int64[Tensor, "b p"] | None = None,
) -> Captions:
    """Take the most likely token until the end token, or `max_length` ids."""
    ids = _beginning(prompt, num_videos, config, device)
    total = torch.zeros(num_videos, device=device)
    finished = torch.zeros(num_videos, dtype=torch.bool, device=device)
    while ids.shape[1] < config.max_length and not finished.all():
        best, chosen = next_token(ids).float().log_softmax(1).max(1)
        total = total + best.masked_fill(finished, 0)
        chosen = chosen.masked_fill(finished, config.padding_id)
        ids = torch.cat([ids, chosen[:, None]], 1)
        finished |= chosen == config.end_id
    return Captions(ids=ids, log_probability=total)


def beam_search(
    next_token: NextToken,
    num_videos: int,
    config: GenerationConfig,
    *,
    device: torch.device | None = None,
    prompt: Int64[Tensor, "b p"] | None = None,
) -> Captions:
    """Keep the `num_beams` best beginnings of each video; return the best caption of each.

    Beginnings are compared by their log-probability divided by (tokens written) ** length_penalty.
    The search ends early where no unfinished one can still win.
    """
    beams = config.num_beams
    ids = _beginning(prompt, num_videos, config, device).repeat_interleave(beams, dim=0)
    total = torch.full((num_videos, beams), float("-inf"), device=device)
    total[:, 0] = 0  # all beams of a video begin alike: let one of them go on
    length = torch.zeros(num_videos, beams, device=device)
    finished = torch.zeros(num_videos, beams, dtype=torch.bool, device=device)
    first_row = torch.arange(num_videos, device=device)[:, None] * beams
    while ids.shape[1] < config.max_length and not _decided(total, length, finished, config):
        scores, tokens = _best_next(next_token(ids), finished, config)
        width = scores.shape[2]
        scores = scores + total[:, :, None]
        lengths = (length + ~finished)[:, :, None].expand_as(scores)
        ranking = scores / lengths**config.length_penalty
        picked = ranking.flatten(1).topk(beams, dim=1).indices
        beam = picked // width
        total, length = (x.flatten(1).gather(1, picked) for x in (scores, lengths))
        chosen = tokens.flatten(1).gather(1, picked)
        finished = finished.gather(1, beam) | (chosen == config.end_id)
        rows = (first_row + beam).flatten()
        ids = torch.cat([ids[rows], chosen.flatten()[:, None]], 1)
        next_token.keep_rows(rows)
    best = (total / length**config.length_penalty).argmax(1)
    ids = ids.unflatten(0, (num_videos, beams))[torch.arange(num_videos, device=device), best]
    return Captions(ids=ids, log_probability=total.gather(1, best[:, None])[:, 0])


def _beginning(
    prompt: Int64[Tensor, "b p"] | None,
    num_videos: int,
    config: GenerationConfig,
    device: torch.device | None,
) -> Int64[Tensor, "b p"]:
    if prompt is None:
        return torch.full((num_videos, 1), config.start_id, device=device)
    return prompt


def _decided(total: Tensor, length: Tensor, finished: Tensor, config: GenerationConfig) -> bool:
    """Whether each video has a finished caption that no other beam can overtake.

    The upper bound of a beam is to add tokens that are certain up to the greatest length.
    """
    nothing = float("-inf")
    best = (total / length**config.length_penalty).masked_fill(~finished, nothing).amax(1)
    unfinished = total.masked_fill(finished, nothing).amax(1)
    upper_bound = unfinished / (config.max_length - 1) ** config.length_penalty
    return bool((best >= upper_bound).all())


def _best_next(
    logits: Float[Tensor, "r y"], finished: Tensor, config: GenerationConfig
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and ids of the best tokens of each beam; padding alone when finished."""
    kept = min(config.num_beams, logits.shape[1])
    scores, tokens = logits.float().log_softmax(1).topk(kept, dim=1)
    scores, tokens = (x.unflatten(0, finished.shape) for x in (scores, tokens))  # b beams kept
    nothing = torch.full_like(scores, float("-inf"))
    nothing[:, :, 0] = 0
    tokens = tokens.masked_fill(finished[:, :, None], config.padding_id)
    return torch.where(finished[:, :, None], nothing, scores), tokens
