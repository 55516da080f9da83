"""What the kernel makes of a handmade packet on the road through a link, said before it is sent.

    told = will_send(packet, link)
    told.bytes        what will appear on the wire
    told.changes      each field that is sent otherwise than given, and why
    told.refused      why it can't be sent at all: "EINVAL: ..."

Each rule here is held against the kernel by tests that send the packet (Linux 6.18). What routing says (no route, the
broadcast address of a network) and what a firewall does is not looked at; `notes` names what to reckon with.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, TypeAlias

from rawproto.link.base import Link, LinkWrapper
from rawproto.link.impair import ImpairedLink
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.wire.address import ip_text, pack_ip
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

__all__ = ["Change", "Changes", "will_send"]

Octets: TypeAlias = bytes
ETHERNET_HEADER = 14
ETHERNET_MINIMUM = 60
VLAN_TAG = 4
LOOPBACK_MTU = 65_536
"""Of `lo` unless somebody has changed it (drivers/net/loopback.c)."""
LARGEST_IPV4 = 0xFFFF
FRAGMENT_HEADER = 44
SUMMED = (6, 17)
"""TCP and UDP, whose checksums cover the addresses."""
DONT_FRAGMENT = 0x40
"""In the header's byte 6."""
NODE_LOCAL = 1
"""The scope of groups that never leave a host; 0 is treated like it (RFC 4291 §2.7)."""
ALL_HOSTS = frozenset({pack_ip("224.0.0.1"), pack_ip("ff02::1")})
"""The groups that every host is in."""


@dataclass(frozen=True, slots=True)
class Change:
    """One field that is not sent as it was given. `sent` is None where the kernel's choice can't be told beforehand."""

    layer: str
    field: str
    given: int | str
    sent: int | str | None
    why: str

    def __str__(self) -> str:
        sent = "what the kernel chooses" if self.sent is None else self._shown(self.sent)
        return f"{self.layer} {self.field}: {self._shown(self.given)} becomes {sent} ({self.why})"

    def _shown(self, value: int | str) -> str:
        return f"{value:#06x}" if self.field in ("id", "checksum") else str(value)


@dataclass(frozen=True, slots=True)
class Changes:
    """What becomes of one packet on one link."""

    bytes: Octets
    """What will appear, from the link's own first header on: Ethernet, IP, or the datagram in UDP.

    Empty if that is nothing, or not one packet.
    """
    changes: tuple[Change, ...] = ()
    refused: str = ""
    """Why the link's `send` will raise LinkError: the name of the errno, a colon, the reason. Empty if it won't."""
    errno: int = 0
    """The number of that error."""
    dropped: str = ""
    """Why nothing will appear although `send` succeeds. Empty if it will."""
    unknown: tuple[tuple[int, int], ...] = ()
    """Where (start, end) `bytes` can't be told beforehand; zeros stand there."""
    notes: tuple[str, ...] = ()
    """What may become of it further on, depending on the hardware, the host's settings or the receiver."""

    def matches(self, arrived: Octets) -> bool:
        """Whether `arrived` is what was foretold: equal where that is known, the IPv4 checksum right where it isn't."""
        masked = bytearray(arrived)
        for start, end in self.unknown:
            masked[start:end] = bytes(end - start)
        if masked != self.bytes:
            return False
        return not self.unknown or internet_checksum(arrived[: (arrived[0] & 15) * 4]) == 0

    def __str__(self) -> str:
        if self.refused:
            return f"refused: {self.refused}"
        lines = [f"dropped: {self.dropped}"] if self.dropped else [str(change) for change in self.changes]
        return "\n".join([*(lines or ["sent as it is"]), *(f"note: {note}" for note in self.notes)])


def will_send(packet: Packet | Header | Octets, link: Link) -> Changes:
    """Say what `link.send([bytes(packet)], ...)` will put on the wire; nothing is sent, nothing asked of the kernel.

    - `PacketLink`: nothing changes.
    - `RawIpLink`, IPv4: total length and header checksum are the kernel's, and an identification or source of zero.
    - `RawIpLink`, IPv6: nothing changes.
    - `UdpLink`: the packet is the payload, the headers before it are the kernel's.
    - Any other link, in memory or simulated: nothing changes. A wrapper passes the question on.
    """
    data = bytes(packet)
    notes = [*_strange_layers(packet, link)]
    oversize = "error"
    while isinstance(link, LinkWrapper):
        oversize = getattr(link, "oversize", oversize)  # a wrapper that sees to frames over the MTU
        if isinstance(link, ImpairedLink):
            notes.append("the impairment may lose, damage, double or delay it")
        link = link.inner
    if isinstance(link, RawIpLink):
        told = _through_ipv4(data, link) if ":" not in link.address else _through_ipv6(data, link)
    elif isinstance(link, UdpLink):
        told = _through_udp(data, link)
    else:
        told = _unchanged(data, link)
    if told.errno == errno.EMSGSIZE and oversize == "skip":
        told = Changes(b"", dropped="frames over the MTU are skipped")
    elif told.errno == errno.EMSGSIZE and oversize == "fragment":
        told = Changes(b"", notes=("over the MTU: sent as IP fragments, or refused if it may not be or is no IP",))
    return replace(told, notes=(*notes, *told.notes))


