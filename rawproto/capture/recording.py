"""A recording: a capture that holds all that a host saw, in order, so that a fresh host can be put through it again.

Its section comment is the Setup: how the host was made. Its frames are those of the wire, with direction, and those
of the journal. A stack acts once at each of its times, so what has one time is one Step.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from rawproto.capture.files import open_capture
from rawproto.capture.journal import Call, read_call
from rawproto.errors import CaptureError
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["Recording", "Setup", "Step"]


@dataclass(frozen=True, slots=True)
class Setup:
    """How a recorded host was made. `config` are the settings of its connections, by name."""

    name: str
    address: str
    mac: str
    mtu: int
    linktype: LinkType
    seed: int
    config: dict[str, Any]

    def comment(self) -> str:
        """The setup as the comment of a capture's section."""
        return json.dumps({"rawproto": "recording", **asdict(self)})

    @classmethod
    def from_comment(cls, comment: str, source: str) -> Setup:
        """Read `comment`. Raises CaptureError, naming `source`, if it is not a setup."""
        try:
            values = json.loads(comment)
            if values.pop("rawproto") != "recording":
                raise ValueError("not a recording")
            return cls(**{**values, "linktype": LinkType(values["linktype"])})
        except (RecursionError, ValueError, KeyError, TypeError, AttributeError):
            text = f"{source} can be read but not replayed: its section comment does not say how the host was made"
            raise CaptureError(text) from None


@dataclass(slots=True)
class Step:
    """All that happened at one time: calls, frames in, frames out."""

    time_ns: int
    calls: list[Call] = field(default_factory=list)
    inbound: list[Frame] = field(default_factory=list)
    outbound: list[Frame] = field(default_factory=list)


class Recording:
    """Reads one recording; iterating it gives its steps, in order, without holding more than one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        with open_capture(self.path) as reader:
            self.setup = Setup.from_comment(reader.comment, self.path)

    def __iter__(self) -> Iterator[Step]:
        step: Step | None = None
        with open_capture(self.path) as reader:
            for frame in reader:
                if step is None or frame.time_ns != step.time_ns:
                    if step is not None:
                        yield step
                    step = Step(frame.time_ns)
                call = read_call(frame)
                if call is not None:
                    step.calls.append(call)
                elif frame.direction is Direction.UNKNOWN:
                    raise CaptureError(f"{self.path}: the frame at {frame.time_ns} ns has no direction")
                else:
                    (step.inbound if frame.direction is Direction.INBOUND else step.outbound).append(frame)
        if step is not None:
            yield step
