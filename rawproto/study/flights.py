"""What became of each datagram between two hosts: the traces of both ends and the faults in between, put together.

A segment may leave as a burst of many datagrams with different fates. A Flight is a run of datagrams of one segment
that met the same one. Datagrams are known by direction and packet number, which is never used twice; a fault knows
its own from the frame it struck. Both traces must be on one clock.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from rawproto.link.impairment import DAMAGES
from rawproto.study.transfer import Outcome, Side
from rawproto.transport.segment import ACK, FIN, RST, SYN
from rawproto.transport.state import State
from rawproto.transport.trace import Discarded, SegmentReceived, SegmentSent, StateChanged
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT

__all__ = ["Direction", "Fate", "Flight", "both_directions", "connection_of"]

LOSSES = ("loss", "burst_loss", "queue_drop")
CUT_SHORT = ("too short", "length")
"""Why a datagram without its end is discarded."""
NEIGHBOURS = 64
"""How many of the datagrams that follow are looked at for when a damaged one must have come."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What happened to a datagram on its way, and what the other end made of it."""

    lost_by: str = ""
    """The fault that took it; empty if it arrived."""
    damaged: bool = False
    duplicated: bool = False
    late: bool = False
    """A later one overtook it."""
    outcome: str = ""
    """What the receiver did with it, or why it was discarded; empty if that is not known."""
    arrived: bool = False
    """The receiving connection has taken it in."""


@dataclass(frozen=True, slots=True)
class Flight:
    """`count` datagrams of one segment that shared one fate. Offsets count from the ISN of their own side."""

    sent_ns: int
    from_client: bool
    packet_number: int
    count: int
    flags: int
    start: int
    end: int
    """The offset after its last octet; SYN and FIN take one each."""
    length: int
    """Payload in bytes."""
    ack: int | None
    reason: str
    again: bool
    fate: Fate
    arrivals: tuple[int, ...] = ()
    """When the receiver took note of it, in ns, ascending: repeated arrivals and damaged ones included."""


@dataclass(frozen=True, slots=True)
class Struck:
    """A datagram that at least one fault struck."""

    seq: int
    length: int
    size: int
    """Of the whole datagram, in bytes."""
    flags: int
    kinds: frozenset[str]