def _unchanged(data: Octets, link: Link) -> Changes:
    """AF_PACKET, and links in memory: the bytes as they are, if they fit."""
    if link.linktype is not LinkType.ETHERNET:
        return _too_long(data, link, link.mtu) or Changes(data)
    if isinstance(link, PacketLink) and len(data) < ETHERNET_HEADER:
        return _refuse(errno.EINVAL, f"{len(data)} bytes are shorter than an Ethernet header")
    tags = (b"\x81\x00",) if isinstance(link, PacketLink) else (b"\x81\x00", b"\x88\xa8")
    most = link.mtu + ETHERNET_HEADER + (VLAN_TAG if data[12:14] in tags else 0)
    notes = _notes_on_frame(data, link) if isinstance(link, PacketLink) else ()
    return _too_long(data, link, most) or Changes(data, notes=tuple(notes))


def _notes_on_frame(data: Octets, link: PacketLink) -> Iterator[str]:
    if link.interface == "lo":
        if any(data[:6]) and not data[0] & 1:
            yield "lo: the kernel's own protocols take no frame whose destination MAC is not zero or a group"
        if data[12:14] == b"\x08\x00":
            yield (
                "lo: the kernel's own IPv4 drops what comes from or goes to 127.0.0.0/8 unless lo has both "
                "route_localnet and accept_local, and what comes from an address of its own without accept_local"
            )
        return
    if len(data) < ETHERNET_MINIMUM:
        yield f"a real card pads {len(data)} bytes with zeros to {ETHERNET_MINIMUM}; veth and tap do not"
    if data[12:14] == b"\x81\x00":
        yield "a Linux receiver takes the VLAN tag off and tells it apart (PACKET_AUXDATA)"


def _through_ipv4(data: Octets, link: RawIpLink) -> Changes:
    """SOCK_RAW with IP_HDRINCL: net/ipv4/raw.c, raw_send_hdrinc."""
    if refused := _refused_ipv4(data, link):
        return refused
    if data[16:20] in ALL_HOSTS and not data[8]:
        return Changes(b"", dropped="with a ttl of 0 it does not leave the host", notes=_notes_on_ip(data, 4))
    return _rewrite_ipv4(data, link.address)


def _refused_ipv4(data: Octets, link: RawIpLink) -> Changes | None:
    """Why it can't be sent, in the order in which link and kernel look."""
    if len(data) < 20 or data[0] >> 4 != 4:
        return _no_packet(data, 4)
    words, target = data[0] & 15, data[16:20]
    if len(data) > LARGEST_IPV4:
        return _refuse(errno.EMSGSIZE, f"{len(data)} bytes are more than an IPv4 packet can have, {LARGEST_IPV4}")
    if target == b"\xff\xff\xff\xff":
        return _refuse(errno.EACCES, "the socket is not allowed to broadcast")
    if too_long := _too_long(data, link, _mtu_to(target, link)):
        return too_long
    if words < 5 or words * 4 > len(data):
        limit = "below 5" if words < 5 else f"a header of {words * 4} bytes, and there are {len(data)}"
        return _refuse(errno.EINVAL, f"ihl is {words}, {limit}")
    return None


class Rewritten(NamedTuple):
    """A field that the kernel writes: where, and what, None if that can't be told."""

    field: str
    start: int
    end: int
    value: Octets | None
    why: str

    def change(self, given: Octets) -> Change | None:
        """The change to the packet `given`, None if it has that value already."""
        old = given[self.start : self.end]
        if old == self.value:
            return None
        sent = None if self.value is None else _readable(self.value)
        return Change("IPv4", self.field, _readable(old), sent, self.why)


