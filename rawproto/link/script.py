"""A wire that does what it is told: this datagram is lost, that one comes twice, here one is forged.

Random faults (`rawproto.link.impair`) show that something can go wrong; a script says what did, so that it can be done
again, on a simulated link or on a real one. Datagrams are counted, not frames: address resolution and the like pass
untouched. What was sent and what arrived is kept in a `WireLog`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from heapq import heappop, heappush
from typing import NamedTuple

from rawproto.errors import ConfigError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.forgery import FORGERIES, Seal, forge, rdt_offset
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.rdt_format import datagram_crc

__all__ = ["HOST_KINDS", "KINDS", "WIRE_KINDS", "Arrived", "Event", "ScriptedLink", "Sent", "WireLog"]

WIRE_KINDS: Mapping[str, tuple[str, ...]] = {
    "drop": ("packet",),
    "duplicate": ("packet", "for_ns"),
    "delay": ("packet", "for_ns"),
    "flip": ("packet", "at"),
    "swap": ("packet", "at", "to"),
    "truncate": ("packet", "at"),
    "forge": ("packet", "for_ns", "what", "at"),
    "outage": ("start_ns", "for_ns"),
    "shrink_mtu": ("start_ns", "at"),
}
"""What a scripted link can do, and the fields of `Event` that say how."""

HOST_KINDS: Mapping[str, tuple[str, ...]] = {
    "restart": ("start_ns",),
    "jump": ("start_ns", "for_ns"),
    "rebind": ("start_ns",),
}
"""What befalls a host or its translator, and is for whoever runs the hosts."""

KINDS = {**WIRE_KINDS, **HOST_KINDS}
SIDES = ("client", "server")
DAMAGE = ("flip", "swap", "truncate")
ETHERNET_HEADER = 14


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that goes wrong. Raises ConfigError for one that can't be."""

    kind: str
    side: str = "client"
    """Whose datagram it is, or whose way out; for what befalls a host, which one."""
    packet: int = 0
    """The number of the datagram among all that this side has sent, from 1."""
    for_ns: int = 0
    """How long it is held back; how much later the copy, or the forgery, is sent; how long an outage lasts."""
    start_ns: int = 0
    """When it begins, counted from when the link was made."""
    at: int = 0
    """The bit that flips, the 16-bit word that is swapped, the bytes that are left, each counted round and round
    within the RDT datagram; what a forger adds to a number; the MTU."""
    to: int = 0
    """The word that `at` is swapped with."""
    what: str = ""
    """What is forged: a name in `rawproto.link.forgery`."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"there is no event {self.kind!r}; there are: {', '.join(KINDS)}")
        if self.side not in SIDES:
            raise ConfigError(f"{self.kind}: side is {self.side!r}; it must be client or server")
        used = KINDS[self.kind]
        for name in ("packet", "for_ns", "start_ns", "at", "to", "what"):
            value = getattr(self, name)
            if value and name not in used:
                raise ConfigError(f"{self.kind} has no {name}; it takes: side, {', '.join(used)}")
            back = (self.kind, name) == ("jump", "for_ns")
            if name != "what" and (not isinstance(value, int) or (value < 0 and not back)):
                raise ConfigError(f"{self.kind}: {name} is {value!r}; give a whole number, 0 or more")
        if "packet" in used and not self.packet:
            raise ConfigError(f"{self.kind}: packet is 0; the first one is 1")
        if "what" in used and self.what not in FORGERIES:
            raise ConfigError(f"forge: what is {self.what!r}; it must be one of: {', '.join(FORGERIES)}")

    @property
    def end_ns(self) -> int:
        """When it is over, as far as the clock tells: 0 for what happens to a datagram, whenever that is sent."""
        return self.start_ns + (abs(self.for_ns) if self.kind in ("outage", "jump") else 0)

    def as_dict(self) -> dict[str, int | str]:
        """Only what is said, in the order of the fields."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in given.items() if name in ("kind", "side") or value}


class Sent(NamedTuple):
    """A datagram that a side handed to the link, or that was forged in its name."""

    time_ns: int
    side: str
    number: int
    """Counted from 1; 0 for a forgery."""
    frame: bytes
    fate: tuple[str, ...]
    """The kinds of the events that struck it."""


class Arrived(NamedTuple):
    """A datagram that a side was given by the link."""

    time_ns: int
    side: str
    frame: bytes


class WireLog:
    """All datagrams of both sides: as they were sent, and as they arrived."""

    __slots__ = ("arrived", "sent")

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.arrived: list[Arrived] = []


class Held(NamedTuple):
    """A frame that is let go later, in the order of a heap."""

    due_ns: int
    serial: int
    frame: bytes
    peer: str


