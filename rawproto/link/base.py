"""What every link is: a thing that moves frames, in batches, and is told the time.

`send` takes all the frames that are ready, `receive` gives all that have come; neither blocks. Time is an
argument, an int of nanoseconds, because the same links run under the simulator's clock and under the real
one. A link that holds frames back (an impairing wrapper, a pacer) says so by `next_timeout` and lets them
go in `handle_timeout`.
"""

from __future__ import annotations

import errno
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rawproto.errors import LinkError
from rawproto.wire.frame import Frame, LinkType

__all__ = ["Link", "LinkWrapper"]


class Link(ABC):
    """Moves frames. Usable in a `with` statement, which closes it."""

    linktype: LinkType
    """What the first byte of each frame belongs to. `LinkType.USER0` marks bare datagrams (UDP, AF_UNIX)."""
    mtu: int
    """The most bytes a frame may carry behind its link header (for Ethernet: without the 14 bytes)."""
    interface: str = ""
    """The name of the interface, for captures and messages."""

    @abstractmethod
    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send all of `frames`, in order. `peer` is the destination where the bytes don't hold one (UDP).

        Raises LinkError. A frame over the MTU is an error: nothing is ever cut short.
        """

    def send_block(self, block: bytes | bytearray | memoryview, stride: int, now: int, peer: str = "") -> None:
        """Send the frames of `stride` bytes that stand back to back in `block`, as `Template.block` makes them.

        Raises what `send` raises, and LinkError (EINVAL) for a block that is not whole frames.
        """
        if stride < 1 or len(block) % stride:
            raise LinkError(errno.EINVAL, f"a block of {len(block)} bytes is not whole frames of {stride}")
        data = bytes(block)
        self.send([data[at : at + stride] for at in range(0, len(data), stride)], now, peer)

    def prepare_to_send(self) -> None:  # noqa: B027 - most links have nothing to prepare
        """Do beforehand what the first frames would have to wait for."""

    @abstractmethod
    def receive(self, now: int) -> list[Frame]:
        """Give the frames that have come, at most a batch, without waiting; empty when there is none."""

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, in ns; None for never."""
        return None

    def handle_timeout(self, now: int) -> None:  # noqa: B027 - most links hold nothing back
        """Let go of what was held until `now`."""

    def fileno(self) -> int:
        """A descriptor that polls readable when `receive` has something; -1 if there is none."""
        return -1

    def canonical(self, peer: str) -> str:
        """The one way in which this link writes the name `peer`, as in `Frame.peer`. Raises LinkError for none."""
        return peer

    def on_wire(self, data: bytes, *, peer: str, outbound: bool) -> tuple[bytes, LinkType]:
        """`data` as a capture should hold it, and its link type; headers that the kernel keeps are put back."""
        return data, self.linktype

    def close(self) -> None:  # noqa: B027 - a link in memory has nothing to give back
        """Give back whatever the link holds. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class LinkWrapper(Link):
    """A link that passes everything on to another one. Wrappers override what they change."""

    def __init__(self, inner: Link) -> None:
        self.inner = inner
        self.linktype = inner.linktype
        self.mtu = inner.mtu
        self.interface = inner.interface
        self.address: str = getattr(inner, "address", "")
        """The inner link's own address, "" if it has none."""

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass `frames` on."""
        self.inner.send(frames, now, peer)

    def prepare_to_send(self) -> None:
        """Let the inner link prepare."""
        self.inner.prepare_to_send()

    def receive(self, now: int) -> list[Frame]:
        """Pass on what the inner link has."""
        return self.inner.receive(now)

    def next_timeout(self) -> int | None:
        """When the inner link wants to be called."""
        return self.inner.next_timeout()

    def handle_timeout(self, now: int) -> None:
        """Pass the time on."""
        self.inner.handle_timeout(now)

    def fileno(self) -> int:
        """The inner link's descriptor."""
        return self.inner.fileno()

    def canonical(self, peer: str) -> str:
        """As the inner link writes it."""
        return self.inner.canonical(peer)

    def on_wire(self, data: bytes, *, peer: str, outbound: bool) -> tuple[bytes, LinkType]:
        """As the inner link shows it."""
        return self.inner.on_wire(data, peer=peer, outbound=outbound)

    def close(self) -> None:
        """Close the inner link."""
        self.inner.close()
