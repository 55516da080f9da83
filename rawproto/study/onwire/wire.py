"""A real wire for a scenario: two namespaces, a veth between them, a real host at each end, and the road in between.

What a simulated road does with virtual time, `ImpairedLink` does here with real time: this kernel's own network
emulation is not needed. It is done on the way out, per host, and to datagrams alone: a question for a MAC address
does not take the road. Each end of it answers such questions for all addresses but those of the hosts (proxy ARP,
RFC 1027), as a router would that knows the way to everybody; what is then sent to nobody arrives at the other host.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from rawproto.errors import ConfigError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.chance import derive_rng
from rawproto.link.forgery import rdt_offset
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.neighbor import Neighbors
from rawproto.link.netns import Lab
from rawproto.link.packet import PacketLink
from rawproto.link.script import ScriptedLink, WireLog
from rawproto.sim.scenario import Road, Scenario
from rawproto.sim.world import CLIENT, SERVER
from rawproto.sockets.driver import wall_clock
from rawproto.sockets.host import Host
from rawproto.transport.checksums import make_checksum
from rawproto.transport.trace import Trace
from rawproto.wire.address import pack_ip, pack_mac
from rawproto.wire.frame import Frame
from rawproto.wire.rdt_format import datagram_crc

__all__ = ["ADDRESSES", "RealRoad", "Stopwatch", "Wire"]

ADDRESSES: Mapping[bool, Mapping[str, str]] = {
    False: {"client": CLIENT, "server": SERVER},
    True: {"client": "fd00::1", "server": "fd00:1::1"},
}
"""By whether it is IPv6. The kernel owns neither, so that it answers nothing."""
MACS = {"client": "02:00:00:00:01:01", "server": "02:00:00:00:01:02"}
ARP_TYPE, ICMPV6, SOLICITATION = b"\x08\x06", b"\x3a", b"\x87"
RING_BYTES = 1 << 20


class Stopwatch:
    """The time of a run, in ns: 0 until it is started. Both hosts go by the same one."""

    def __init__(self) -> None:
        self._began_ns = -1

    def start(self) -> None:
        """From now on time passes."""
        self._began_ns = wall_clock()

    def __call__(self) -> int:
        """The time since then."""
        return 0 if self._began_ns < 0 else wall_clock() - self._began_ns


class RealRoad(LinkWrapper):
    """Lets what a host sends take `road`: a rate and a queue, then the delay, then the faults, as in the simulator.

    `address` and `mac` are the host's own, `name` that of the direction.
    """

    def __init__(self, inner: Link, road: Road, seed: int, name: str, address: str, mac: str) -> None:
        super().__init__(inner)
        limit = road.queue_bytes if road.queue else None
        way = Impairment(rate_bps=road.rate_bps, queue_bytes=limit, delay_ns=road.delay_ns)
        rng_for = partial(derive_rng, seed, name)
        self.faulty = ImpairedLink(inner, road.impairment, rng_for)
        self.way = ImpairedLink(self.faulty, way, rng_for)
        self._ip, self._mac = pack_ip(address), pack_mac(mac)

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Datagrams take the road, all else goes at once."""
        for frame in frames:
            taken = self.way if rdt_offset(frame, self.linktype) >= 0 else self.inner
            taken.send([frame], now, peer)

    def receive(self, now: int) -> list[Frame]:
        """What has come; questions for the MAC address of somebody who is not here are answered."""
        frames = self.inner.receive(now)
        for frame in frames:
            asked = _asked_for(frame.data)
            if asked not in (b"", self._ip):
                stranger = Neighbors(asked, self._mac)
                (stranger.receive_arp if len(asked) == 4 else stranger.receive_icmpv6)(frame.data, now)
                self.inner.send(stranger.outbox, now)
        return frames

    def next_timeout(self) -> int | None:
        """When a frame has come to the end of the road."""
        return self.way.next_timeout()

    def handle_timeout(self, now: int) -> None:
        """Pass on what has."""
        self.way.handle_timeout(now)

    def close(self) -> None:
        """Forget what is on the road."""
        self.way.close()

    @property
    def fired(self) -> Mapping[str, int]:
        """How often each fault of the road struck."""
        return {**self.way.fired, **self.faulty.fired}


def _asked_for(frame: bytes) -> bytes:
    """The packed address that `frame` asks the MAC address of (RFC 826, RFC 4861 §4.3); b"" if it asks for none."""
    if frame[12:14] == ARP_TYPE and frame[20:22] == b"\0\1":
        return frame[38:42]
    solicits = frame[12:14] == b"\x86\xdd" and frame[20:21] == ICMPV6 and frame[54:55] == SOLICITATION
    return frame[62:78] if solicits else b""


@dataclass(slots=True)
class End:
    """One end of the wire."""

    host: Host
    script: ScriptedLink
    road: RealRoad
    trace: Trace | None

    @property
    def waiting(self) -> bool:
        """Something is still held back on the way out."""
        with self.host.driver.lock:
            return self.script.next_timeout() is not None


class Wire:
    """Both hosts of a scenario, one that `why_not` has nothing against, on the wire of `lab`.

    A `with` statement closes them. Raises ConfigError for a wire of another MTU, PrivilegeError and LinkError.
    """

    def __init__(self, lab: Lab, scenario: Scenario, seed: int, *, ipv6: bool = False, traced: bool = False) -> None:
        self.scenario, self.seed = scenario, seed
        self.clock = Stopwatch()
        self.log = WireLog()
        self.addresses = ADDRESSES[ipv6]
        self.ends: dict[str, End] = {}
        try:
            for side, namespace in (("client", lab.left), ("server", lab.right)):
                with namespace.entered():
                    link = PacketLink(lab.interface, ring_size=RING_BYTES)
                self.ends[side] = self._end(side, link, traced)
        except BaseException:
            self.close()
            raise

    def _end(self, side: str, link: PacketLink, traced: bool) -> End:
        scenario, seed, config = self.scenario, self.seed, self.scenario.config()
        try:
            if link.mtu != scenario.road.mtu:
                needed = f"{scenario.name} needs {scenario.road.mtu}"
                raise ConfigError(f"the MTU of {link.interface} is {link.mtu}; {needed}")
            checksum = make_checksum(config.checksum)
            other = "server" if side == "client" else "client"
            road = RealRoad(link, scenario.road, seed, f"{side}->{other}", self.addresses[side], MACS[side])
            seal = datagram_crc if checksum is None else checksum.compute
            script = ScriptedLink(road, side, scenario.events, self.log, seal=seal, bits=config.sequence_bits)
            trace = Trace() if traced else None
            host = Host(
                script,
                self.addresses[side],
                mac=MACS[side],
                name=side,
                config=config,
                seed=seed,
                trace=trace,
                clock=self.clock,
            )
        except BaseException:
            link.close()
            raise
        return End(host, script, road, trace)

    @property
    def waiting(self) -> bool:
        """Something that was sent, or forged, has not left yet."""
        return any(end.waiting for end in self.ends.values())

    def close(self) -> None:
        """Close both hosts. They fall silent."""
        for end in self.ends.values():
            end.host.close(linger=0)

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
