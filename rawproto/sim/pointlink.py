"""A host's end of a point-to-point link: IP packets as they are, no neighbours, no addresses below IP."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from rawproto.errors import LinkError
from rawproto.link.base import Link
from rawproto.sim.port import Port
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["PointLink"]


class PointLink(Link):
    """Sends into `port`, once there is one, and receives what another port has delivered."""

    def __init__(self, name: str, mtu: int) -> None:
        self.linktype = LinkType.RAW
        self.mtu = mtu
        self.interface = name
        self.port: Port | None = None
        self._arrived: list[bytes] = []

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Hand `frames` to the port. Raises LinkError, before any is sent, for one over the MTU."""
        for frame in frames:
            if len(frame) > self.mtu:
                raise LinkError(
                    errno.EMSGSIZE, f"a packet of {len(frame)} bytes on {self.interface!r}, whose mtu is {self.mtu}"
                )
        if self.port is None:
            raise LinkError(errno.ENETDOWN, f"{self.interface!r} is not connected to anything yet")
        self.port.send(frames, now)

    def deliver(self, frames: list[bytes], now: int) -> None:
        """Take frames that have arrived."""
        self._arrived += frames

    def receive(self, now: int) -> list[Frame]:
        """All that has arrived, stamped with `now`."""
        arrived, self._arrived = self._arrived, []
        linktype, name = self.linktype, self.interface
        return [Frame(data, now, linktype, name, Direction.INBOUND) for data in arrived]

    @property
    def waiting(self) -> int:
        """How many frames `receive` would give."""
        return len(self._arrived)
