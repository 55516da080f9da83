"""Networks of hosts and routers in virtual time, joined by point-to-point links: any graph, a dumbbell, a chain.

Links carry bare IP packets: no Ethernet, no ARP. All chance comes from the seed, for each direction of each link and
each fault by name. Packets take the way with the fewest hops; nothing is routed anew when a link fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import TypedDict, Unpack

from rawproto.capture.journal import JournalWriter
from rawproto.capture.recording import Setup
from rawproto.errors import ConfigError
from rawproto.link.base import Link
from rawproto.link.carrier import DatagramCarrier, IpCarrier
from rawproto.link.chance import derive_rng
from rawproto.link.impairment import Impairment
from rawproto.link.queue import Queue
from rawproto.link.tap import RecordingLink
from rawproto.sim.lan import Sink
from rawproto.sim.nat import Nat
from rawproto.sim.network import Host, Simulation
from rawproto.sim.pointlink import PointLink
from rawproto.sim.port import Deliver, Line, Port
from rawproto.sim.router import Router
from rawproto.sim.udplink import UdpLink, endpoint_text, pack_endpoint, split
from rawproto.transport.config import Config
from rawproto.transport.endpoint import Endpoint
from rawproto.transport.stack import Stack
from rawproto.transport.trace import Trace
from rawproto.wire.address import ip_text
from rawproto.wire.frame import LinkType

__all__ = ["Chain", "Dumbbell", "Network", "chain", "dumbbell"]


def _as_it_is(link: Link) -> Link:
    return link


class HostOptions(TypedDict, total=False):
    """What else `Network.host` takes."""

    line: Line | None
    back: Line | None
    config: Config | None
    recording: Sink | None
    trace: Trace | None
    wrap: Callable[[Link], Link]


class Network:
    """Hosts, routers and translators. A link is made with a `Line` for each of its directions."""

    def __init__(self, seed: int, *, simulation: Simulation | None = None) -> None:
        self.seed = seed
        self.simulation = Simulation() if simulation is None else simulation
        self.routers: dict[str, Router] = {}
        self.ports: dict[str, Port] = {}
        """Each direction of each link by the names of its ends: `ports["client->r1"]`."""
        self._neighbors: dict[str, list[str]] = {}
        self._outer: dict[str, str] = {}
        """The router outside of each translator."""
        self._homes: dict[str, str] = {}
        """The router of each host and of each outside address of a translator, by address."""
        self._attached: dict[str, str] = {}
        """The host with each address."""

    # -- what it is made of ------------------------------------------------------------------------------------------

    def router(self, name: str) -> Router:
        """Add a router. Raises ConfigError if the name is taken."""
        self._add(router := Router(name))
        return router

    def nat(self, name: str, outer: Router, *, line: Line | None = None, back: Line | None = None) -> Nat:
        """Add a translator with a link to `outer`; hosts are then put behind it as on any router."""
        self._add(nat := Nat(name))
        self.join(nat, outer, line, back=back)
        nat.default = self.ports[f"{name}->{outer.name}"]
        self._outer[name] = outer.name
        self._route()
        return nat

    def join(self, one: Router, other: Router, line: Line | None = None, *, back: Line | None = None) -> None:
        """Make a link: `line` is the way from `one` to `other`, `back` the other way, the same if it is left out."""
        line = Line() if line is None else line
        self._port(one.name, other.name, line, other.receive)
        self._port(other.name, one.name, line if back is None else back, one.receive)
        self._neighbors[one.name].append(other.name)
        self._neighbors[other.name].append(one.name)
        self._route()

    def host(
        self,
        name: str,
        address: str,
        router: Router,
        *,
        line: Line | None = None,
        back: Line | None = None,
        config: Config | None = None,
        recording: Sink | None = None,
        trace: Trace | None = None,
        wrap: Callable[[Link], Link] = _as_it_is,
    ) -> Host:
        """Put a host on the network; `line` is its way to `router`, `back` the other way, the same if it is left out.

        `address` is an IP address for RDT in IP, or one with a UDP port ("10.0.0.1:4000") for RDT in UDP. `recording`
        gets all its frames and the calls of its applications. `wrap` may put a link around the host's own.
        """
        config = Config() if config is None else config
        line = Line() if line is None else line
        wire = PointLink(name, line.mtu)
        link, address = _link(wire, address)
        link = wrap(link)
        if recording is not None:
            link = RecordingLink(link, recording.write)
        in_ip = link.linktype is LinkType.RAW
        carrier = IpCarrier(link, address) if in_ip else DatagramCarrier(link, address)
        wire.port = self._port(name, router.name, line, router.receive)
        self._port(router.name, name, line if back is None else back, wire.deliver)
        self._place(carrier.address, router, name)
        endpoint = Endpoint(config, derive_rng(self.seed, name, "endpoint"), carrier.datagram_size, trace)
        journal = None if recording is None else JournalWriter(recording)
        return self.simulation.add(name, Stack(carrier, endpoint, journal), wire)

    def setup(self, name: str, address: str, config: Config, line: Line | None = None) -> Setup:
        """What a recording of the host that will be put on the network with these must say of it, to be replayed."""
        link, address = _link(PointLink(name, (Line() if line is None else line).mtu), address)
        return Setup(name, address, "", link.mtu, link.linktype, self.seed, asdict(config))

    # -- what happens to it ------------------------------------------------------------------------------------------

    def bind(self, nat: Nat, inside: str, outside: str) -> None:
        """Let `inside` be seen as `outside` (`Nat.bind`), and bring packets for the latter to `nat`."""
        nat.bind(inside, outside)
        self._place(outside, nat)

    def blackhole(
        self, one: str, other: str, start_ns: int, end_ns: int, period_ns: int | None = None, *, both: bool = True
    ) -> None:
        """Let nothing into the link from `one` to `other`, nor back if `both`: `Port.blackhole`."""
        for name in (f"{one}->{other}", f"{other}->{one}")[: 2 if both else 1]:
            self._named(name).blackhole(start_ns, end_ns, period_ns)

    def _named(self, name: str) -> Port:
        if name not in self.ports:
            raise ConfigError(f"there is no link {name!r}; there are: {', '.join(self.ports) or 'none'}")
        return self.ports[name]

    # -- ways --------------------------------------------------------------------------------------------------------

    def _add(self, router: Router) -> None:
        if router.name in self.routers:
            raise ConfigError(f"there is a router named {router.name!r} already: choose another name")
        self.routers[router.name] = router
        self._neighbors[router.name] = []

    def _port(self, source: str, target: str, line: Line, deliver: Deliver) -> Port:
        name = f"{source}->{target}"
        if name in self.ports:
            raise ConfigError(f"there is a link {name!r} already: choose another name")
        port = self.ports[name] = Port(self.simulation, name, line, deliver, partial(derive_rng, self.seed, name))
        return port

    def _place(self, address: str, router: Router, host: str = "") -> None:
        """Let packets for `address` come to `router`, which has it on `host` or is a translator."""
        ip = ip_text(split(pack_endpoint(address))[0])
        if host and ip in self._homes:
            raise ConfigError(f"{ip} is in use already: give {host} another address")
        self._homes[ip] = router.name
        if host:
            self._attached[ip] = host
        self._route()

    def _route(self) -> None:
        """Tell every router the way to every address. Hosts behind a translator are known behind it only."""
        for name, router in self.routers.items():
            ways, shut = self._ways(name)
            for address, home in self._homes.items():
                host = self._attached.get(address)
                if home == name:
                    if host is not None:
                        router.route(address, self.ports[f"{name}->{host}"])
                elif home in ways and (host is None or home not in shut):
                    router.route(address, self.ports[f"{name}->{ways[home]}"])

    def _ways(self, start: str) -> tuple[dict[str, str], set[str]]:
        """The next router on the way from `start` to each other one, and the translators that are met from outside.

        Breadth first, links in the order in which they were made.
        """
        ways, shut = {start: ""}, set()
        reached = [start]
        for here in reached:
            for there in self._neighbors[here]:
                if there in ways:
                    continue
                ways[there] = ways[here] or there
                if self._outer.get(there) == here:
                    shut.add(there)
                else:
                    reached.append(there)
        return ways, shut


def _link(wire: PointLink, address: str) -> tuple[Link, str]:
    """The link of a host with `address`, in UDP if that has a port, and the one way in which the address is written."""
    packed = pack_endpoint(address)
    if not split(packed)[1]:
        return wire, endpoint_text(packed)
    udp = UdpLink(wire, address)
    return udp, udp.address


class Dumbbell(Network):
    """Clients on a router on the left, servers on one on the right, and the bottleneck between the two.

    `line` is the bottleneck from left to right, `back` the other way: the same without its queue and rate if it is left
    out, so that acknowledgements don't wait.
    """

    def __init__(
        self, seed: int, line: Line, *, back: Line | None = None, simulation: Simulation | None = None
    ) -> None:
        super().__init__(seed, simulation=simulation)
        self.left, self.right = self.router("left"), self.router("right")
        back = replace(line, rate_bps=None, queue=None) if back is None else back
        self.join(self.left, self.right, line, back=back)
        self.clients: list[Host] = []
        self.servers: list[Host] = []

    @property
    def bottleneck(self) -> Port:
        """The port that all clients share."""
        return self.ports["left->right"]

    @property
    def way_back(self) -> Port:
        """The port that all servers share."""
        return self.ports["right->left"]

    def client(self, name: str, address: str, **options: Unpack[HostOptions]) -> Host:
        """Put a host on the left, as `Network.host` does."""
        self.clients.append(host := self.host(name, address, self.left, **options))
        return host

    def server(self, name: str, address: str, **options: Unpack[HostOptions]) -> Host:
        """Put a host on the right."""
        self.servers.append(host := self.host(name, address, self.right, **options))
        return host


class Chain(Network):
    """Routers "r0", "r1", ... in a row, one link more than `lines`' first to last; hosts are put on any of them."""

    def __init__(
        self,
        seed: int,
        lines: Sequence[Line],
        *,
        backs: Sequence[Line] | None = None,
        simulation: Simulation | None = None,
    ) -> None:
        super().__init__(seed, simulation=simulation)
        self.row = [self.router(f"r{number}") for number in range(len(lines) + 1)]
        for number, (line, back) in enumerate(zip(lines, lines if backs is None else backs, strict=True)):
            self.join(self.row[number], self.row[number + 1], line, back=back)

    def client(self, name: str, address: str, **options: Unpack[HostOptions]) -> Host:
        """Put a host on the first router, as `Network.host` does."""
        return self.host(name, address, self.row[0], **options)

    def server(self, name: str, address: str, **options: Unpack[HostOptions]) -> Host:
        """Put a host on the last router."""
        return self.host(name, address, self.row[-1], **options)


