"""The datagrams of a run as a story tells them: what each said in words, what struck it, and when it arrived.

Read off the log of the link alone, as anybody on the road could: no trace of the engine is looked at. Numbers count
from the first octet of each side's stream, so that the same story reads the same whatever number it began with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from rawproto.link.forgery import FORGERIES, rdt_offset
from rawproto.link.script import WIRE_KINDS, Event, Sent, damage
from rawproto.sim.quantities import time_text
from rawproto.sim.world import Run
from rawproto.study.onlink import Header, read_header
from rawproto.wire.frame import LinkType
from rawproto.wire.rdt_format import ACK, DGM, FIN, HEADER_LENGTH, RST, SYN

__all__ = ["Datagram", "plural", "read_datagrams"]

OTHER = {"client": "server", "server": "client"}
DAMAGE = ("flip", "swap", "truncate")
TAKEN = ("drop", "outage", "shrink_mtu")
SPELLS = frozenset(kind for kind, used in WIRE_KINDS.items() if "start_ns" in used)
SKEW_NS = 1_000
"""Each call of a stack has a time of its own: a host may be a few ns ahead of the simulation."""
SMALL_WINDOW = 1 << 14
"""A smaller window is worth a word: it may well keep the sender from sending."""
FAR = 1 << 31
"""No stream of a story is that long: who is so far off has guessed."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram on the link. Times in ns."""

    sent: Sent
    header: Header
    text: str
    """ "SYN", "data 0:200", "ack 200", "window 0" and so on."""
    struck: tuple[str, ...]
    """What befell it, in words."""
    events: tuple[Event, ...]
    arrivals: tuple[int, ...]
    """None if it was lost, several if it was doubled."""

    @property
    def forged(self) -> bool:
        """No host has sent it."""
        return not self.sent.number

    @property
    def bare(self) -> bool:
        """It only acknowledges."""
        return not self.header.length and not self.header.flags & (SYN | FIN | RST | DGM)

    @property
    def by_spell(self) -> bool:
        """It was struck, and only by something that struck whatever came in its time."""
        return bool(self.events) and all(event.kind in SPELLS for event in self.events)


