"""Two views of a transfer as a time-sequence ladder: the opening handshake, and the first loss with its repair.

A view is a list of rows: flights that cross from one side to the other, notes at one side, and folds that stand for
flights of no interest here. Everything is derived from the traces of both ends and the faults in between; how it is
drawn is `rawproto.study.draw`. Address resolution is not shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rawproto.link.impairment import DAMAGES
from rawproto.study.flights import Direction, Flight, both_directions, connection_of
from rawproto.study.transfer import Outcome, Side
from rawproto.transport.segment import FIN, SYN
from rawproto.transport.state import State
from rawproto.transport.trace import PacketsLost, Record, SegmentReceived, SegmentSent, StateChanged, TimerFired

__all__ = ["Fold", "Ladder", "Note", "Row", "first_loss", "handshake"]

DROPS = frozenset(("loss", "burst_loss", "queue_drop"))
CAUSES = {
    "loss": "was lost on the way",
    "burst_loss": "was lost in a bad spell of the link",
    "queue_drop": "found the queue before the bottleneck full",
    "corrupt": "was damaged on the way and discarded",
    "swap": "had two words swapped on the way and was discarded",
    "truncate": "lost its end on the way and was discarded",
}
LONGEST = 40
"""Rows of one ladder; a repair that takes longer is cut in its middle."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something that happened at one side; `why` is the rule or event behind it."""

    time_ns: int
    at_client: bool
    text: str
    why: str = ""
    kind: str = "note"
    """ "note", "arrived", "discarded", "lost", "timer" or "state": for colours."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Flights that are not shown."""

    from_client: int
    """Datagrams."""
    from_server: int


Row = Flight | Note | Fold


@dataclass(frozen=True, slots=True)
class Ladder:
    """One view. Times are absolute; `origin_ns` is the time to count from, when the first segment left."""

    title: str
    caption: str
    origin_ns: int
    client: str
    server: str
    rows: tuple[Row, ...]


def handshake(outcome: Outcome) -> Ladder | None:
    """From the first SYN until both sides are established, or until they gave up. None if nothing was sent."""
    there, back = both_directions(outcome)
    if not there.sent:
        return None
    origin = there.sent[0].time_ns
    completing = _completing(back.sender, there.received)
    until = completing.time_ns if completing else max(d.sent[-1].time_ns for d in (there, back) if d.sent)

    def interesting(flight: Flight) -> bool:
        completes = completing is not None and _contains(flight, completing.packet_number)
        return bool(flight.flags & SYN) or (flight.from_client and (completes or flight.reason == "ACK of SYN"))

    flights = [flight for direction in (there, back) for flight in direction.flights(origin, until)]
    shown = [flight for flight in flights if interesting(flight)]
    notes = [*_arrival_notes(shown), *_state_notes(outcome, until), *_timer_notes(outcome, origin, until)]
    isns = f"client {there.sent[0].isn}" + (f", server {back.sent[0].isn}" if back.sent else "")
    caption = (
        "#n is a packet number; flags, offsets (length in bytes) and acknowledgement follow. Offsets count from each "
        f"side's initial sequence number: {isns}. Address resolution is not shown: the first segment waits for it."
    )
    if any(not (flight.arrivals or flight.fate.lost_by) for flight in shown):
        caption += " A question mark: there is no trace of its arrival."
    rows = _weave(flights, interesting, notes)
    return Ladder("The opening handshake", caption, origin, outcome.client.name, outcome.server.name, rows)


def first_loss(outcome: Outcome) -> Ladder | None:
    """From the first datagram lost after the handshake that must be repaired until the acknowledgement that covers it.

    None if there was no such loss. What was lost by damage counts if nothing was dropped.
    """
    directions = both_directions(outcome)
    found = _first_lost(directions, DROPS) or _first_lost(directions, frozenset(DAMAGES))
    if found is None:
        return None
    direction, record, number, seq, end = found
    reverse = directions[1] if direction.from_client else directions[0]
    covering = next((r for r in reverse.received if r.time_ns > record.time_ns and r.ack >= end), None)
    until = covering.time_ns if covering else max(d.sent[-1].time_ns for d in directions if d.sent)
    start, stop = seq - record.isn, end - record.isn
    flights = [f for d in directions for f in d.flights(record.time_ns, until)]
    shown = _plot(flights, direction, (record, start, stop), covering)
    notes = [
        *_arrival_notes([flight for flight in shown if flight.from_client == direction.from_client]),
        *_loss_notes(direction, seq, end, record.time_ns, until),
    ]
    if covering is not None:
        text = f"ack {covering.ack - record.isn} covers #{number}"
        last = Note(covering.time_ns, direction.from_client, text, covering.outcome, "arrived")
        notes = [*(note for note in notes if note.time_ns <= until), last]
    rows = _weave(flights, lambda flight: flight in shown, notes)
    if covering is not None:
        rows = rows[: rows.index(last) + 1]
    rows = _shorten(rows)
    caption = _loss_caption(direction, number, (start, stop), covering, record)
    origin = directions[0].sent[0].time_ns if directions[0].sent else record.time_ns
    return Ladder("The first loss, and its repair", caption, origin, outcome.client.name, outcome.server.name, rows)