@dataclass(slots=True)
class Direction:
    """All that is known of one direction of one connection."""

    sender: Side
    receiver: Side
    from_client: bool
    sent: list[SegmentSent] = field(default_factory=list)
    received: list[SegmentReceived] = field(default_factory=list)
    struck: dict[int, Struck] = field(default_factory=dict)
    _arrivals: dict[int, list[SegmentReceived]] = field(default_factory=dict)
    _discards: dict[int, list[Discarded]] = field(default_factory=dict)
    """Discarded datagrams by their size, in the order in which they came."""
    _below: str = ""
    """Why a datagram may have been dropped before the endpoint saw it."""

    def __post_init__(self) -> None:
        of_sender, of_receiver = connection_of(self.sender), connection_of(self.receiver)
        # What a listener answers before there is a connection belongs to none (-1).
        self.sent = [r for r in self.sender.trace if isinstance(r, SegmentSent) and r.connection in (of_sender, -1)]
        for record in self.receiver.trace:
            if isinstance(record, SegmentReceived) and record.connection in (of_receiver, -1):
                self.received.append(record)
                for number in range(record.packet_number, record.packet_number + record.count):
                    self._arrivals.setdefault(number, []).append(record)
            elif isinstance(record, Discarded):
                self._discards.setdefault(record.length, []).append(record)
        self._read_faults()
        seen = Counter(record.reason for records in self._discards.values() for record in records)
        below = sorted(self.receiver.discarded - seen)
        self._below = f"{below[0]} (below RDT)" if len(below) == 1 else "dropped below RDT"

    def _read_faults(self) -> None:
        for fault in self.sender.faults:
            packet = Packet.parse(fault.frame, fault.linktype)
            header = packet.get(RDT)
            if header is None or header.payload_length is None or header.header_length is None:
                continue
            known = self.struck.get(header.packet_number)
            self.struck[header.packet_number] = Struck(
                header.seq,
                header.payload_length,
                header.header_length * 4 + header.payload_length,
                header.flags,
                frozenset((fault.kind,)) | (known.kinds if known else frozenset()),
            )

    def flights(self, since_ns: int, until_ns: int) -> Iterator[Flight]:
        """The flights of all segments sent from `since_ns` to `until_ns`, both included."""
        first = bisect_left(self.sent, since_ns, key=lambda record: record.time_ns)
        for record in self.sent[first:]:
            if record.time_ns > until_ns:
                return
            yield from self._split(record)

    def struck_in(self, record: SegmentSent) -> Iterator[tuple[int, Struck]]:
        """The datagrams of a segment that faults struck, by packet number."""
        for number in range(record.packet_number, record.packet_number + record.count):
            struck = self.struck.get(number)
            # Packet number 0 is also that of resets, which belong to no connection.
            if struck is not None and struck.flags & RST == record.flags & RST:
                yield number, struck

    def _split(self, record: SegmentSent) -> Iterator[Flight]:
        """Cut a segment where the fate of its datagrams changes."""
        struck = dict(self.struck_in(record))
        numbers = range(record.packet_number, record.packet_number + record.count)
        runs: list[tuple[int, int, Fate, tuple[int, ...]]] = []
        for number in numbers:
            fate, arrivals = self._fate(number, struck.get(number), record)
            if runs and runs[-1][2] == fate:
                first, count, _, before = runs.pop()
                runs.append((first, count + 1, fate, before + arrivals))
            else:
                runs.append((number, 1, fate, arrivals))
        starts = [self._start(number, struck.get(number), record) for number, *_ in runs] + [record.seq + record.length]
        for (number, count, fate, arrivals), start, end in zip(runs, starts, starts[1:], strict=False):
            yield self._flight(record, number, count, (start, end), fate, arrivals)

    def _flight(
        self,
        record: SegmentSent,
        number: int,
        count: int,
        payload: tuple[int, int],
        fate: Fate,
        arrivals: tuple[int, ...],
    ) -> Flight:
        last = number + count == record.packet_number + record.count
        # Only the last datagram of a burst carries its FIN (docs/rdt.md).
        flags = record.flags if last else record.flags & ~FIN
        length = payload[1] - payload[0]
        start = payload[0] - record.isn
        return Flight(
            record.time_ns,
            self.from_client,
            number,
            count,
            flags,
            start,
            start + length + (1 if flags & SYN else 0) + (1 if flags & FIN else 0),
            length,
            record.ack - record.peer_isn if flags & ACK else None,
            record.reason,
            record.retransmission,
            fate,
            tuple(sorted(arrivals)),
        )

    def _start(self, number: int, struck: Struck | None, record: SegmentSent) -> int:
        """The sequence number that datagram `number` of a segment begins with, from whatever tells of it."""
        if number == record.packet_number:
            return record.seq
        if struck is not None:
            return struck.seq
        for arrival in self._arrivals.get(number, ()):
            if arrival.packet_number == number:
                return arrival.seq
        before = self.struck.get(number - 1)
        if before is not None:
            return before.seq + before.length
        for arrival in self._arrivals.get(number - 1, ()):
            if arrival.packet_number + arrival.count == number:
                return arrival.seq + arrival.length
        # Nothing is known of it: as if the segment had been cut evenly.
        return record.seq + record.length * (number - record.packet_number) // record.count

    def _fate(self, number: int, struck: Struck | None, record: SegmentSent) -> tuple[Fate, tuple[int, ...]]:
        kinds = struck.kinds if struck is not None else frozenset()
        lost_by = next((kind for kind in LOSSES if kind in kinds), "")
        if lost_by:
            return Fate(lost_by=lost_by), ()
        arrivals = self._arrivals.get(number, [])
        damaged, duplicated, late = not kinds.isdisjoint(DAMAGES), ("duplicate" in kinds), ("reorder" in kinds)
        times = tuple(arrival.time_ns for arrival in arrivals)
        outcome = arrivals[0].outcome if arrivals else ""
        if damaged and struck is not None and not arrivals:
            discarded = self._find_discarded(number, struck, record.time_ns, late=late)
            times = () if discarded is None else (discarded.time_ns,)
            outcome = self._below if discarded is None else discarded.reason
        return Fate("", damaged, duplicated, late, outcome, bool(arrivals)), times

    def _find_discarded(self, number: int, struck: Struck, sent_ns: int, *, late: bool) -> Discarded | None:
        """Find the discarded datagram that was this one: of its size, and come before what was sent after it."""
        waiting = self._cut_short(struck.size) if "truncate" in struck.kinds else self._discards.get(struck.size, [])
        until = None if late else self._arrival_after(number)
        for record in waiting:
            if record.time_ns >= sent_ns:
                return record if until is None or record.time_ns <= until else None
        return None

    def _cut_short(self, size: int) -> list[Discarded]:
        """The discarded datagrams that may have had `size` bytes and lost some, in the order in which they came."""
        shorter = (records for length, records in self._discards.items() if length < size)
        found = (record for records in shorter for record in records if record.reason in CUT_SHORT)
        return sorted(found, key=lambda record: record.time_ns)

    def arrived(self, number: int) -> bool:
        """The receiving connection has taken in the datagram, whatever had struck it."""
        return number in self._arrivals

    def _arrival_after(self, number: int) -> int | None:
        for following in range(number + 1, number + NEIGHBOURS):
            struck = self.struck.get(following)
            if following in self._arrivals and not (struck and "reorder" in struck.kinds):
                return self._arrivals[following][0].time_ns
        return None


def both_directions(outcome: Outcome) -> tuple[Direction, Direction]:
    """Client to server, and server to client."""
    client, server = outcome.client, outcome.server
    return Direction(client, server, from_client=True), Direction(server, client, from_client=False)


def connection_of(side: Side) -> int:
    """Which connection of a side carried the transfer: the first that was established, or else its first."""
    for record in side.trace:
        if isinstance(record, StateChanged) and record.after is State.ESTABLISHED:
            return record.connection
    return next((record.connection for record in side.trace if record.connection >= 0), -1)
