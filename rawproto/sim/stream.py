"""Streams, records and datagrams for simulated applications: Berkeley calls as generators that wait in virtual time.

def client(host):
    stream = yield from connect(host, "10.0.0.2", 80)
    yield from stream.sendall(b"hello")
    stream.shutdown()
    reply = yield from stream.recv_all()

A connection made or taken with `records=True` has `send_record` and `recv_record` instead; datagrams have a port of
their own, `open_datagrams`.
"""

from __future__ import annotations

from collections.abc import Generator

from rawproto.errors import ProtocolError, RawprotoError
from rawproto.sim.network import Condition, Host, HostCondition
from rawproto.transport.connection import Connection, End
from rawproto.transport.datagram import DatagramPort, Message
from rawproto.transport.endpoint import Listener

__all__ = [
    "ConnectionEndedError",
    "Datagrams",
    "DatagramsRefusedError",
    "Stream",
    "accept",
    "connect",
    "listen",
    "open_datagrams",
    "sleep",
    "wait_closed",
]


class ConnectionEndedError(RawprotoError):
    """The connection ended before the call was done; `end` says how."""

    def __init__(self, end: End) -> None:
        super().__init__(str(end))
        self.end = end


class DatagramsRefusedError(RawprotoError):
    """The peer that was fixed by `connect` has said that nobody takes datagrams there."""


class Stream:
    """One connection, as a simulated application holds it."""

    def __init__(self, host: Host, connection: Connection) -> None:
        self.host = host
        self.connection = connection

    def send(self, data: bytes) -> int:
        """Hand over what there is room for, without waiting; give how much that was."""
        self._check()
        return self.host.stack.send(self.connection, data, self.host.now)

    def sendall(self, data: bytes) -> Generator[Condition, None, None]:
        """Hand over all of `data`, waiting for room. Raises ConnectionEndedError."""
        view = memoryview(data)
        while view:
            yield HostCondition(lambda: self.connection.writable, self.connection)
            view = view[self.send(bytes(view[: 1 << 16])) :]

    def recv(self, limit: int = 1 << 16) -> Generator[Condition, None, bytes]:
        """Wait for data and give up to `limit` bytes; b"" at the end of the stream. Raises ConnectionEndedError."""
        connection = self.connection
        yield HostCondition(lambda: connection.readable, connection)
        if connection.readable_data:
            return self.host.stack.recv(connection, limit, self.host.now)
        if not connection.receiver.at_end:
            self._check()
        return b""

    def recv_all(self) -> Generator[Condition, None, bytes]:
        """Give all that comes until the end of the stream. Raises ConnectionEndedError."""
        blocks = []
        while block := (yield from self.recv()):
            blocks.append(block)
        return b"".join(blocks)

    def send_record(self, data: bytes) -> Generator[Condition, None, None]:
        """Hand over `data` as one record, waiting for room for all of it.

        Raises ConnectionEndedError; ProtocolError for a record that is empty or too long for the peer.
        """
        connection = self.connection
        yield HostCondition(lambda: connection.writable, connection)
        while not self.send(data):
            yield HostCondition(
                lambda: connection.end is not None or connection.sender.space() >= len(data), connection
            )

    def recv_record(self, limit: int = 1 << 32) -> Generator[Condition, None, tuple[bytes, int]]:
        """Wait for a record; give it, cut to `limit` bytes, and its full length. (b"", 0) once no more come.

        Raises ConnectionEndedError.
        """
        connection = self.connection
        yield HostCondition(lambda: connection.readable, connection)
        if connection.readable_data:
            return self.host.stack.recv_record(connection, limit, self.host.now)
        if not connection.receiver.at_end:
            self._check()
        return b"", 0

    def set_option(self, name: str, value: bool | int | str) -> None:
        """Change a setting of this connection, as Connection.set_option."""
        self.host.stack.set_option(self.connection, name, value, self.host.now)

    def shutdown(self) -> None:
        """Send no more."""
        self.host.stack.shutdown(self.connection, self.host.now)

    def close(self) -> None:
        """Send no more and read no more."""
        self.host.stack.close(self.connection, self.host.now)

    def abort(self) -> None:
        """End at once, with a reset."""
        self.host.stack.abort(self.connection, self.host.now)

    def _check(self) -> None:
        if self.connection.end is not None:
            raise ConnectionEndedError(self.connection.end)


