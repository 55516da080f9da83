"""Runs a scenario in virtual time, and gives all that can be known of the run from outside of the engine.

The engine, the stack and the link wrappers are those of a real wire. `Run.fingerprint` is a digest of every datagram
and of everything that the applications saw: the same for the same scenario and seed, wherever and whenever it is run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b

from rawproto.link.base import Link
from rawproto.link.carrier import IpCarrier
from rawproto.link.chance import derive_rng
from rawproto.link.queue import CoDel, DropTail, Queue
from rawproto.link.script import HOST_KINDS, Event, ScriptedLink, WireLog
from rawproto.sim.applications import Account, Applications
from rawproto.sim.network import Host, Simulation, StalledError
from rawproto.sim.pointlink import PointLink
from rawproto.sim.port import Line, Port
from rawproto.sim.scenario import Road, Scenario
from rawproto.sim.topology import Network
from rawproto.transport.checksums import make_checksum
from rawproto.transport.config import SECOND
from rawproto.transport.endpoint import Endpoint
from rawproto.transport.stack import Stack
from rawproto.transport.trace import Trace
from rawproto.wire.rdt_format import datagram_crc

__all__ = ["CLIENT", "SERVER", "Run", "World", "run_scenario"]

CLIENT, SERVER = "10.0.0.1", "10.1.0.1"
OUTSIDE = ("203.0.113.1", "203.0.113.2")
"""What a client behind a translator is seen as, one after the other."""
AFTERWARDS_NS = 5 * SECOND
"""How long a run goes on when nobody waits any more and the last event has happened: ghosts come late."""


@dataclass(eq=False)
class Run:
    """What came of a scenario. Times in ns."""

    scenario: Scenario
    seed: int
    accounts: list[Account]
    log: WireLog
    fired: Counter[str] = field(default_factory=Counter)
    """How often each kind of fault struck, random ones too; one that was switched on and never struck has 0."""
    struck: dict[Event, int] = field(default_factory=dict)
    """The same for each event."""
    end_ns: int = 0
    traces: dict[str, Trace] = field(default_factory=dict)
    """Of both hosts, if they were asked for: not for verdicts, which are made from outside."""

    @property
    def idle(self) -> list[Event]:
        """The events that did not happen."""
        return [event for event, count in self.struck.items() if not count]

    def fingerprint(self) -> str:
        """A digest of all datagrams and of all that the applications saw."""
        told = blake2b(digest_size=16)
        for sent in self.log.sent:
            told.update(repr(sent).encode())
        for arrived in self.log.arrived:
            told.update(repr(arrived).encode())
        for account in self.accounts:
            told.update(repr(account).encode())
        return told.hexdigest()


class World:
    """Two hosts, "client" and "server", as a scenario says, and what happens to them."""

    def __init__(self, scenario: Scenario, seed: int, *, traced: bool = False) -> None:
        self.scenario, self.seed = scenario, seed
        self.simulation = Simulation()
        self.run = Run(scenario, seed, [], WireLog())
        self._config = scenario.config()
        checksum = make_checksum(self._config.checksum)
        self._seal = datagram_crc if checksum is None else checksum.compute
        if traced:
            self.run.traces = {"client": Trace(), "server": Trace()}
        self.links: dict[str, ScriptedLink] = {}
        self.ports: dict[str, Port] = {}
        """What has faults of the road, by name."""
        self._rebind: Callable[[], None] | None = None
        make = self._direct if scenario.road.topology == "direct" else self._network
        self.client, self.server = make(_line(scenario.road))
        self.applications = Applications(scenario, seed, self.client, self.server, SERVER)
        self.run.accounts = self.applications.accounts
        for event in scenario.events:
            if event.kind in HOST_KINDS:
                self.run.struck[event] = 0
                self.simulation.at(event.start_ns, partial(self._befall, event))

    def play(self) -> Run:
        """Run it until every talk is over and every event has had its chance, or the scenario's time is."""
        until, simulation = self.scenario.until_ns, self.simulation
        waiting = True
        while waiting:
            try:
                simulation.run(until, lambda: self.applications.over)
            except StalledError:
                waiting = False  # who waits says so in its account
            latest = max((event.end_ns for event in self.scenario.events), default=0)
            latest = max(latest, simulation.now, *(link.latest_ns for link in self.links.values()))
            simulation.run_idle(min(until, latest + AFTERWARDS_NS))
            # What was still on its way may have opened a connection, for a client that has forgotten it.
            waiting = waiting and simulation.now < until and not self.applications.over
        return self._told()

    def _told(self) -> Run:
        run = self.run
        run.end_ns = self.simulation.now
        for link in self.links.values():
            run.struck.update(link.fired)
        for event, count in run.struck.items():
            run.fired[event.kind] += count
        for port in self.ports.values():
            if port.impaired is not None:
                run.fired.update(dict.fromkeys(port.impaired.fired, 0))
                for kind, count in port.impaired.fired.items():
                    run.fired[kind] += count
            for reason, count in port.meter.dropped.items():
                run.fired[reason] += count
        return run

    # -- hosts and the road ------------------------------------------------------------------------------------------

    def _direct(self, line: Line) -> tuple[Host, Host]:
        wires = {"client": PointLink("client", line.mtu), "server": PointLink("server", line.mtu)}
        for one, other in (("client", "server"), ("server", "client")):
            name = f"{one}->{other}"
            port = Port(self.simulation, name, line, wires[other].deliver, partial(derive_rng, self.seed, name))
            wires[one].port = self.ports[name] = port
        client, server = (
            self._host(side, address, wires[side]) for side, address in (("client", CLIENT), ("server", SERVER))
        )
        return client, server

    def _host(self, side: str, address: str, wire: PointLink) -> Host:
        carrier = IpCarrier(self._scripted(side, wire), address)
        rng = derive_rng(self.seed, side, "endpoint")
        endpoint = Endpoint(self._config, rng, carrier.datagram_size, self.run.traces.get(side))
        return self.simulation.add(side, Stack(carrier, endpoint), wire)

    def _scripted(self, side: str, inner: Link) -> Link:
        run = self.run
        link = ScriptedLink(
            inner, side, self.scenario.events, run.log, seal=self._seal, bits=self._config.sequence_bits
        )
        self.links[side] = link
        return link

    def _network(self, line: Line) -> tuple[Host, Host]:
        network = Network(self.seed, simulation=self.simulation)
        near = Line(mtu=line.mtu)
        row = [network.router("r0"), network.router("r1")]
        network.join(row[0], row[1], line)
        if self.scenario.road.topology == "chain":
            row.append(network.router("r2"))
            network.join(row[1], row[2], line)
        place = row[0]
        if self.scenario.road.topology == "nat":
            place = nat = network.nat("nat", row[0])
        hosts = tuple(
            network.host(
                side,
                address,
                router,
                line=near,
                config=self._config,
                trace=self.run.traces.get(side),
                wrap=partial(self._scripted, side),
            )
            for side, address, router in (("client", CLIENT, place), ("server", SERVER, row[-1]))
        )
        if self.scenario.road.topology == "nat":
            network.bind(nat, CLIENT, OUTSIDE[0])
            self._rebind = lambda: network.bind(nat, CLIENT, OUTSIDE[1])
        self.ports = network.ports
        return hosts[0], hosts[1]

    # -- what befalls them -------------------------------------------------------------------------------------------

    def _befall(self, event: Event) -> None:
        host = self.client if event.side == "client" else self.server
        if event.kind == "jump":
            host.jump(event.for_ns)
        elif event.kind == "rebind" and self._rebind is not None:
            self._rebind()
        elif event.kind == "restart":
            host.restart(self.seed)
            self.applications.forget(host)
        self.run.struck[event] += 1


def _line(road: Road) -> Line:
    queue: Callable[[], Queue] | None = None
    if road.queue == "droptail":
        queue = partial(DropTail, road.queue_bytes)
    elif road.queue:
        queue = partial(CoDel, road.queue_bytes, ecn=road.queue == "codel-ecn")
    return Line(rate_bps=road.rate_bps, delay_ns=road.delay_ns, queue=queue, mtu=road.mtu, impairment=road.impairment)


def run_scenario(scenario: Scenario, seed: int = 0, *, traced: bool = False) -> Run:
    """Play `scenario` with all the chance that `seed` gives. `traced` keeps what the engine says of itself."""
    return World(scenario, seed, traced=traced).play()
