"""Where the examiner looks: the settings that a protocol is tried with, and what the wire may do in each of them.

What a wire may do depends on the numbers. With plenty of them it may reorder: no packet is so late that its number is
in use again. At the limit, where a window is as large as the numbers allow, it may lose, repeat and damage packets, but
never lets one overtake another: with reordering no window is small enough, as an old packet may always be taken for a
new one (Kurose & Ross §3.4.4, RFC 9293 §3.4.3). That is what textbooks promise, and no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from rawproto.errors import ConfigError
from rawproto.link.chance import derive_rng
from rawproto.link.script import Event
from rawproto.study.textbook.bench import DELAY_NS
from rawproto.study.textbook.machine import MS, Machine, Settings

__all__ = ["Ground", "grounds", "schedules"]

SIDES = ("client", "server")
PACKETS = sorted(range(1, 21), key=lambda packet: min(packet - 1, abs(packet - 17)))
"""Those of each side that single events strike: near the beginning and the end first, which is where things go wrong.
Of 16 chunks and the end the last packet is 17, if nothing is lost."""
CLOSELY = 8
"""So many of them are struck in all ways."""
FIRST = 4
"""So many are struck before outages are tried."""
NEAR = 2
"""Events that have to do with each other strike packets that are no further apart from the one in their middle."""
DENSE = 60
"""Those that a bad wire strikes."""
LATE = (15 * MS, 35 * MS, 80 * MS, 200 * MS)
"""Behind the next packet, behind an answer, behind a timeout, behind more of them. One way takes 10 ms."""
OUTAGES = tuple((start * MS, length * MS) for start in (0, 5, 15, 25, 45, 65) for length in (10, 25, 60, 300))
BITS = 28 * 8
"""In a full packet; `Event.at` is counted round in shorter ones."""
ROUND_TRIP_NS = 2 * DELAY_NS
WIDE_BITS = 16
WIDE_WINDOW = 4
NARROW = ((1, 50 * MS), (2, 50 * MS), (3, 15 * MS))
"""Bits, and the timeout: the last one ends before an answer can have come."""


@dataclass(frozen=True, slots=True)
class Ground:
    """Settings to be tried, and whether packets may overtake each other."""

    settings: Settings
    reorders: bool

    @property
    def patient(self) -> bool:
        """A timeout means that something was lost, or late."""
        return self.settings.timeout_ns > ROUND_TRIP_NS

    @property
    def text(self) -> str:
        """In words."""
        settings = self.settings
        numbers = f"{settings.modulus:,} numbers" + ("" if self.reorders else ", on a wire that keeps the order")
        return f"a window of {settings.window}, {numbers}, a timeout of {settings.timeout_ns / 1e6:g} ms"


def grounds(machines: tuple[type[Machine], ...], checksum: str) -> list[Ground]:
    """Those for `machines`, whose `largest_window` counts. Raises ConfigError if one has none that is any use."""

    def limit(bits: int) -> int:
        return min(_limit(machine, bits) for machine in machines)

    window = min(WIDE_WINDOW, limit(WIDE_BITS))
    found = [Ground(Settings(window=window, seq_bits=WIDE_BITS, checksum=checksum), True)]
    tried = set()
    for bits, timeout_ns in NARROW:
        if limit(bits) >= 1 and (limit(bits), timeout_ns) not in tried:
            tried.add((limit(bits), timeout_ns))
            settings = Settings(window=limit(bits), seq_bits=bits, timeout_ns=timeout_ns, checksum=checksum)
            found.append(Ground(settings, False))
    return found


def _limit(machine: type[Machine], bits: int) -> int:
    try:
        limit = machine.largest_window(bits)
    except Exception as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ConfigError(f"{machine.__name__}.largest_window({bits}) raised {said}: make it a classmethod") from error
    if not isinstance(limit, int) or (bits == WIDE_BITS and limit < 1):
        raise ConfigError(f"{machine.__name__}.largest_window({bits}) gave {limit!r}: give a number of packets")
    return limit


def schedules(ground: Ground, seed: int) -> Iterator[tuple[Event, ...]]:
    """What to try on `ground`, without end: nothing, each single event, then a few at random, or very many.

    The very many are a wire with random loss, duplication, reordering and corruption, written down: so that it can be
    made shorter, which a probability can't.
    """
    settings = ground.settings
    rng = derive_rng(seed, "schedules", str(settings.seq_bits), str(settings.window), str(settings.timeout_ns))
    yield ()
    for event in _singles(ground, rng):
        yield (event,)
    while True:
        for _ in range(3):
            middle = rng.choice(PACKETS)
            near = range(max(1, middle - NEAR), middle + NEAR + 1)
            yield tuple(_draw(ground, rng, rng.choice(near)) for _ in range(rng.randint(2, 4)))
        rate = rng.choice((0.05, 0.15, 0.3))
        yield tuple(
            _draw(ground, rng, packet, side) for packet in range(1, DENSE + 1) for side in SIDES if rng.random() < rate
        )


def _singles(ground: Ground, rng: Random) -> Iterator[Event]:
    for index, packet in enumerate(PACKETS):
        for side in SIDES:
            yield Event("drop", side, packet)
            yield Event("duplicate", side, packet)
            yield Event("flip", side, packet, at=rng.randrange(BITS))
            if ground.reorders:
                lates = LATE if index < CLOSELY else (rng.choice(LATE),)
                yield from (Event("delay", side, packet, for_ns=late) for late in lates)
            if ground.reorders and index < CLOSELY:
                yield Event("duplicate", side, packet, for_ns=rng.choice(LATE))
                yield Event("truncate", side, packet, at=rng.randrange(BITS // 8))
        if index == FIRST:
            for start_ns, length_ns in OUTAGES:
                yield from (Event("outage", side, start_ns=start_ns, for_ns=length_ns) for side in SIDES)


def _draw(ground: Ground, rng: Random, packet: int, side: str = "") -> Event:
    """One event that strikes `packet`, of `side` if that is said."""
    side = side or rng.choice(SIDES)
    kind = rng.choice(("drop", "drop", "duplicate", "flip", *(("delay", "delay", "copy") if ground.reorders else ())))
    match kind:
        case "flip":
            return Event("flip", side, packet, at=rng.randrange(BITS))
        case "delay":
            return Event("delay", side, packet, for_ns=rng.choice(LATE))
        case "copy":
            return Event("duplicate", side, packet, for_ns=rng.choice(LATE))
    return Event(kind, side, packet)
