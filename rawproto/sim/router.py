"""A router in virtual time: forwards IP packets by destination, and says nothing itself.

It takes no time and queues nothing: time passes in its ports (rawproto.sim.port). It sends no ICMP: a transport that
depends on being told would work here and fail on networks that drop ICMP, of which there are many.
"""

from __future__ import annotations

from collections import Counter

from rawproto.link.rewrite import next_hop
from rawproto.sim.port import Port
from rawproto.wire.address import pack_ip
from rawproto.wire.checksum import internet_checksum

__all__ = ["Router"]

KNOWN_HEADERS = 1024
"""How many headers are remembered with what becomes of them."""
IPV4_HEADER = 20
IPV6_HEADER = 40

Way = tuple[Port, bytes]
"""What becomes of a packet: the port it leaves by, and the beginning that it leaves with."""


class Router:
    """Forwards what `receive` is given. Drops are counted in `dropped`: "malformed", "checksum", "ttl", "no route"."""

    ipv4_looks_at = IPV4_HEADER
    """How much of an IPv4 packet decides what becomes of it."""
    ipv6_looks_at = IPV6_HEADER

    def __init__(self, name: str) -> None:
        self.name = name
        self.dropped: Counter[str] = Counter()
        self.default: Port | None = None
        """Where packets leave whose destination has no route; None to drop them."""
        self._routes: dict[bytes, Port] = {}
        self._known: dict[bytes, Way] = {}

    def route(self, address: str, port: Port) -> None:
        """Send packets for `address` out of `port`. Raises WireError for what is no IP address."""
        self._routes[pack_ip(address)] = port
        self._known.clear()

    def receive(self, frames: list[bytes], now: int) -> None:
        """Forward `frames`; those for one port in a row leave together."""
        known, ipv4, ipv6 = self._known, self.ipv4_looks_at, self.ipv6_looks_at
        leaving: Port | None = None
        batch: list[bytes] = []
        for frame in frames:
            size = ipv4 if frame[:1] < b"\x50" else ipv6
            header = frame[:size]
            way = known.get(header)
            if way is None:
                way = self._examine(header)
                if way is None:
                    continue
            port, changed = way
            if port is not leaving:
                if leaving is not None:
                    leaving.send(batch, now)
                leaving, batch = port, []
            batch.append(changed + frame[size:])
        if leaving is not None:
            leaving.send(batch, now)

    def _examine(self, header: bytes) -> Way | None:
        """What becomes of packets that begin with `header`; None if they go no further, counted."""
        way = self._way(header)
        if isinstance(way, str):
            self.dropped[way] += 1
            return None
        if len(self._known) >= KNOWN_HEADERS:
            self._known.clear()
        self._known[header] = way
        return way

    def _way(self, header: bytes) -> Way | str:
        fault = fault_of(header)
        if fault:
            return fault
        changed = self.translate(header)
        if isinstance(changed, str):
            return changed
        passed_on = next_hop(changed)
        if passed_on is None:
            return "ttl"
        port = self._routes.get(destination(changed), self.default)
        return "no route" if port is None else (port, passed_on)

    def translate(self, header: bytes) -> bytes | str:
        """Change addresses on the way, or give the reason to drop; routers leave them alone."""
        return header


def destination(header: bytes) -> bytes:
    """The packed destination address of a packet."""
    return header[16:20] if header[0] >> 4 == 4 else header[24:40]


def fault_of(header: bytes) -> str:
    """Why a router must drop a packet that begins so (RFC 1812 §5.2.2), or "" if it need not."""
    version = header[0] >> 4 if header else 0
    if version == 4 and len(header) >= IPV4_HEADER and header[0] & 15 == 5:
        return "checksum" if internet_checksum(header[:IPV4_HEADER]) else ""
    return "" if version == 6 and len(header) >= IPV6_HEADER else "malformed"
