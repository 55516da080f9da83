"""Datagrams in UDP in IP packets, in virtual time: what a UDP socket does for RDT on a real wire.

Peers are written as the UDP link of the real wire writes them: "10.0.0.1:4000", "[fd00::1]:4000".
"""

from __future__ import annotations

import errno
from collections import Counter
from collections.abc import Sequence

from rawproto.errors import LinkError, WireError
from rawproto.link._udpheader import with_headers
from rawproto.link.base import Link, LinkWrapper
from rawproto.wire.address import ip_text, pack_ip
from rawproto.wire.checksum import pseudo_header, verify
from rawproto.wire.frame import Frame, LinkType

__all__ = ["UdpLink", "endpoint_text", "pack_endpoint"]

UDP = 17
UDP_HEADER = 8
KNOWN_PEERS = 1024


class UdpLink(LinkWrapper):
    """Carries bare datagrams over `inner`, a link of IP packets, from `address` ("10.0.0.1:4000").

    What comes and is not for it, or damaged, is counted in `discarded`. Raises WireError for what is no address.
    """

    def __init__(self, inner: Link, address: str) -> None:
        super().__init__(inner)
        self._here = split(pack_endpoint(address))
        self.address = endpoint_text(join(*self._here))
        self._ip_header = 20 if len(self._here[0]) == 4 else 40
        self.linktype = LinkType.USER0
        self.mtu = inner.mtu - self._ip_header - UDP_HEADER
        self.discarded: Counter[str] = Counter()
        self._peers: dict[str, tuple[bytes, int]] = {}

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send `frames` to `peer`. Raises LinkError for what is no peer."""
        there = self._peer(peer)
        self.inner.send([with_headers(frame, self._here, there) for frame in frames], now)

    def receive(self, now: int) -> list[Frame]:
        """The datagrams that have come, each with its sender in `Frame.peer`."""
        frames = []
        for frame in self.inner.receive(now):
            found = self._unwrap(frame.data)
            if found is None:
                self.discarded["not for this port, or damaged"] += 1
            else:
                data, peer = found
                frames.append(frame._replace(data=data, linktype=LinkType.USER0, peer=peer))
        return frames

    def canonical(self, peer: str) -> str:
        """The one way in which `peer` is written. Raises LinkError."""
        return endpoint_text(join(*self._peer(peer)))

    def on_wire(self, data: bytes, *, peer: str, outbound: bool) -> tuple[bytes, LinkType]:
        """`data` with the headers that it travels with."""
        there = self._peer(peer)
        return with_headers(data, *((self._here, there) if outbound else (there, self._here))), LinkType.RAW

    def _peer(self, peer: str) -> tuple[bytes, int]:
        found = self._peers.get(peer)
        if found is None:
            try:
                found = split(pack_endpoint(peer))
            except WireError as error:
                raise LinkError(errno.EINVAL, f"{peer!r} is no peer in UDP: {error}") from None
            if len(found[0]) != len(self._here[0]) or not found[1]:
                raise LinkError(
                    errno.EINVAL, f"{peer!r} is no peer of {self.address}: give an address of its IP version and a port"
                )
            if len(self._peers) >= KNOWN_PEERS:
                self._peers.clear()
            self._peers[peer] = found
        return found

    def _unwrap(self, packet: bytes) -> tuple[bytes, str] | None:
        """The datagram in `packet` and who has sent it; None if it is not for this port, or damaged."""
        at, (ip, port) = self._ip_header, self._here
        if len(packet) < at + UDP_HEADER:
            return None
        protocol, addresses = (packet[9], packet[12:20]) if at == 20 else (packet[6], packet[8:40])
        source, target = addresses[: len(ip)], addresses[len(ip) :]
        if packet[0] >> 4 != (4 if at == 20 else 6) or protocol != UDP or target != ip:
            return None
        length = int.from_bytes(packet[at + 4 : at + 6])
        datagram = packet[at : at + length]
        if int.from_bytes(datagram[2:4]) != port or not UDP_HEADER <= length == len(datagram):
            return None
        if not verify(pseudo_header(source, target, UDP, length), datagram):
            return None
        return datagram[UDP_HEADER:], endpoint_text(source + datagram[:2])


def split(packed: bytes) -> tuple[bytes, int]:
    """Address and port (0 for none) of a packed endpoint."""
    size = 4 if len(packed) < 16 else 16
    return packed[:size], int.from_bytes(packed[size:])


def join(address: bytes, port: int) -> bytes:
    """An endpoint, packed."""
    return address + (port.to_bytes(2) if port else b"")


def pack_endpoint(text: str) -> bytes:
    """The address in `text`, packed, and behind it the UDP port if there is one: "10.0.0.1:4000", "[fd00::1]:4000".

    Raises WireError for what is none.
    """
    address, port = text, ""
    if text.startswith("["):
        address, _, port = text[1:].partition("]:")
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    if address is text:
        return pack_ip(text)
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 0xFFFF):
        raise WireError(f"{text!r} has no UDP port from 1 to 65535 behind its address")
    return pack_ip(address) + int(port).to_bytes(2)


def endpoint_text(packed: bytes) -> str:
    """What `pack_endpoint` was given, as it is written everywhere."""
    if len(packed) in (4, 16):
        return ip_text(packed)
    address, port = ip_text(packed[:-2]), int.from_bytes(packed[-2:])
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
