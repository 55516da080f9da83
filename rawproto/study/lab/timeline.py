"""A run as rows in the order of time: what each side sent, what struck it, and what both applications saw.

Made from the log of the link and the accounts of the applications, never from a trace of the engine. What is of no
interest to the story is folded, so that it fits on a screen; what struck, the handshake and the violation stay.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rawproto.sim.world import Run
from rawproto.study.checker import Verdict, Violation
from rawproto.study.lab.calls import Note, notes_of
from rawproto.study.lab.packets import Datagram, plural, read_datagrams
from rawproto.wire.rdt_format import SYN

__all__ = ["Flight", "Fold", "Landing", "Note", "Row", "Timeline", "timeline"]

SCREEN = 40
"""Rows of a story."""
REACH = 12
"""How many rows before something that matters are shown, if there is no room for all."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One datagram, from when it was sent."""

    datagram: Datagram
    fatal: bool = False
    """The violation is its doing."""

    @property
    def time_ns(self) -> int:
        """When it was sent."""
        return self.datagram.sent.time_ns

    @property
    def side(self) -> str:
        """Who sent it, or in whose name it was."""
        return self.datagram.sent.side

    @property
    def name(self) -> str:
        """ "#3"; a forgery has no number."""
        return f"#{self.datagram.sent.number}" if self.datagram.sent.number else "forged"

    @property
    def struck(self) -> bool:
        """Something befell it."""
        return bool(self.datagram.struck)

    @property
    def lost(self) -> bool:
        """It never arrived."""
        return not self.datagram.arrivals

    @property
    def late(self) -> bool:
        """It was kept, and the first of it came later than it would have."""
        return any(event.kind == "delay" for event in self.datagram.events)


