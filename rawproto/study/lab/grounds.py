"""Where the search looks: a few small worlds, and what an adversary may do in each of them.

The network may lose, repeat, delay and damage any datagram, keep one for as long as RFC 9293's maximum segment
lifetime, and carry forgeries of an attacker beside the path. That is what the transport has promised to get over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from rawproto.link.forgery import FORGERIES
from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["GROUNDS", "Ground", "draw_event", "draw_events", "narrowed"]

SIDES = ("client", "server")
DELAYS = (15 * MILLISECOND, 35 * MILLISECOND, 150 * MILLISECOND, SECOND, 5 * SECOND, 20 * SECOND)
"""How long a datagram may be kept: less than the maximum segment lifetime of 30 s (Config.msl)."""

PLAIN = Road()
WATCHFUL: Mapping[str, Any] = {
    "keep_alive": True,
    "keep_alive_idle": 20 * SECOND,
    "keep_alive_interval": 5 * SECOND,
    "keep_alive_count": 6,
}
"""Everything is on in the lab, that which TCP leaves off included."""


@dataclass(frozen=True, slots=True)
class Ground:
    """A small world. `packets` is how many datagrams of each side are worth striking; `kinds` what may strike them."""

    name: str
    talks: tuple[Talk, ...]
    kinds: tuple[str, ...]
    packets: int = 8
    settings: Mapping[str, Any] = field(default_factory=dict)
    road: Road = PLAIN
    forgeries: tuple[str, ...] = ()

    counts: tuple[int, ...] = (1, 1, 1, 2, 2, 3, 4)
    """How many events a schedule has: mostly one."""
    gaps: tuple[int, ...] = (0,)
    """How long after the first connection the second one may begin, in ns: the clock moves initial numbers on."""

    def scenario(self, off: Mapping[str, Any], events: tuple[Event, ...] = (), gap_ns: int = 0) -> Scenario:
        """This world with the settings of `off` instead of its own."""
        talks = tuple(replace(talk, start_ns=gap_ns) if talk.again else talk for talk in self.talks)
        return Scenario(self.name, talks, events, {**WATCHFUL, **self.settings, **off}, self.road)


SLIPS = ("drop", "duplicate", "delay")
DAMAGE = ("flip", "swap", "truncate")
BOTH = Party(("send 3000",))
ASKS = Party(("send 200", "wait 100 ms", "send 200"))
ANSWERS = Party(("await 200", "send 200", "await end"))
SLEEPS = Party(("await end",), ("wait 3 s", "read all"))
TRICKLES = Party(("send 3000", "wait 500 ms", "send 3000"))
AGAIN = replace(Talk(Party(("send 300",)), Party(("await end", "send 100"))), client_port=50_000)
LONGER = replace(AGAIN, client=Party(("send 150", "wait 100 ms", "send 150", "wait 100 ms", "send 150")))

GROUNDS = (
    Ground("both at once", (Talk(BOTH, BOTH),), (*SLIPS, *DAMAGE)),
    Ground("question and answer", (Talk(ASKS, ANSWERS),), (*SLIPS, *DAMAGE)),
    Ground("an attacker beside the path", (Talk(ASKS, ANSWERS),), ("forge",), 6, forgeries=tuple(FORGERIES)),
    Ground(
        "a reader that sleeps",
        (Talk(Party(("send 9000",)), SLEEPS),),
        SLIPS,
        12,
        {"receive_buffer": 4096, "keep_alive": False},
    ),
    Ground(
        "the same ports again",
        (AGAIN, replace(AGAIN, again=True)),
        ("drop", "duplicate", "replay"),
    ),
    Ground(
        "the same numbers again",
        (LONGER, replace(LONGER, again=True)),
        ("replay",),
        settings={"sequence_bits": 10, "receive_buffer": 512, "send_buffer": 512, "user_timeout": 20 * SECOND},
        counts=(3, 5, 7),
        gaps=tuple(range(0, 200_000_000, 1_016_000)),
    ),
    Ground(
        "records",
        (Talk(Party(("send 900 by 300",)), Party(("send 900 by 300",)), kind="records"),),
        SLIPS,
    ),
    Ground(
        "datagrams",
        (Talk(Party(("send 900 by 300",)), Party(), "datagrams"), Talk(Party(("send 300",)), Party())),
        (*SLIPS, *DAMAGE),
    ),
    Ground(
        "a peer that forgets", (Talk(Party(("send 200",)), Party(("wait 60 s", "send 200"))),), ("restart", "drop"), 6
    ),
    Ground("a road that narrows", (Talk(TRICKLES, TRICKLES),), ("shrink_mtu", "shrink_mtu", "drop"), 20),
    Ground("more than the road holds", (Talk(Party(("send 60000",)), Party()),), ("drop", "outage"), 30),
)
"""The search goes to each of them in turn."""


def narrowed(ground: Ground, bits: int) -> Ground:
    """The same world with sequence numbers of `bits` bits, and windows of half that space, the most that is safe."""
    half = 1 << (bits - 1)
    inherited = {**WATCHFUL, **ground.settings}
    settings = {"sequence_bits": bits, "nagle": False}
    for name in ("send_buffer", "receive_buffer"):
        settings[name] = min(half, inherited.get(name, half), 4 << 20)
    settings["max_record"] = min(settings["receive_buffer"], 64 << 10)
    talks = tuple(
        replace(talk, client=_smaller(talk.client, half), server=_smaller(talk.server, half)) for talk in ground.talks
    )
    return replace(ground, talks=talks, settings={**ground.settings, **settings})


def _smaller(party: Party, half: int) -> Party:
    """Enough for the numbers to come round, in several pieces for each window."""
    most, piece = 5 * half // 2, max(1, half // 8)

    def less(step: str) -> str:
        words = step.split()
        if words[0] not in ("send", "await") or words[1] == "end" or int(words[1]) <= piece:
            return step
        size = min(int(words[1]), most)
        return f"send {size} by {min(piece, size)}" if words[0] == "send" else f"await {size}"

    return replace(party, writes=tuple(map(less, party.writes)))


def draw_events(ground: Ground, rng: Random) -> tuple[Event, ...]:
    """A schedule."""
    count = rng.choice(ground.counts)
    return tuple(dict.fromkeys(draw_event(ground, rng) for _ in range(count)))


def draw_event(ground: Ground, rng: Random) -> Event:
    """One event of those that may happen there."""
    return DRAWS[kind := rng.choice(ground.kinds)](ground, rng, kind)


def _packet(ground: Ground, rng: Random) -> tuple[str, int]:
    return rng.choice(SIDES), rng.randrange(ground.packets) + 1


def _plain(ground: Ground, rng: Random, kind: str) -> Event:
    return Event(kind, *_packet(ground, rng))


def _kept(ground: Ground, rng: Random, kind: str) -> Event:
    return Event(kind, *_packet(ground, rng), for_ns=rng.choice(DELAYS[:4] if kind == "delay" else DELAYS))


def _replayed(ground: Ground, rng: Random, kind: str) -> Event:
    return Event("duplicate", *_packet(ground, rng), for_ns=rng.randrange(20, 600) * MILLISECOND)


def _damaged(ground: Ground, rng: Random, kind: str) -> Event:
    at = rng.randrange(1, 800)
    to = at + rng.randrange(1, 400) if kind == "swap" else 0
    return Event(kind, *_packet(ground, rng), at=at, to=to)


def _forged(ground: Ground, rng: Random, kind: str) -> Event:
    side, packet = _packet(ground, rng)
    what = rng.choice(ground.forgeries)
    at = rng.choice((1, 201, 401) if FORGERIES[what].blind else (1, 7, 33, 111))
    return Event(kind, side, packet, for_ns=rng.choice((0, 30, 60)) * MILLISECOND, at=at, what=what)


def _dark(ground: Ground, rng: Random, kind: str) -> Event:
    return Event(
        kind, rng.choice(SIDES), start_ns=rng.randrange(1, 80) * MILLISECOND, for_ns=rng.choice((1, 5, 20)) * SECOND
    )


def _forgetful(ground: Ground, rng: Random, kind: str) -> Event:
    return Event(kind, rng.choice(SIDES), start_ns=rng.randrange(100, 50_000) * MILLISECOND)


def _narrower(ground: Ground, rng: Random, kind: str) -> Event:
    side = rng.choice(SIDES)
    return Event(kind, side, start_ns=rng.randrange(20, 600) * MILLISECOND, at=rng.choice((600, 1000, 1280, 1400)))


DRAWS: Mapping[str, Callable[[Ground, Random, str], Event]] = {
    "drop": _plain,
    "duplicate": _kept,
    "delay": _kept,
    "replay": _replayed,
    "flip": _damaged,
    "swap": _damaged,
    "truncate": _damaged,
    "forge": _forged,
    "outage": _dark,
    "restart": _forgetful,
    "shrink_mtu": _narrower,
}
