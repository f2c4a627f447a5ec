"""ActionFormers as trained for published data sets.

Source: the yaml files of the InternVideo release; Ego4D moment queries from OpenTAD's
`ego4d_internvideo.py` (without its dropout of inputs). Widths of features are those of the files;
other features need only another `input_width`.
"""

from __future__ import annotations

from typing import Any

from internvideo.models.actionformer.config import ActionFormerConfig

# Class-agnostic models on features of whole videos.
_NARROW: dict[str, Any] = {
    "num_classes": 1,
    "width": 256,
    "pyramid_width": 256,
    "head_width": 256,
    "position_table": True,
}
_EGO4D_RANGES = ((0.0, 4.0), *((2.0**n, 2.0 ** (n + 2)) for n in range(1, 9)), (512.0, 1e4))

ACTIONFORMERS: dict[str, ActionFormerConfig] = {
    "thumos": ActionFormerConfig(input_width=1408, num_classes=20),
    "anet": ActionFormerConfig(
        input_width=1280, max_length=768, windows=(25, 25, 25, 25, 25, -1), **_NARROW
    ),
    "hacs": ActionFormerConfig(input_width=2560, windows=(25, 25, 25, 25, 25, -1), **_NARROW),
    "fineaction": ActionFormerConfig(
        input_width=1408, max_length=192, windows=(7, 7, 7, 7, 7, -1), **_NARROW
    ),
    "ego4d_mq": ActionFormerConfig(
        input_width=1024,
        num_classes=110,
        max_length=2048,
        num_branch_blocks=9,
        windows=(*(17,) * 7, -1, -1, -1),
        regression_ranges=_EGO4D_RANGES,
        position_table=True,
        dropout=0.1,
    ),
}