def _rewrite_ipv4(data: Octets, own: str) -> Changes:
    """What the kernel makes of a packet with a sound header, sent from a socket bound to `own`."""
    fields = [Rewritten("total_length", 2, 4, len(data).to_bytes(2), "the kernel always writes it")]
    if data[4:6] == b"\0\0" and not data[6] & DONT_FRAGMENT:
        fields.append(Rewritten("id", 4, 6, None, "the kernel numbers what has no number and may be fragmented"))
    if not any(data[12:16]):
        source = pack_ip(own)
        fields.append(Rewritten("src", 12, 16, source if any(source) else None, "the kernel fills in a missing source"))
    sent = bytearray(data)
    sent[10:12] = b"\0\0"
    for field in fields:
        sent[field.start : field.end] = field.value or bytes(field.end - field.start)
    unknown = tuple((field.start, field.end) for field in fields if field.value is None)
    checksum = internet_checksum(bytes(sent[: (data[0] & 15) * 4])).to_bytes(2)
    if unknown:
        unknown += ((10, 12),)
    else:
        sent[10:12] = checksum
    fields.append(Rewritten("checksum", 10, 12, None if unknown else checksum, "the kernel always writes it"))
    changes = tuple(change for field in fields if (change := field.change(data)))
    return Changes(bytes(sent), changes, unknown=unknown, notes=_notes_on_ip(data, 4))


def _readable(octets: Octets) -> int | str:
    return ip_text(octets) if len(octets) == 4 else int.from_bytes(octets)


def _through_ipv6(data: Octets, link: RawIpLink) -> Changes:
    """SOCK_RAW of IPPROTO_RAW: net/ipv6/raw.c, rawv6_send_hdrinc."""
    if len(data) < 40 or data[0] >> 4 != 6:
        return _no_packet(data, 6)
    target = data[24:40]
    if too_long := _too_long(data, link, _mtu_to(target, link)):
        return too_long
    notes = _notes_on_ip(data, 6)
    if target[0] == 0xFF and target[1] & 15 <= NODE_LOCAL:
        return Changes(b"", dropped="a group of node-local scope does not leave the host", notes=notes)
    if target in ALL_HOSTS and not data[7]:
        return Changes(b"", dropped="with a hop limit of 0 it does not leave the host", notes=notes)
    return Changes(data, notes=notes)


def _through_udp(data: Octets, link: UdpLink) -> Changes:
    note = "the UDP and IP headers before it are the kernel's: don't-fragment, and TTL and identification as it likes"
    return _too_long(data, link, link.mtu) or Changes(data, notes=(note,))


def _no_packet(data: Octets, version: int) -> Changes:
    least = 20 if version == 4 else 40
    if len(data) < least:
        return _refuse(errno.EINVAL, f"{len(data)} bytes are shorter than an IPv{version} header, {least}")
    return _refuse(errno.EINVAL, f"the IP version is {data[0] >> 4}, the link takes {version}")


def _mtu_to(target: Octets, link: RawIpLink) -> int:
    """The most bytes to `target`; what is for this host itself goes over `lo`."""
    own = not any(target) or target == pack_ip(link.address)
    if own or (len(target) == 4 and target[0] == 127) or target == pack_ip("::1"):
        return LOOPBACK_MTU
    return link.mtu


def _notes_on_ip(data: Octets, version: int) -> tuple[str, ...]:
    notes = []
    target = data[16:20] if version == 4 else data[24:40]
    group = target[0] & 0xF0 == 0xE0 if version == 4 else target[0] == 0xFF
    hops, name = (data[8], "ttl") if version == 4 else (data[7], "hop limit")
    if group and not hops:
        notes.append(f"with a {name} of 0 it does not leave the host if this host is in the group")
    source = data[12:16] if version == 4 else data[8:24]
    protocol = data[9] if version == 4 else data[6]
    if not any(source) and protocol in SUMMED:
        told = "the kernel puts another in its place, which the checksum above does not cover"
        told = told if version == 4 else "the kernel leaves it so"
        notes.append(f"the source is unspecified, and {told}: give the address that it is to come from")
    if version == 6 and data[6] == FRAGMENT_HEADER:
        notes.append(
            "where the host tracks connections (NAT, a stateful firewall) fragments are held until all are there"
        )
    return tuple(notes)


def _strange_layers(packet: Packet | Header | Octets, link: Link) -> Iterator[str]:
    """Say so if the packet's first header is not one that the link's frames begin with."""
    layers = packet.layers if isinstance(packet, Packet) else (packet,)
    first = layers[0] if layers else None
    if link.linktype is LinkType.USER0:
        if isinstance(first, (Ethernet, IPv4, IPv6, UDP)):
            yield f"the {type(first).__name__} header becomes payload: behind it the receiver sees no header of ours"
    elif link.linktype is LinkType.ETHERNET and isinstance(first, Header) and not isinstance(first, Ethernet):
        yield f"the link takes Ethernet frames, and this begins with {type(first).__name__}"


def _too_long(data: Octets, link: Link, most: int) -> Changes | None:
    if len(data) <= most:
        return None
    where = f" on {link.interface}" if link.interface else ""
    return _refuse(errno.EMSGSIZE, f"{len(data)} bytes are more than fit{where}, {most}, and nothing is fragmented")


def _refuse(number: int, why: str) -> Changes:
    return Changes(b"", refused=f"{errno.errorcode[number]}: {why}", errno=number)
