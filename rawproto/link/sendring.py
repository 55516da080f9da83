"""A send ring: memory that this process lays frames into, and one call that has the kernel send them all.

TPACKET_V2 (Documentation/networking/packet_mmap.rst), with a virtio header before each frame. The ring is an array of
slots. Each begins with a status word: 0 while it is free, 1 when it holds a frame to be sent, 2 while the kernel
sends it, 4 when there was something wrong with it.

    slot     +0 struct tpacket2_hdr   +32 struct virtio_net_hdr   +42 the frame

The virtio header says that all of the frame is "header", which the kernel copies at once. It would otherwise hang
pages of the ring into its packet and copy them when that crosses to another socket or an interface that can't gather,
which costs more than it saves. In return the kernel no longer compares lengths with the MTU here: the caller does.

The ring has a socket of its own, which receives nothing. It is mapped when it is first needed, because that takes
the kernel some 10 ms; with small slots as long as all frames are small.
"""

from __future__ import annotations

import errno
import mmap
import os
import socket
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Final

from rawproto.link import sockopt
from rawproto.link.ring import align

__all__ = ["AT_ONCE", "LARGEST", "SMALL", "SendRing"]

AT_ONCE: Final = 256
"""The most frames for one call."""
BATCH: Final = 100_000
"""Bytes for one call: they stay in the processor's cache, and malloc fetches no pages for them."""
SMALL: Final = 214
"""Bytes of the largest frame that a slot of 256 holds: in small slots small frames lie close together."""
LARGEST: Final = 16_384
"""Bytes of the largest frame to make a ring for: the kernel wants memory for it in one piece."""
_SLOTS: Final = 1024
"""As many as a card takes a millisecond for, so that a wait of that length leaves no gap."""
_RING = struct.Struct("@IIII")
"""struct tpacket_req: size and number of blocks, size and number of slots."""
_HEAD = struct.Struct("@III20xBBHHHH")
"""status, length, captured length; of the virtio header flags, segmentation, length of the header, and three more."""
_HEAD_SIZE: Final = 42
_VIRTIO: Final = 10
_STATE: Final = 0 if sys.byteorder == "little" else 3
"""Which byte of the status word has its bits."""
_REQUESTED: Final = bytes((sockopt.TP_STATUS_SEND_REQUEST,)) * AT_ONCE
_DONE: Final = bytes((sockopt.TP_STATUS_AVAILABLE, sockopt.TP_STATUS_SENDING))


