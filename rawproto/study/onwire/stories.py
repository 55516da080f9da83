"""What is played over a real wire: the lab's grounds with everything on, and a story for each mechanism that is off.

Each story breaks a guarantee in the simulator, and must break the same one on the wire. Its waits are short enough
for real time (`brief`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rawproto.link.script import Event
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.study.lab.grounds import GROUNDS, WATCHFUL
from rawproto.study.lab.mechanisms import MECHANISMS, settings_on
from rawproto.study.onwire.realtime import brief
from rawproto.transport.config import MILLISECOND

__all__ = ["STORIES", "Story", "clean_scenarios"]


@dataclass(frozen=True, slots=True)
class Story:
    """Without the mechanism `off`, `guarantee` breaks in `scenario`."""

    off: str
    guarantee: str
    scenario: Scenario

    def mended(self) -> Scenario:
        """The same with the mechanism on."""
        settings = {**self.scenario.settings, **settings_on(MECHANISMS[self.off].off)}
        return replace(self.scenario, name=f"{self.scenario.name}, on", settings=settings)


SENDS = Party(("send 3000",))
BOTH = (Talk(SENDS, SENDS),)
SLOW = (Talk(Party(("send 9000",)), Party(("await end",), ("wait 1 s", "read all"))),)
ASKS = (Talk(Party(("send 200", "wait 100 ms", "send 200")), Party(("await 200", "send 200", "await end"))),)
CLIENT_FIRST = (Talk(Party(("send 300",)), Party(("await end", "send 100"))),)
IDLE = (Talk(Party(("send 200",)), Party(("wait 1 s", "send 200"))),)
MANY = (Talk(Party(("send 60000",)), Party()),)
SMALL = {"receive_buffer": 4096}
SOON = {"initial_rto": 100 * MILLISECOND}
LATE_NS = 60 * MILLISECOND
"""When a connection is open for certain, on a road of 10 ms."""


def _story(off: str, guarantee: str, talks: tuple[Talk, ...], *events: Event, **settings: Any) -> Story:
    everything: Mapping[str, Any] = {**WATCHFUL, **settings, **MECHANISMS[off].off}
    return Story(off, guarantee, replace(brief(Scenario(f"{off} off", talks, (), everything)), events=events))


def _dark(side: str, start_ms: int, for_ms: int) -> Event:
    return Event("outage", side, start_ns=start_ms * MILLISECOND, for_ns=for_ms * MILLISECOND)


STORIES: tuple[Story, ...] = (
    _story("checksum", "integrity", BOTH, Event("flip", "client", 3, at=700)),
    _story("sequencing", "order", BOTH, Event("delay", "client", 3, for_ns=35 * MILLISECOND)),
    _story("duplicate_suppression", "no_duplication", BOTH, Event("duplicate", "client", 3)),
    _story("acknowledgement", "honest_end", BOTH, Event("drop", "client", 3)),
    _story("retransmission", "complete", BOTH, Event("drop", "client", 3)),
    _story("backoff", "restraint", MANY, _dark("client", 60, 1900)),
    _story("handshake", "connection", CLIENT_FIRST, Event("duplicate", "client", 1, for_ns=300 * MILLISECOND)),
    _story("isn", "no_creation", ASKS, Event("forge", "server", 2, for_ns=LATE_NS, what="blind-data", at=201)),
    _story("cookies", "restraint", BOTH, Event("forge", "client", 1, what="syn-from-nobody"), **SOON),
    _story("flow_control", "flow_control", SLOW, **SMALL),
    _story("persist", "complete", SLOW, _dark("server", 900, 400), keep_alive=False, **SMALL),
    _story("challenge_ack", "connection", ASKS, Event("forge", "client", 3, what="near-reset", at=7)),
    _story("time_wait", "connection", CLIENT_FIRST, _dark("client", 35, 150)),
    _story("congestion_control", "restraint", MANY),
    _story("keep_alive", "connection", IDLE, _dark("server", 200, 8000)),
    _story("path_mtu_discovery", "complete", MANY, Event("shrink_mtu", "client", start_ns=LATE_NS, at=1300)),
)
"""With no event, or with the one that it takes. Where a timer decides which datagram it is, a time is given instead."""


def clean_scenarios() -> tuple[Scenario, ...]:
    """The lab's grounds with everything on: first without any event, then with a few that a transport gets over."""
    plain = tuple(brief(ground.scenario({})) for ground in GROUNDS)
    struck = tuple(
        brief(Scenario(f"{event.kind} of {event.side} {event.packet}", BOTH, (event,), WATCHFUL))
        for event in (
            Event("drop", "client", 3),
            Event("drop", "server", 2),
            Event("delay", "client", 3, for_ns=35 * MILLISECOND),
            Event("duplicate", "client", 3),
            Event("flip", "client", 3, at=700),
            Event("swap", "client", 3, at=60, to=70),
            Event("truncate", "server", 2, at=300),
        )
    )
    slow_road = Road(delay_ns=5 * MILLISECOND, rate_bps=4_000_000, queue="droptail", queue_bytes=16_000)
    return (*plain, *struck, brief(Scenario("a slow road with a short queue", MANY, (), WATCHFUL, slow_road)))
