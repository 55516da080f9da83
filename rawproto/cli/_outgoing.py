"""What `rawproto send` sends, frame by frame: a packet again and again, or a capture; and the link for it."""

from __future__ import annotations

import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice, repeat
from typing import Literal, NamedTuple

from rawproto.cli import FailedError, UsageError
from rawproto.cli._interfaces import is_loopback
from rawproto.cli._material import CaptureFile, open_file
from rawproto.cli._vary import Variation, Varied
from rawproto.errors import CaptureError, LinkError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.pacer import Pacer
from rawproto.link.packet import PacketLink
from rawproto.link.rawip import RawIpLink
from rawproto.link.udp import UdpLink
from rawproto.sockets.probe import source_for
from rawproto.wire.ethernet import Ethernet
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.ipv6 import IPv6
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

__all__ = ["CaptureStream", "CountingLink", "Outgoing", "PacketStream", "Road", "Target", "open_link", "shaped"]

Road = Literal["packet", "rawip", "udp"]
ENDLESS = 0
RESERVED_PROTOCOL = 255
"""IPPROTO_RAW: nothing is received by it."""
KEPT_BYTES = 64 << 20
"""Frames of a capture that are kept in memory: so that a loop need not read them again, which takes time."""
ETHERNET_HEADER, VLAN_TAG = 14, 4
VLAN_TYPE = b"\x81\x00"
RAW_TYPES = frozenset({LinkType.RAW, LinkType.IPV4, LinkType.IPV6, LinkType(12), LinkType(14)})
"""Link types of captures whose frames are bare IP packets; RAW has three numbers."""


class Target(NamedTuple):
    """Where datagrams go by the road "udp", and from which port they come (0 for a free one)."""

    peer: str = ""
    host: str = ""
    port: int = 0


class Outgoing(ABC):
    """A stream of frames."""

    linktype: LinkType
    total: int | None
    """How many frames there will be; None if there is no end, or nobody knows."""
    first: bytes = b""
    """The first of them, where that can be known."""
    left_out: dict[str, int]
    """How many frames were not sent, by the reason."""

    @abstractmethod
    def __iter__(self) -> Iterator[bytes]:
        """The frames, for one run."""

    @abstractmethod
    def fits(self, mtu: int) -> str:
        """Why a link with this MTU can't send all of it whole; empty if it can, or if nobody knows."""

    def rhythm(self, speed: Fraction) -> Pacer | None:
        """The pacer for the times that the frames have themselves; None if they have none."""
        return None


