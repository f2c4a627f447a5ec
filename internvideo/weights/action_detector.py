"""Names of released action detectors: encoder A with a linear or ACAR head on boxes.

Source: `modeling_finetune.py` of Spatial-Temporal-Action-Localization in the InternVideo release.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_RELATIONS = ("head.hr2o.", "head.relations.")


def read_official_detector(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give a released state dict the names of `heads.ActionDetector`."""
    ours = {}
    for name, value in state.items():
        named = name.replace(*_RELATIONS)
        ours[named if named.startswith("head.") else f"encoder.{named}"] = value
    return ours


def write_official_detector(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `read_official_detector`."""
    return {
        name.replace(*_RELATIONS[::-1]).removeprefix("encoder."): value
        for name, value in state.items()
    }
