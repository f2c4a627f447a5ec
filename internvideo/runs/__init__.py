"""Runs: what a recipe returns, its execution, and advice for fine-tuning."""

from internvideo.runs.run import Run, from_document, nested, override, read_run, to_document

__all__ = ["Run", "from_document", "nested", "override", "read_run", "to_document"]
