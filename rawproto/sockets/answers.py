"""Which probe a packet answers: echo requests, UDP datagrams and TCP SYNs, and the ICMP errors about them. Pure.

An answer names its probe in one of two ways. A reply has the probe's numbers turned around (id and sequence number,
ports, acknowledgement). An ICMP error quotes the probe's IP header and at least the 8 bytes behind it (RFC 792 p4):
that is where ports, TCP's sequence number, UDP's checksum and an echo's id and number lie, so no more is looked at.
Both give the same `Key` as the probe itself.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from rawproto.wire.icmp import ICMP, ICMPEcho, ICMPError, ICMPv6, ICMPv6Echo, PacketTooBig
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.tcp import TCP, TCPFlags
from rawproto.wire.udp import UDP

__all__ = ["Answer", "Key", "Refusal", "answer_of", "key_of"]

_ICMP, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
_ECHO_REQUESTS = {(_ICMP, 8), (_ICMPV6, 128)}
_QUOTED = struct.Struct("!HHHH")
_NAMED_BY_CODE = {(4, 3), (4, 11), (6, 1), (6, 3)}
"""Errors whose code says it all: "host unreachable"."""

_MARKS = {
    4: {0: "!N", 1: "!H", 2: "!P", 4: "!F", 5: "!S", 9: "!X", 10: "!X", 13: "!X", 14: "!V", 15: "!C"},
    6: {0: "!N", 1: "!X", 2: "!S", 3: "!H", 5: "!X", 6: "!X"},
}
"""How traceroutes print the codes of "destination unreachable", by IP version; others as "!3"."""


class Key(NamedTuple):
    """What tells one probe from all others.

    `protocol` is IP's number, `target` the address that the probe went to, `local` the ICMP id or source port,
    `remote` the destination port (0 for ICMP), `number` the echo's sequence number, TCP's, or UDP's checksum; -1 where
    an answer does not say it (a UDP reply).
    """

    protocol: int
    target: str
    local: int
    remote: int
    number: int


class Refusal(NamedTuple):
    """An ICMP or ICMPv6 error, or a redirect: its numbers, what they are called, and the MTU that it tells (or 0)."""

    version: int
    type: int
    code: int
    text: str
    mtu: int = 0

    @property
    def expired(self) -> bool:
        """The packet's hops ran out on the way: what a traceroute waits for."""
        return self[:3] in ((4, 11, 0), (6, 3, 0))

    @property
    def unreachable(self) -> bool:
        """Destination unreachable, for whatever reason."""
        return self[:2] in ((4, 3), (6, 1))

    @property
    def no_port(self) -> bool:
        """The host is there, nobody is at that port."""
        return self[:3] in ((4, 3, 3), (6, 1, 4))

    @property
    def redirect(self) -> bool:
        """A hint about a better way, no error: the packet was passed on (RFC 792 p12)."""
        return self[:2] == (4, 5)

    @property
    def mark(self) -> str:
        """What it is, as traceroutes print it: "!H", "!F-1400"; empty for hops that ran out."""
        if self.expired:
            return ""
        if self.mtu:
            return f"!F-{self.mtu}"
        if self.unreachable:
            return _MARKS[self.version].get(self.code, f"!{self.code}")
        return f"!<{self.type}-{self.code}>"


class Answer(NamedTuple):
    """A packet that answers a probe: from whom, which probe, and how.

    `refusal` is None for a reply of the one who was asked. `flags` are those of a TCP reply. `quoted_id` is the
    identification in the IPv4 header that an error quotes, -1 without one. `time_left` is the answer's own TTL or hop
    limit.
    """

    sender: str
    key: Key
    refusal: Refusal | None
    time_left: int
    flags: int = 0
    quoted_id: int = -1


def key_of(packet: Packet) -> Key | None:
    """The key of a probe, sent or quoted; None for what is no probe of ours, or is not all there."""
    ip = _network(packet)
    if ip is None:
        return None
    protocol = (ip.protocol if isinstance(ip, IPv4) else ip.next_header) or 0
    start = bytes(packet)[ip.size : ip.size + _QUOTED.size]
    if len(start) < _QUOTED.size:
        return None
    first, second, third, fourth = _QUOTED.unpack(start)
    target = str(ip.dst)
    if (protocol, first >> 8) in _ECHO_REQUESTS:
        return Key(protocol, target, third, 0, fourth)
    if protocol == _UDP:
        return Key(protocol, target, first, second, fourth)
    if protocol == _TCP:
        return Key(protocol, target, first, second, third << 16 | fourth)
    return None


def answer_of(packet: Packet) -> Answer | None:
    """What probe `packet`, an IP packet that came, answers; None if it is no answer to anything."""
    ip = _network(packet)
    if ip is None:
        return None
    left = ip.ttl if isinstance(ip, IPv4) else ip.hop_limit
    key = _replied(packet, str(ip.src))
    if key is not None:
        tcp = packet.get(TCP)
        return Answer(str(ip.src), key, None, left, 0 if tcp is None else int(tcp.flags))
    error = next((header for header in packet.layers if header.quotes), None)
    quoted = None if error is None else packet.quoted
    key = None if quoted is None else key_of(quoted)
    if quoted is None or key is None or not isinstance(error, (ICMP, ICMPv6)):
        return None
    inner = _network(quoted)
    return Answer(str(ip.src), key, _refusal(error), left, quoted_id=inner.id if isinstance(inner, IPv4) else -1)


def _refusal(error: ICMP | ICMPv6) -> Refusal:
    version = 4 if isinstance(error, ICMP) else 6
    kind = error.type_names.get(error.type, f"ICMP type {error.type}")
    detail = error.code_name or (f"code {error.code}" if error.code else "")
    if error.code_name and (version, error.type) in _NAMED_BY_CODE:
        text = detail
    else:
        text = f"{kind} ({detail})" if detail else kind
    mtu = error.mtu if isinstance(error, (ICMPError, PacketTooBig)) else 0
    return Refusal(version, error.type, error.code, f"{text} (mtu {mtu})" if mtu else text, mtu)


def _network(packet: Packet) -> IPv4 | IPv6 | None:
    first = next(iter(packet.layers), None)
    return first if isinstance(first, (IPv4, IPv6)) else None


def _replied(packet: Packet, sender: str) -> Key | None:
    """The key of the probe that `packet` is the reply of `sender` to; None if it is none."""
    if (echo := packet.get(ICMPEcho)) is not None:
        return Key(_ICMP, sender, echo.id, 0, echo.seq) if echo.type == 0 else None
    if (echo6 := packet.get(ICMPv6Echo)) is not None:
        return Key(_ICMPV6, sender, echo6.id, 0, echo6.seq) if echo6.type == 129 else None
    if (tcp := packet.get(TCP)) is not None:
        # A SYN takes one sequence number (RFC 9293 §3.4); a refusal acknowledges it as well (§3.10.7.1).
        number = (tcp.ack - 1) % (1 << 32)
        return Key(_TCP, sender, tcp.dport, tcp.sport, number) if tcp.flags & TCPFlags.ACK else None
    if (udp := packet.get(UDP)) is not None:
        return Key(_UDP, sender, udp.dport, udp.sport, -1)
    return None
