"""What a recording is to show: the .toml beside it, and the check of a replay against it."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rawproto.errors import CaptureError, ReplayMismatchError
from rawproto.testing.replay import Replay, replay
from rawproto.transport.trace import SegmentReceived, SegmentSent

__all__ = ["Expectations", "check", "check_changes", "load"]


@dataclass(frozen=True, slots=True)
class Expectations:
    """A recording and what its replay must show."""

    capture: Path
    title: str
    shows: tuple[str, ...]
    """Beginnings of reasons and outcomes that the trace must hold."""
    changes: dict[str, Any]
    """Settings; with any one of them changed to its value, a replay must fail."""
    counts: dict[str, int]
    """Steps, calls, frames received and sent."""


def load(path: str | os.PathLike[str]) -> Expectations:
    """Read the .toml at `path`; the capture has the same name. Raises CaptureError for what is not one."""
    path = Path(path)
    try:
        values = tomllib.loads(path.read_text())
        return Expectations(
            path.with_suffix(".pcapng"),
            values["title"],
            tuple(values["shows"]),
            values["changes"],
            values.get("counts", {}),
        )
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise CaptureError(f"{path} does not say what its recording shows: {error}") from None


def check(expected: Expectations) -> Replay:
    """Replay the recording and see that it shows what it must. Raises ReplayMismatchError."""
    player = replay(expected.capture)
    told = list(_told(player))
    for text in expected.shows:
        if not any(reason.startswith(text) for reason in told):
            raise ReplayMismatchError(f"{expected.capture}: nothing in the replay is explained by {text!r}")
    if expected.counts and expected.counts != asdict(player.counts):
        raise ReplayMismatchError(f"{expected.capture}: counted {asdict(player.counts)}, expected {expected.counts}")
    for name, value in expected.changes.items():
        check_changes(expected, name, value)
    return player


def check_changes(expected: Expectations, name: str, value: Any) -> str:
    """See that the replay fails with setting `name` at `value`; give its message."""
    try:
        replay(expected.capture, **{name: value})
    except ReplayMismatchError as error:
        return str(error)
    raise ReplayMismatchError(f"{expected.capture}: the replay does not notice that {name} is {value}")


def _told(player: Replay) -> Iterator[str]:
    for record in player.trace.records:
        if isinstance(record, SegmentSent):
            yield record.reason
        elif isinstance(record, SegmentReceived):
            yield record.outcome
