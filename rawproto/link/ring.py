"""A receive ring: memory that the kernel writes frames into and this process reads, with no call per frame.

TPACKET_V2 (Documentation/networking/packet_mmap.rst): the ring is an array of slots. Each begins with a status
word, 0 while the slot is the kernel's and odd when it holds a frame; writing 0 gives it back. The kernel wakes a
poller with each frame; V3 would fill whole blocks and let frames wait for a block's timer, a millisecond at least.

    slot     +0 struct tpacket2_hdr   +32 struct sockaddr_ll   +tp_mac the frame

The ring holds bytes that will be overwritten; `read` copies each frame out.
"""

from __future__ import annotations

import errno
import mmap
import socket
import struct

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType

__all__ = ["ReceiveRing", "checksum_of", "direction_of", "put_tag_back"]

_HEADER = struct.Struct("@IIIHHIIHH14xB")
"""status, length, captured length, offset of MAC and of network header, s, ns, TCI, TPID; then sll_pkttype."""
_REQUEST = struct.Struct("@IIII")
_DATA_OFFSET = 128
"""Room before the frame: header, address, and at least 16 bytes of link header, aligned; with some to spare."""
_ETHERNET_ROOM = 14 + 4
_BLOCK = 1 << 18
"""Bytes of a block, the unit of the kernel's allocation; a slot never crosses a block."""

_CHECKSUM_BITS = sockopt.TP_STATUS_CSUMNOTREADY | sockopt.TP_STATUS_CSUM_VALID
_CHECKSUMS = {
    0: ChecksumStatus.UNKNOWN,
    sockopt.TP_STATUS_CSUM_VALID: ChecksumStatus.VERIFIED,
    sockopt.TP_STATUS_CSUMNOTREADY: ChecksumStatus.OFFLOADED,
    _CHECKSUM_BITS: ChecksumStatus.OFFLOADED,
}


class ReceiveRing:
    """The mapped ring of one AF_PACKET socket, `size` bytes (rounded) in slots for frames of `mtu` + 18 bytes.

    To be made before the socket is bound. Raises LinkError (ENOMEM, EINVAL) when the kernel gives no ring.
    """

    def __init__(self, sock: socket.socket, interface: str, *, mtu: int, size: int) -> None:
        self._interface = interface
        slot = _align(_DATA_OFFSET + _ETHERNET_ROOM + mtu, sockopt.TPACKET_ALIGNMENT)
        block = max(_BLOCK, _align(slot, mmap.PAGESIZE))
        blocks = max(2, size // block)
        per_block = block // slot
        request = _REQUEST.pack(block, blocks, slot, per_block * blocks)
        try:
            sock.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_VERSION, sockopt.TPACKET_V2)
            sock.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_RX_RING, request)
            self._memory = mmap.mmap(sock.fileno(), block * blocks)
        except OSError as error:
            text = f"no receive ring of {blocks} blocks of {block} bytes: {error.strerror}; ask for a smaller one"
            raise LinkError(error.errno or errno.ENOMEM, text) from error
        self._words = memoryview(self._memory).cast("I")
        self._offsets = tuple(start * block + number * slot for start in range(blocks) for number in range(per_block))
        self._next = 0
        self.slots = len(self._offsets)
        """How many frames the ring can hold."""
        self.size = block * blocks
        """Bytes of memory."""

    def read(self, limit: int) -> list[Frame]:
        """Copy out the frames that are there, at most `limit`, and give their slots back."""
        frames: list[Frame] = []
        append, make, new = frames.append, tuple.__new__, Frame
        memory, words, unpack = self._memory, self._words, _HEADER.unpack_from
        ethernet, interface, inbound = LinkType.ETHERNET, self._interface, Direction.INBOUND
        user, checksum_bits, checksums = sockopt.TP_STATUS_USER, _CHECKSUM_BITS, _CHECKSUMS
        tagged, outgoing = sockopt.TP_STATUS_VLAN_VALID, sockopt.PACKET_OUTGOING
        # A batch ends at the end of the ring: the rest comes with the next call, and poll stays readable.
        try:
            for offset in self._offsets[self._next : self._next + limit]:
                if not words[offset >> 2] & user:
                    break
                status, length, captured, mac, _, seconds, nanoseconds, tci, tpid, kind = unpack(memory, offset)
                start = offset + mac
                data = memory[start : start + captured]
                words[offset >> 2] = 0
                tag = None
                if status & tagged:
                    data, tag = put_tag_back(data, status, tci, tpid)
                    length += len(data) - captured
                append(
                    make(
                        new,
                        (
                            data,
                            seconds * 1_000_000_000 + nanoseconds,
                            ethernet,
                            interface,
                            inbound if kind != outgoing else Direction.OUTBOUND,
                            None if len(data) == length else length,
                            tag,
                            checksums[status & checksum_bits],
                            "",
                        ),
                    )
                )
        finally:  # Ctrl-C in the middle must not put us out of step with the kernel
            self._next = (self._next + len(frames)) % self.slots
        return frames

    def close(self) -> None:
        """Unmap the memory."""
        self._words.release()
        self._memory.close()


def put_tag_back(data: bytes, status: int, tci: int, tpid: int) -> tuple[bytes, int | None]:
    """Give the frame and its tag control information, for a frame whose VLAN tag the kernel has taken out.

    `Frame.vlan_tci` means an 802.1Q tag (0x8100). A tag of another type (802.1ad's 0x88A8) goes back into the
    bytes, behind the two MAC addresses, where it was.
    """
    if not status & sockopt.TP_STATUS_VLAN_TPID_VALID or tpid == sockopt.ETH_P_8021Q:
        return data, tci
    return b"".join((data[:12], struct.pack("!HH", tpid, tci), data[12:])), None


def checksum_of(status: int) -> ChecksumStatus:
    """Give what the two checksum bits of a tp_status say."""
    return _CHECKSUMS[status & _CHECKSUM_BITS]


def direction_of(packet_type: int) -> Direction:
    """Give the direction for a `sll_pkttype`."""
    return Direction.OUTBOUND if packet_type == sockopt.PACKET_OUTGOING else Direction.INBOUND


def _align(length: int, unit: int) -> int:
    return -(-length // unit) * unit
