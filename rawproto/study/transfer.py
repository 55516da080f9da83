"""What is known of one transfer between two hosts once it is over, simulated or real: the input of every report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rawproto.transport.endpoint import Totals
from rawproto.transport.trace import Record
from rawproto.wire.frame import LinkType

__all__ = ["Fault", "Outcome", "Side"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault that really happened to a frame sent by `host`; `frame` is as it was handed to the link."""

    time_ns: int
    host: str
    kind: str
    frame: bytes
    linktype: LinkType


@dataclass(slots=True)
class Side:
    """One of the two hosts: what its application sent and got, and what its stack did. Times in ns."""

    name: str
    sent: bytes = b""
    received: bytes = b""
    end_of_stream: bool = False
    """The application read the end of the peer's stream, not an error."""
    established_ns: int | None = None
    """When connect or accept returned."""
    first_data_ns: int | None = None
    """When the first bytes were given to the application."""
    error: str = ""
    """Why the transfer failed on this side, in one line; empty if it did not."""
    totals: Totals = field(default_factory=Totals)
    discarded: Counter[str] = field(default_factory=Counter)
    """Datagrams that reached no connection, by reason, those that the carrier dropped included."""
    fired: dict[str, int] = field(default_factory=dict)
    """Faults that struck what this side sent, by kind; kinds that are on stand there with 0."""
    stats: dict[str, Any] = field(default_factory=dict)
    """What the connection had counted and measured in the end (transport.statistics.Stats)."""
    trace: list[Record] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    capture: Path | None = None


@dataclass(slots=True)
class Outcome:
    """A transfer that is over: the client sent the file, the server a stream of its own; each ended its direction."""

    seed: int
    client: Side
    server: Side
    wall_time_s: float
    time_ns: int
    """How long it took by the clock of the hosts: virtual time in a simulation."""
