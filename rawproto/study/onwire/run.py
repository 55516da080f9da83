"""Plays a scenario over a real veth, in real time, and gives what the simulator gives: a `Run` for the same checker."""

from __future__ import annotations

import contextlib
import select

from rawproto.errors import ConfigError
from rawproto.link.netns import Lab
from rawproto.sim.scenario import Scenario
from rawproto.sim.world import Run
from rawproto.study.onwire.applications import Applications
from rawproto.study.onwire.realtime import why_not
from rawproto.study.onwire.wire import Wire
from rawproto.transport.config import MILLISECOND

__all__ = ["lab_for", "run_on_wire"]

AFTERWARDS_NS = 400 * MILLISECOND
"""How long a run goes on when nobody waits any more and the last event has happened: ghosts come late."""
GLANCE_MS = 10


def lab_for(scenario: Scenario) -> Lab:
    """Two namespaces and the wire that `scenario` needs, for any number of runs. Raises PrivilegeError, LinkError."""
    return Lab(mtu=scenario.road.mtu, offloads=False)


def run_on_wire(
    scenario: Scenario,
    seed: int = 0,
    *,
    lab: Lab | None = None,
    ipv6: bool = False,
    traced: bool = False,
    afterwards_ns: int = AFTERWARDS_NS,
) -> Run:
    """Play `scenario`, with the chance that `seed` gives, on the wire of `lab`, or on one of its own.

    Times count from when both hosts were ready. Takes as long as the scenario does, and `afterwards_ns` in which
    nothing is sent; `rawproto.study.onwire.realtime.brief` makes that bearable. With `traced` the engine's records are
    kept. Raises ConfigError for what a wire can't do, PrivilegeError and LinkError.
    """
    reason = why_not(scenario)
    if reason:
        raise ConfigError(f"{scenario.name} can't be played on a real wire: {reason}")
    with contextlib.ExitStack() as stack:
        if lab is None:
            lab = stack.enter_context(lab_for(scenario))
        wire = stack.enter_context(Wire(lab, scenario, seed, ipv6=ipv6, traced=traced))
        client, server = (wire.ends[side].host for side in ("client", "server"))
        applications = Applications(scenario, seed, client, server, wire.addresses["server"], wire.clock)
        try:
            wire.clock.start()
            applications.start()
            applications.wait(scenario.until_ns)
            _see_the_end(wire, scenario, afterwards_ns)
        finally:
            applications.stop()
            end_ns = wire.clock()
            wire.close()
            applications.join()
        if applications.failure is not None:
            raise applications.failure
        return _told(wire, applications, end_ns)


def _see_the_end(wire: Wire, scenario: Scenario, afterwards_ns: int) -> None:
    """Wait for the last event, for what is still on its way, and for what that brings about."""
    latest = max((event.end_ns for event in scenario.events), default=0)
    quiet_since = wire.clock()
    while wire.clock() < scenario.until_ns:
        select.poll().poll(GLANCE_MS)
        if wire.waiting or wire.clock() < latest:
            quiet_since = wire.clock()
        elif wire.clock() - quiet_since >= afterwards_ns:
            return


def _told(wire: Wire, applications: Applications, end_ns: int) -> Run:
    run = Run(wire.scenario, wire.seed, applications.accounts, wire.log, end_ns=end_ns)
    for side, end in wire.ends.items():
        run.struck.update(end.script.fired)
        run.fired.update(end.road.fired)
        if end.trace is not None:
            run.traces[side] = end.trace
    for event, count in run.struck.items():
        run.fired[event.kind] += count
    return run
