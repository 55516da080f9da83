"""Unreliable datagrams: ports and a checksum, and nothing else (SOCK_DGRAM, docs/rdt.md §14).

They share hosts and carriers with the streams and never wait for them: what is handed over leaves with the next
iteration, whatever the connections do; a queue that is full drops, and counts it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from rawproto.errors import ConfigError, ProtocolError
from rawproto.transport.segment import DGM, RST, Segment

__all__ = ["DatagramPort", "Datagrams", "Message"]


class Message(NamedTuple):
    """One datagram that came: from whom, and what."""

    peer: str
    port: int
    data: bytes


@dataclass(eq=False, slots=True)
class DatagramPort:
    """A port that takes datagrams. With a `remote` it takes those of that peer and port alone."""

    port: int
    limit: int
    remote: tuple[str, int] | None = None
    queue: deque[Message] = field(default_factory=deque)
    refused: bool = False
    """Nobody takes datagrams where the last ones went; only told of a `remote`."""
    sent: int = 0
    received: int = 0
    dropped: int = 0
    """Datagrams that came when the queue was full."""


class Datagrams:
    """All datagram ports of one endpoint, and what waits to be sent. `most` bounds each queue."""

    def __init__(self, most: int) -> None:
        self.ports: dict[int, DatagramPort] = {}
        self.outbox: deque[tuple[str, Segment]] = deque()
        self._most = most

    def open(self, port: int) -> DatagramPort:
        """Take datagrams on `port`. Raises ProtocolError if it is in use, ConfigError for what is no port."""
        if not 0 < port <= 0xFFFF:
            raise ConfigError(f"port is {port}; it must be from 1 to 65535")
        if port in self.ports:
            raise ProtocolError(f"datagram port {port} is in use")
        taken = self.ports[port] = DatagramPort(port, self._most)
        return taken

    def close(self, port: DatagramPort) -> None:
        """Take no more datagrams on `port`."""
        if self.ports.get(port.port) is port:
            del self.ports[port.port]

    def send(self, port: DatagramPort, peer: str, peer_port: int, data: bytes, largest: int) -> bool:
        """Have `data` sent as one datagram; False if too many wait already.

        Raises ProtocolError if it has more than `largest` bytes, which no datagram holds.
        """
        if len(data) > largest:
            raise ProtocolError(f"a datagram of {len(data)} bytes is too long: the link carries {largest} at most")
        if len(self.outbox) >= self._most:
            return False
        self.outbox.append((peer, Segment(port.port, peer_port, DGM, 0, payload=data, packet_number=port.sent)))
        port.sent += 1
        return True

    def receive(self, peer: str, segment: Segment) -> str:
        """Put a datagram into its port's queue; give why it was not, or ""."""
        port = self.ports.get(segment.destination_port)
        sender = (peer, segment.source_port)
        if segment.flags & RST:
            if port is not None and port.remote == sender:
                port.refused = True
                return ""
            return "reset for no connection"
        if port is None or (port.remote is not None and port.remote != sender):
            return "no datagram port"
        if len(port.queue) >= port.limit:
            port.dropped += 1
            return "datagram queue full"
        port.received += 1
        port.queue.append(Message(peer, segment.source_port, bytes(segment.payload)))
        return ""
