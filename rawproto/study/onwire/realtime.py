"""Which scenarios can be played in real time, and how to make one short enough that somebody can wait for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rawproto.link.impairment import Impairment
from rawproto.link.script import HOST_KINDS
from rawproto.sim.scenario import Party, Scenario, parse_step
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["BRIEF", "brief", "why_not"]

BRIEF: Mapping[str, int] = {
    "user_timeout": 4 * SECOND,
    "connect_timeout": 4 * SECOND,
    "msl": SECOND,
    "keep_alive_idle": 1500 * MILLISECOND,
    "keep_alive_interval": 300 * MILLISECOND,
    "keep_alive_count": 4,
}
"""Settings for a run in real time: the most that they may be."""
BRIEF_KEPT_NS = 900 * MILLISECOND
"""The longest that a datagram is kept then: less than the MSL, as ever."""
BRIEF_OUTAGE_NS = 1900 * MILLISECOND
"""The longest outage: less than half of the user timeout, which a transport must get over."""
BRIEF_WAIT = "wait 1 s"
"""The longest that an application waits of its own accord."""
BRIEF_UNTIL_NS = 8 * SECOND
BAD_ROAD_UNTIL_NS = 60 * SECOND
PATIENT = ("user_timeout", "connect_timeout")
"""Not shortened on a road that has random faults: with a timeout that doubles, 4 s are five tries, too few there."""


def brief(scenario: Scenario) -> Scenario:
    """`scenario` with timeouts and delays that somebody can wait for in real time. Run it so in the simulator too."""
    config, bad_road = scenario.config(), scenario.road.impairment != Impairment.none
    settings: dict[str, Any] = {
        name: min(getattr(config, name), most) for name, most in BRIEF.items() if not (bad_road and name in PATIENT)
    }
    events = []
    for event in scenario.events:
        most = BRIEF_OUTAGE_NS if event.kind == "outage" else BRIEF_KEPT_NS
        events.append(replace(event, for_ns=min(event.for_ns, most)))
    until_ns = min(scenario.until_ns, BAD_ROAD_UNTIL_NS if bad_road else BRIEF_UNTIL_NS)
    return replace(
        scenario,
        talks=tuple(replace(talk, client=_hasty(talk.client), server=_hasty(talk.server)) for talk in scenario.talks),
        events=tuple(dict.fromkeys(events)),
        settings={**scenario.settings, **settings},
        until_ns=until_ns,
    )


def _hasty(party: Party) -> Party:
    """The same party, which waits no longer than `BRIEF_WAIT`."""

    def less(text: str) -> str:
        return BRIEF_WAIT if parse_step(text).for_ns > parse_step(BRIEF_WAIT).for_ns else text

    return Party(tuple(map(less, party.writes)), tuple(map(less, party.reads)))


def why_not(scenario: Scenario) -> str:
    """Why `scenario` can't be played on a real wire; "" if it can."""
    road = scenario.road
    if road.topology not in ("direct", "dumbbell"):
        return f"there is one wire, and no topology {road.topology!r}"
    if road.queue == "codel":
        return "the queue of the road is drop-tail, not CoDel"
    kinds = sorted({event.kind for event in scenario.events if event.kind in HOST_KINDS})
    return f"nothing befalls the hosts: no {', '.join(kinds)}" if kinds else ""
