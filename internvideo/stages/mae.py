"""Stage 1: masked pretraining of encoder A (VideoMAE), on video files without labels.

Source: InternVideo, section 3.1; VideoMAE (arXiv:2203.12602); dual masking from VideoMAE V2.
A batch arrives as bytes (b, t, h, w, 3). Masks are drawn here, on the token grid, from each
sample's own seed, so they do not depend on ranks, workers or micro-batches.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.data import VideoData, open_data
from internvideo.losses import pixel_targets, reconstruction_loss, trivial_error
from internvideo.models import (
    DecoderConfig,
    MaskedAutoencoder,
    MaskedEncoderConfig,
    MaskingConfig,
    TokenSplit,
    autoencoder_macs,
    gather_tokens,
    patchify_frames,
    split_tokens,
    training_flops,
    unpatchify,
)
from internvideo.training import TrainingConfig, in_step, sum_over_ranks
from internvideo.values import ClipBatch, Share


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedPretraining:
    """What is trained and on which task; the defaults are ViT-B's published ones."""

    kind: Literal["masked-pretraining"] = "masked-pretraining"
    encoder: MaskedEncoderConfig = field(default_factory=MaskedEncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    # Standardise each tubelet's channels before comparing (VideoMAE); raw pixels suit tiny runs.
    normalise_target: bool = True

    def __post_init__(self) -> None:
        _ = self.training_flops_per_clip  # draws a mask: one that does not fit fails here

    @property
    def training_flops_per_clip(self) -> float:
        split = split_tokens(self.masking, self.encoder.grid, torch.zeros(1, dtype=torch.int64))
        macs = autoencoder_macs(
            self.encoder,
            self.decoder,
            num_visible=split.visible_index.shape[1],
            num_predicted=split.predicted_index.shape[1],
        )
        return float(training_flops(macs))

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = MaskedAutoencoder(self.encoder, self.decoder)
        return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RebuiltClip:
    """One held-back clip for a report: three films of equal size and their errors."""

    source: str
    shown: UInt8[Tensor, "t h w 3"]
    masked: UInt8[Tensor, "t h w 3"]
    rebuilt: UInt8[Tensor, "t h w 3"]
    error: float
    trivial_error: float


class MaskedPretrainingStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: MaskedPretraining,
        data: VideoData,
        training: TrainingConfig,
        *,
        seed: int,
        share: Share,
        device: torch.device,
        folder: Path,
    ) -> None:
        self.config, self.device = config, device
        torch.manual_seed(seed)
        self.model = MaskedAutoencoder(config.encoder, config.decoder).to(device)
        self.loss_weights = {"reconstruction": 1.0}
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = config.training_flops_per_clip
        opened = open_data(
            data,
            num_frames=config.encoder.num_frames,
            side_px=config.encoder.side_px,
            batch_size=training.batch_size,
            accumulation=training.accumulation,
            share=share,
            seed=seed,
            pin_memory=device.type == "cuda",
            broken_file=folder / "broken.jsonl",
        )
        self._train, self._held_back = opened.train, opened.held_back
        self._facts = opened.facts

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        return self._train.batches(first_step)

    def losses(self, batch: ClipBatch, generator: torch.Generator) -> dict[str, Tensor]:
        patches, split = self._cut(batch)
        predicted = self._predict(patches, split)
        target = self._target(gather_tokens(patches, split.predicted_index))
        return {
            "reconstruction": reconstruction_loss(predicted, target, split.counted),
            # The mean of the targets themselves: a little harder to beat than the clip's mean
            # tubelet, and needs no pass over the tubelets that are not predicted.
            "trivial": trivial_error(target, target, split.counted).mean(),
        }

    def evaluate(self) -> dict[str, float]:
        """Squared error on masked tubelets of held-back clips, and over the trivial error.

        `error_ratio` compares with predicting each clip's mean tubelet: 1 has learned nothing.
        """
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for batch, counted in in_step(self._held_back.once(), self.device):
            patches, split = self._cut(batch)
            target = self._target(gather_tokens(patches, split.predicted_index))
            error = reconstruction_loss(self._predict(patches, split), target, split.counted)
            trivial = trivial_error(self._target(patches), target, split.counted).mean()
            if counted:
                clips = float(len(batch))
                sums += torch.stack([error * clips, trivial * clips, error.new_tensor(clips)])
        error, trivial, clips = sum_over_ranks(sums).tolist()
        return {
            "error": error / clips,
            "trivial_error": trivial / clips,
            "error_ratio": error / trivial,
            "clips": clips,
        }

    def documents(self) -> dict[str, Any]:
        return {"data": self._facts}

    def state(self) -> Any:
        return self._train.broken.state()

    def restore(self, state: Any) -> None:
        self._train.broken.restore(state)

    @torch.no_grad()
    def reconstructions(self, count: int) -> list[RebuiltClip]:
        """Rebuild the first held-back clips; visible tubelets are shown as they are."""
        self.model.eval()
        rebuilt: list[RebuiltClip] = []
        for batch in self._held_back.once():
            patches, split = self._cut(batch)
            rebuilt += self._rebuild(batch, patches, split)
            if len(rebuilt) >= count:
                break
        return rebuilt[:count]

    def _cut(self, batch: ClipBatch) -> tuple[UInt8[Tensor, "b n pixels"], TokenSplit]:
        encoder = self.config.encoder
        split = split_tokens(self.config.masking, encoder.grid, batch.seeds)
        frames = batch.frames.to(self.device, non_blocking=True)
        return patchify_frames(frames, encoder.tubelet), split.to(self.device)

    def _predict(
        self, patches: UInt8[Tensor, "b n pixels"], split: TokenSplit
    ) -> Float[Tensor, "b m pixels"]:
        visible = gather_tokens(patches, split.visible_index)
        return self.model(visible, split.visible_index, split.predicted_index)

    def _target(self, patches: UInt8[Tensor, "b m pixels"]) -> Float[Tensor, "b m pixels"]:
        return pixel_targets(patches, normalised=self.config.normalise_target)

    def _rebuild(
        self, batch: ClipBatch, patches: UInt8[Tensor, "b n pixels"], split: TokenSplit
    ) -> list[RebuiltClip]:
        index = split.predicted_index[:, :, None].expand(-1, -1, patches.shape[2])
        truth = patches.gather(1, index)
        predicted = self._predict(patches, split).float()
        target = self._target(truth)
        if self.config.normalise_target:
            predicted_pixels = _with_statistics_of(predicted, truth)
        else:
            predicted_pixels = predicted
        painted = (predicted_pixels * 255).round().clamp(0, 255).to(torch.uint8)
        grey = torch.full_like(truth, 128)
        films = [
            self._film(patches),
            self._film(patches.scatter(1, index, grey)),
            self._film(patches.scatter(1, index, painted)),
        ]
        everything = self._target(patches)
        return [
            RebuiltClip(
                source=batch.sources[i],
                shown=films[0][i],
                masked=films[1][i],
                rebuilt=films[2][i],
                error=float(reconstruction_loss(predicted[i : i + 1], target[i : i + 1])),
                trivial_error=float(trivial_error(everything[i : i + 1], target[i : i + 1])),
            )
            for i in range(len(batch))
        ]

    def _film(self, patches: UInt8[Tensor, "b n pixels"]) -> UInt8[Tensor, "b t h w 3"]:
        encoder = self.config.encoder
        clip = unpatchify(patches, encoder.grid, encoder.tubelet)
        return rearrange(clip, "b c t h w -> b t h w c").cpu()


def _with_statistics_of(
    predicted: Float[Tensor, "b m pixels"], truth: UInt8[Tensor, "b m pixels"]
) -> Float[Tensor, "b m pixels"]:
    """Give standardised predictions each true tubelet's mean and deviation, for looking at."""
    channels = truth.float().div(255).unflatten(2, (-1, 3))
    std, mean = torch.std_mean(channels, dim=2, keepdim=True)
    return (predicted.unflatten(2, (-1, 3)) * std + mean).flatten(2)
