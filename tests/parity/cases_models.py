"""Checks of recorded cases: models."""

from __future__ import annotations

from collections.abc import Callable

from tests.parity.case import Case

CHECKS: dict[str, Callable[[Case], None]] = {}
