"""Bulk work over many files: units, claims and records, on one machine or on many."""

from internvideo.jobs.engines import Engine, Work, do_unit
from internvideo.jobs.ledger import Ledger
from internvideo.jobs.places import (
    LocalInput,
    exists,
    file_system,
    local_input,
    local_output,
    stamp,
    video_units,
    write_json,
    write_whole,
)
from internvideo.jobs.units import Part, Record, Unit, target_of

__all__ = [
    "Engine",
    "Ledger",
    "LocalInput",
    "Part",
    "Record",
    "Unit",
    "Work",
    "do_unit",
    "exists",
    "file_system",
    "local_input",
    "local_output",
    "stamp",
    "target_of",
    "video_units",
    "write_json",
    "write_whole",
]
