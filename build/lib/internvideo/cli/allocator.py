"""Have the C library keep memory that was freed, for this process and those it starts.

Clips and activations of megabytes come and go at every step. By default glibc gives such blocks
back to the system at once, and every new one is faulted in page by page: a quarter of the time of
decoding a short clip (benchmarks/decode-2026-11-22-2cores.md). Only the command does this, since
the process is its own; a program that imports the package keeps its settings. Other C libraries
are left as they are, and so is whoever has set these variables.
"""

from __future__ import annotations

import ctypes
import os
import sys

_TRIM, _MMAP = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"
_PARAMETERS = {_TRIM: -1, _MMAP: -3}  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD of <malloc.h>
# The second is the largest that glibc takes.
_BYTES = {_TRIM: 256 << 20, _MMAP: 32 << 20}


def keep_freed_memory() -> bool:
    """Set both thresholds; returns whether the C library took them."""
    if not sys.platform.startswith("linux") or any(name in os.environ for name in _PARAMETERS):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return False
    os.environ.update({name: str(size) for name, size in _BYTES.items()})
    return all(mallopt(number, _BYTES[name]) for name, number in _PARAMETERS.items())
