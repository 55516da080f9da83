"""The suite `raw`: sending frames that vary, receiving, parsing, building, reading captures, keeping to a rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from benchmarks import raw_capture, raw_code, raw_pacer, raw_receive, raw_send

PARTS = (raw_send, raw_receive, raw_code, raw_capture, raw_pacer)


def rows(runs: int, only: str = "") -> Iterator[dict[str, Any]]:
    """The rows of all parts, or the one called `only`."""
    for part in PARTS:
        yield from part.rows(runs, only)