class CountingLink(LinkWrapper):
    """Counts what it passes on: what really leaves, where frames are skipped or cut into fragments before it."""

    def __init__(self, inner: Link) -> None:
        super().__init__(inner)
        self.frames = 0
        self.bytes = 0

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass `frames` on."""
        self.inner.send(frames, now, peer)
        self.frames += len(frames)
        self.bytes += sum(map(len, frames))


class PacketStream(Outgoing):
    """One packet `count` times (0: without end), its fields varying; by default each variation once."""

    def __init__(self, packet: Packet | bytes, variations: Sequence[Variation], count: int | None, road: Road) -> None:
        self.linktype = {"packet": LinkType.ETHERNET, "rawip": LinkType.RAW, "udp": LinkType.USER0}[road]
        self.left_out = {}
        self._round: Varied | list[bytes] = [bytes(packet)]
        once = 1
        if variations:
            parsed = packet if isinstance(packet, Packet) else Packet.parse(packet, self.linktype)
            self._round = Varied(parsed, variations)
            once = self._round.count
        self.total = None if count == ENDLESS else once if count is None else count
        self.first = next(iter(self._round))

    def __iter__(self) -> Iterator[bytes]:
        if isinstance(self._round, list):
            return repeat(self.first) if self.total is None else repeat(self.first, self.total)
        frames = chain.from_iterable(repeat(self._round))
        return frames if self.total is None or self.total > sys.maxsize else islice(frames, self.total)

    def fits(self, mtu: int) -> str:
        """All of them have one length."""
        return _too_long(self.first, self.linktype, mtu)


class CaptureStream(Outgoing):
    """The frames of a capture, `loop` times (0: without end), `count` of them at most.

    Only frames that the link can send: of its own link type, and not cut by the recorder. A file is looked through
    before anything is sent. Raises UsageError where none of its frames can be sent, FailedError for a damaged one.
    """

    def __init__(self, file: CaptureFile, road: Road, *, loop: int, count: int | None) -> None:
        if road == "udp":
            raise UsageError("--link udp sends the bytes of a packet: a capture has whole frames; use packet or rawip")
        self.linktype = LinkType.ETHERNET if road == "packet" else LinkType.RAW
        self.left_out = {}
        self.total = None
        self._file = file
        self._loop = loop
        self._count = count
        self._now = 0
        self._offset = 0
        self._longest = b""
        self._version = 0
        self._kept: list[tuple[int, bytes]] | None = None
        if file.repeatable:
            self._look_through()
        elif loop != 1:
            raise UsageError(f"--loop: {file.name} can be read only once: give a regular file")

    def _look_through(self) -> None:
        """Count the frames, and keep them if they are few."""
        kept: list[tuple[int, bytes]] = []
        frames = weight = 0
        for time_ns, data in self._read():
            frames += 1
            if frames == 1:
                self.first = data
            if len(data) > len(self._longest):
                self._longest = data
            weight += len(data)
            if weight <= KEPT_BYTES:
                kept.append((time_ns, data))
            if frames == self._count:
                break
        if not frames:
            reasons = ", ".join(f"{count} {reason}" for reason, count in self.left_out.items()) or "it is empty"
            raise UsageError(f"{self._file.name} has no frame to send: {reasons}")
        if weight <= KEPT_BYTES:
            self._kept = kept
        if self._loop != ENDLESS:
            self.total = min(frames * self._loop, self._count or frames * self._loop)
        elif self._count:
            self.total = self._count

    def __iter__(self) -> Iterator[bytes]:
        if self._kept is None:
            self.left_out = {}
        self._offset = 0
        rounds = repeat(None) if self._loop == ENDLESS else repeat(None, self._loop)
        frames = (frame for _ in rounds for frame in self._round())
        return frames if self._count is None else islice(frames, self._count)

    def _round(self) -> Iterator[bytes]:
        """All frames that can be sent; `_now` is the time of the one that was given last."""
        begin: int | None = None
        number = latest = 0
        for time_ns, data in self._kept or self._read():
            begin = time_ns if begin is None else begin
            latest = max(latest, time_ns - begin)
            number += 1
            self._now = self._offset + time_ns - begin
            yield data
        # The next round begins as long after this one as its frames are apart.
        self._offset += latest + (latest // (number - 1) if number > 1 else 0)

    def _read(self) -> Iterator[tuple[int, bytes]]:
        """Time and bytes of each frame that can be sent; the others are counted."""
        try:
            with open_file(self._file.name) as reader:
                for frame in reader:
                    reason = self._unfit(frame)
                    if reason:
                        self.left_out[reason] = self.left_out.get(reason, 0) + 1
                    else:
                        yield frame.time_ns, frame.data
        except CaptureError as error:
            raise FailedError(str(error)) from None

    def _unfit(self, frame: Frame) -> str:
        """Why `frame` can't be sent; empty if it can."""
        is_ours = frame.linktype in RAW_TYPES if self.linktype is LinkType.RAW else frame.linktype is self.linktype
        if not is_ours:
            return "of another link type"
        if len(frame.data) < frame.wire_length:
            return "cut by the recorder"
        if self.linktype is LinkType.RAW:
            version = frame.data[0] >> 4 if frame.data else 0
            self._version = self._version or version
            return "" if version == self._version else "of another IP version"
        return "" if len(frame.data) >= ETHERNET_HEADER else "shorter than an Ethernet header"

    def fits(self, mtu: int) -> str:
        """Judged by the longest frame."""
        return _too_long(self._longest, self.linktype, mtu)

    def rhythm(self, speed: Fraction) -> Pacer:
        """Its own times."""

        def times() -> Iterator[int]:
            while True:  # the pacer asks for one after each frame that it was given
                yield self._now

        return Pacer.times(times(), speed)


def _too_long(frame: bytes, linktype: LinkType, mtu: int) -> str:
    most = mtu
    if linktype is LinkType.ETHERNET:
        most += ETHERNET_HEADER + (VLAN_TAG if frame[12:14] == VLAN_TYPE else 0)
    if len(frame) <= most:
        return ""
    return f"a frame of {len(frame)} bytes is over the MTU, {most} bytes at most: --oversize skip or fragment"


