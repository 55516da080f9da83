"""The trace: what a connection did, and why, as typed records in the order of events.

Every ladder, table and verdict is derived from these records and from frames; none has a hook of its own into the
engine. A connection without a trace spends nothing on it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from rawproto.transport.segment import Segment
from rawproto.transport.state import Event, State

__all__ = [
    "Discarded",
    "Ended",
    "PacketsLost",
    "PathChanged",
    "Record",
    "RecoveryChanged",
    "RttSampled",
    "SegmentReceived",
    "SegmentSent",
    "StateChanged",
    "TimerFired",
    "Trace",
    "as_dict",
]


@dataclass(frozen=True, slots=True)
class Record:
    """What all records have: when it was, in ns, and which connection of the endpoint it was (-1: none)."""

    kind: ClassVar[str] = ""
    time_ns: int
    connection: int


@dataclass(frozen=True, slots=True)
class SegmentRecord(Record):
    """What is kept of a segment: its numbers, not its payload, which is `length` bytes."""

    flags: int
    seq: int
    length: int
    ack: int
    wnd: int
    packet_number: int
    count: int


@dataclass(frozen=True, slots=True)
class SegmentSent(SegmentRecord):
    """A segment left, for `reason`; the ISNs are there so that its numbers can be shown relative to them."""

    kind: ClassVar[str] = "sent"
    reason: str
    isn: int
    peer_isn: int
    retransmission: bool


@dataclass(frozen=True, slots=True)
class SegmentReceived(SegmentRecord):
    """A segment came; `outcome` says what was done with it and by which rule."""

    kind: ClassVar[str] = "received"
    outcome: str


@dataclass(frozen=True, slots=True)
class Discarded(Record):
    """A datagram was dropped before any connection saw it."""

    kind: ClassVar[str] = "discarded"
    reason: str
    length: int


@dataclass(frozen=True, slots=True)
class StateChanged(Record):
    """The connection went from one state to the next."""

    kind: ClassVar[str] = "state"
    before: State
    after: State
    event: Event


@dataclass(frozen=True, slots=True)
class PacketsLost(Record):
    """A range of the sequence space was taken for lost."""

    kind: ClassVar[str] = "lost"
    seq: int
    length: int
    packet_number: int
    rule: str


@dataclass(frozen=True, slots=True)
class TimerFired(Record):
    """A timer ran out."""

    kind: ClassVar[str] = "timer"
    timer: str
    after_ns: int


@dataclass(frozen=True, slots=True)
class RttSampled(Record):
    """A round trip was measured; all in ns."""

    kind: ClassVar[str] = "rtt"
    rtt: int
    srtt: int
    rttvar: int
    rto: int
    cwnd: int
    in_flight: int
    ssthresh: int | None
    delivered: int
    """Octets that are known to have arrived since the connection began."""


@dataclass(frozen=True, slots=True)
class RecoveryChanged(Record):
    """The sender entered or left an episode of congestion (rawproto.transport.recovery), and why."""

    kind: ClassVar[str] = "recovery"
    phase: str
    why: str
    cwnd: int
    ssthresh: int | None


@dataclass(frozen=True, slots=True)
class PathChanged(Record):
    """The size of datagrams that the path is taken to carry has changed; in bytes, header included."""

    kind: ClassVar[str] = "path"
    size: int
    why: str


@dataclass(frozen=True, slots=True)
class Ended(Record):
    """The connection is over; `reason` is for people."""

    kind: ClassVar[str] = "ended"
    reason: str


class Trace:
    """Records, in order. One trace may serve all connections of an endpoint."""

    __slots__ = ("records",)

    def __init__(self) -> None:
        self.records: list[Record] = []

    def sent(self, now: int, connection: int, segment: Segment, why: tuple[str, int, int, bool]) -> None:
        """Note a segment that leaves; `why` is (reason, own ISN, peer's ISN, whether it was sent before)."""
        self.records.append(SegmentSent(now, connection, *_numbers(segment), *why))

    def received(self, now: int, connection: int, segment: Segment, outcome: str) -> None:
        """Note a segment that came."""
        self.records.append(SegmentReceived(now, connection, *_numbers(segment), outcome))

    def add(self, record: Record) -> None:
        """Note anything else."""
        self.records.append(record)


def as_dict(record: Record) -> dict[str, Any]:
    """A record as plain values, its kind first, for JSON."""
    return {"kind": record.kind, **asdict(record)}


def _numbers(segment: Segment) -> tuple[int, int, int, int, int, int, int]:
    """The fields of a SegmentRecord, in its order."""
    length = len(segment.payload)
    return segment.flags, segment.seq, length, segment.ack, segment.wnd, segment.packet_number, segment.count
