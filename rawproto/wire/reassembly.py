"""Puts IP fragments together again (RFC 791 §3.2, RFC 1122 §3.3.2, RFC 8200 §4.5).

    whole = reassembler.add(frame, now)     # None until the last fragment is there; what is no fragment comes back
    reassembler.next_timeout(), reassembler.expire(now)

Time is passed in, in nanoseconds. Nothing here raises for what the bytes hold: what can't be used is dropped and
counted by reason, and `expire` tells of the datagrams that were given up, for an ICMP error or a log.

Overlap: a datagram with two fragments that lay claim to the same byte is dropped whole, and what arrives of it until
its time is up with it. RFC 5722 wants that for IPv6; Linux does so for IPv4 too since 4.19, where RFC 791 would have
the later fragment win, which has let attacks past firewalls. A fragment that is exactly one that is already there is a
duplicate and ignored.

Not asked: whether a first fragment holds all headers (RFC 8200 §4.5 would drop it), and VLAN tags: a datagram is known
by its addresses, identification and, in IPv4, its protocol.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from enum import StrEnum
from typing import NamedTuple

from rawproto.wire.address import ip_text
from rawproto.wire.checksum import internet_checksum
from rawproto.wire.fragment import FRAGMENT_HEADER, extension_chain, ip_offset, sealed
from rawproto.wire.frame import Frame, LinkType

__all__ = ["Drop", "DropReason", "Reassembler"]

IPV4_TIMEOUT_NS = 30 * 10**9
"""Linux's; RFC 1122 §3.3.2 recommends 60 to 120 s, from a time when identifications did not come round in less."""
IPV6_TIMEOUT_NS = 60 * 10**9
"""RFC 8200 §4.5: "within 60 seconds of the reception of the first-arriving fragment"."""
MEMORY = 4 << 20
"""Linux's `ipfrag_high_thresh`."""
DATAGRAM_COST, FRAGMENT_COST = 512, 448
"""What Python holds beside the data, in bytes, so that many small fragments can't pass for little."""
MAX_LENGTH = 0xFFFF
QUOTED = 1280
"""Bytes of a first fragment that are kept for whoever tells its sender; an ICMP error holds no more."""
REPORTS = 1000
"""Drops that are kept for `expire`; of more, the oldest are forgotten. The counters count them all."""

MF = 0x2000
OFFSET_BITS = 0x1FFF
NOT_ECT, CE = 0, 3


class DropReason(StrEnum):
    """Why a fragment, or a whole datagram, was not used."""

    CUT = "cut"
    """The capture cut the frame."""
    CHECKSUM = "checksum"
    """The IPv4 header's does not hold."""
    LENGTH = "length"
    """The headers' lengths don't hold, or there is no data, or not a multiple of 8 bytes with more to follow."""
    TOO_LONG = "too long"
    """It reaches past byte 65535 of the datagram."""
    OVERLAP = "overlap"
    """Two fragments of the datagram have a byte in common, or disagree on where it ends."""
    ECN = "ecn"
    """Some fragments are marked CE and others not ECN-capable (RFC 3168 §5.3)."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    """It was the oldest when the memory was used up."""


class Drop(NamedTuple):
    """A datagram that was given up."""

    reason: DropReason
    version: int
    src: str
    dst: str
    id: int
    protocol: int | None
    """None for IPv6, where it is no part of what ties fragments together."""
    received: int
    """Bytes of data that were there."""
    first: bytes
    """The frame of the fragment at offset 0, at most 1280 bytes of it, for the ICMP error that quotes it; empty if that
    one was missing."""
    time_ns: int


class Key(NamedTuple):
    """What ties fragments together."""

    version: int
    src: bytes
    dst: bytes
    id: int
    protocol: int = 0


class Piece(NamedTuple):
    """What one fragment tells."""

    key: Key
    start: int
    """In bytes."""
    more: bool
    data: bytes
    ecn: int
    head: bytes
    """The IP headers before the data, without IPv6's fragment header."""
    upper_at: int = 0
    """IPv6: where in `head` the number of what follows belongs, and that number."""
    upper: int = 0

    @property
    def end(self) -> int:
        """In bytes."""
        return self.start + len(self.data)