class SendRing:
    """A ring for frames of up to `largest` bytes through `interface`. Whoever uses it holds `lock`."""

    def __init__(self, interface: str, largest: int, *, qdisc_bypass: bool = False) -> None:
        self.lock = threading.Lock()
        self._largest = largest if largest <= LARGEST else 0
        self._room = 0
        self._slot = self._slots = self._at_once = 0
        self._next = 0
        self._laid: tuple[int, int] | None = None
        """First slot and number of the frames that the kernel was asked to send, until its answer was looked at."""
        self._heads = _Heads()
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        try:
            self._socket.setblocking(False)
            for option, value in (
                (sockopt.PACKET_VERSION, sockopt.TPACKET_V2),
                (sockopt.PACKET_VNET_HDR, 1),
                (sockopt.PACKET_QDISC_BYPASS, int(qdisc_bypass)),
            ):
                self._socket.setsockopt(sockopt.SOL_PACKET, option, value)
            self._socket.bind((interface, 0))
        except BaseException:
            self._socket.close()
            raise

    def takes(self, longest: int) -> bool:
        """Whether frames of up to `longest` bytes can go this way; makes room for them if need be."""
        if longest <= self._room:
            return True
        if longest > self._largest:
            return False
        try:
            self._map(SMALL if longest <= SMALL and not self._slots else self._largest)
        except OSError as error:
            if error.errno != errno.EBUSY:  # the old slots are still being sent; anything else will not get better
                self._largest = 0
            return False
        return True

    def _map(self, room: int) -> None:
        """Make slots for frames of `room` bytes, in place of those there are."""
        option = (sockopt.SOL_PACKET, sockopt.PACKET_TX_RING)
        if self._slots:
            self._room, self._laid = 0, None
            self._memory.close()
            self._socket.setsockopt(*option, _RING.pack(0, 0, 0, 0))
        self._slot = align(_HEAD_SIZE + room, sockopt.TPACKET_ALIGNMENT)
        size = align(self._slot * _SLOTS, mmap.PAGESIZE)
        self._slots = size // self._slot
        self._at_once = max(1, min(AT_ONCE, BATCH // self._slot))
        self._socket.setsockopt(*option, _RING.pack(size, 1, self._slot, self._slots))
        self._memory = mmap.mmap(self._socket.fileno(), size)
        self._next, self._room = 0, room

    def send(self, frames: Sequence[bytes], *, even: bool) -> int:
        """Send `frames`, none longer than it `takes`, or as many of them as go at once; give how many the kernel took.

        `even` says that all are of one length. Raises OSError when it took none: ENOBUFS when all slots are still
        being sent, otherwise what the kernel said to the first one.
        """
        if self._laid is not None:  # the last call was interrupted (Ctrl-C)
            self._settle()
        start, slot = self._next * self._slot, self._slot
        count = min(len(frames), self._slots - self._next, self._at_once)
        states = self._memory[start + _STATE : start + count * slot : slot]
        if any(states):
            count -= len(states.lstrip(b"\0"))
            if not count:
                raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        if count < len(frames):
            frames = frames[:count]
        if even:
            self._lay_even(frames, start)
        else:
            self._lay(frames, start)
        requested = _REQUESTED[:count]
        # Side by side, with no call between: whatever interrupts this, `_laid` tells what the kernel may have seen.
        self._memory[start + _STATE : start + count * slot : slot] = requested
        self._laid = (self._next, count)
        refusal = None
        try:
            self._socket.send(b"")
        except OSError as error:
            refusal = error
        taken = self._settle()
        if not taken:
            raise refusal or OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return taken

    def close(self) -> None:
        """Unmap the memory and close the socket. May be called twice."""
        self._room = self._largest = 0
        self._memory.close()
        self._socket.close()

    def _lay_even(self, frames: Sequence[bytes], start: int) -> None:
        """Write frames of one length into the slots from byte `start` on, all in one go."""
        size = len(frames[0])
        head = self._heads[size]
        laid = head + (bytes(self._slot - _HEAD_SIZE - size) + head).join(frames)
        self._memory[start : start + len(laid)] = laid

    def _lay(self, frames: Sequence[bytes], start: int) -> None:
        """Write frames of any lengths into the slots from byte `start` on."""
        memory, heads, slot = self._memory, self._heads, self._slot
        for frame in frames:
            size = len(frame)
            memory[start : start + _HEAD_SIZE + size] = heads[size] + frame
            start += slot

    def _settle(self) -> int:
        """See what the kernel took of what was laid, and take back the rest; give the number."""
        first, count = self._laid or (self._next, 0)
        slot = self._slot
        end = (first + count) * slot
        states = self._memory[first * slot + _STATE : end : slot]
        if states.translate(None, _DONE):
            count = next(at for at, state in enumerate(states) if state not in _DONE)
        rest, free, after = (first + count) * slot + _STATE, bytes(len(states) - count), (first + count) % self._slots
        # Side by side, with no call between: interrupted before, all is seen anew by the next call.
        self._memory[rest:end:slot] = free
        self._next = after
        self._laid = None
        return count


class _Heads(dict[int, bytes]):
    """What stands before a frame, by its length: not to be sent yet."""

    def __missing__(self, size: int) -> bytes:
        head = _HEAD.pack(sockopt.TP_STATUS_AVAILABLE, size + _VIRTIO, size + _VIRTIO, 0, 0, size, 0, 0, 0)
        self[size] = head
        return head
