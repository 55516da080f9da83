"""A stack: an endpoint on a carrier. The one loop body that virtual time and real time share.

A carrier is what brings datagrams to peers: IP over Ethernet, IP, UDP (see rawproto.link.carrier). Each call of the
stack is one iteration with one `now`, later than the one before, and sends at most once; that, and the journal in
which each call is noted, is what lets a recording be replayed to the nanosecond.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from rawproto.transport.connection import Connection
from rawproto.transport.datagram import DatagramPort, Message
from rawproto.transport.endpoint import Endpoint, Listener

__all__ = ["Carrier", "Journal", "Stack"]


MAX_SEND = 45 * 1440
"""The most that one call takes: no entry of a journal is too long for a capture file, and what is handed over in
pieces of this size leaves in segments of the same, without being put together anew."""


class Carrier(Protocol):
    """What a stack needs of the layers below it."""

    datagram_size: int
    """The most bytes that one datagram may have."""
    ecn: bool
    """Whether it can mark datagrams as ECN-capable, and tells of marks (RFC 3168 §5)."""
    discarded: Counter[str]
    """What came and was not for the endpoint, by reason."""

    def send(self, peer: str, datagrams: Sequence[bytes], now: int, ect: bool = False) -> None:
        """Send `datagrams`, in order, to `peer`; `ect` marks them as ECN-capable, if the carrier can."""

    def receive(self, now: int) -> Iterable[tuple[str, Sequence[bytes | memoryview], bool]]:
        """Give what has come, in order, as runs of datagrams from one peer, and whether congestion was marked."""

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
        if endpoint.config.ecn and not carrier.ecn:
            endpoint.config = replace(endpoint.config, ecn=False)  # what can't be marked must not be offered
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
        for peer, datagrams, marked in self.carrier.receive(now):
            self.endpoint.receive(peer, datagrams, now, marked=marked)
        return self._transmit(now)

    def next_timeout(self) -> int | None:
        """When `step` wants to be called, whatever comes; None for never."""
        carrier, endpoint = self.carrier.next_timeout(), self.endpoint.next_timeout()
        if carrier is None or endpoint is None:
            return endpoint if carrier is None else carrier
        return min(carrier, endpoint)

    def connect(self, peer: str, port: int, now: int, local_port: int = 0, *, records: bool = False) -> Connection:
        """As Endpoint.connect."""
        now = self._call(now, "connect", peer=peer, port=port, local_port=local_port, records=records)
        connection = self.endpoint.connect(peer, port, now, local_port, records=records)
        self._transmit(now)
        return connection

    def listen(self, port: int, backlog: int, now: int, *, records: bool = False) -> Listener:
        """As Endpoint.listen."""
        self._call(now, "listen", port=port, backlog=backlog, records=records)
        return self.endpoint.listen(port, backlog, records=records)

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
        """As Connection.send, of at most MAX_SEND bytes if it is no record."""
        if not connection.records:
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

    def recv_record(self, connection: Connection, limit: int, now: int) -> tuple[bytes, int]:
        """As Connection.recv_record."""
        now = self._call(now, "recv_record", connection=connection.identity, limit=limit)
        record = connection.recv_record(limit, now)
        if self.endpoint.pending:
            self._transmit(now)
        return record

    def set_option(self, connection: Connection, name: str, value: bool | int | str, now: int) -> None:
        """As Connection.set_option."""
        now = self._call(now, "set_option", connection=connection.identity, option=name, value=value)
        connection.set_option(name, value, now)
        self._transmit(now)

    def open_datagrams(self, port: int, now: int) -> DatagramPort:
        """As Datagrams.open."""
        self._call(now, "open_datagrams", port=port)
        return self.endpoint.datagrams.open(port)

    def close_datagrams(self, port: DatagramPort, now: int) -> None:
        """As Datagrams.close."""
        self._call(now, "close_datagrams", port=port.port)
        self.endpoint.datagrams.close(port)

    def connect_datagrams(self, port: DatagramPort, remote: tuple[str, int] | None, now: int) -> None:
        """Take datagrams of `remote` alone on `port`, or of everybody again."""
        peer, peer_port = remote or ("", 0)
        self._call(now, "connect_datagrams", port=port.port, peer=peer, peer_port=peer_port)
        port.remote = remote

    def send_datagram(self, port: DatagramPort, peer: str, peer_port: int, data: bytes, now: int) -> bool:
        """As Datagrams.send."""
        now = self._call(now, "send_datagram", port=port.port, peer=peer, peer_port=peer_port, data=data)
        taken = self.endpoint.datagrams.send(port, peer, peer_port, data, self.endpoint.mss)
        self._transmit(now)
        return taken

    def recv_datagram(self, port: DatagramPort, now: int) -> Message | None:
        """Take the first datagram that waits on `port`; None if there is none."""
        if not port.queue:
            return None
        self._call(now, "recv_datagram", port=port.port)
        return port.queue.popleft()

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
        for peer, datagrams, ect in self.endpoint.poll_transmit(now):
            self.carrier.send(peer, datagrams, now, ect)
        return self.endpoint.pending