class Datagrams:
    """A port for unreliable datagrams, as a simulated application holds it."""

    def __init__(self, host: Host, port: DatagramPort) -> None:
        self.host = host
        self.port = port

    def connect(self, remote: tuple[str, int] | None) -> None:
        """Take datagrams of `remote`, an address and a port, alone; of everybody again with None."""
        self.port.refused = False
        self.host.stack.connect_datagrams(self.port, remote, self.host.now)

    def send(self, data: bytes, remote: tuple[str, int] | None = None) -> bool:
        """Send `data` as one datagram to `remote`, or where `connect` said; False if too many wait already.

        Raises ProtocolError for one that is too long for the link, and without an address; DatagramsRefusedError.
        """
        self._check()
        to = remote or self.port.remote
        if to is None:
            raise ProtocolError("the datagram has no address: give one, or call connect() first")
        return self.host.stack.send_datagram(self.port, *to, data, self.host.now)

    def recv(self) -> Generator[Condition, None, Message]:
        """Wait for a datagram and give it, with its sender. Raises DatagramsRefusedError."""
        port = self.port
        yield HostCondition(lambda: bool(port.queue) or port.refused)
        self._check()
        message = self.host.stack.recv_datagram(port, self.host.now)
        if message is None:
            raise RawprotoError(f"the datagram that waited on port {port.port} was taken by somebody else")
        return message

    def close(self) -> None:
        """Take no more."""
        self.host.stack.close_datagrams(self.port, self.host.now)

    def _check(self) -> None:
        if self.port.refused:
            self.port.refused = False
            raise DatagramsRefusedError(f"nobody takes datagrams at {self.port.remote}")


def open_datagrams(host: Host, port: int) -> Datagrams:
    """Take datagrams on `port` of `host`. Raises ProtocolError if it is in use."""
    return Datagrams(host, host.stack.open_datagrams(port, host.now))


def listen(host: Host, port: int, backlog: int = 128, *, records: bool = False) -> Listener:
    """Take connections on `port` of `host`, for streams of records or of bytes."""
    return host.stack.listen(port, backlog, host.now, records=records)


def accept(host: Host, listener: Listener) -> Generator[Condition, None, Stream]:
    """Wait for a connection on `listener`."""
    yield HostCondition(lambda: bool(listener.queue))
    connection = host.stack.accept(listener, host.now)
    if connection is None:
        raise RawprotoError(f"the connection that waited on port {listener.port} was taken by somebody else")
    return Stream(host, connection)


def connect(host: Host, peer: str, port: int, *, records: bool = False) -> Generator[Condition, None, Stream]:
    """Connect to `port` of `peer` and wait until that is done. Raises ConnectionEndedError."""
    connection = host.stack.connect(peer, port, host.now, records=records)
    yield HostCondition(lambda: connection.established or connection.end is not None, connection)
    stream = Stream(host, connection)
    stream._check()
    return stream


def wait_closed(stream: Stream) -> Generator[Condition, None, None]:
    """Wait until the peer has acknowledged everything, the end of the stream included, or the connection is over."""
    yield HostCondition(lambda: stream.connection.drained, stream.connection)


def sleep(host: Host, duration_ns: int) -> Generator[Condition, None, None]:
    """Wait until `duration_ns` of the network's time have passed, whatever the host's clock does meanwhile.

    As a real sleep, which a clock that is put forward or back makes neither shorter nor longer.
    """
    simulation = host.simulation
    due_ns = simulation.now + duration_ns
    simulation.schedule(due_ns, host.forget)  # or nobody would look again when nothing else happens
    yield HostCondition(lambda: simulation.now >= due_ns)