@dataclass(frozen=True, slots=True)
class Landing:
    """A datagram that was kept, or a copy of it, arrives."""

    time_ns: int
    flight: Flight
    copy: bool

    @property
    def side(self) -> str:
        """Who gets it."""
        return "server" if self.flight.side == "client" else "client"


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows that are not shown."""

    start_ns: int
    end_ns: int
    datagrams: int
    acknowledgements: int
    calls: int

    @property
    def time_ns(self) -> int:
        """When they begin."""
        return self.start_ns

    @property
    def text(self) -> str:
        """How many of each there are."""
        parts = [
            plural(count, name)
            for count, name in (
                (self.datagrams, "datagram"),
                (self.acknowledgements, "acknowledgement"),
                (self.calls, "call"),
            )
            if count
        ]
        return f"… {' and '.join([', '.join(parts[:-1]), parts[-1]] if parts[1:] else parts)} …"


Row = Flight | Landing | Note | Fold


@dataclass(frozen=True, slots=True)
class Timeline:
    """The rows of a story, and all its flights, those that are folded included."""

    rows: tuple[Row, ...]
    flights: tuple[Flight, ...]
    end_ns: int
    violation: Violation | None

    @property
    def fatal(self) -> Flight | None:
        """The datagram that did it."""
        return next((flight for flight in self.flights if flight.fatal), None)


def timeline(run: Run, verdict: Verdict, guarantee: str, most: int = SCREEN) -> Timeline:
    """Tell `run`, in which `verdict` has found `guarantee` broken, in about `most` rows."""
    violation = next((found for found in verdict.violations if found.guarantee == guarantee), None)
    blamed = violation.packet if violation is not None else None
    flights = tuple(Flight(datagram, datagram.sent is blamed) for datagram in read_datagrams(run))
    rows = _in_order(run, flights, violation)
    return Timeline(tuple(_fold(rows, most)), flights, run.end_ns, violation)


def _in_order(run: Run, flights: Sequence[Flight], violation: Violation | None) -> list[Row]:
    """At the same moment: what arrives, then what is told of it, then what is sent because of it."""
    order: list[tuple[int, int, int, Row]] = []
    for index, flight in enumerate(flights):
        order.append((flight.time_ns, 2, index, flight))
        order += [(landing.time_ns, 0, index, landing) for landing in _landings(flight)]
        if violation is not None and flight.fatal and violation.time_ns == flight.time_ns < run.end_ns:
            order.append((flight.time_ns, 2, index, _verdict_note(violation, flight.time_ns)))
    notes = notes_of(run)
    order += [(note.time_ns, 3 if note.kind == "waits" else 1, index, note) for index, note in enumerate(notes)]
    if violation is not None and not any(isinstance(row, Note) and row.kind == "violation" for *_, row in order):
        rank = 3 if violation.time_ns >= run.end_ns else 1
        order.append((violation.time_ns, rank, len(notes), _verdict_note(violation, violation.time_ns)))
    return [row for *_, row in sorted(order, key=lambda entry: entry[:3])]


def _verdict_note(violation: Violation, time_ns: int) -> Note:
    return Note(time_ns, "", violation.text, "violation")


def _landings(flight: Flight) -> Iterator[Landing]:
    kinds = {event.kind for event in flight.datagram.events}
    for index, time_ns in enumerate(flight.datagram.arrivals):
        if "delay" in kinds or (index and "duplicate" in kinds):
            yield Landing(time_ns, flight, index > 0)


# -- folding ----------------------------------------------------------------------------------------------------------


def _fold(rows: list[Row], most: int) -> list[Row]:
    """Keep what matters, and of the rest what is nearest to it, until there are `most` rows."""
    focus = [index for index, row in enumerate(rows) if _is_focus(row)]
    verdict = next((index for index, row in enumerate(rows) if isinstance(row, Note) and row.kind == "violation"), 0)
    if len(rows) <= most:
        return rows
    kept = {index for index, row in enumerate(rows) if _must_stay(row, index <= verdict)} - _monotonous(rows)
    distance = {
        # What happened before tells why; what came after is of little interest.
        index: min((abs(index - place) for place in focus), default=index) * (3 if index > verdict else 1)
        for index in range(len(rows))
    }
    best = _with_folds(rows, kept)
    for reach in range(REACH + 1):
        shown = _with_folds(rows, kept | {index for index, far in distance.items() if far <= reach})
        if len(shown) > most:
            break
        best = shown
    return best


def _is_focus(row: Row) -> bool:
    if isinstance(row, Flight):
        return row.fatal or (row.struck and not row.datagram.by_spell)
    return isinstance(row, Landing) or (isinstance(row, Note) and row.kind in ("violation", "event"))


def _must_stay(row: Row, before: bool) -> bool:
    if isinstance(row, Flight):
        return row.fatal or row.struck or (before and bool(row.datagram.header.flags & SYN))
    return isinstance(row, Landing) or (isinstance(row, Note) and row.kind != "call")


def _monotonous(rows: list[Row]) -> set[int]:
    """What went the way of many others, but for the first and the last: swallowed by an outage, SYNs once more."""
    swallowed = [i for i, row in enumerate(rows) if isinstance(row, Flight) and row.datagram.by_spell]
    again = [i for i, row in enumerate(rows) if isinstance(row, Flight) and row.datagram.text.startswith("SYN")]
    drops = [i for i, row in enumerate(rows) if isinstance(row, Flight) and row.struck and not row.datagram.events]
    middle = {*swallowed[2:-1], *again[6:], *drops[4:-1]}
    return {i for i in middle if not _is_fatal(rows[i])}


def _is_fatal(row: Row) -> bool:
    return isinstance(row, Flight) and row.fatal


def _with_folds(rows: list[Row], kept: set[int]) -> list[Row]:
    shown: list[Row] = []
    run: list[Row] = []
    for index, row in enumerate([*rows, None]):
        if row is not None and index not in kept:
            run.append(row)
            continue
        # A single row takes no more room than the fold that would stand for it.
        shown += run if len(run) == 1 else [_folded(run)] if run else []
        run = []
        if row is not None:
            shown.append(row)
    return shown


def _folded(rows: Sequence[Row]) -> Fold:
    flights = [row for row in rows if isinstance(row, Flight)]
    bare = sum(flight.datagram.bare for flight in flights)
    calls = sum(isinstance(row, Note) for row in rows)
    return Fold(rows[0].time_ns, rows[-1].time_ns, len(flights) - bare, bare, calls)
