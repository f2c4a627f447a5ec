"""`internvideo weights export` and `push`: our models for others, as a file or on the hub."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tyro.conf import Positional


@dataclass(frozen=True, kw_only=True)
class Export:
    """Export a model to ONNX or torch.export, and compare the file with the model.

    Example: internvideo weights export runs/mine --to onnx --out mine.onnx
    """

    model: Positional[str]
    """A saved model, a run or a checkpoint."""
    to: Literal["onnx", "torch"]
    """onnx (needs the extra `export`) or torch (a .pt2 file)."""
    out: Path
    """File to write, ending in .onnx or .pt2; written only if it agrees with the model."""
    part: Literal["encoder", "classifier", "video", "text"] | None = None
    """Which part of a model with several: the video or the text encoder."""
    tolerance: float = 1e-4
    """Largest difference allowed in any output, on random input."""
    overwrite: bool = False
    """Replace a file that is there already."""
    ema: bool = False
    """Take the moving average of the weights, where the run kept one."""
    json: bool = False
    """Print the result as JSON."""

    def run(self) -> int:
        from internvideo.cli.outputs import claim
        from internvideo.cli.terminal import print_json
        from internvideo.hub import export_model, load_pretrained

        claim(self.out, overwrite=self.overwrite)
        exported = export_model(
            load_pretrained(self.model, averaged=self.ema),
            self.out,
            to=self.to,
            part=self.part,
            tolerance=self.tolerance,
        )
        if self.json:
            print_json(
                {
                    "file": str(exported.path),
                    "num_bytes": exported.num_bytes,
                    "max_error": exported.max_error,
                    "max_errors": exported.max_errors,
                }
            )
            return 0
        told = ", ".join(f"{e:.2g} at batch {size}" for size, e in exported.max_errors.items())
        print(f"{exported.path}: {exported.num_bytes / 1e6:.1f} MB, differs by at most {told}")
        return 0


@dataclass(frozen=True, kw_only=True)
class Push:
    """Upload a model to the Hugging Face hub, with a card written from what is known of it.

    Without --yes it only says what would go where. Needs the extra `hub` and a login (`hf auth
    login`).

    Example: internvideo weights push runs/mine --repo me/mine --private --yes
    """

    model: Positional[str]
    """A saved model, a run or a checkpoint."""
    repo: str
    """Repository, as owner/name; created if it does not exist."""
    private: bool = False
    """Make a new repository private."""
    ema: bool = False
    """Take the moving average of the weights, where the run kept one."""
    card: bool = False
    """Only print the card, and upload nothing."""
    yes: bool = False
    """Publish; without it nothing is uploaded."""

    def run(self) -> int:
        from internvideo.errors import ConfigError
        from internvideo.hub import card_of, load_pretrained
        from internvideo.hub.push import hub_api, prepared_upload

        if self.card:
            print(card_of(load_pretrained(self.model, averaged=self.ema), self.repo), end="")
            return 0
        with prepared_upload(
            self.model, self.repo, private=self.private, averaged=self.ema
        ) as upload:
            print(*upload.lines(), sep="\n", flush=True)
            if not self.yes:
                raise ConfigError("nothing was uploaded; add --yes to publish this")
            print(upload.send(hub_api(), message="Upload model"))
        return 0
