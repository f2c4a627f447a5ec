"""What model a run trains, written into its checkpoints, so that these open as saved models do."""

from __future__ import annotations

from typing import Any

from internvideo.hub import model_description
from internvideo.runs.run import Run, to_document


def checkpoint_documents(run: Run) -> dict[str, Any]:
    """Documents to keep with every checkpoint of a run: its model, and the run itself."""
    stage = run.stage
    model = model_description(stage.model_kind, stage.model_config, stage.preprocessing(run.data))
    return {"config": {**model, "run": to_document(run)}}
