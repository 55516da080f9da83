"""A receive ring for much traffic: the kernel fills whole blocks and hands each over when it is full, or after 1 ms.

TPACKET_V3 (Documentation/networking/packet_mmap.rst). Frames take only the room that they need, so that small ones
lie close together, and the kernel wakes a poller once for a block instead of once for a frame. In return a frame may
wait for its block: up to `TIMEOUT_MS` when there is little traffic.

    block    +8 status  +12 number of frames  +16 offset of the first
    frame    +0 struct tpacket3_hdr: distance to the next, ...   +48 struct sockaddr_ll   +tp_mac the frame
"""

from __future__ import annotations

import functools
import mmap
import socket
import struct
from typing import Final

from rawproto.link import sockopt
from rawproto.link.ring import CHECKSUM_BITS, CHECKSUMS, TAGGED, MappedRing, align, put_tag_back
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["TIMEOUT_MS", "BlockRing"]

TIMEOUT_MS: Final = 1
"""How long a frame waits at most for its block to be full."""
_BLOCK = 1 << 17
"""Bytes: room for the longest frame. Where there is little traffic each timeout uses up a block, whatever is in it, so
that small ones last longer while nobody reads."""
_BLOCK_HEADER = struct.Struct("@8xIII")
"""status, number of frames, offset of the first."""
_FRAME = struct.Struct("@IIIIIIH32xB")
"""Distance to the next, s, ns, captured length, length, status, offset of the MAC header; then sll_pkttype."""
_TAG = struct.Struct("@IH")
_TAG_OFFSET = 32
"""Where a frame has the TCI and the TPID of the tag that the kernel took out."""
_SLOT = 2048
"""What the kernel wants to be told of a frame's size; it decides nothing here."""
_ROW = 16
"""Fewer frames are not worth looking whether they are all alike."""
_ROOM = 256
"""More than the headers of a block and of a frame take."""


@functools.lru_cache(maxsize=256)
def _row(step: int, mac: int, captured: int) -> struct.Struct:
    """Give the layout of a frame in a row of equal ones: s, ns, facts, sll_pkttype, bytes."""
    return struct.Struct(f"@4xII16s30xB{mac - 59}x{captured}s{step - mac - captured}x")


class BlockRing(MappedRing):
    """A ring of about `size` bytes, for frames of any length up to a block. Raises as `MappedRing`.

    It holds what comes in 0.25 s for each 32 MiB when there is little, and some 230 000 frames of 64 bytes when there
    is much; who reads more rarely loses frames.
    """

    def __init__(self, sock: socket.socket, interface: str, *, mtu: int, size: int) -> None:
        self._interface = interface
        # The kernel's joined super-frames have up to 64 KiB and a header, whatever the MTU.
        self._block = max(_BLOCK, align(_ROOM + max(mtu, 1 << 16), mmap.PAGESIZE))
        self._blocks = max(2, size // self._block)
        slots = self._block // _SLOT * self._blocks
        super().__init__(sock, sockopt.TPACKET_V3, (self._block, self._blocks, _SLOT, slots, TIMEOUT_MS, 0, 0))
        self._start = 0  # of the block that is read now
        self._offset = 0  # of the next frame in it
        self._left = 0  # frames that are still in it

    def read(self, limit: int) -> list[Frame]:
        """As `MappedRing.read`. A batch ends with its block; poll stays readable."""
        frames: list[Frame] = []
        offset, left = self._offset, self._left
        if not left:
            status, left, first = _BLOCK_HEADER.unpack_from(self._memory, self._start)
            if not status & sockopt.TP_STATUS_USER:
                return frames
            offset = self._start + first
        count = min(left, limit)
        if count >= _ROW:
            offset = self._read_row(frames, offset, count)
        offset = self._read_each(frames, offset, count - len(frames))
        self._take(left - count, offset)
        return frames

    def _read_row(self, frames: list[Frame], offset: int, count: int) -> int:
        """Read frames of which all is the same but time and bytes, at most `count`; give the offset behind them.

        These lie at even distances, so one iterator unpacks them all, which takes a third less than one by one.
        """
        memory = self._memory
        step, _, _, captured, length, status, mac, _ = _FRAME.unpack_from(memory, offset)
        facts = memory[offset + 12 : offset + 28]  # captured length, length, status, offsets
        last = offset + (count - 1) * step
        # Most often it is all of a batch or nothing.
        if status & TAGGED or memory[last + 12 : last + 28] != facts or last + step > self._start + self._block:
            return offset
        append, make, new = frames.append, tuple.__new__, Frame
        ethernet, interface = LinkType.ETHERNET, self._interface
        inbound, outgoing = Direction.INBOUND, sockopt.PACKET_OUTGOING
        original, checksum = None if captured == length else length, CHECKSUMS[status & CHECKSUM_BITS]
        with self._bytes[offset : last + step] as view:
            for seconds, nanoseconds, same, kind, data in _row(step, mac, captured).iter_unpack(view):
                if same != facts:
                    break
                time_ns = seconds * 1_000_000_000 + nanoseconds
                direction = inbound if kind != outgoing else Direction.OUTBOUND
                append(make(new, (data, time_ns, ethernet, interface, direction, original, None, checksum, "")))
        behind: int = offset + len(frames) * step
        return behind

    def _read_each(self, frames: list[Frame], offset: int, count: int) -> int:
        """Read `count` frames, whatever they are; give the offset behind them."""
        append, make, new, memory, unpack = frames.append, tuple.__new__, Frame, self._memory, _FRAME.unpack_from
        ethernet, interface, inbound = LinkType.ETHERNET, self._interface, Direction.INBOUND
        checksums, bits, tagged, outgoing = CHECKSUMS, CHECKSUM_BITS, TAGGED, sockopt.PACKET_OUTGOING
        for _ in range(count):
            step, seconds, nanoseconds, captured, length, status, mac, kind = unpack(memory, offset)
            begin = offset + mac
            data = memory[begin : begin + captured]
            tag = None
            if status & tagged:
                data, tag = put_tag_back(data, status, *_TAG.unpack_from(memory, offset + _TAG_OFFSET))
                length += len(data) - captured
            time_ns = seconds * 1_000_000_000 + nanoseconds
            direction = inbound if kind != outgoing else Direction.OUTBOUND
            original = None if len(data) == length else length
            checksum = checksums[status & bits]
            append(make(new, (data, time_ns, ethernet, interface, direction, original, tag, checksum, "")))
            offset += step
        return offset

    def _take(self, left: int, offset: int) -> None:
        """Go on to `offset`, where `left` frames are left in the block; without any, to the next block."""
        if left:
            self._left, self._offset = left, offset
            return
        before, after = self._start, (self._start + self._block) % self.size
        # Side by side, with no call between: nothing can interrupt here and put us out of step with the kernel.
        self._left = 0
        self._start = after
        self._words[(before >> 2) + 2] = sockopt.TP_STATUS_KERNEL
