"""What will be done to an object, and when: an action detector with a second output.

Source: `modeling_finetune_sta.py` of ego4d-eccv2022-solutions (the InternVideo authors' entry):
encoder A on frames that end at the annotated one, tokens normed and averaged over time, RoIAlign
and its maximum, a linear layer over verbs, and one for the seconds to contact that is also told
where the box is. Which object a box holds is what its detector says.
Differs: RoIAlign with half a cell of offset still counts sides below one cell as one.
Shapes: clip (b, c, t, h, w), boxes (s, 4) `xyxy` in pixels of the clip.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from internvideo.errors import ConfigError
from internvideo.heads.action_detector import ActionDetector, ActionDetectorConfig
from internvideo.models import MaskedEncoderConfig

_CONTACT_WEIGHT = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AnticipatorConfig:
    """Encoder A with both outputs; `detector.num_classes` is the number of verbs.

    The classes of an anticipator are `num_nouns` nouns, then the verbs.
    """

    detector: ActionDetectorConfig = field(
        default_factory=lambda: ActionDetectorConfig(num_classes=74)
    )
    num_nouns: int = 87

    def __post_init__(self) -> None:
        if self.num_nouns < 1:
            raise ConfigError(f"num_nouns is {self.num_nouns}; an object has one or more names")
        if not isinstance(self.detector.encoder, MaskedEncoderConfig):
            raise ConfigError("an anticipator has encoder A; set detector.encoder to it")
        if self.detector.head != "linear":
            raise ConfigError("an anticipator reads each box alone; set detector.head=linear")
        if self.detector.network.width % 2:
            raise ConfigError("places of boxes are sines and cosines; give an even width")

    @property
    def num_classes(self) -> int:
        """Nouns and verbs."""
        return self.num_nouns + self.detector.num_classes


class Anticipator(ActionDetector):
    """See the top of this file."""

    def __init__(self, config: AnticipatorConfig) -> None:
        super().__init__(config.detector)
        self.anticipation = config
        self.contact = nn.Linear(config.detector.network.width, 1)
        nn.init.trunc_normal_(self.contact.weight, std=0.02, a=-0.04, b=0.04)
        nn.init.zeros_(self.contact.bias)

    def anticipate(
        self,
        clip: Float[Tensor, "b c t h w"],
        boxes: Float[Tensor, "s 4"],
        clip_of_box: Int64[Tensor, " s"],
    ) -> tuple[Float[Tensor, "s y"], Float[Tensor, " s"]]:
        """Logits of the verbs, and seconds to contact, of each box."""
        half = 0.5 * self.config.patch_px
        found = self.actor_features(self.feature_map(clip), boxes - half, clip_of_box)
        placed = found + place_of_boxes(boxes, found.shape[1]).to(found)
        return self.head(found), F.softplus(self.contact(placed)[:, 0].float())


def place_of_boxes(boxes: Float[Tensor, "s 4"], width: int) -> Float[Tensor, "s d"]:
    """Sum of a sinusoid embedding for each of the four coordinates, in whole pixels."""
    rates = 10_000 ** (-torch.arange(0, width, 2, device=boxes.device) / width)
    angles = boxes.floor()[..., None] * rates
    return torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(2).sum(1)


def anticipation_losses(
    verb_logits: Float[Tensor, "s y"],
    contact_s: Float[Tensor, " s"],
    verbs: Int64[Tensor, " s"],
    true_contact_s: Float[Tensor, " s"],
) -> dict[str, Tensor]:
    """Cross-entropy of verbs, and 15 times the smooth L1 distance of times; 0 without a box."""
    if not len(verbs):
        nothing = verb_logits.sum() + contact_s.sum()
        return {"verb": nothing, "contact": nothing}
    return {
        "verb": F.cross_entropy(verb_logits.float(), verbs),
        "contact": _CONTACT_WEIGHT * F.smooth_l1_loss(contact_s, true_contact_s),
    }
