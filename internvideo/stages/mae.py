"""Stage 1: masked pretraining of encoder A (VideoMAE), on video files without labels.

Source: InternVideo, section 3.1; VideoMAE (arXiv:2203.12602): tube masking, repeated augmentation
(`data.views_per_video`), normalised targets; dual masking from VideoMAE V2 (arXiv:2303.16727).
A batch arrives as bytes (b, t, h, w, 3). Masks are drawn here, on the token grid, from each
sample's own seed, so they do not depend on ranks, workers or micro-batches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from einops import rearrange
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.data import ClipRequest, RunContext, VideoData, open_data
from internvideo.models import (
    AutoencoderConfig,
    DecoderConfig,
    MaskedEncoderConfig,
    MaskIndices,
    MaskingConfig,
    autoencoder_macs,
    gather_tokens,
    patchify_frames,
    sample_masks,
    training_flops,
    unpatchify,
)
from internvideo.objectives import mean_baseline_error, per_sample_error, pixel_targets
from internvideo.tiny import MaskedFrontEndConfig, TinyAutoencoderConfig, build_masked_autoencoder
from internvideo.training import TrainingConfig, in_step, sum_over_ranks
from internvideo.values import ClipBatch, Preprocessing, TokenGrid

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskedPretraining:
    """What is trained and on which task; the defaults are ViT-B's published ones.

    `front_end` stands before tiny encoders alone; see internvideo/tiny.
    """

    kind: Literal["masked-pretraining"] = "masked-pretraining"
    encoder: MaskedEncoderConfig = field(default_factory=MaskedEncoderConfig)
    front_end: MaskedFrontEndConfig | None = None
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    # Each tubelet's channels normalised (published), or plain pixels in [0, 1].
    target: Literal["tubelet", "pixel"] = "tubelet"

    def __post_init__(self) -> None:
        _ = self.training_flops_per_clip  # draws a mask: one that does not fit fails here
        if self.front_end is not None:
            self.front_end.check(self.encoder)
            self.front_end.check_pretraining()

    @property
    def grid(self) -> TokenGrid:
        """Tokens of a clip."""
        return self.encoder.grid

    @property
    def training_flops_per_clip(self) -> float:
        masks = sample_masks(self.masking, self.encoder.grid, torch.zeros(1, dtype=torch.int64))
        macs = autoencoder_macs(
            self.encoder,
            self.decoder,
            num_visible=masks.visible_index.shape[1],
            num_predicted=masks.predicted_index.shape[1],
        )
        return float(training_flops(macs))

    @property
    def model_kind(self) -> str:
        """Name of what is saved."""
        return "masked-autoencoder" if self.front_end is None else "tiny-masked-autoencoder"

    @property
    def model_config(self) -> AutoencoderConfig | TinyAutoencoderConfig:
        """What is saved; `model_kind` is its name."""
        if self.front_end is None:
            return AutoencoderConfig(encoder=self.encoder, decoder=self.decoder)
        return TinyAutoencoderConfig(
            encoder=self.encoder, front_end=self.front_end, decoder=self.decoder
        )

    def preprocessing(self, data: VideoData) -> Preprocessing:
        """How the model sees clips, in training and afterwards."""
        return data.preprocessing(
            num_frames=self.encoder.num_frames,
            side_px=self.encoder.side_px,
            mean=self.encoder.pixel_mean,
            std=self.encoder.pixel_std,
        )

    @property
    def num_parameters(self) -> int:
        with torch.device("meta"):
            model = build_masked_autoencoder(self.encoder, self.decoder, self.front_end)
        return sum(parameter.numel() for parameter in model.parameters())


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RebuiltClip:
    """One held-back clip for a report: original, masked input and reconstruction, with errors."""

    source: str
    shown: UInt8[Tensor, "t h w 3"]
    masked: UInt8[Tensor, "t h w 3"]
    rebuilt: UInt8[Tensor, "t h w 3"]
    error: float
    mean_baseline_error: float


class MaskedPretrainingStage:
    """The stage as the training loop sees it; see `internvideo.training.Trainable`."""

    def __init__(
        self,
        config: MaskedPretraining,
        data: VideoData,
        training: TrainingConfig,
        context: RunContext,
    ) -> None:
        self.config, self.device = config, context.device
        torch.manual_seed(context.seed)
        model = build_masked_autoencoder(config.encoder, config.decoder, config.front_end)
        self.model = model.to(context.device)
        self.loss_weights = {"reconstruction": 1.0}
        self.videos_per_step = training.batch_size // data.views_per_video
        self.training_flops_per_clip = config.training_flops_per_clip
        self._data = open_data(
            ClipRequest(
                videos=data,
                preprocessing=config.preprocessing(data),
                batch_size=training.batch_size,
                accumulation=training.accumulation,
            ),
            context,
        )

    def batches(self, first_step: int) -> Iterator[Sequence[ClipBatch]]:
        return self._data.batches(first_step)

    def prepare(self, batches: Sequence[ClipBatch]) -> Sequence[ClipBatch]:
        return batches

    def losses(self, batch: ClipBatch, generator: torch.Generator) -> dict[str, Tensor]:
        task = self._task(batch)
        error = per_sample_error(self._predict(task), task.target, task.masks.loss_mask)
        # The mean of the targets themselves: a little harder to beat than the clip's mean tubelet,
        # and needs no pass over the tubelets that are not predicted.
        baseline = mean_baseline_error(task.target, task.target, task.masks.loss_mask)
        return {"reconstruction": error.mean(), "mean_baseline": baseline.mean()}

    def evaluate(self) -> dict[str, float]:
        """Squared error on masked tubelets of held-back clips, and over that of the mean baseline.

        The baseline predicts each clip's mean tubelet: an `error_ratio` of 1 has learned nothing.
        Errors are in the units of the target.
        """
        sums = torch.zeros(3, dtype=torch.float64, device=self.device)
        for batch, counted in in_step(self._data.held_out.once(), self.device):
            if counted:
                error, baseline = self._errors(self._task(batch))
                clips = error.new_tensor(len(batch))
                sums += torch.stack([error.sum(), baseline.sum(), clips])
            else:
                self._predict(self._task(batch))  # takes part in what the other ranks gather
        error, baseline, clips = sum_over_ranks(sums).tolist()
        if not clips:
            logger.warning("none of the held-back videos can be decoded: nothing is evaluated")
            return {"clips": 0.0}
        return {
            "error": error / clips,
            "mean_baseline_error": baseline / clips,
            "error_ratio": error / baseline,
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
        """Reconstruct the first held-back clips; visible tubelets are shown as they are."""
        self.model.eval()
        rebuilt: list[RebuiltClip] = []
        for batch in self._data.held_out.once():
            rebuilt += self._rebuild(batch)
            if len(rebuilt) >= count:
                break
        return rebuilt[:count]

    def _task(self, batch: ClipBatch) -> _Task:
        """Cut a batch into tubelets, draw its masks, and make the targets."""
        encoder = self.config.encoder
        masks = sample_masks(self.config.masking, encoder.grid, batch.seeds).to(self.device)
        frames = batch.frames.to(self.device, non_blocking=True)
        patches = patchify_frames(frames, encoder.tubelet)
        target = self._targets(gather_tokens(patches, masks.predicted_index))
        return _Task(patches=patches, masks=masks, target=target)

    def _targets(self, patches: UInt8[Tensor, "b m pixels"]) -> Float[Tensor, "b m pixels"]:
        return pixel_targets(patches, normalised=self.config.target == "tubelet")

    def _predict(self, task: _Task) -> Float[Tensor, "b m pixels"]:
        visible = gather_tokens(task.patches, task.masks.visible_index)
        return self.model(visible, task.masks.visible_index, task.masks.predicted_index)

    def _errors(self, task: _Task) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
        """Error of each clip, and that of its mean tubelet."""
        loss_mask = task.masks.loss_mask
        error = per_sample_error(self._predict(task), task.target, loss_mask)
        return error, mean_baseline_error(self._targets(task.patches), task.target, loss_mask)

    def _rebuild(self, batch: ClipBatch) -> list[RebuiltClip]:
        task = self._task(batch)
        index = task.masks.predicted_index[:, :, None].expand(-1, -1, task.patches.shape[2])
        painted = (self._pixels(task) * 255).round().clamp(0, 255).to(torch.uint8)
        grey = torch.full_like(painted, 128)
        shown, masked, rebuilt = (
            self._film(task.patches.scatter(1, index, paint) if paint is not None else task.patches)
            for paint in (None, grey, painted)
        )
        errors, baselines = self._errors(task)
        return [
            RebuiltClip(
                source=batch.sources[i],
                shown=shown[i],
                masked=masked[i],
                rebuilt=rebuilt[i],
                error=float(errors[i]),
                mean_baseline_error=float(baselines[i]),
            )
            for i in range(len(batch))
        ]

    def _pixels(self, task: _Task) -> Float[Tensor, "b m pixels"]:
        """Predictions as pixels in [0, 1]; a normalised tubelet borrows its true statistics."""
        predicted = self._predict(task).float()
        if self.config.target == "pixel":
            return predicted
        truth = gather_tokens(task.patches, task.masks.predicted_index).float().div(255)
        std, mean = torch.std_mean(truth.unflatten(2, (-1, 3)), dim=2, keepdim=True)
        return (predicted.unflatten(2, (-1, 3)) * std + mean).flatten(2)

    def _film(self, patches: UInt8[Tensor, "b n pixels"]) -> UInt8[Tensor, "b t h w 3"]:
        encoder = self.config.encoder
        clip = unpatchify(patches, encoder.grid, encoder.tubelet)
        return rearrange(clip, "b c t h w -> b t h w c").cpu()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Task:
    """One batch as the network gets it."""

    patches: UInt8[Tensor, "b n pixels"]
    masks: MaskIndices
    target: Float[Tensor, "b m pixels"]