def shaped(packet: Packet | bytes, road: Road, to: str) -> tuple[Packet | bytes, Target]:
    """The packet as the road takes it, and for UDP where to. Raises UsageError for what the road can't carry."""
    if to and road != "udp":
        raise UsageError(f"--to {to} is for --link udp: elsewhere a packet says itself where it goes")
    first = packet.layers[0] if isinstance(packet, Packet) else None
    if road == "udp":
        return _for_udp(packet, to)
    if road == "packet" and first is not None and not isinstance(first, Ethernet):
        raise UsageError(
            f"the packet begins with {type(first).__name__}, and --link packet sends whole Ethernet frames: put "
            "Ethernet(dst=..., src=...) / before it, or use --link rawip"
        )
    if road == "rawip" and first is not None and not isinstance(first, (IPv4, IPv6)):
        raise UsageError(
            f"the packet begins with {type(first).__name__}, and --link rawip sends IP packets: begin with IPv4(...) "
            "or IPv6(...)"
        )
    if isinstance(packet, bytes) and road == "packet" and len(packet) < ETHERNET_HEADER:
        raise UsageError(f"{len(packet)} bytes are shorter than an Ethernet header: --link packet sends whole frames")
    if isinstance(packet, bytes) and road == "rawip" and (not packet or packet[0] >> 4 not in (4, 6)):
        raise UsageError("the bytes are no IP packet, and --link rawip sends IP packets: the first digit is 4 or 6")
    if isinstance(packet, Packet) and road == "rawip":
        return _with_source(packet), Target()
    return packet, Target()


def _with_source(packet: Packet) -> Packet:
    """A source address that was left out is the route's: the kernel would fill it in behind the checksums' back."""
    network = packet.layers[0]
    if not isinstance(network, (IPv4, IPv6)) or any(network.raw("src")):
        return packet
    try:
        return packet.replace(type(network), src=source_for(network.dst).partition("%")[0])
    except LinkError:
        return packet  # with no way there it will not be sent at all


def _for_udp(packet: Packet | bytes, to: str) -> tuple[Packet | bytes, Target]:
    """Take the headers off that the kernel writes, and go where they say; bare bytes go where `to` says."""
    layers = packet.layers if isinstance(packet, Packet) else ()
    at = next((at for at, header in enumerate(layers) if isinstance(header, UDP)), None)
    network = layers[at - 1] if at else None
    if isinstance(packet, bytes) or at is None or not isinstance(network, (IPv4, IPv6)):
        if not to:
            raise UsageError(
                "--link udp: say where to, --to 10.0.0.2:25300, or put IPv4(dst=...) / UDP(dport=...) / before"
            )
        host, colon, port = to.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) <= 0xFFFF:
            raise UsageError(f"--to {to}: give an address and a port, 10.0.0.2:25300 or [fd00::2]:25300")
        return packet, Target(to, host.strip("[]"))
    if to:
        raise UsageError(f"--to {to}: the packet says itself where it goes, {network.dst}; leave one of them out")
    _refuse_lost(layers[: at + 1])
    udp = packet[UDP]
    host = str(network.dst)
    peer = f"[{host}]:{udp.dport}" if ":" in host else f"{host}:{udp.dport}"
    rest = Packet(layers[at + 1 :], packet.payload, trailer=packet.trailer)
    return rest, Target(peer, host, udp.sport)


def _refuse_lost(headers: Sequence[Header]) -> None:
    """Raise the UsageError for what is said in `headers` and would not be sent, because the kernel writes them."""
    lost = []
    for header in headers:
        if not isinstance(header, (IPv4, IPv6, UDP)):
            lost.append(type(header).__name__)
            continue
        told = [
            f"{row.name}={row.show(header.raw(row.name))}"
            for row in header.fields
            if row.name not in ("dst", "sport", "dport") and header.raw(row.name) != row.default
        ]
        lost += [f"{type(header).__name__}({part})" for part in told]
    if lost:
        raise UsageError(
            f"--link udp sends the payload, the kernel writes the headers: {', '.join(lost)} would be lost; leave that "
            "out, or use --link rawip"
        )


def open_link(road: Road, iface: str | None, stream: Outgoing, target: Target) -> Link:
    """The link. Raises UsageError for what does not go together, LinkError where it can't be opened."""
    if road != "packet" and iface is not None:
        raise UsageError(f"--iface {iface}: with --link {road} the kernel's routes choose the interface; leave it out")
    if road == "packet":
        if iface is None:
            there = ", ".join(name for _, name in socket.if_nameindex())
            raise UsageError(f"--link packet needs --iface: say through which interface; there are: {there}")
        is_loopback(iface)  # or has Ethernet frames
        return PacketLink(iface, ring=False, ethertype=0)  # it is to receive nothing
    if road == "udp":
        return UdpLink(source_for(target.host), target.port)
    return RawIpLink(source_for(_destination(stream)), protocol=RESERVED_PROTOCOL)


def _destination(stream: Outgoing) -> str:
    """Where the first packet goes."""
    if not stream.first:
        raise UsageError("--link rawip has to know beforehand where the packets go: give a file, not standard input")
    header = Packet.parse(stream.first, LinkType.RAW).layers
    if not header or not isinstance(header[0], (IPv4, IPv6)):
        raise UsageError("the first packet has no whole IP header: --link rawip needs to know where it goes")
    return str(header[0].dst)
