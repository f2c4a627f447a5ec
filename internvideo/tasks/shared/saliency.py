"""Where a classifier looks: how strongly the score of a class depends on each place of a clip.

Source: Simonyan et al. 2013, "Deep Inside Convolutional Networks" (arXiv:1312.6034).
Shapes: frames (t, h, w, 3) uint8 -> saliency (t, h, w) in [0, 1].
Differs from the paper: gradients are averaged over places of a sixteenth of the frame, since those
of single pixels follow the edges of patches.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from internvideo.data import ViewDataset, ViewPlan
from internvideo.errors import ConfigError
from internvideo.tasks.shared.classification import RecognitionModel
from internvideo.tasks.shared.inference import ClipSampling
from internvideo.values import Annotations, Record

_PLACES = 16  # along each side of a frame


def saliency(
    model: RecognitionModel, frames: UInt8[Tensor, "t h w 3"], label: int
) -> Float[Tensor, "t h w"]:
    """Size of the gradient of a class's logit, the largest of the clip being 1.

    Raises:
        ConfigError: If the network does not pass gradients through to its input.
    """
    clip = model.normalised(frames[None]).requires_grad_()
    with torch.enable_grad():
        logit = model.model(clip)[0, label]
        if not logit.requires_grad:
            raise ConfigError(
                "this network gives no gradients, so it cannot be asked where it looks"
            )
        (gradient,) = torch.autograd.grad(logit, clip)
    size = gradient[0].abs().sum(0).float()
    height, width = size.shape[1:]
    places = F.adaptive_avg_pool2d(size, (min(_PLACES, height), min(_PLACES, width)))
    smooth = F.interpolate(places[None], (height, width), mode="bilinear", align_corners=False)[0]
    return (smooth / smooth.amax().clamp(min=1e-12)).cpu()


def middle_view(
    model: RecognitionModel, record: Record, sampling: ClipSampling
) -> UInt8[Tensor, "t h w 3"] | None:
    """The middle clip of a record as the model sees it, or None where it cannot be decoded."""
    dataset = ViewDataset(
        Annotations(records=(record,)),
        sampling.data(str(record.video.parent)),
        ViewPlan(),
        num_frames=model.num_frames,
        side_px=model.side_px,
    )
    views = dataset.sample(0).views
    return views[0] if len(views) else None