def _first_lost(
    directions: tuple[Direction, Direction], kinds: frozenset[str]
) -> tuple[Direction, SegmentSent, int, int, int] | None:
    """The earliest datagram with payload or FIN that one of `kinds` took: where, packet number, sequence range."""
    candidates = []
    for direction in directions:
        for record in direction.sent:
            hit = next(
                (
                    (number, struck.seq, struck.seq + struck.length + (1 if struck.flags & FIN else 0))
                    for number, struck in direction.struck_in(record)
                    if struck.kinds & kinds
                    and not direction.arrived(number)
                    and not struck.flags & SYN
                    and (struck.length or struck.flags & FIN)
                ),
                None,
            )
            if hit is not None:
                candidates.append((direction, record, *hit))
                break
    return min(candidates, key=lambda found: found[1].time_ns, default=None)


def _plot(
    flights: list[Flight],
    direction: Direction,
    lost: tuple[SegmentSent, int, int],
    covering: SegmentReceived | None,
) -> list[Flight]:
    """The flights that tell the story: the burst with the loss, the first hint of it, the repair, the last word."""
    record, start, stop = lost
    numbers = range(record.packet_number, record.packet_number + record.count)
    ours = [flight for flight in flights if flight.from_client == direction.from_client]
    theirs = [flight for flight in flights if flight.from_client != direction.from_client]
    burst = [flight for flight in ours if flight.packet_number in numbers]
    story = [*burst, *(f for f in ours if f.start < stop and f.end > start and f not in burst)]
    story += _first_later(ours, burst)
    gap = next((f for f in theirs if f.ack == start and "out of order" in f.reason), None)
    if gap is not None:
        story.append(gap)
    if covering is not None:
        story += [flight for flight in theirs if _contains(flight, covering.packet_number)]
    return story


def _first_later(ours: list[Flight], burst: list[Flight]) -> list[Flight]:
    """The first flight after the burst that arrived, if none of the burst came behind the gap: it shows the loss."""
    if any(flight.fate.arrived and "out of order" in flight.fate.outcome for flight in burst):
        return []
    return [f for f in ours if f not in burst and "out of order" in f.fate.outcome][:1]


def _loss_caption(
    direction: Direction,
    number: int,
    span: tuple[int, int],
    covering: SegmentReceived | None,
    record: SegmentSent,
) -> str:
    way = f"{direction.sender.name} → {direction.receiver.name}"
    cause = next((text for kind, text in CAUSES.items() if kind in direction.struck[number].kinds), "did not arrive")
    text = f"#{number}, bytes {span[0]}:{span[1]} {way}, {cause}. "
    if covering is None:
        return text + "They were never acknowledged."
    took = (covering.time_ns - record.time_ns) / 1e6
    return text + f"They were acknowledged {took:.3f} ms after they first left."


def _completing(server: Side, received: list[SegmentReceived]) -> SegmentReceived | None:
    """The segment that made the server's connection established."""
    connection = connection_of(server)
    for record in server.trace:
        if isinstance(record, StateChanged) and (record.connection, record.after) == (connection, State.ESTABLISHED):
            # The trace notes the segment once it is processed: right after what it brought about.
            return next((segment for segment in received if segment.time_ns >= record.time_ns), None)
    return None


def _contains(flight: Flight, packet_number: int) -> bool:
    return flight.packet_number <= packet_number < flight.packet_number + flight.count


def numbers_of(flight: Flight) -> str:
    """The packet numbers of a flight: "#7" or "#7–16"."""
    last = flight.packet_number + flight.count - 1
    return f"#{flight.packet_number}" + (f"–{last}" if flight.count > 1 else "")


