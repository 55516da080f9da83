"""Links in memory: a pair, or a segment that any number can join. A frame sent by one is at all others at once.

No socket, no clock and no delay: `rawproto.sim` runs on them in virtual time, tests in one process. Each end may
belong to a thread of its own. Delay, loss and the like are the business of `rawproto.link.impair`.
"""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["MemoryLink", "Segment", "memory_pair"]

ETHERNET_HEADER = 14
VLAN_TAGS = (b"\x81\x00", b"\x88\xa8")
"""The EtherTypes of a customer's and of a provider's tag (IEEE 802.1Q §9.5): four more bytes of header."""


class Segment:
    """A stretch of wire, a hub: what one link sends, every other one receives.

    All links on it have one `linktype` and one `mtu` (bytes behind the link header), and queues of `queue_frames`
    frames. Where frames hold no addresses (`LinkType.USER0`) a `peer` names the one link that gets them.
    """

    def __init__(self, linktype: LinkType = LinkType.ETHERNET, mtu: int = 1500, *, queue_frames: int = 4096) -> None:
        self.linktype = linktype
        self.mtu = mtu
        self.queue_frames = queue_frames
        # Replaced as a whole, never changed, so that a thread may walk it while another attaches.
        self._links: tuple[MemoryLink, ...] = ()

    @property
    def links(self) -> tuple[MemoryLink, ...]:
        """The links on the segment, in the order in which they came."""
        return self._links

    def attach(self, name: str) -> MemoryLink:
        """A new link on the segment. Raises LinkError (EEXIST) if there is one of that name."""
        if any(link.interface == name for link in self._links):
            raise LinkError(errno.EEXIST, f"the segment has a link named {name!r} already: choose another name")
        link = MemoryLink(self, name)
        self._links = (*self._links, link)
        return link

    def detach(self, link: MemoryLink) -> None:
        """Take `link` off the segment; what is sent from now on passes it by."""
        self._links = tuple(other for other in self._links if other is not link)

    def others(self, sender: MemoryLink, peer: str) -> list[MemoryLink]:
        """Who gets what `sender` sends to `peer`. Raises LinkError (EHOSTUNREACH) for a peer that is not there."""
        if self.linktype is not LinkType.USER0 or not peer:
            return [link for link in self._links if link is not sender]
        found = [link for link in self._links if link.interface == peer]
        if not found:
            there = ", ".join(link.interface for link in self._links) or "nobody"
            raise LinkError(errno.EHOSTUNREACH, f"no link named {peer!r} is on the segment; there are: {there}")
        return found


class MemoryLink(Link):
    """One end on a segment, made by `Segment.attach` or `memory_pair`.

    `dropped` counts the frames that found the receive queue full; like a card's ring, it drops the newest.
    """

    def __init__(self, segment: Segment, name: str) -> None:
        self.segment = segment
        self.linktype = segment.linktype
        self.mtu = segment.mtu
        self.interface = name
        self.dropped = 0
        self._queue: deque[tuple[bytes, str]] = deque()
        self._event = -1
        self._event_lock = threading.Lock()
        self._closed = False

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Put `frames` into the queues of the others. Raises LinkError, before any is sent, for one over the MTU."""
        self._check_open()
        for frame in frames:
            self._check_size(frame)
        source = self.interface if self.linktype is LinkType.USER0 else ""
        for other in self.segment.others(self, peer):
            other._deliver(frames, source)

    def receive(self, now: int) -> list[Frame]:
        """All frames that were there when it was called, stamped with `now`."""
        self._check_open()
        if self._event >= 0:
            # Before the queue is emptied: a frame that comes in between then wakes the poller once too often
            # instead of never.
            with suppress(BlockingIOError):
                os.eventfd_read(self._event)
        queue, linktype, name = self._queue, self.linktype, self.interface
        taken = [queue.popleft() for _ in range(len(queue))]
        return [Frame(data, now, linktype, name, Direction.INBOUND, peer=peer) for data, peer in taken]

    @property
    def waiting(self) -> int:
        """How many frames `receive` would give."""
        return len(self._queue)

    def fileno(self) -> int:
        """An eventfd that polls readable while frames wait; made on the first call, -1 once the link is closed."""
        with self._event_lock:
            if self._event < 0 and not self._closed:
                self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
                # Frames that came before there was a descriptor have not rung it.
                if self._queue:
                    os.eventfd_write(self._event, 1)
            return self._event

    def close(self) -> None:
        """Leave the segment and close the descriptor. Frames that were not received are gone."""
        self.segment.detach(self)
        with self._event_lock:
            self._closed = True
            if self._event >= 0:
                os.close(self._event)
                self._event = -1
        self._queue.clear()

    def _deliver(self, frames: Sequence[bytes], peer: str) -> None:
        queue = self._queue
        room = max(0, self.segment.queue_frames - len(queue))
        queue.extend((frame, peer) for frame in frames[:room])
        self.dropped += max(0, len(frames) - room)
        if self._event >= 0:
            # Under the lock, because `close` in another thread may give the number to another file.
            with self._event_lock:
                if self._event >= 0:
                    os.eventfd_write(self._event, 1)

    def _check_open(self) -> None:
        if self._closed:
            raise LinkError(errno.EBADF, f"the link {self.interface!r} is closed")

    def _check_size(self, frame: bytes) -> None:
        most = self.mtu
        if self.linktype is LinkType.ETHERNET:
            most += ETHERNET_HEADER + (4 if frame[12:14] in VLAN_TAGS else 0)
        if len(frame) > most:
            raise LinkError(
                errno.EMSGSIZE,
                f"a frame of {len(frame)} bytes on {self.interface!r}, which takes {most} (mtu {self.mtu}): send less"
                " at once or raise the mtu",
            )


def memory_pair(
    first: str = "a",
    second: str = "b",
    *,
    linktype: LinkType = LinkType.ETHERNET,
    mtu: int = 1500,
    queue_frames: int = 4096,
) -> tuple[MemoryLink, MemoryLink]:
    """Two links with a wire between them."""
    segment = Segment(linktype, mtu, queue_frames=queue_frames)
    return segment.attach(first), segment.attach(second)