def dumbbell(
    seed: int,
    pairs: int,
    *,
    rate_bps: int,
    delay_ns: int,
    queue: Callable[[], Queue] | None = None,
    access_ns: Sequence[int] = (),
    mtu: int = 1500,
    impairment: Impairment = Impairment.none,
    configs: Sequence[Config] = (),
    traces: Sequence[Trace] = (),
    moderation_ns: int = 0,
) -> Dumbbell:
    """A dumbbell with `pairs` clients ("client0" 10.0.0.1, ...) and as many servers ("server0" 10.1.0.1, ...).

    `access_ns` is the delay of each client's own link, each way; `configs` are those of each pair, `traces` those of
    the clients; what is left out is none. `impairment` strikes behind the bottleneck. `moderation_ns`: see `Line`.
    """
    for name, given in (("access_ns", access_ns), ("configs", configs), ("traces", traces)):
        if given and len(given) != pairs:
            raise ConfigError(f"{name} has {len(given)} entries for {pairs} pairs: give one for each, or none")
    shared = Line(rate_bps=rate_bps, delay_ns=delay_ns, queue=queue, mtu=mtu, impairment=impairment)
    back = Line(delay_ns=delay_ns, mtu=mtu)
    network = Dumbbell(seed, shared, back=back)
    for number in range(pairs):
        up = Line(delay_ns=access_ns[number] if access_ns else 0, mtu=mtu)
        down = replace(up, moderation_ns=moderation_ns)
        config = configs[number] if configs else None
        trace = traces[number] if traces else None
        last = f"{number // 250}.{number % 250 + 1}"
        network.client(f"client{number}", f"10.0.{last}", line=up, back=down, config=config, trace=trace)
        far, near = Line(mtu=mtu), Line(mtu=mtu, moderation_ns=moderation_ns)
        network.server(f"server{number}", f"10.1.{last}", line=far, back=near, config=config)
    return network


def chain(seed: int, *lines: Line, backs: Sequence[Line] | None = None) -> Chain:
    """Routers in a row, with `lines` between them; `backs` are the other ways, the same if they are left out."""
    return Chain(seed, lines, backs=backs)