def plural(count: int, one: str, many: str = "") -> str:
    """The number and the noun: "1 event", "2 events"."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def read_datagrams(run: Run) -> list[Datagram]:
    """All datagrams of a run, in the order in which they were sent."""
    # A forgery is written down before the datagram that it is made after.
    everything = sorted(run.log.sent, key=lambda sent: (sent.time_ns, not sent.number))
    headers = [read_header(sent.frame, sent.side == "client") for sent in everything]
    events = [tuple(_events_of(run, sent)) for sent in everything]
    arrivals = _arrivals(run, everything, headers, events)
    speech = Speech((1 << run.scenario.config().sequence_bits) - 1)
    pairs = list(zip(everything, headers, strict=True))
    known = {header.peer for sent, header in pairs if sent.side == "client" and sent.number}
    read = []
    for sent, header, struck_by, times in zip(everything, headers, events, arrivals, strict=True):
        words = speech.forged(sent, header) if not sent.number else speech.words(sent, header)
        if sent.side == "server" and header.peer not in known:
            words += ", to nobody"
        struck = tuple(speech.struck(event, sent, header) for event in struck_by)
        if not times and not struck:
            struck = ("lost",) if _had_time(run, sent) else ("still on its way",)
        read.append(Datagram(sent, header, words, struck, struck_by, times))
    return read


def _had_time(run: Run, sent: Sent) -> bool:
    return sent.time_ns + run.scenario.road.delay_ns <= run.end_ns


def _rdt(frame: bytes) -> int:
    at = rdt_offset(frame, LinkType.RAW)
    return at if at >= 0 else rdt_offset(frame, LinkType.ETHERNET)


# -- what struck it ---------------------------------------------------------------------------------------------------


def _events_of(run: Run, sent: Sent) -> Iterator[Event]:
    """The events of the script that struck a datagram, or that forged it."""
    mine = [event for event in run.scenario.events if event.side == sent.side and event.kind in sent.fate]
    for event in mine:
        if event.kind == "forge":
            if not sent.number and _forged_by(run, event, sent):
                yield event
                return
        elif event.kind in SPELLS:
            lasts = event.for_ns or run.end_ns
            if event.start_ns <= sent.time_ns < event.start_ns + lasts:
                yield event
        elif event.packet == sent.number:
            yield event


def _forged_by(run: Run, event: Event, forged: Sent) -> bool:
    header = read_header(forged.frame, forged.side == "client")
    return header.flags == FORGERIES[event.what].flags and any(
        sent.side == event.side and sent.number == event.packet and sent.time_ns + event.for_ns == forged.time_ns
        for sent in run.log.sent
    )


# -- when it arrived --------------------------------------------------------------------------------------------------


def _arrivals(
    run: Run, everything: list[Sent], headers: list[Header], events: list[tuple[Event, ...]]
) -> list[tuple[int, ...]]:
    """When each arrived: known by its octets, as damage left them; by its packet number if something changed those."""
    by_octets: dict[tuple[str, bytes], list[int]] = {}
    by_number: dict[tuple[str, int], list[int]] = {}
    room: list[int] = []
    for index, sent in enumerate(everything):
        frame, at = sent.frame, _rdt(sent.frame)
        for event in events[index]:
            frame = damage(frame, at, event) if event.kind in DAMAGE else frame
        by_octets.setdefault((sent.side, frame[at:]), []).append(index)
        by_number.setdefault((sent.side, headers[index].number), []).append(index)
        room.append(0 if any(kind in TAKEN for kind in sent.fate) else 1 + sent.fate.count("duplicate"))
    times: list[list[int]] = [[] for _ in everything]
    for arrived in sorted(run.log.arrived, key=lambda arrived: arrived.time_ns):
        side, octets = OTHER[arrived.side], arrived.frame[_rdt(arrived.frame) :]
        found = by_octets.get((side, octets))
        if found is None:
            found = by_number.get((side, read_header(arrived.frame, side == "client").number), [])
        before = [index for index in found if everything[index].time_ns <= arrived.time_ns + SKEW_NS and room[index]]
        if before:
            index = next((index for index in before if len(times[index]) < room[index]), before[-1])
            times[index].append(arrived.time_ns)
    return [tuple(found) for found in times]


# -- what it says -----------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Said:
    """What one side of a connection has said so far."""

    bases: list[int] = field(default_factory=list)
    """The numbers of the first octet of each of its streams."""
    end: int = 0
    """Behind the last octet that it has sent."""
    called: bool = False
    """The other side has opened a connection, and waits for an answer."""
    fins: dict[int, int] = field(default_factory=dict)
    """How long each of its streams was, by where it began."""
    ack: int = -1
    wnd: int = SMALL_WINDOW


class Speech:
    """Puts datagrams into words, in the order in which they were sent. `mask` covers the bits of sequence numbers."""

    def __init__(self, mask: int) -> None:
        self._mask = mask
        self._said: dict[tuple[str, tuple[bytes, int, int]], Said] = {}

    def words(self, sent: Sent, header: Header) -> str:
        """What it says, but for what its side had said before."""
        if header.flags & DGM:
            return f"datagram of {plural(header.length, 'octet')}"
        said, other = self._of(sent.side, header), self._of(OTHER[sent.side], header)
        again = self._note_start(said, other, header)
        start = self._relative(header.seq + bool(header.flags & SYN), said)
        parts = [name for name, flag in (("SYN", SYN), ("RST", RST)) if header.flags & flag]
        if header.flags & (SYN | ACK) == SYN | ACK:
            parts = ["SYN ACK"]
        if header.length:
            parts.append(f"data {start}:{start + header.length}")
        if header.flags & FIN:
            parts.append("FIN")
            said.fins[said.bases[-1]] = start + header.length
        if header.length or header.flags & FIN:
            again = again or start + header.length + bool(header.flags & FIN) <= said.end
            said.end = max(said.end, start + header.length + bool(header.flags & FIN))
        if again:
            parts[-1] += " again"
        return ", ".join([*parts, *self._acknowledged(said, other, header, bool(parts))])

    def forged(self, sent: Sent, header: Header) -> str:
        """The same of a forgery, which nobody's words follow from."""
        if header.flags & SYN:
            return "SYN"
        what = "RST" if header.flags & RST else "data"
        start = self._relative(header.seq, self._of(sent.side, header))
        where = f"{start}:{start + header.length}" if header.length else str(start)
        return f"{what} at a guess" if start >= FAR else f"{what} {where}"

    def struck(self, event: Event, sent: Sent, header: Header) -> str:
        """What an event did to this datagram."""
        if event.kind in DAMAGE:
            return self._damage(event, sent, header)
        if event.kind == "forge":
            return f"forged: {FORGERIES[event.what].text}"
        later = time_text(event.for_ns)
        return {
            "drop": "lost",
            "outage": "lost in the outage",
            "shrink_mtu": f"lost: longer than {event.at} bytes",
            "delay": f"comes {later} later",
            "duplicate": f"comes again {later} later" if event.for_ns else "comes twice",
        }[event.kind]

    def _damage(self, event: Event, sent: Sent, header: Header) -> str:
        size = header.size
        if event.kind == "truncate":
            return f"cut to {event.at % size} of {size} bytes"
        if event.kind == "swap":
            words = size // 2
            return f"words {event.at % words} and {event.to % words} swapped"
        bit = event.at % (size * 8)
        inside = bit // 8 - (size - header.length)
        if inside < 0:
            return f"bit {bit} flipped, in the {'header' if bit // 8 < HEADER_LENGTH else 'options'}"
        start = self._relative(header.seq + bool(header.flags & SYN), self._of(sent.side, header))
        return f"bit {bit} flipped, in octet {start + inside}"

    def _of(self, side: str, header: Header) -> Said:
        return self._said.setdefault((side, header.peer), Said())

    def _note_start(self, said: Said, other: Said, header: Header) -> bool:
        """Note where a stream begins; True if that had been said before."""
        base = header.seq + bool(header.flags & SYN) & self._mask
        if header.flags & RST or (said.bases and not header.flags & SYN):
            return False
        opens = header.flags & (SYN | ACK) == SYN
        # A connection that is opened after another one may begin with the same number.
        if base in said.bases and not (said.end > 0 if opens else said.called):
            return True
        said.called, other.called = False, opens
        said.bases = [*(known for known in said.bases if known != base), base]
        said.end, said.ack, said.wnd = 0, -1, SMALL_WINDOW
        said.fins.pop(base, None)
        return False

    def _relative(self, number: int, said: Said) -> int:
        """How far a number is behind the beginning of the stream that it must belong to."""
        return number - self._base(number, said) & self._mask

    def _base(self, number: int, said: Said) -> int:
        return min(said.bases, key=lambda base: number - base & self._mask, default=0)

    def _acknowledged(self, said: Said, other: Said, header: Header, more: bool) -> Iterator[str]:
        if header.flags & RST or not header.flags & ACK:
            return
        if header.flags & SYN:
            said.ack = 0
        ack = self._relative(header.ack, other)
        if not header.flags & SYN and (not more or ack != said.ack):
            length = other.fins.get(self._base(header.ack, other), -1)
            yield "ack FIN" if ack and ack == length + 1 else f"ack {ack}" if ack else "ack SYN"
            said.ack = ack
            for start, end in header.sack:
                yield f"has {ack + start}:{ack + end}"
        if header.wnd != said.wnd and min(header.wnd, said.wnd) < SMALL_WINDOW:
            yield f"window {header.wnd}"
        said.wnd = header.wnd
