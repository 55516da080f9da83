"""Draws a run of a textbook protocol as lines of text: the time, a lane between the two ends, and what befell a packet.

time ms  sender                                         receiver
  0.000  ├─ #1 seq 0, 16 octets ────────────────────────────✗ │  is lost
 50.000  ├─ #2 seq 0, 16 octets ─────────────────────────────▶│
 60.000  │                                  reads octets 0:16 │

A packet's number, such as #2, is the one that events know it by. It stands where it was sent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from rawproto.link.script import Event, Sent
from rawproto.study.checker import Violation
from rawproto.study.textbook.bench import DELAY_NS, Played
from rawproto.study.textbook.packet import show

__all__ = ["ROLES", "describe", "draw"]

ROLES = {"client": "sender", "server": "receiver"}
LANE = 54
LONGEST = 40
"""Rows; a ladder that is longer loses those of its middle, and all behind what was broken."""
TIMED = ("outage",)


class Row(NamedTuple):
    """One line; in an instant notes come first, which is what made the machines send."""

    time_ns: int
    order: int
    text: str


def describe(event: Event) -> str:
    """`event` in words."""
    role = ROLES[event.side]
    if event.kind in TIMED:
        return f"all that the {role} sends from {_span(event.start_ns)} to {_span(event.end_ns)} is lost"
    return f"packet {event.packet} of the {role} {_fate(event)}"


def _fate(event: Event) -> str:
    """What befell a packet."""
    later = f", {_span(event.for_ns)} later" if event.for_ns else ""
    words = {
        "drop": "is lost",
        "duplicate": f"comes twice{later}",
        "delay": f"is kept for {_span(event.for_ns)}",
        "flip": f"has bit {event.at} flipped",
        "swap": f"has its words {event.at} and {event.to} swapped",
        "truncate": f"is cut to {event.at} octets",
    }
    return words.get(event.kind, event.kind)


def _span(time_ns: int) -> str:
    """A time in the unit that suits it."""
    for unit, length in (("ms", 1_000_000), ("us", 1_000)):
        if time_ns >= length:
            return f"{time_ns / length:g} {unit}"
    return f"{time_ns} ns"


def draw(played: Played, violation: Violation | None = None) -> list[str]:
    """The ladder of `played`, in lines of some 80 columns; `violation` is noted where it happens."""
    rows = sorted(_rows(played, violation), key=lambda row: row[:2])
    if violation is not None:
        rows = [row for row in rows if row.time_ns <= violation.time_ns]
    head = f"{'time ms':>9}  {'sender':<{LANE - 8}}receiver"
    lines, shown = [head], ""
    for index, row in enumerate(rows):
        if len(rows) > LONGEST and LONGEST // 2 <= index < len(rows) - LONGEST // 2:
            if index == LONGEST // 2:
                lines.append(f"{'':9}  │{f'{len(rows) - LONGEST} more lines':^{LANE - 2}}│")
            continue
        time = f"{row.time_ns / 1e6:.3f}"
        lines.append(f"{'' if time == shown else time:>9}  {row.text}")
        shown = time
    return lines


def _rows(played: Played, violation: Violation | None) -> Iterator[Row]:
    sender, receiver = played.run.accounts
    whole = sender.all_sent()
    for sent in played.run.log.sent:
        yield from _packet(played, sent)
    for time_ns, data in receiver.got:
        at = whole.find(data)
        text = f"reads octets {at}:{at + len(data)}" if at >= 0 else f"reads {len(data)} octets"
        yield Row(time_ns, 1, _note(text, "server"))
    if receiver.eof_ns >= 0:
        yield Row(receiver.eof_ns, 2, _note("is told: that was the end", "server"))
    if sender.flushed_ns >= 0:
        yield Row(sender.flushed_ns, 2, _note("is told: all has arrived", "client"))
    if violation is not None:
        yield Row(violation.time_ns, 9, f"│{f' {violation.guarantee} is broken ':═^{LANE - 2}}│")


def _packet(played: Played, sent: Sent) -> Iterator[Row]:
    """Where it was sent; and where it arrived, if that was not when it would have."""
    mine = [event for event in played.trial.events if event.side == sent.side and event.packet == sent.number]
    lost = [kind for kind in sent.fate if kind == "drop" or kind in TIMED]
    said = ["is lost"] if lost else [_fate(event) for event in mine if event.kind in sent.fate]
    contents = show(sent.frame, sent.side == "server")
    label = f" #{sent.number} {contents} "
    if sent.side == "client":
        arrow = f"├─{label}".ljust(LANE - 3, "─") + ("✗ │" if lost else "─▶│")
    else:
        arrow = ("│ ✗" if lost else "│◀─") + f"{label}─┤".rjust(LANE - 3, "─")
    yield Row(sent.time_ns, 5, f"{arrow}  {', '.join(said)}".rstrip())
    if lost:
        return
    other = "server" if sent.side == "client" else "client"
    for event in mine:
        if event.for_ns and event.kind in sent.fate:
            word = "the copy of " if event.kind == "duplicate" else ""
            yield Row(sent.time_ns + event.for_ns + DELAY_NS, 0, _note(f"{word}#{sent.number} arrives", other))


def _note(text: str, side: str) -> str:
    width = LANE - 4
    return f"│ {text:<{width}} │" if side == "client" else f"│ {text:>{width}} │"
