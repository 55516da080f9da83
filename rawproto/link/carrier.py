"""How a datagram becomes a frame on a link, and back: the network layer between transport and link.

`IpCarrier` puts datagrams into IPv4 or IPv6 packets with handmade headers, and those into Ethernet frames if that is
what the link takes; `DatagramCarrier` is for links that carry datagrams as they are (UDP, AF_UNIX, memory). Both
are sans-I/O but for the link, and both hold to the interface that rawproto.transport.stack describes.

What arrives and is not for this host, or not valid, is counted by reason in `discarded`.
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Sequence

from rawproto.errors import ConfigError, LinkError, WireError
from rawproto.link.base import Link
from rawproto.link.neighbor import Neighbors
from rawproto.wire.address import ip_text, pack_ip, pack_mac, to_many
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4, IPv4Flags
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.rdt_format import IP_PROTOCOL

__all__ = ["DatagramCarrier", "IpCarrier"]

ARP_TYPE = b"\x08\x06"
ICMPV6 = 58
KNOWN_HEADERS = 512
"""How many headers found valid are remembered, so that the next frame with the same one is not looked at again."""

ECT_0 = 0b10
CE = 0b11
"""The ECN field of an IP header (RFC 3168 §5): its sender understands marks; a router has marked it."""

Run = tuple[str, list[bytes | memoryview], bool]
"""A peer, datagrams that came from it in a row, and whether a router has marked them ("CE", RFC 3168 §5)."""
Known = tuple[str, int, bytes, bool]
"""What a valid header says: the peer, where the packet ends in the frame, the packed source address, the mark."""


class IpCarrier:
    """RDT in IP (protocol 253), on an Ethernet link or one that takes IP packets.

    `address` is this host's IP address, of either version; `mac` its hardware address, for Ethernet only. Peers are IP
    addresses as text. Raises ConfigError for a link of another type.
    """

    ecn = True
    """What is sent can be marked on its way, and marks on what comes are told."""

    def __init__(self, link: Link, address: str, mac: str = "") -> None:
        if link.linktype not in (LinkType.ETHERNET, LinkType.RAW):
            raise ConfigError(f"IP can't be carried on a link of type {link.linktype.name}")
        self.link = link
        self.ip = pack_ip(address)
        self.address = ip_text(self.ip)
        self.version = 4 if len(self.ip) == 4 else 6
        self.discarded: Counter[str] = Counter()
        self.neighbors: Neighbors | None = None
        if link.linktype is LinkType.ETHERNET:
            self.neighbors = Neighbors(self.ip, pack_mac(mac))
        self._link_header = 14 if self.neighbors else 0
        self._header = self._link_header + (20 if self.version == 4 else 40)
        # What the length field of the IP header can say bounds it too.
        self.datagram_size = min(link.mtu, 0xFFFF) - 20 if self.version == 4 else min(link.mtu - 40, 0xFFFF)
        self._packed: dict[str, bytes] = {}
        self._prefixes: dict[tuple[bytes, bytes, int, bool], bytes] = {}
        self._known: dict[bytes, Known] = {}

    def canonical(self, peer: str) -> str:
        """The one way in which the address `peer` is written. Raises LinkError for what can't be reached from here."""
        try:
            packed = pack_ip(peer)
        except WireError as error:
            raise LinkError(errno.EADDRNOTAVAIL, str(error)) from None
        if len(packed) != len(self.ip):
            raise LinkError(
                errno.EAFNOSUPPORT, f"{peer} is no IPv{self.version} address, and this host has only {self.address}"
            )
        if to_many(packed):
            raise LinkError(errno.EACCES, f"{peer} is not one host: a connection has one at its other end")
        return ip_text(packed)

    # -- out -----------------------------------------------------------------------------------------------------

    def send(self, peer: str, datagrams: Sequence[bytes], now: int, ect: bool = False) -> None:
        """Send `datagrams`, in order, to the IP address `peer`. Raises LinkError, WireError for a bad address.

        With `ect` routers may mark them instead of dropping them: their headers have ECT(0). Those that must wait for
        a neighbour's address leave without, as any packet may.
        """
        ip = self._packed.get(peer)
        if ip is None:
            if len(self._packed) >= KNOWN_HEADERS:
                self._packed.clear()
            ip = self._packed[peer] = pack_ip(peer)
        mac = b""
        if self.neighbors is not None:
            found = self.neighbors.lookup(ip, now)
            if found is None:
                self.neighbors.wait(ip, datagrams)
            if self.neighbors.outbox:
                self._send_outbox(now)
            if found is None:
                return
            mac = found
        self.link.send(self._wrap(ip, mac, datagrams, ect), now)

    def _wrap(self, ip: bytes, mac: bytes, datagrams: Sequence[bytes], ect: bool = False) -> list[bytes]:
        frames = []
        prefix, length = b"", -1
        for datagram in datagrams:
            if len(datagram) != length:
                length = len(datagram)
                prefix = self._prefix(ip, mac, length, ect)
            frames.append(prefix + datagram)
        return frames

    def _prefix(self, ip: bytes, mac: bytes, length: int, ect: bool) -> bytes:
        """The headers for a datagram of `length` bytes.

        An identification of 0 with DF is allowed for what is never fragmented (RFC 6864 §4.1), and makes the headers
        of all datagrams of one length the same bytes.
        """
        key = (ip, mac, length, ect)
        prefix = self._prefixes.get(key)
        if prefix is None:
            prefix = self._ip_header(ip, length, ECT_0 if ect else 0)
            if self.neighbors is not None:
                ethertype = 0x0800 if self.version == 4 else 0x86DD
                prefix = bytes(Ethernet(dst=mac, src=self.neighbors.mac, ethertype=ethertype)) + prefix
            if len(self._prefixes) >= KNOWN_HEADERS:
                self._prefixes.clear()
            self._prefixes[key] = prefix
        return prefix

    def _ip_header(self, ip: bytes, length: int, ecn: int) -> bytes:
        if self.version == 6:
            return bytes(IPv6(src=self.ip, dst=ip, next_header=IP_PROTOCOL, payload_length=length, ecn=ecn))
        total, flags = 20 + length, IPv4Flags.DF
        return bytes(IPv4(src=self.ip, dst=ip, protocol=IP_PROTOCOL, total_length=total, flags=flags, ecn=ecn))

    def _send_outbox(self, now: int) -> None:
        if self.neighbors is not None and self.neighbors.outbox:
            frames, self.neighbors.outbox = self.neighbors.outbox, []
            self.link.send(frames, now)

    # -- in --------------------------------------------------------------------------------------------------------

    def receive(self, now: int) -> list[Run]:
        """Give the datagrams that have come for this host, as runs from one peer, all marked or none."""
        runs: list[Run] = []
        last, last_marked = "", False
        run: list[bytes | memoryview] = []
        known, header_length = self._known, self._header
        for frame in self.link.receive(now):
            data = frame.data
            found = known.get(data[:header_length])
            if found is None:
                found = self._examine(frame, now)
                if found is None:
                    continue
            peer, end, source, marked = found
            if len(data) < end:
                self.discarded["truncated packet"] += 1
                continue
            if peer != last or marked is not last_marked:
                run = []
                runs.append((peer, run, marked))
                last, last_marked = peer, marked
                if self.neighbors is not None:
                    self.neighbors.confirm(source, data[6:12], now)
            run.append(memoryview(data)[header_length:end])
        if self.neighbors is not None and self.neighbors.outbox:
            self._send_outbox(now)
        return runs

    def _examine(self, frame: Frame, now: int) -> Known | None:
        """Look at a frame whose header is new; None if it is not for RDT on this host."""
        data = frame.data
        if self.neighbors is not None:
            if len(data) < 14 or not (data[0] & 1 or data[:6] == self.neighbors.mac):
                self._discard("short frame" if len(data) < 14 else "")
                return None
            if data[12:14] == ARP_TYPE and self.version == 4:
                self._discard(self.neighbors.receive_arp(data, now))
                self._send_resolved(now)
                return None
            if data[12:14] != (b"\x08\x00" if self.version == 4 else b"\x86\xdd"):
                self._discard("")
                return None
        found = self._examine_ipv4(data) if self.version == 4 else self._examine_ipv6(data, now)
        if found is not None:
            if len(self._known) >= KNOWN_HEADERS:
                self._known.clear()
            self._known[data[: self._header]] = found
        return found

    def _examine_ipv4(self, data: bytes) -> Known | None:
        start = self._link_header
        header = data[start : start + 20]
        fault = ipv4_fault(header)
        if fault or header[16:20] != self.ip or header[9] != IP_PROTOCOL or self._to_group(data):
            self._discard(fault)
            return None
        source, marked = header[12:16], header[1] & 3 == CE
        return ip_text(source), start + int.from_bytes(header[2:4], "big"), source, marked

    def _examine_ipv6(self, data: bytes, now: int) -> Known | None:
        start = self._link_header
        header = data[start : start + 40]
        if len(header) < 40 or header[0] >> 4 != 6:
            self._discard("malformed IP header")
            return None
        if header[6] == ICMPV6 and self.neighbors is not None:
            self._discard(self.neighbors.receive_icmpv6(data, now))
            self._send_resolved(now)
            return None
        if header[24:40] != self.ip or header[6] != IP_PROTOCOL or self._to_group(data):
            return None
        if header[8] == 0xFF or not any(header[8:24]):
            self._discard("source address")
            return None
        source, marked = header[8:24], header[1] >> 4 & 3 == CE
        return ip_text(source), start + 40 + int.from_bytes(header[4:6], "big"), source, marked

    def _to_group(self, data: bytes) -> bool:
        """The frame was for more hosts than this one, which a datagram for one address is not (RFC 1122 §3.3.6)."""
        return self.neighbors is not None and bool(data[0] & 1)

    def _discard(self, reason: str) -> None:
        """Count a frame that is not passed on; without a reason it was in order, but not for RDT on this host."""
        if reason:
            self.discarded[reason] += 1

    def _send_resolved(self, now: int) -> None:
        self._send_outbox(now)
        if self.neighbors is not None:
            for ip, datagrams in self.neighbors.resolved():
                self.link.send(self._wrap(ip, self.neighbors.lookup(ip, now) or b"", datagrams), now)

    # -- time --------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """The earlier of what the link and what the neighbour cache wait for, in ns."""
        link = self.link.next_timeout()
        mine = None if self.neighbors is None else self.neighbors.next_timeout()
        if link is None or mine is None:
            return mine if link is None else link
        return min(link, mine)

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`."""
        self.link.handle_timeout(now)
        if self.neighbors is not None:
            self.neighbors.handle_timeout(now)
            self._send_outbox(now)

    def fileno(self) -> int:
        """The link's."""
        return self.link.fileno()

    def close(self) -> None:
        """Close the link."""
        self.link.close()


class DatagramCarrier:
    """RDT on a link that carries datagrams as they are; peers are what the link calls them."""

    ecn = False
    """No datagram can be marked: the headers are the kernel's, or there are none."""

    def __init__(self, link: Link, address: str) -> None:
        if link.linktype is not LinkType.USER0:
            raise ConfigError(f"a link of type {link.linktype.name} does not carry bare datagrams")
        self.link = link
        self.address = address
        self.datagram_size = link.mtu
        self.discarded: Counter[str] = Counter()

    def canonical(self, peer: str) -> str:
        """As the link writes it."""
        return self.link.canonical(peer)

    def send(self, peer: str, datagrams: Sequence[bytes], now: int, ect: bool = False) -> None:
        """Send `datagrams`, in order, to `peer`; `ect` has no effect here. Raises LinkError."""
        self.link.send(datagrams, now, peer)

    def receive(self, now: int) -> list[Run]:
        """Give the datagrams that have come, as runs from one peer."""
        runs: list[Run] = []
        last = None
        for frame in self.link.receive(now):
            if frame.peer != last:
                last = frame.peer
                runs.append((last, [], False))
            runs[-1][1].append(frame.data)
        return runs

    def next_timeout(self) -> int | None:
        """The link's."""
        return self.link.next_timeout()

    def handle_timeout(self, now: int) -> None:
        """Pass the time on to the link."""
        self.link.handle_timeout(now)

    def fileno(self) -> int:
        """The link's."""
        return self.link.fileno()

    def close(self) -> None:
        """Close the link."""
        self.link.close()


def ipv4_fault(header: bytes) -> str:
    """Why a host must drop a packet with this header (RFC 1122 §3.2.1), or "" if it need not."""
    if len(header) < 20 or header[0] >> 4 != 4 or header[0] & 15 < 5 or int.from_bytes(header[2:4], "big") < 20:
        return "malformed IP header"
    if header[0] & 15 > 5:
        return "IP options"  # none of ours has any, and the checksum would be over more than these bytes
    if internet_checksum(header):
        return "IP checksum"
    if header[12] >= 224 or not header[12]:  # multicast, broadcast, none: RFC 9293 §3.9.2.3, MUST-57
        return "source address"
    return "IP fragment" if int.from_bytes(header[6:8], "big") & 0x3FFF else ""
