"""What the applications of a run saw, and what befell their hosts, as notes for a timeline.

From accounts alone: what was called when, what came of it, and where in the other's stream the octets come from that
were read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rawproto.link.script import HOST_KINDS, Event
from rawproto.sim.applications import Account
from rawproto.sim.quantities import time_text
from rawproto.sim.world import Run
from rawproto.study.lab.packets import plural

__all__ = ["Note", "notes_of"]

WINDOW = 8
"""Octets by which a place in a long stream is recognised."""
TOGETHER_NS = 1_000_000
"""Calls that are no further apart, and read or write what follows, are told as one."""


@dataclass(frozen=True, slots=True)
class Note:
    """What happens at one side, or, of side "", between them."""

    time_ns: int
    side: str
    text: str
    kind: str = "call"
    """ "call" for what an application does or is told, "told" for an error, "waits", "event" or "violation"."""


def notes_of(run: Run) -> list[Note]:
    """All notes: those of a kind by time."""
    return [*_event_notes(run), *(note for account in run.accounts for note in _account_notes(run, account))]


def _event_notes(run: Run) -> Iterator[Note]:
    for event in run.scenario.events:
        text = _befalls(event)
        if text:
            yield Note(event.start_ns, event.side, text, "event")
        if event.kind == "outage" and event.end_ns <= run.end_ns:
            yield Note(event.end_ns, event.side, "the outage ends", "event")


def _befalls(event: Event) -> str:
    if event.kind == "outage":
        return f"its way out fails for {time_text(event.for_ns)}"
    if event.kind == "shrink_mtu":
        return f"its way out now takes {event.at} bytes at most"
    if event.kind not in HOST_KINDS:
        return ""
    if event.kind == "jump":
        return f"its clock jumps by {time_text(event.for_ns)}"
    return "its host loses its memory" if event.kind == "restart" else "its address changes"


def _account_notes(run: Run, account: Account) -> Iterator[Note]:
    """What one application did and was told."""
    name = _which(run, account)
    side = account.side

    def note(time_ns: int, text: str, kind: str = "call") -> Iterator[Note]:
        if time_ns >= 0:
            yield Note(time_ns, side, name + text, kind)

    if account.kind == "datagrams":
        yield from note(account.began_ns, "opens a socket for datagrams")
    elif side == "client":
        yield from note(account.began_ns, "calls connect")
        yield from note(account.open_ns, "is connected")
    else:
        ghost = " that nobody has opened" if account.talk < 0 else ""
        yield from note(account.began_ns, f"is given a connection{ghost}")
    for time_ns, text in _written(account):
        yield from note(time_ns, text)
    for time_ns, text in _read(run, account):
        yield from note(time_ns, text)
    if account.kind != "datagrams":
        yield from note(account.shutdown_ns, "ends its direction")
    yield from note(account.aborted_ns, "breaks the connection off")
    yield from note(account.eof_ns, "told: end of stream")
    yield from note(account.flushed_ns, "told: all has arrived")
    yield from note(account.error_ns, f"told: {account.error_text}", "told")
    if account.waits_for and not account.over:
        what = "for the end" if account.waits_for == "flush" else f"to {account.waits_for}"
        yield from note(run.end_ns, f"still waits {what}", "waits")


def _which(run: Run, account: Account) -> str:
    """Which connection, if there are several."""
    if len(run.scenario.talks) < 2 or account.talk < 0:
        return ""
    return f"({account.talk + 1}) "


def _written(account: Account) -> Iterator[tuple[int, str]]:
    if account.kind != "stream":
        for time_ns, data in account.sent:
            yield time_ns, f"sends {account.kind[:-1]} of {len(data)}"
        return
    at = 0
    for time_ns, size in _joined([(time_ns, len(data)) for time_ns, data in account.sent]):
        yield time_ns, f"writes {at}:{at + size}"
        at += size


def _joined(calls: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for time_ns, size in calls:
        if joined and time_ns - joined[-1][0] <= TOGETHER_NS:
            joined[-1] = (joined[-1][0], joined[-1][1] + size)
        else:
            joined.append((time_ns, size))
    return joined


def _read(run: Run, account: Account) -> Iterator[tuple[int, str]]:
    """What it read: named by the place in the other's stream where it comes from."""
    if account.kind != "stream":
        for time_ns, data in account.got:
            yield time_ns, f"gets {account.kind[:-1]} of {len(data)}"
        return
    peers = [other for other in run.accounts if other.talk == account.talk and other.side != account.side]
    sent = peers[0].all_sent() if peers else b""
    told: list[tuple[int, Piece]] = []
    for time_ns, data in account.got:
        left = data
        for found in _pieces(sent, data, told[-1][1].end if told else 0):
            octets, left = left[: found.size], left[found.size :]
            piece = found if found.sound else replace(found, source=_source(run, account, octets))
            if told and told[-1][1].followed_by(piece) and time_ns - told[-1][0] <= TOGETHER_NS:
                told[-1] = (told[-1][0], Piece(told[-1][1].start, piece.end, told[-1][1].changed + piece.changed))
            else:
                told.append((time_ns, piece))
    for index, (time_ns, piece) in enumerate(told):
        once_more = any(piece.start < other.end and other.start < piece.end for _, other in told[:index])
        yield time_ns, f"reads {piece.text}{' once more' if once_more and piece.start >= 0 else ''}"


