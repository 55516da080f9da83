"""A receive ring: memory that the kernel writes frames into and this process reads, with no call per frame.

TPACKET_V2 (Documentation/networking/packet_mmap.rst): the ring is an array of slots. Each begins with a status
word, 0 while the slot is the kernel's and odd when it holds a frame; writing 0 gives it back. The kernel wakes a
poller with each frame, so that none waits; the ring in `blockring` gains speed by letting them wait.

    slot     +0 struct tpacket2_hdr   +32 struct sockaddr_ll   +tp_mac the frame

The ring holds bytes that will be overwritten; `read` copies each frame out.
"""

from __future__ import annotations

import array
import contextlib
import errno
import mmap
import os
import socket
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType

__all__ = ["MappedRing", "ReceiveRing", "align", "checksum_of", "direction_of", "put_tag_back"]

_TAG = struct.Struct("@HH")
_TAG_OFFSET = 24
"""Where a slot has the TCI and the TPID of the tag that the kernel took out."""
_DATA_OFFSET = 128
"""Room before the frame: header, address, and at least 16 bytes of link header, aligned; with some to spare."""
_ETHERNET_ROOM = 14 + 4
_BLOCK = 1 << 18
"""Bytes of a block, the unit of the kernel's allocation; a slot never crosses a block."""

TAGGED: Final = sockopt.TP_STATUS_VLAN_VALID
CHECKSUM_BITS: Final = sockopt.TP_STATUS_CSUMNOTREADY | sockopt.TP_STATUS_CSUM_VALID
CHECKSUMS: Final = {
    0: ChecksumStatus.UNKNOWN,
    sockopt.TP_STATUS_CSUM_VALID: ChecksumStatus.VERIFIED,
    sockopt.TP_STATUS_CSUMNOTREADY: ChecksumStatus.OFFLOADED,
    CHECKSUM_BITS: ChecksumStatus.OFFLOADED,
}


class MappedRing(ABC):
    """The ring of one AF_PACKET socket, mapped. `request` is what the kernel is asked for.

    Its numbers are those of `struct tpacket_req` or `tpacket_req3`: bytes of a block, blocks, and so on.

    To be made before the socket is bound. Raises LinkError (ENOMEM, EINVAL) when the kernel gives no ring.
    """

    def __init__(self, sock: socket.socket, version: int, request: Sequence[int]) -> None:
        block, blocks = request[:2]
        self.size = block * blocks
        """Bytes of memory."""
        try:
            packed = struct.pack(f"@{len(request)}I", *request)
            sock.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_VERSION, version)
            sock.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_RX_RING, packed)
            self._memory = mmap.mmap(sock.fileno(), self.size)
        except (OSError, struct.error) as error:
            number = getattr(error, "errno", None) or errno.ENOMEM
            text = f"no receive ring of {blocks} blocks of {block} bytes: {os.strerror(number)}; ask for a smaller one"
            raise LinkError(number, text) from error
        self._bytes = memoryview(self._memory)
        self._words = self._bytes.cast("I")

    @abstractmethod
    def read(self, limit: int) -> list[Frame]:
        """Copy out the frames that are there, at most `limit`, and give their memory back to the kernel.

        Interrupted in the middle (Ctrl-C), it gives nothing back: the next `read` begins with the same frames.
        """

    def close(self) -> bool:
        """Unmap the memory. Where somebody still reads it that waits until they have done, and the answer is False."""
        with contextlib.suppress(BufferError):
            self._words.release()
            self._bytes.release()
            self._memory.close()
        return self._memory.closed


class ReceiveRing(MappedRing):
    """A ring of about `size` bytes in slots for frames of `mtu` + 18 bytes. Raises as `MappedRing`."""

    def __init__(self, sock: socket.socket, interface: str, *, mtu: int, size: int) -> None:
        self._interface = interface
        self._slot = align(_DATA_OFFSET + _ETHERNET_ROOM + mtu, sockopt.TPACKET_ALIGNMENT)
        self._block = max(_BLOCK, align(self._slot, mmap.PAGESIZE))
        self._blocks = max(2, size // self._block)
        self._per_block = self._block // self._slot
        self.slots = self._per_block * self._blocks
        """How many frames the ring can hold."""
        super().__init__(sock, sockopt.TPACKET_V2, (self._block, self._blocks, self._slot, self.slots))
        # status, length, captured length, offset of the MAC header, s, ns; sll_pkttype; the rest of the slot
        self._unpack = struct.Struct(f"@IIIH2xII18xB{self._slot - 43}x").iter_unpack
        self._zeros = memoryview(array.array("I", bytes(4 * self._per_block)))
        self._next = 0

    def read(self, limit: int) -> list[Frame]:
        """As `MappedRing.read`. A batch ends with its block, where the even row of slots does; poll stays readable."""
        frames: list[Frame] = []
        append, make, new, memory = frames.append, tuple.__new__, Frame, self._memory
        ethernet, interface, inbound = LinkType.ETHERNET, self._interface, Direction.INBOUND
        outgoing, slot = sockopt.PACKET_OUTGOING, self._slot
        block, at = divmod(self._next, self._per_block)
        start = offset = block * self._block + at * slot
        seen, checksum, tagged, tag = -1, ChecksumStatus.UNKNOWN, 0, None
        with self._bytes[start : start + min(limit, self._per_block - at) * slot] as view:
            for status, length, captured, mac, seconds, nanoseconds, kind in self._unpack(view):
                if status != seen:
                    if not status & sockopt.TP_STATUS_USER:
                        break
                    seen, checksum, tagged, tag = status, CHECKSUMS[status & CHECKSUM_BITS], status & TAGGED, None
                begin = offset + mac
                data = memory[begin : begin + captured]
                if tagged:
                    data, tag = put_tag_back(data, status, *_TAG.unpack_from(memory, offset + _TAG_OFFSET))
                    length += len(data) - captured  # noqa: PLW2901 - the tag is a part of the frame again
                time_ns = seconds * 1_000_000_000 + nanoseconds
                direction = inbound if kind != outgoing else Direction.OUTBOUND
                original = None if len(data) == length else length
                append(make(new, (data, time_ns, ethernet, interface, direction, original, tag, checksum, "")))
                offset += slot
        count = len(frames)
        zeros = self._zeros[:count]
        # Side by side, with no call between: nothing can interrupt here and put us out of step with the kernel.
        self._next = (self._next + count) % self.slots
        self._words[start >> 2 : offset >> 2 : slot >> 2] = zeros
        return frames


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
    return CHECKSUMS[status & CHECKSUM_BITS]


def direction_of(packet_type: int) -> Direction:
    """Give the direction for a `sll_pkttype`."""
    return Direction.OUTBOUND if packet_type == sockopt.PACKET_OUTGOING else Direction.INBOUND


def align(length: int, unit: int) -> int:
    """Round `length` up to a multiple of `unit`."""
    return -(-length // unit) * unit
