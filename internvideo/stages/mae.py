"""Stage 1: masked pretraining of encoder A (VideoMAE), on video files without labels.

Source: InternVideo, section 3.1; VideoMAE (arXiv:2203.12602); dual masking from VideoMAE V2.
A batch arrives as bytes (b, t, h, w, 3). Masks are drawn here, on the token grid, from each
sample's own seed, so they do not depend on ranks, workers or micro-batches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from internvideo.data import Source, VideoData, open_data
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
from internvideo.objectives import clip_statistics, per_sample_error, pixel_targets, trivial_error
from internvideo.training import TrainingConfig, in_step, sum_over_ranks
from internvideo.values import ClipBatch, Share, TokenGrid

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedPretraining:
    """What is trained and on which task; the defaults are ViT-B's published ones."""

    kind: Literal["masked-pretraining"] = "masked-pretraining"
    encoder: MaskedEncoderConfig = field(default_factory=MaskedEncoderConfig)
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    # What is compared: each tubelet's channels standardised (VideoMAE); raw pixels; or pixels in
    # units of the clip's mean colour and deviation, as is the input (benchmarks/tiny_runs-*.md).
    target: Literal["tubelet", "pixel", "clip"] = "tubelet"

    def __post_init__(self) -> None:
        _ = self.training_flops_per_clip  # draws a mask: one that does not fit fails here

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip."""
        return self.encoder.grid

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
        others: Mapping[str, Source] | None = None,
    ) -> None:
        self.config, self.device = config, device
        torch.manual_seed(seed)
        self.model = MaskedAutoencoder(config.encoder, config.decoder).to(device)
        self.loss_weights = {"reconstruction": 1.0}
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = config.training_flops_per_clip
        self._data = open_data(
            data,
            others=others,
            num_frames=config.encoder.num_frames,
            side_px=config.encoder.side_px,
            batch_size=training.batch_size,
            accumulation=training.accumulation,
            share=share,
            seed=seed,
            pin_memory=device.type == "cuda",
            broken_file=folder / "broken.jsonl",
        )

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        return self._data.batches(first_step)

    def prepare(self, batches: Sequence[ClipBatch]) -> Sequence[ClipBatch]:
        return batches

    def losses(self, batch: ClipBatch, generator: torch.Generator) -> dict[str, Tensor]:
        task = self._task(batch)
        error = per_sample_error(self._predict(task), task.target, task.split.counted)
        # The mean of the targets themselves: a little harder to beat than the clip's mean tubelet,
        # and needs no pass over the tubelets that are not predicted.
        trivial = trivial_error(task.target, task.target, task.split.counted)
        return {"reconstruction": error.mean(), "trivial": trivial.mean()}

    def evaluate(self) -> dict[str, float]:
        """Squared error on masked tubelets of held-back clips, and over the trivial error.

        `error_ratio` compares with predicting each clip's mean tubelet: 1 has learned nothing.
        Errors are those of pixels in [0, 1], unless tubelets were standardised.
        """
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for batch, counted in in_step(self._data.held_back.once(), self.device):
            if counted:
                error, trivial = self._errors(self._task(batch))
                clips = error.new_tensor(len(batch))
                sums += torch.stack([error.sum(), trivial.sum(), clips])
            else:
                self._predict(self._task(batch))  # takes part in what the other ranks gather
        error, trivial, clips = sum_over_ranks(sums).tolist()
        if not clips:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            return {"clips": 0.0}
        return {
            "error": error / clips,
            "trivial_error": trivial / clips,
            "error_ratio": error / trivial,
            "clips": clips,
        }

    def documents(self) -> dict[str, Any]:
        return {"data": self._data.facts}

    def state(self) -> Any:
        return self._data.state()

    def restore(self, state: Any) -> None:
        self._data.restore(state)

    @torch.no_grad()
    def reconstructions(self, count: int) -> list[RebuiltClip]:
        """Rebuild the first held-back clips; visible tubelets are shown as they are."""
        self.model.eval()
        rebuilt: list[RebuiltClip] = []
        for batch in self._data.held_back.once():
            rebuilt += self._rebuild(batch)
            if len(rebuilt) >= count:
                break
        return rebuilt[:count]

    def _task(self, batch: ClipBatch) -> _Task:
        """Cut a batch into tubelets and decide what is seen and what is asked for."""
        encoder = self.config.encoder
        split = split_tokens(self.config.masking, encoder.grid, batch.seeds).to(self.device)
        frames = batch.frames.to(self.device, non_blocking=True)
        patches = patchify_frames(frames, encoder.tubelet)
        visible = gather_tokens(patches, split.visible_index)
        hidden = gather_tokens(patches, split.predicted_index)
        if self.config.target == "clip":
            mean, deviation = clip_statistics(visible)
            return _Task(
                patches=patches,
                split=split,
                visible=visible.float().div_(255).sub_(mean).div_(deviation),
                target=hidden.float().div_(255).sub_(mean).div_(deviation),
                statistics=(mean, deviation),
            )
        target = pixel_targets(hidden, normalised=self.config.target == "tubelet")
        return _Task(patches=patches, split=split, visible=visible, target=target)

    def _predict(self, task: _Task) -> Float[Tensor, "b m pixels"]:
        return self.model(task.visible, task.split.visible_index, task.split.predicted_index)

    def _errors(self, task: _Task) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Error of each clip, and that of its mean tubelet."""
        error = per_sample_error(self._predict(task), task.target, task.split.counted)
        if task.statistics is None:
            everything = pixel_targets(task.patches, normalised=self.config.target == "tubelet")
            return error, trivial_error(everything, task.target, task.split.counted)
        mean, deviation = task.statistics
        everything = task.patches.float().div_(255).sub_(mean).div_(deviation)
        trivial = trivial_error(everything, task.target, task.split.counted)
        in_pixels = deviation.flatten().square()
        return error * in_pixels, trivial * in_pixels

    def _rebuild(self, batch: ClipBatch) -> list[RebuiltClip]:
        task = self._task(batch)
        index = task.split.predicted_index[:, :, None].expand(-1, -1, task.patches.shape[2])
        painted = (self._pixels(task) * 255).round().clamp(0, 255).to(torch.uint8)
        grey = torch.full_like(painted, 128)
        shown, masked, rebuilt = (
            self._film(task.patches.scatter(1, index, paint) if paint is not None else task.patches)
            for paint in (None, grey, painted)
        )
        errors, trivial_errors = self._errors(task)
        return [
            RebuiltClip(
                source=batch.sources[i],
                shown=shown[i],
                masked=masked[i],
                rebuilt=rebuilt[i],
                error=float(errors[i]),
                trivial_error=float(trivial_errors[i]),
            )
            for i in range(len(batch))
        ]

    def _pixels(self, task: _Task) -> Float[Tensor, "b m pixels"]:
        """Predictions as pixels in [0, 1]; a standardised tubelet borrows its true statistics."""
        predicted = self._predict(task).float()
        if task.statistics is not None:
            mean, deviation = task.statistics
            return predicted * deviation + mean
        if self.config.target == "pixel":
            return predicted
        truth = gather_tokens(task.patches, task.split.predicted_index).float().div(255)
        std, mean = torch.std_mean(truth.unflatten(2, (-1, 3)), dim=2, keepdim=True)
        return (predicted.unflatten(2, (-1, 3)) * std + mean).flatten(2)

    def _film(self, patches: UInt8[Tensor, "b n pixels"]) -> UInt8[Tensor, "b t h w 3"]:
        encoder = self.config.encoder
        clip = unpatchify(patches, encoder.grid, encoder.tubelet)
        return rearrange(clip, "b c t h w -> b t h w c").cpu()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Task:
    """One batch as the network gets it; `statistics` lead from a clip's units back to pixels."""

    patches: UInt8[Tensor, "b n pixels"]
    split: TokenSplit
    visible: Shaped[Tensor, "b k pixels"]
    target: Float[Tensor, "b m pixels"]
    statistics: tuple[Float[Tensor, "b 1 pixels"], Float[Tensor, "b 1 1"]] | None = None