@dataclass(frozen=True, slots=True)
class Piece:
    """Octets that were read: start:end of what the other has written, or, from -1 on, `end` that it has not."""

    start: int
    end: int
    changed: tuple[tuple[int, int], ...] = ()
    source: str = ""
    """Which connection they were written in, if it is another one."""

    @property
    def size(self) -> int:
        """How many octets it has."""
        return self.end - max(self.start, 0)

    @property
    def sound(self) -> bool:
        """At least some octets are as they were written."""
        return self.start >= 0 and self.changed != ((self.start, self.end),)

    @property
    def text(self) -> str:
        """ "0:200", with what is not as it was written."""
        if self.source:
            return f"{plural(self.size, 'octet')} that were written in {self.source}"
        if self.start < 0:
            return f"{plural(self.end, 'octet')} that nobody wrote"
        places = ", ".join(f"{low}:{high}" for low, high in self.changed[:3])
        more = " and more" if len(self.changed) > 3 else ""
        return f"{self.start}:{self.end}" + (f", changed at {places}{more}" if places else "")

    def followed_by(self, other: Piece) -> bool:
        """The other one begins where this ends."""
        return self.start >= 0 and self.end == other.start and not (self.source or other.source)


def _source(run: Run, account: Account, octets: bytes) -> str:
    """The other connection in which octets were written that don't belong here."""
    writers = (other for other in run.accounts if other.side != account.side and other.talk != account.talk)
    talk = next((other.talk for other in writers if octets in other.all_sent()), -1)
    return f"({talk + 1})" if talk >= 0 and len(octets) >= min(WINDOW, account.read) else ""


def _pieces(sent: bytes, data: bytes, expected: int) -> Iterator[Piece]:
    """Where in `sent` the octets of `data` come from; `expected` is the place after those that were read before."""
    at = foreign = 0
    while at < len(data):
        here = expected + foreign
        place = _place(sent, data[at : at + _window(sent)], here, strict=foreign > 0)
        if place < 0:
            at, foreign = at + 1, foreign + 1
            continue
        if foreign:
            yield _unknown(expected, foreign, place == here)
        size = _in_common(sent[place:], data[at:])
        yield Piece(place, place + size)
        at, expected, foreign = at + size, place + size, 0
    if foreign:
        yield _unknown(expected, foreign, expected + foreign <= len(sent))


def _window(sent: bytes) -> int:
    """Octets by which a place is recognised: of the first 256, which are all different, few are enough."""
    return 1 if len(sent) <= 64 else 4 if len(sent) <= 256 else WINDOW


def _place(sent: bytes, needle: bytes, here: int, *, strict: bool) -> int:
    """Where `needle` comes from, `here` if that will do; -1 if from nowhere. All must fit if `strict`."""
    if sent.startswith(needle if strict else needle[:1], here):
        return here
    if len(needle) < _window(sent):
        return -1
    place = sent.find(needle, here)
    return place if place >= 0 else sent.find(needle)


def _unknown(expected: int, size: int, changed: bool) -> Piece:
    return Piece(expected, expected + size, ((expected, expected + size),)) if changed else Piece(-1, size)


def _in_common(one: bytes, other: bytes) -> int:
    most = min(len(one), len(other))
    return next((at for at in range(most) if one[at] != other[at]), most)
