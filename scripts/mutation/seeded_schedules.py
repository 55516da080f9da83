"""The schedules that a seeded bug has to get past: the same ones, in the same order, for every bug and for none.

Four sources take turns: the lab's worlds with everything on, scenarios of mixed faults, the lab's worlds with other
settings, and worlds of their own for what the others seldom come to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Any, NamedTuple

from rawproto.link.chance import derive_rng
from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.study.lab.grounds import GROUNDS, Ground, draw_events, narrowed
from rawproto.study.prove.draw import draw_scenario
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["WORLDS", "Schedule", "schedules"]

FOR_GOOD = 1000 * SECOND
LITTLE: Mapping[str, Any] = {"receive_buffer": 4096}


class Schedule(NamedTuple):
    """A scenario and the seed of its chance."""

    scenario: Scenario
    seed: int


SMALL: Mapping[str, Any] = {"send_buffer": 700, "receive_buffer": 700, "max_record": 700}
VARIATIONS: tuple[Mapping[str, Any], ...] = (
    {"congestion_control": "reno"},
    {"congestion_control": "bbr"},
    SMALL,
    {"nagle": False, "max_ranges": 2},
    {"tail_loss_probe": False, "delayed_ack": False},
)
NARROW = (4, 6, 10)
"""Bits of a sequence number; a window of half the space is safe as long as the path keeps the order."""

TALKATIVE = Party(tuple(step for size in (100, 200, 300, 300) for step in (f"send {size}", "wait 30 ms")))
LAST = Party(("await end", "send 100"))
"""It ends its direction last, so the other side is the one in TIME-WAIT."""
DEAF = Party((), ("wait 4 s", "read 100", "wait 2 s", "read 3000", "wait 1 s", "read all"))
CUT = tuple(Event("outage", side, start_ns=2 * SECOND, for_ns=FOR_GOOD) for side in ("client", "server"))
DARK = tuple(replace(event, start_ns=0) for event in CUT)
NARROWS = (Event("shrink_mtu", "client", start_ns=40 * MILLISECOND, at=600),)

WORLDS: tuple[tuple[Ground, tuple[Event, ...] | None], ...] = (
    (
        Ground("silence in the middle", (Talk(Party(("send 100000",)), Party()),), ()),
        (Event("outage", "server", start_ns=60 * MILLISECOND, for_ns=SECOND),),
    ),
    (
        Ground("a loss in the middle", (Talk(Party(("send 200000",)), Party()),), ()),
        (Event("drop", "client", 40),),
    ),
    (
        Ground(
            "ended by force",
            (Talk(Party(("send 100", "wait 1 s", "abort")), Party(("send 100", "wait 300 s"))),),
            (),
            settings={"keep_alive": False},
        ),
        (),
    ),
    (Ground("bits and pieces", (Talk(TALKATIVE, TALKATIVE),), ("drop", "delay", "duplicate"), 14), None),
    (
        Ground(
            "read by the spoonful",
            (Talk(Party(("send 4000",)), Party(("send 500",), ("read 7", "wait 50 ms", "read 33", "read all"))),),
            ("drop",),
        ),
        None,
    ),
    (
        Ground(
            "records longer than a datagram",
            (Talk(Party(("send 30000 by 3000",)), Party(("send 900 by 90",)), kind="records"),),
            ("drop", "delay"),
            14,
        ),
        None,
    ),
    (
        Ground(
            "the server is in TIME-WAIT",
            tuple(
                Talk(LAST, Party(("send 100",)), client_port=50_000, again=number > 0) for number in range(3)
            ),
            ("drop", "replay"),
            12,
        ),
        None,
    ),
    (Ground("more than it reads", (Talk(Party(("send 20000",)), DEAF),), ("drop",), 30, LITTLE), None),
    (Ground("a long way for much", (Talk(Party(("send 200000",)), Party()),), ("drop", "delay"), 120), None),
    (
        Ground(
            "a queue that overflows",
            (Talk(Party(("send 200000",)), Party()),),
            ("drop", "outage"),
            120,
            road=Road(rate_bps=2_000_000, queue="droptail", queue_bytes=12_000),
        ),
        None,
    ),
    (Ground("cut off while idle", (Talk(Party(("send 100", "wait 300 s")), Party()),), ()), CUT),
    (Ground("cut off while busy", (Talk(Party(("send 100", "wait 3 s", "send 100")), Party()),), ()), CUT),
    (Ground("nobody answers", (Talk(Party(("send 100",)), Party()),), ()), DARK),
    (
        Ground("acknowledgements are lost", (Talk(Party(("send 5000",)), Party()),), ()),
        (Event("drop", "client", 4), Event("outage", "server", start_ns=25 * MILLISECOND, for_ns=500 * MILLISECOND)),
    ),
    (
        Ground("more holes than it can note", (Talk(Party(("send 12000",)), Party()),), (), settings={"max_ranges": 1}),
        tuple(Event("drop", "client", number) for number in (4, 6, 8)),
    ),
    (
        Ground("the window opens unheard", (Talk(Party(("send 9000",)), Party((), ("wait 3 s", "read all"))),), (),
               settings={"receive_buffer": 4096, "keep_alive": False}),
        (Event("outage", "server", start_ns=2900 * MILLISECOND, for_ns=300 * MILLISECOND),),
    ),
    (
        Ground(
            "the same window once more",
            (Talk(Party(("send 256 by 4",)), Party()),),
            (),
            settings={"sequence_bits": 6, "receive_buffer": 32, "send_buffer": 64, "nagle": False},
        ),
        (Event("outage", "server", start_ns=45 * MILLISECOND, for_ns=100 * MILLISECOND),),
    ),
    (
        Ground("who only listens", (Talk(Party(("await 100", "send 10")), Party(("send 100",))),), (),
               settings={"keep_alive": False, "connect_timeout": 3600 * SECOND}),
        (Event("drop", "client", 2),),
    ),
    (
        Ground("holes of one octet", (Talk(Party(("send 24 by 1",)), Party()),), (), settings={"nagle": False}),
        (Event("drop", "client", 6), Event("delay", "client", 9, for_ns=5 * MILLISECOND), Event("drop", "client", 10)),
    ),
    (
        Ground("an old answer to a new call", tuple(
            Talk(LAST, Party(("send 100",)), client_port=50_000, again=number > 0) for number in range(2)
        ), ()),
        (Event("duplicate", "server", 1, for_ns=50 * MILLISECOND),),
    ),
    (Ground("large ones vanish", (Talk(Party(("send 100000",)), Party(("send 5000",))),), ()), NARROWS),
    (
        Ground(
            "octet by octet",
            (Talk(Party(("send 24 by 1",)), Party(("send 5 by 1",))),),
            ("drop",),
            20,
            {"nagle": False},
        ),
        None,
    ),
    (Ground("many callers", tuple(Talk(Party(("send 1",)), Party()) for _ in range(140)), ("drop",), 400), None),
    (
        Ground("a copy comes a minute later", (Talk(Party(("send 100",)), Party()), Talk(start_ns=65 * SECOND)), ()),
        (Event("duplicate", "client", 2, for_ns=70 * SECOND),),
    ),
    (
        Ground("a copy comes after a restart", (Talk(Party(("send 100",)), Party()),), ()),
        (Event("duplicate", "client", 2, for_ns=5 * SECOND), Event("restart", "server", start_ns=3 * SECOND)),
    ),
)  # fmt: skip
"""Worlds of their own, with the events that happen in them; None for events that are drawn."""


def schedules(count: int, seed: int = 1) -> Iterator[Schedule]:
    """The first `count` schedules."""
    rng = derive_rng(seed, "seeded bugs")
    sources = (_lab, _mixed, _varied, _own)
    for number in range(count):
        yield sources[number % len(sources)](number // len(sources), rng)


def _lab(turn: int, rng: Random) -> Schedule:
    """One of the lab's worlds, without any event the first time."""
    ground = GROUNDS[turn % len(GROUNDS)]
    events = draw_events(ground, rng) if turn >= len(GROUNDS) else ()
    return Schedule(ground.scenario({}, events, rng.choice(ground.gaps)), 1)


def _mixed(turn: int, rng: Random) -> Schedule:
    return Schedule(draw_scenario(turn), turn)


def _varied(turn: int, rng: Random) -> Schedule:
    """One of the lab's worlds with other settings, or with numbers that wrap."""
    ground = GROUNDS[turn % len(GROUNDS)]
    choice = rng.randrange(len(VARIATIONS) + len(NARROW))
    if choice < len(VARIATIONS) or "sequence_bits" in ground.settings or "drop" not in ground.kinds:
        settings = {**ground.settings, **VARIATIONS[choice % len(VARIATIONS)]}
    else:
        ground = replace(narrowed(ground, NARROW[choice - len(VARIATIONS)]), kinds=("drop", "outage"), packets=16)
        settings = {}
    return Schedule(ground.scenario(settings, draw_events(ground, rng), rng.choice(ground.gaps)), 1)


def _own(turn: int, rng: Random) -> Schedule:
    ground, events = WORLDS[turn % len(WORLDS)]
    if events is None:
        events = draw_events(ground, rng)
    scenario = ground.scenario({}, events)
    return Schedule(replace(scenario, until_ns=1000 * SECOND), turn)