def _arrival_notes(flights: list[Flight]) -> Iterator[Note]:
    """What the receiver made of flights, where that is known."""
    for flight in flights:
        fate = flight.fate
        if not flight.arrivals:
            continue
        numbers = numbers_of(flight)
        if fate.damaged and not fate.arrived:
            yield Note(flight.arrivals[0], not flight.from_client, f"{numbers} discarded", fate.outcome, "discarded")
        else:
            text = f"{numbers} arrive" if flight.count > 1 else f"{numbers} arrives"
            yield Note(flight.arrivals[0], not flight.from_client, text, fate.outcome, "arrived")
        if fate.duplicated and len(flight.arrivals) > flight.count:
            yield Note(flight.arrivals[-1], not flight.from_client, f"{numbers} arrives again", "the copy", "arrived")


def _state_notes(outcome: Outcome, until: int) -> Iterator[Note]:
    for side, at_client in ((outcome.client, True), (outcome.server, False)):
        connection = connection_of(side)
        for record in side.trace:
            if not isinstance(record, StateChanged) or record.connection != connection or record.time_ns > until:
                continue
            yield Note(record.time_ns, at_client, f"{record.before} → {record.after}", record.event, "state")
            if record.after is State.ESTABLISHED:
                break


def _timer_notes(outcome: Outcome, since: int, until: int) -> Iterator[Note]:
    for side, at_client in ((outcome.client, True), (outcome.server, False)):
        yield from _timers(side, at_client, since, until)


def _timers(side: Side, at_client: bool, since: int, until: int) -> Iterator[Note]:
    connection = connection_of(side)
    for record in side.trace:
        if isinstance(record, TimerFired) and record.connection == connection and since < record.time_ns <= until:
            after = f" after {record.after_ns / 1e6:.3f} ms" if record.after_ns else ""
            yield Note(record.time_ns, at_client, f"timer {record.timer} fires{after}", "", "timer")


def _loss_notes(direction: Direction, seq: int, end: int, since: int, until: int) -> Iterator[Note]:
    """When the sender took the range for lost, and the timers that ran out meanwhile."""
    connection = connection_of(direction.sender)

    def concerns(record: Record) -> bool:
        return record.connection == connection and since < record.time_ns <= until

    for record in filter(concerns, direction.sender.trace):
        if isinstance(record, PacketsLost) and record.seq < end and record.seq + record.length > seq:
            text = f"#{record.packet_number} taken for lost"
            yield Note(record.time_ns, direction.from_client, text, f"{record.rule} (RFC 8985 §6.2)", "lost")
    yield from (note for note in _timers(direction.sender, direction.from_client, since, until) if "rto" in note.text)


def _weave(flights: list[Flight], interesting: Callable[[Flight], bool], notes: list[Note]) -> tuple[Row, ...]:
    """All in order of time, with what is of no interest folded."""
    rows: list[Row] = []
    order: list[tuple[int, int, Flight | Note]] = [
        *((flight.sent_ns, 1, flight) for flight in flights),
        # At the same moment a note comes first: a segment is sent because of what just happened.
        *((note.time_ns, 0, note) for note in notes),
    ]
    for _, _, row in sorted(order, key=lambda entry: entry[:2]):
        if isinstance(row, Note) or interesting(row):
            rows.append(row)
            continue
        there, back = (row.count, 0) if row.from_client else (0, row.count)
        before = rows[-1] if rows else None
        if isinstance(before, Fold):
            rows[-1] = Fold(before.from_client + there, before.from_server + back)
        else:
            rows.append(Fold(there, back))
    while rows and isinstance(rows[-1], Fold):
        rows.pop()
    return tuple(rows)


def _shorten(rows: tuple[Row, ...]) -> tuple[Row, ...]:
    """Cut what is too long for a screen in its middle."""
    if len(rows) <= LONGEST:
        return rows
    half = LONGEST // 2
    middle = rows[half : len(rows) - half]
    there = back = 0
    for row in middle:
        if isinstance(row, Fold):
            there, back = there + row.from_client, back + row.from_server
        elif isinstance(row, Flight):
            there, back = (there + row.count, back) if row.from_client else (there, back + row.count)
    return (*rows[:half], Fold(there, back), *rows[len(rows) - half :])
