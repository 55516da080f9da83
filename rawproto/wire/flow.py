"""Which flow a packet belongs to: protocol, addresses and ports, as a value to group and sort by.

    key = FlowKey.of(packet)                  # None for what belongs to no flow
    flows[key.canonical()].append(packet)     # both directions under one key
    str(key)                                  # "10.0.0.1:80 > 10.0.0.2:1234 tcp"

Nothing is followed here: a key says nothing about connections that use the same ports one after another.
"""

from __future__ import annotations

from typing import NamedTuple

from rawproto.errors import WireError
from rawproto.wire.address import AddressLike, ip_text, pack_ip
from rawproto.wire.ethernet import VLAN
from rawproto.wire.packet import Packet
from rawproto.wire.rdt import RDT
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["FlowKey"]

PROTOCOLS = {TCP: "tcp", UDP: "udp", RDT: "rdt"}


class FlowKey(NamedTuple):
    """One direction of a flow. Equal, hashed and ordered as the tuple that it is: by protocol, then addresses."""

    protocol: str
    """ "tcp", "udp" or "rdt"."""
    src: bytes
    """Packed, 4 or 16 bytes; empty if there is no IP header (RDT in a simulation or in AF_UNIX datagrams)."""
    sport: int
    dst: bytes
    dport: int
    udp_ports: tuple[int, ...] = ()
    """For RDT in UDP: UDP's source and destination port."""
    vlan: tuple[int, ...] = ()
    """The VLAN identifiers, outermost first, if they were asked for."""

    @classmethod
    def of(cls, packet: Packet, *, vlan: bool = False) -> FlowKey | None:
        """The key of a packet, in its own direction; None without TCP, UDP or RDT, and for fragments after the first.

        Of tunnels it is the innermost flow, of RDT in UDP it is RDT's. What an ICMP error quotes does not count. With
        `vlan`, the same ports under other VLAN tags are another flow.
        """
        found: FlowKey | None = None
        src = dst = b""
        tags: tuple[int, ...] = ()
        for header in packet.layers:
            if header.has_pseudo_header:
                src, dst = header.raw("src"), header.raw("dst")
                found = None
            if header.may_fragment and getattr(header, "fragment_offset", False):
                return None
            protocol = PROTOCOLS.get(type(header))
            if protocol is not None:
                carrier: tuple[int, ...] = ()
                if protocol == "rdt" and found is not None and found.protocol == "udp":
                    carrier = (found.sport, found.dport)
                found = cls(protocol, src, header.raw("sport"), dst, header.raw("dport"), carrier, tags)
            elif vlan and isinstance(header, VLAN):
                tags = (*tags, header.vid)
        return found

    @classmethod
    def make(
        cls,
        protocol: str,
        src: AddressLike,
        sport: int,
        dst: AddressLike,
        dport: int,
        *,
        udp_ports: tuple[int, ...] = (),
        vlan: tuple[int, ...] = (),
    ) -> FlowKey:
        """A key by hand; addresses as text, bytes, or objects of `ipaddress` and `netaddr`. Raises WireError."""
        if protocol not in PROTOCOLS.values():
            raise WireError(f"flow: protocol {protocol!r} is none of {', '.join(PROTOCOLS.values())}")
        ends = pack_ip(src), pack_ip(dst)
        if len(ends[0]) != len(ends[1]):
            raise WireError(f"flow: {ip_text(ends[0])} and {ip_text(ends[1])} are not of one IP version")
        if udp_ports and (protocol != "rdt" or len(udp_ports) != 2):
            raise WireError(f"flow: udp_ports {udp_ports} are two ports, and RDT's alone")
        for port in (sport, dport, *udp_ports):
            if not isinstance(port, int) or not 0 <= port <= 0xFFFF:
                raise WireError(f"flow: port {port!r} is not in 0..65535")
        return cls(protocol, ends[0], sport, ends[1], dport, tuple(udp_ports), tuple(vlan))

    def reversed(self) -> FlowKey:
        """The other direction."""
        return self._replace(
            src=self.dst, sport=self.dport, dst=self.src, dport=self.sport, udp_ports=self.udp_ports[::-1]
        )

    def canonical(self) -> FlowKey:
        """The same key for both directions: the one that sorts first."""
        return min(self, self.reversed())

    def __str__(self) -> str:
        under = " over udp {} > {}".format(*self.udp_ports) if self.udp_ports else ""
        tags = f" vlan {'.'.join(map(str, self.vlan))}" if self.vlan else ""
        return f"{_end(self.src, self.sport)} > {_end(self.dst, self.dport)} {self.protocol}{under}{tags}"


def _end(address: bytes, port: int) -> str:
    if not address:
        return f":{port}"
    return f"[{ip_text(address)}]:{port}" if len(address) == 16 else f"{ip_text(address)}:{port}"
