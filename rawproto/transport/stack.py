"""A stack: an endpoint on a carrier. The one loop body that virtual time and real time share.

A carrier is what brings datagrams to peers: IP over Ethernet, IP, UDP (see rawproto.link.carrier). Each call of the
stack is one iteration with one `now`, later than the one before, and sends at most once; that, and the journal in
which each call is noted, is what lets a recording be replayed to the nanosecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Endpoint, Listener

__all__ = ["Carrier", "Journal", "Stack"]


MAX_SEND = 45 * 1440
"""The most that one call takes: no entry of a journal is too long for a capture file, and what is handed over in
pieces of this size leaves in segments of the same, without being put together anew."""


class Carrier(Protocol):
    """What a stack needs of the layers below it."""

    datagram_size: int
    """The most bytes that one datagram may have."""
    discarded: Counter[str]
    """What came and was not for the endpoint, by reason."""

    def send(self, peer: str, datagrams: Sequence[bytes], now: int) -> None:
        """Send `datagrams`, in order, to `peer`."""

    def receive(self, now: int) -> Iterable[tuple[str, Sequence[bytes | memoryview]]]:
        """Give what has come, in order, as runs of datagrams from one peer."""

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, in ns; None for never."""

    def handle_timeout(self, now: int) -> None:
        """Do what is due at `now`."""

    def fileno(self) -> int:
        """A descriptor that polls readable when there is something to receive; -1 if there is none."""

    def close(self) -> None:
        """Give back what the carrier holds."""


class Journal(Protocol):
    """Notes what a stack was told by its application and by time; frames are noted by a tap on the link."""

    def call(self, now: int, name: str, **arguments: Any) -> None:
        """Note the application's call; "timeout" that a timer ran out, "poll" that there was more to send."""


class Stack:
    """The protocol stack of one host, sans-I/O. All times in ns."""

    def __init__(self, carrier: Carrier, endpoint: Endpoint, journal: Journal | None = None) -> None:
        self.carrier = carrier
        self.endpoint = endpoint
        self.journal = journal
        self.now = -1
        """The time of the last iteration. Each is later than the one before, if only by a nanosecond."""

    def step(self, now: int) -> bool:
        """Take in time and all that has come, and answer. True if there is more to send right now: step again."""
        now = self._tick(now)
        due = self.carrier.next_timeout()
        if due is not None and due <= now:
            self.carrier.handle_timeout(now)
        due = self.endpoint.next_timeout()
        if due is not None and due <= now:
            if self.journal is not None:
                self.journal.call(now, "timeout", deadline=due)
            self.endpoint.handle_timeout(now)
        elif self.journal is not None and self.endpoint.pending:
            self.journal.call(now, "poll")  # nothing else might show that there was an iteration at this time
        for peer, datagrams in self.carrier.receive(now):
            self.endpoint.receive(peer, datagrams, now)
        return self._transmit(now)

    def next_timeout(self) -> int | None:
        """When `step` wants to be called, whatever comes; None for never."""
        carrier, endpoint = self.carrier.next_timeout(), self.endpoint.next_timeout()
        if carrier is None or endpoint is None:
            return endpoint if carrier is None else carrier
        return min(carrier, endpoint)

    def connect(self, peer: str, port: int, now: int, local_port: int = 0) -> Connection:
        """As Endpoint.connect."""
        now = self._call(now, "connect", peer=peer, port=port, local_port=local_port)
        connection = self.endpoint.connect(peer, port, now, local_port)
        self._transmit(now)
        return connection

    def listen(self, port: int, backlog: int, now: int) -> Listener:
        """As Endpoint.listen."""
        self._call(now, "listen", port=port, backlog=backlog)
        return self.endpoint.listen(port, backlog)

    def unlisten(self, listener: Listener, now: int) -> None:
        """As Endpoint.unlisten."""
        now = self._call(now, "unlisten", port=listener.port)
        self.endpoint.unlisten(listener, now)
        self._transmit(now)

    def accept(self, listener: Listener, now: int) -> Connection | None:
        """Take the first connection that waits in `listener`'s queue."""
        if not listener.queue:
            return None
        self._call(now, "accept", port=listener.port)
        return listener.queue.popleft()

    def send(self, connection: Connection, data: bytes | bytearray | memoryview, now: int) -> int:
        """As Connection.send, of at most MAX_SEND bytes."""
        room = min(connection.sender.space(), MAX_SEND)
        data = data if len(data) <= room else memoryview(data)[:room]
        now = self._call(now, "send", connection=connection.identity, data=data)
        taken = connection.send(data, now)
        self._transmit(now)
        return taken

    def recv(self, connection: Connection, limit: int, now: int) -> bytes:
        """As Connection.recv."""
        now = self._call(now, "recv", connection=connection.identity, limit=limit)
        data = connection.recv(limit, now)
        if self.endpoint.pending:
            self._transmit(now)
        return data

    def shutdown(self, connection: Connection, now: int) -> None:
        """As Connection.shutdown."""
        now = self._call(now, "shutdown", connection=connection.identity)
        connection.shutdown(now)
        self._transmit(now)

    def close(self, connection: Connection, now: int) -> None:
        """As Connection.close."""
        now = self._call(now, "close", connection=connection.identity)
        connection.close(now)
        self._transmit(now)

    def abort(self, connection: Connection, now: int) -> None:
        """As Connection.abort."""
        now = self._call(now, "abort", connection=connection.identity)
        connection.abort(now)
        self._transmit(now)

    def _tick(self, now: int) -> int:
        self.now = max(now, self.now + 1)
        return self.now

    def _call(self, now: int, name: str, **arguments: Any) -> int:
        now = self._tick(now)
        if self.journal is not None:
            self.journal.call(now, name, **arguments)
        return now

    def _transmit(self, now: int) -> bool:
        for peer, datagrams in self.endpoint.poll_transmit(now):
            self.carrier.send(peer, datagrams, now)
        return self.endpoint.pending
