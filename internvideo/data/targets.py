"""Targets: what a network shall answer of a clip, made by the stage or task that trains it.

A stage hands its `Targets` to `open_data`. They are made where a sample is made, in a loading
worker, of the record and of how its clip was cut; a batch carries them by name. So a task brings
labels, segments, boxes in coordinates of the crop, or ids of a question without the loading of
clips knowing of any of them.
Shapes: of one view any shape; of a batch a row for each clip, ragged ones padded to the longest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from internvideo.data.mirrored_text import mirror_text
from internvideo.errors import ConfigError
from internvideo.values import Record, View


@dataclass(frozen=True, kw_only=True, slots=True)
class Targets:
    """How the targets of a clip are made, and which of them differ in number from clip to clip.

    `make` goes to other processes, so it is a function of a module or an object of one. Of a target
    named in `ragged`, (s, ...) with any s, a batch has (b, most, ...), padded with zeros, and
    beside it `NAME_padded` (b, most), true where there is nothing.
    """

    make: Callable[[Record, View], Mapping[str, Tensor]]
    ragged: tuple[str, ...] = ()

    def collate(self, samples: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Join the targets of several clips.

        Raises:
            ConfigError: Clips have other targets than the first, or unequal shapes without being
                named in `ragged`.
        """
        if not samples:
            return {}
        names = samples[0].keys()
        for sample in samples:
            if sample.keys() != names:
                raise ConfigError(
                    f"clips of one batch have the targets {sorted(names)} and {sorted(sample)}; "
                    "every record needs the same"
                )
        batch: dict[str, Tensor] = {}
        for name in names:
            rows = [sample[name] for sample in samples]
            if name in self.ragged:
                batch[name], batch[f"{name}_padded"] = _padded(rows)
            elif len({row.shape for row in rows}) > 1:
                shapes = sorted({tuple(row.shape) for row in rows})
                raise ConfigError(
                    f"target {name!r} has the shapes {shapes} in one batch; name it in `ragged` "
                    "to have it padded"
                )
            else:
                batch[name] = torch.stack(rows)
        return batch


def label_target(record: Record, view: View) -> dict[str, Tensor]:
    """The only label of a record, as `label`; raises `ConfigError` for none or several."""
    if len(record.labels) != 1:
        raise ConfigError(f"{record.video} has {len(record.labels)} labels, expected exactly one")
    return {"label": torch.tensor(record.labels[0])}


@dataclass(frozen=True, kw_only=True, slots=True)
class MultiLabelTarget:
    """Any number of labels of a record, as `labels` (y) of zeros and ones."""

    num_classes: int

    def __call__(self, record: Record, view: View) -> dict[str, Tensor]:
        return {"labels": self.of(record)}

    def of(self, record: Record) -> Float[Tensor, " y"]:
        """One for each label of a record, zero for the other classes."""
        labels = torch.zeros(self.num_classes)
        labels[list(record.labels)] = 1.0
        return labels


def question_target(record: Record, view: View) -> dict[str, Tensor]:
    """Question and answer as bytes of UTF-8, for `texts_of`; both are ragged.

    Left and right are swapped where the view is mirrored. Raises `ConfigError` without a question
    or an answer.
    """
    if not record.question or record.answer is None:
        lacks = "answer" if record.question else "question"
        raise ConfigError(f"{record.video}: has no {lacks}; question answering needs both")
    texts = {"question": record.question, "answer": record.answer}
    if view.mirrored:
        texts = {name: mirror_text(text) for name, text in texts.items()}
    return {
        name: torch.tensor(list(text.encode()), dtype=torch.uint8) for name, text in texts.items()
    }


def texts_of(targets: Mapping[str, Tensor], name: str) -> list[str]:
    """Give back the texts of a batch that `question_target` turned into bytes."""
    rows, padded = targets[name].cpu(), targets[f"{name}_padded"].cpu()
    return [bytes(row[~empty].tolist()).decode() for row, empty in zip(rows, padded, strict=True)]


def _padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    counts = torch.tensor([len(row) for row in rows])
    padded = torch.arange(int(counts.max()))[None] >= counts[:, None]
    return pad_sequence(list(rows), batch_first=True), padded
