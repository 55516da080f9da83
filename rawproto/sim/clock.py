"""What keeps a wire in the network's time when the clock of its host has another: `rawproto.sim.network.Host.jump`.

A stack passes the time it is called with on to its link. On a host whose clock has jumped that is the host's own time,
which means nothing to a wire: its delays would end early or never.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rawproto.link.base import Link, LinkWrapper
from rawproto.link.carrier import DatagramCarrier, IpCarrier
from rawproto.link.tap import RecordingLink
from rawproto.transport.stack import Stack
from rawproto.wire.frame import Frame

__all__ = ["Timer", "UntimedLink"]


class Timer(Protocol):
    """Who knows the network's time: a simulation."""

    now: int


class UntimedLink(LinkWrapper):
    """Stands between a host whose clock has jumped and its wire, which goes on in the network's time."""

    def __init__(self, inner: Link, timer: Timer) -> None:
        super().__init__(inner)
        self.timer = timer

    @classmethod
    def below(cls, stack: Stack, timer: Timer) -> UntimedLink:
        """Put one under `stack`, but below a recording, which holds the times at which the stack was called."""
        carrier = stack.carrier
        if not isinstance(carrier, IpCarrier | DatagramCarrier):
            raise TypeError(f"the clock of a host on a {type(carrier).__name__} can't jump: its link is not known")
        above = carrier.link
        if isinstance(above, RecordingLink):
            above.inner = made = cls(above.inner, timer)
        else:
            carrier.link = made = cls(above, timer)
        return made

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass `frames` on, at the network's time."""
        self.inner.send(frames, self.timer.now, peer)

    def receive(self, now: int) -> list[Frame]:
        """Give what has come, at the network's time."""
        return self.inner.receive(self.timer.now)

    def due(self) -> int | None:
        """When the wire wants to be called, in the network's time; None for never."""
        return self.inner.next_timeout()

    def next_timeout(self) -> int | None:
        """At once, or never: what is still to come is for `due` to tell, for it is not due at any time of the stack."""
        due = self.inner.next_timeout()
        return 0 if due is not None and due <= self.timer.now else None

    def handle_timeout(self, now: int) -> None:
        """Do what is due at the network's time."""
        self.inner.handle_timeout(self.timer.now)
