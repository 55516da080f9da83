"""The six guarantees of a reliable transport, judged from outside: by what the two applications sent and got.

Nothing here looks into the engine. The streams of both directions are compared byte for byte; where they differ, the
alignment tells what kind of damage it is, so that each verdict fails for its own kind alone. The faults beside a
verdict are those that would have broken it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rawproto.link.impairment import DAMAGES
from rawproto.study.alignment import Alignment, align
from rawproto.study.transfer import Fault, Outcome
from rawproto.transport.segment import FIN, SYN
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT

__all__ = ["Verdict", "fault_counts", "judge"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether one guarantee held, under which faults (kind: how often), and what was observed."""

    name: str
    title: str
    held: bool
    observed: str
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Direction:
    """What one application sent, held against what the other got."""

    label: str
    alignment: Alignment

    @property
    def delivered(self) -> bool:
        """Something arrived, or there was nothing to send."""
        return self.alignment.received > 0 or self.alignment.sent == 0


def judge(outcome: Outcome) -> list[Verdict]:
    """All six verdicts, in the order in which they are explained."""
    client, server = outcome.client, outcome.server
    there = Direction(f"{client.name} → {server.name}", align(client.sent, server.received))
    back = Direction(f"{server.name} → {client.name}", align(server.sent, client.received))
    both = (there, back)
    return [
        _sequenced(outcome, both),
        _no_duplication(outcome, both),
        _no_creation(outcome, both),
        _nothing_missing(outcome, both),
        _two_way(outcome, both),
        _connection_based(outcome),
    ]


def fault_counts(outcome: Outcome) -> dict[str, int]:
    """How often each kind of fault struck, both directions together; a kind that was on and never struck has 0."""
    counts: dict[str, int] = {}
    for side in (outcome.client, outcome.server):
        for kind, count in side.fired.items():
            counts[kind] = counts.get(kind, 0) + count
    return counts


def _pick(outcome: Outcome, *kinds: str) -> dict[str, int]:
    counts = fault_counts(outcome)
    return {kind.replace("_", " "): counts[kind] for kind in kinds if kind in counts}


def _delivered(both: tuple[Direction, Direction]) -> bool:
    """Each direction brought something: a run without that shows nothing at all."""
    return all(direction.delivered for direction in both) and any(d.alignment.received for d in both)


def _sequenced(outcome: Outcome, both: tuple[Direction, Direction]) -> Verdict:
    moved = sum(direction.alignment.moved for direction in both)
    received = sum(direction.alignment.received for direction in both)
    observed = f"{received:,} bytes read, in the order they were sent"
    if moved:
        observed = f"{moved:,} bytes came after bytes that were sent later"
    elif not _delivered(both):
        observed = "nothing was delivered in at least one direction"
    faults = _pick(outcome, "reorder", "loss", "burst_loss")
    return Verdict("sequenced", "Sequenced", not moved and _delivered(both), observed, faults)


def _no_duplication(outcome: Outcome, both: tuple[Direction, Direction]) -> Verdict:
    repeated = sum(direction.alignment.repeated for direction in both)
    twice = sum(side.totals.duplicate_octets for side in (outcome.client, outcome.server))
    observed = f"no byte read twice; {twice:,} bytes that arrived again were dropped"
    if repeated:
        observed = f"{repeated:,} bytes were read more than once"
    elif not _delivered(both):
        observed = "nothing was delivered in at least one direction"
    faults = _pick(outcome, "duplicate")
    faults["retransmission"] = outcome.client.totals.retransmitted + outcome.server.totals.retransmitted
    return Verdict("no_duplication", "No duplication", not repeated and _delivered(both), observed, faults)


def _no_creation(outcome: Outcome, both: tuple[Direction, Direction]) -> Verdict:
    foreign = sum(direction.alignment.foreign for direction in both)
    discarded = (outcome.client.discarded + outcome.server.discarded).total()
    observed = f"every byte read was sent; {discarded:,} damaged or stray datagrams discarded"
    if foreign:
        observed = f"{foreign:,} bytes were read that nobody sent"
    elif not _delivered(both):
        observed = "nothing was delivered in at least one direction"
    faults = _pick(outcome, *DAMAGES)
    return Verdict("no_creation", "No creation", not foreign and _delivered(both), observed, faults)


def _nothing_missing(outcome: Outcome, both: tuple[Direction, Direction]) -> Verdict:
    missing = sum(direction.alignment.missing for direction in both)
    parts = (f"{d.alignment.sent - d.alignment.missing:,} of {d.alignment.sent:,} bytes {d.label}" for d in both)
    held = not missing and _delivered(both)
    faults = _pick(outcome, "loss", "burst_loss", "queue_drop", *DAMAGES)
    return Verdict("nothing_missing", "Nothing missing", held, ", ".join(parts), faults)


def _two_way(outcome: Outcome, both: tuple[Direction, Direction]) -> Verdict:
    held = all(direction.alignment.received for direction in both)
    parts = (f"{d.alignment.received:,} bytes {d.label}" for d in both)
    observed = " and ".join(parts) + ", on one connection"
    faults = {
        f"from the {side.name}": sum(side.fired.values()) for side in (outcome.client, outcome.server) if side.fired
    }
    return Verdict("two_way", "Two-way", held, observed, faults)


def _connection_based(outcome: Outcome) -> Verdict:
    client, server = outcome.client, outcome.server
    sides = (client, server)
    problem = ""
    began = [side.established_ns for side in sides if side.established_ns is not None]
    first = [side.first_data_ns for side in sides if side.first_data_ns is not None]
    if len(began) < 2:
        problem = "a connection was never established"
    elif not first:
        problem = "established, but nothing was delivered"
    elif min(first) < max(began):
        problem = "data was delivered before both sides were established"
    elif not all(side.end_of_stream for side in sides):
        lacking = [side.name for side in sides if not side.end_of_stream]
        problem = f"no end of stream was read by the {' and the '.join(lacking)}"
    observed = problem or "both established before the first byte; both ends of stream read"
    struck = sum(_strikes_handshake(fault) for side in sides for fault in side.faults)
    faults = {"SYN or FIN struck": struck} if any(side.fired for side in sides) else {}
    return Verdict("connection_based", "Connection-based", not problem, observed, faults)


def _strikes_handshake(fault: Fault) -> bool:
    header = Packet.parse(fault.frame, fault.linktype).get(RDT)
    return header is not None and bool(header.flags & (SYN | FIN))