class Datagram:
    """One that is being put together, or (`dead`) one whose further fragments are to be dropped."""

    __slots__ = ("arrived", "dead", "end", "frame", "heads", "link", "pieces", "received")

    def __init__(self, now: int) -> None:
        self.arrived = now
        self.dead = False
        self.pieces: list[Piece] = []
        """Sorted, without overlap."""
        self.received = self.heads = 0
        """Bytes of data, and of the headers that are kept with each piece."""
        self.end: int | None = None
        """Known when the last fragment is there."""
        self.link = self.frame = b""
        """Of the first fragment: the link header, and the start of all its bytes."""

    @property
    def cost(self) -> int:
        """The memory that it is charged with."""
        return DATAGRAM_COST + len(self.pieces) * FRAGMENT_COST + self.received + self.heads + len(self.frame)

    def place(self, piece: Piece) -> int | None:
        """Where it belongs among the pieces; None if it is there already, -1 if it can't be true beside them."""
        pieces = self.pieces
        at = bisect_left(pieces, piece.start, key=lambda other: other.start)
        ends_here = not piece.more
        if at < len(pieces) and (pieces[at].start, pieces[at].data) == (piece.start, piece.data):
            return None if ends_here == (self.end == piece.end) else -1
        if (at and pieces[at - 1].end > piece.start) or (at < len(pieces) and pieces[at].start < piece.end):
            return -1
        past_end = self.end is not None and piece.end > self.end
        before_others = ends_here and at < len(pieces)
        return -1 if past_end or before_others else at

    def whole(self) -> bytes | DropReason:
        """The packet, all of whose pieces are there, behind the first one's link header."""
        first, body = self.pieces[0], b"".join(piece.data for piece in self.pieces)
        if len(first.head) + len(body) > MAX_LENGTH + (40 if first.key.version == 6 else 0):
            return DropReason.TOO_LONG
        marks = {piece.ecn for piece in self.pieces}
        if marks >= {NOT_ECT, CE}:
            return DropReason.ECN
        return self.link + _joined(first, body, CE if CE in marks else first.ecn)


class Reassembler:
    """Fragments in, whole packets out.

    `memory` bounds what it holds, in bytes; over it, the datagrams whose first fragment arrived longest ago go.
    """

    def __init__(
        self, *, ipv4_timeout_ns: int = IPV4_TIMEOUT_NS, ipv6_timeout_ns: int = IPV6_TIMEOUT_NS, memory: int = MEMORY
    ) -> None:
        self._timeout = {4: ipv4_timeout_ns, 6: ipv6_timeout_ns}
        self._waiting: dict[int, dict[Key, Datagram]] = {4: {}, 6: {}}
        """By version and then in order of arrival."""
        self._limit = memory
        self._reports: deque[Drop] = deque(maxlen=REPORTS)
        self.memory = 0
        """Bytes in use."""
        self.fragments = 0
        """Fragments that were given."""
        self.duplicates = 0
        """Of these, the ones that were there already."""
        self.reassembled = 0
        """Datagrams that came out whole."""
        self.dropped_fragments: Counter[DropReason] = Counter()
        """Single fragments that were not used, by reason."""
        self.dropped_datagrams: Counter[DropReason] = Counter()
        """Datagrams that were given up, by reason, with the fragments that had been taken."""

    def __len__(self) -> int:
        """Datagrams that wait, those whose further fragments are only dropped among them."""
        return sum(map(len, self._waiting.values()))

    def add(self, frame: Frame | bytes, now: int, linktype: LinkType = LinkType.ETHERNET) -> bytes | None:
        """Take a frame, or bytes of `linktype`, at `now`. The frame to go on with, or None if there is none yet.

        What is no fragment, or can't be read as IP, comes back as it is. A datagram that is complete comes back behind
        its first fragment's link header, with the first fragment's IP header: its lengths, flags and checksum are made
        right, IPv6's fragment header is gone, and a CE mark on any fragment is on the whole. An IPv6 fragment that is
        first and last at once is handled by itself (RFC 6946).
        """
        is_cut = False
        if isinstance(frame, Frame):
            linktype, is_cut, frame = frame.linktype, frame.wire_length > len(frame.data), frame.data
        self._expire(now)
        at, version = ip_offset(frame, linktype)
        read = _read_ipv4(frame[at:]) if version == 4 else _read_ipv6(frame[at:]) if version == 6 else None
        if read is None:
            return frame
        self.fragments += 1
        if isinstance(read, DropReason):
            self.dropped_fragments[DropReason.CUT if is_cut and read == DropReason.LENGTH else read] += 1
            return None
        if version == 6 and not read.start and not read.more:
            self.reassembled += 1
            return frame[:at] + _joined(read, read.data, read.ecn)
        return self._take(read, frame, at, now)

    def next_timeout(self) -> int | None:
        """When `expire` has something to do; None if nothing waits."""
        heads = [
            next(iter(waiting.values())).arrived + self._timeout[version]
            for version, waiting in self._waiting.items()
            if waiting
        ]
        return min(heads, default=None)

    def expire(self, now: int) -> list[Drop]:
        """Give up what has waited too long. All datagrams that were given up since the last call, for any reason."""
        self._expire(now)
        reports = list(self._reports)
        self._reports.clear()
        return reports

    def _take(self, piece: Piece, frame: bytes, link: int, now: int) -> bytes | None:
        waiting = self._waiting[piece.key.version]
        datagram = waiting.get(piece.key)
        if datagram is None:
            datagram = waiting[piece.key] = Datagram(now)
            self.memory += datagram.cost
        if datagram.dead:
            self.dropped_fragments[DropReason.OVERLAP] += 1
            return None
        at = datagram.place(piece)
        if at is None:
            self.duplicates += 1
            return None
        if at < 0:
            self.dropped_fragments[DropReason.OVERLAP] += 1
            self._give_up(piece.key, DropReason.OVERLAP, now)
            return None
        self.memory -= datagram.cost
        datagram.pieces.insert(at, piece)
        datagram.received += len(piece.data)
        datagram.heads += len(piece.head)
        if not piece.start:
            datagram.link, datagram.frame = frame[:link], frame[:QUOTED]
        if not piece.more:
            datagram.end = piece.end
        self.memory += datagram.cost
        if datagram.received == datagram.end:
            return self._finish(piece.key, now)
        while self.memory > self._limit:
            oldest = min((next(iter(queue.items())) for queue in self._waiting.values() if queue), key=_arrived)
            self._give_up(oldest[0], DropReason.MEMORY, now)
        return None

    def _finish(self, key: Key, now: int) -> bytes | None:
        whole = self._waiting[key.version][key].whole()
        if isinstance(whole, DropReason):
            self._give_up(key, whole, now)
            return None
        self.memory -= self._waiting[key.version].pop(key).cost
        self.reassembled += 1
        return whole

    def _give_up(self, key: Key, reason: DropReason, now: int) -> None:
        """Drop a datagram and tell of it; one with an overlap stays, to drop what still arrives of it."""
        waiting = self._waiting[key.version]
        datagram = waiting[key]
        self.memory -= datagram.cost
        if not datagram.dead:
            self.dropped_datagrams[reason] += 1
            protocol = key.protocol if key.version == 4 else None
            addresses = ip_text(key.src), ip_text(key.dst)
            self._reports.append(
                Drop(reason, key.version, *addresses, key.id, protocol, datagram.received, datagram.frame, now)
            )
        if reason != DropReason.OVERLAP:
            del waiting[key]
            return
        datagram.dead = True
        datagram.pieces.clear()
        datagram.received, datagram.heads, datagram.frame = 0, 0, b""
        self.memory += datagram.cost

    def _expire(self, now: int) -> None:
        for version, waiting in self._waiting.items():
            while waiting:
                key, oldest = next(iter(waiting.items()))
                if oldest.arrived + self._timeout[version] > now:
                    break
                self._give_up(key, DropReason.TIMEOUT, now)