class ScriptedLink(LinkWrapper):
    """Does to what `side` sends what `events` say of it, and notes in `log` what it sends and receives.

    `fired` tells how often each event struck. `seal` computes the checksum field for forgeries; `bits` is the width of
    sequence numbers. `start_ns` is the time that those of `events` count from. A swap of two words that are equal, and
    any event for a datagram that is never sent, has not struck.
    """

    def __init__(
        self,
        inner: Link,
        side: str,
        events: Sequence[Event] = (),
        log: WireLog | None = None,
        *,
        seal: Seal = datagram_crc,
        bits: int = 64,
        start_ns: int = 0,
        on_fired: Callable[[Event, int], object] | None = None,
    ) -> None:
        super().__init__(inner)
        self.side = side
        self.log = WireLog() if log is None else log
        mine = [event for event in events if event.side == side and event.kind in WIRE_KINDS]
        self.fired: dict[Event, int] = dict.fromkeys(mine, 0)
        self.count = 0
        """Datagrams that were handed over."""
        self._seal, self._bits, self._start, self._on_fired = seal, bits, start_ns, on_fired
        self._spells = [event for event in mine if "start_ns" in WIRE_KINDS[event.kind]]
        self._by_packet: dict[int, list[Event]] = {}
        for event in mine:
            if event.packet:
                self._by_packet.setdefault(event.packet, []).append(event)
        self._held: list[Held] = []
        self._serial = 0

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass on what is not struck."""
        linktype, log = self.linktype, self.log.sent
        passing: list[bytes] = []
        for frame in frames:
            at = rdt_offset(frame, linktype)
            if at < 0:
                passing.append(frame)
                continue
            self.count += 1
            if self._spells or self.count in self._by_packet:
                passing += self._strike(frame, at, now, peer)
            else:
                log.append(Sent(now, self.side, self.count, frame, ()))
                passing.append(frame)
        if passing:
            self.inner.send(passing, now, peer)

    def receive(self, now: int) -> list[Frame]:
        """What has come, noted."""
        frames = self.inner.receive(now)
        log, side = self.log.arrived, self.side
        for frame in frames:
            data = frame.data
            if rdt_offset(data, self.linktype) >= 0:
                log.append(Arrived(now, side, data))
        return frames

    def next_timeout(self) -> int | None:
        """When the next held frame is due, or the inner link wants to be called."""
        inner = self.inner.next_timeout()
        if not self._held:
            return inner
        due_ns = self._held[0].due_ns
        return due_ns if inner is None else min(due_ns, inner)

    @property
    def latest_ns(self) -> int:
        """When the last of what is held back will have been let go; 0 if nothing is."""
        return max((held.due_ns for held in self._held), default=0)

    def handle_timeout(self, now: int) -> None:
        """Let go what is due."""
        while self._held and self._held[0].due_ns <= now:
            held = heappop(self._held)
            self.inner.send([held.frame], now, held.peer)
        self.inner.handle_timeout(now)

    def close(self) -> None:
        """Forget what is held, and close the inner link."""
        self._held.clear()
        self.inner.close()

    def _strike(self, frame: bytes, at: int, now: int, peer: str) -> list[bytes]:
        """Let the events of this datagram happen; gives what passes at once."""
        events = self._by_packet.get(self.count, ())
        fate: list[str] = []
        data = frame
        for event in events:
            if event.kind in DAMAGE:
                damaged = damage(data, at, event)
                if damaged != data:
                    data = damaged
                    self._fire(event, now, fate)
        passing = [] if self._swallowed(events, data, at, now, fate) else [data]
        for event in events:
            if event.kind == "forge":
                self._forge(event, frame, at, now, peer)
            elif passing and event.kind == "duplicate":
                self._fire(event, now, fate)
                if event.for_ns:
                    self._hold(data, now + event.for_ns, peer)
                else:
                    passing.append(data)
        # Whichever event is named first: the copy is one of what was handed over, and is late if it goes with it.
        late = next((event for event in events if event.kind == "delay"), None)
        if late is not None and passing:
            self._fire(late, now, fate)
            for copy in passing:
                self._hold(copy, now + late.for_ns, peer)
            passing = []
        self.log.sent.append(Sent(now, self.side, self.count, frame, tuple(fate)))
        return passing

    def _swallowed(self, events: Sequence[Event], data: bytes, at: int, now: int, fate: list[str]) -> bool:
        taken = [event for event in events if event.kind == "drop"]
        since = now - self._start
        for spell in self._spells:
            if since < spell.start_ns:
                continue
            dark = spell.kind == "outage" and since < spell.start_ns + spell.for_ns
            if dark or (spell.kind == "shrink_mtu" and self._beyond_mtu(data, spell.at)):
                taken.append(spell)
        for event in taken:
            self._fire(event, now, fate)
        return bool(taken)

    def _beyond_mtu(self, data: bytes, mtu: int) -> bool:
        """An MTU does not count the link's own header."""
        return len(data) - (ETHERNET_HEADER if self.linktype is LinkType.ETHERNET else 0) > mtu

    def _forge(self, event: Event, frame: bytes, at: int, now: int, peer: str) -> None:
        forged = forge(event.what, frame, at, event.at, self._seal, self._bits)
        self.log.sent.append(Sent(now + event.for_ns, self.side, 0, forged, ("forge",)))
        self._hold(forged, now + event.for_ns, peer)
        self._fire(event, now, [])

    def _hold(self, frame: bytes, due_ns: int, peer: str) -> None:
        heappush(self._held, Held(due_ns, self._serial, frame, peer))
        self._serial += 1

    def _fire(self, event: Event, now: int, fate: list[str]) -> None:
        self.fired[event] += 1
        fate.append(event.kind)
        if self._on_fired is not None:
            self._on_fired(event, now)


def damage(frame: bytes, at: int, event: Event) -> bytes:
    """`frame`, whose RDT datagram begins at `at`, as `event` leaves it: unchanged if there is too little left of it."""
    if len(frame) < at + 2:
        return frame
    if event.kind == "flip":
        bit = event.at % ((len(frame) - at) * 8)
        place = at + bit // 8
        return frame[:place] + bytes((frame[place] ^ 1 << bit % 8,)) + frame[place + 1 :]
    if event.kind == "truncate":
        return frame[: at + event.at % (len(frame) - at)]
    words = (len(frame) - at) // 2
    first, second = sorted((at + event.at % words * 2, at + event.to % words * 2))
    if first == second:
        return frame
    one, other = frame[first : first + 2], frame[second : second + 2]
    return frame[:first] + other + frame[first + 2 : second] + one + frame[second + 2 :]
