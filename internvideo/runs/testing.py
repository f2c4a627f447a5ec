"""The test split is touched once: by the checkpoint that was chosen, after training.

The scores are kept as test.json in the run's folder; where they are there already, as after a run
was resumed at its end, they are read and nothing is tested again.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from internvideo.data import VideoData
from internvideo.errors import ConfigError
from internvideo.hub.open import load_pretrained
from internvideo.reading import read_json_document
from internvideo.runs.run import Run
from internvideo.tasks import TASKS, Inference, Result
from internvideo.training.journal import replace_text
from internvideo.values import Annotations

_log = logging.getLogger(__name__)


@runtime_checkable
class HasTestSplit(Protocol):
    """A task's training configuration that says what is tested on afterwards."""

    kind: str

    def test_data(self, data: VideoData) -> Annotations | None:
        """The records to test on; None where there are none."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FinalScores:
    """Scores on the test split and how they were come by; `result` where it was tested just now."""

    scores: dict[str, Any]
    result: Result | None = None


def final_test(
    run: Run, folder: Path, *, device: torch.device, progress: Any = None
) -> FinalScores | None:
    """Test the run's chosen checkpoint by its task; None where there is nothing to test on."""
    config, path = run.stage, folder / "test.json"
    if not isinstance(config, HasTestSplit):
        return None
    if path.exists():
        _log.info("%s: tested before; the test split is not touched again", path)
        try:
            return FinalScores(scores=dict(read_json_document(path)))
        except (ValueError, TypeError) as error:
            raise ConfigError(f"{path}: holds no scores ({error}); remove it") from error
    data = config.test_data(run.data)
    if data is None:
        _log.info("there is no split to test on; evaluate on other videos than those chosen on")
        return None
    found = load_pretrained(folder)
    found.model.to(device)
    make: Any = TASKS[config.kind]
    task = make(inference=Inference(num_workers=run.data.num_workers))
    model = task.model_type.from_pretrained(found, source=str(folder))
    result = task.evaluate(model, data, progress=progress)
    step = found.provenance.get("step")
    scores = {"step": step, **result.to_json()}
    replace_text(path, json.dumps(scores, indent=2, ensure_ascii=False) + "\n")
    _log.info(
        "step %s, tested once on %d of %d: %s",
        *(step, result.num_evaluated, result.num_total),
        "  ".join(f"{name} {value:.4g}" for name, value in result.scores.items()),
    )
    return FinalScores(scores=scores, result=result)