def _arrived(item: tuple[Key, Datagram]) -> int:
    return item[1].arrived


def _read_ipv4(packet: bytes) -> Piece | DropReason | None:
    """What a fragment tells, why it can't be used, or None if it is no fragment."""
    size, total, bits = (packet[0] & 0xF) * 4, int.from_bytes(packet[2:4]), int.from_bytes(packet[6:8])
    if not bits & (MF | OFFSET_BITS):
        return None
    start, more, data = (bits & OFFSET_BITS) * 8, bool(bits & MF), packet[size:total]
    if not 20 <= size < total <= len(packet) or (more and len(data) % 8):
        return DropReason.LENGTH
    if internet_checksum(packet[:size]):
        return DropReason.CHECKSUM
    if size + start + len(data) > MAX_LENGTH:
        return DropReason.TOO_LONG
    key = Key(4, packet[12:16], packet[16:20], int.from_bytes(packet[4:6]), packet[9])
    return Piece(key, start, more, data, packet[1] & 3, packet[:size])


def _read_ipv6(packet: bytes) -> Piece | DropReason | None:
    """What a fragment tells, why it can't be used, or None if it is no fragment."""
    total = 40 + int.from_bytes(packet[4:6])
    chain = extension_chain(packet[:total])
    if chain is None or not chain.fragment:
        return None
    upper, _, bits, number = FRAGMENT_HEADER.unpack_from(packet, chain.fragment)
    start, more, data = bits & ~7, bool(bits & 1), packet[chain.end : total]
    is_atomic = not start and not more
    if total > len(packet) or (more and len(data) % 8) or not (data or is_atomic):
        return DropReason.LENGTH
    if chain.split - 40 + start + len(data) > MAX_LENGTH:
        return DropReason.TOO_LONG
    key, ecn = Key(6, packet[8:24], packet[24:40], number), packet[1] >> 4 & 3
    return Piece(key, start, more, data, ecn, packet[: chain.split], chain.split_field, upper)


def _joined(first: Piece, data: bytes, ecn: int) -> bytes:
    """The packet with the first fragment's headers and all data."""
    head = first.head
    if first.key.version == 4:
        flags = int.from_bytes(head[6:8]) & ~(MF | OFFSET_BITS)
        marked = bytes((head[0], head[1] & ~3 | ecn))
        total = (len(head) + len(data)).to_bytes(2)
        return sealed(marked + total + head[4:6] + flags.to_bytes(2) + head[8:]) + data
    head = head[: first.upper_at] + bytes((first.upper,)) + head[first.upper_at + 1 :]
    marked = bytes((head[0], head[1] & ~0x30 | ecn << 4))
    length = (len(head) - 40 + len(data)).to_bytes(2)
    return marked + head[2:4] + length + head[6:] + data
