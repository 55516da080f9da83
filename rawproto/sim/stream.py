"""Streams for simulated applications: the Berkeley calls as generators that wait in virtual time.

def client(host):
    stream = yield from connect(host, "10.0.0.2", 80)
    yield from stream.sendall(b"hello")
    stream.shutdown()
    reply = yield from stream.recv_all()
"""

from __future__ import annotations

from collections.abc import Generator

from rawproto.errors import RawprotoError
from rawproto.sim.network import Condition, Host, HostCondition
from rawproto.transport.connection import Connection, End
from rawproto.transport.endpoint import Listener

__all__ = ["ConnectionEndedError", "Stream", "accept", "connect", "listen"]


class ConnectionEndedError(RawprotoError):
    """The connection ended before the call was done; `end` says how."""

    def __init__(self, end: End) -> None:
        super().__init__(str(end))
        self.end = end


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
            yield HostCondition(lambda: self.connection.writable)
            view = view[self.send(bytes(view[: 1 << 16])) :]

    def recv(self, limit: int = 1 << 16) -> Generator[Condition, None, bytes]:
        """Wait for data and give up to `limit` bytes; b"" at the end of the stream. Raises ConnectionEndedError."""
        connection = self.connection
        yield HostCondition(lambda: connection.readable)
        if connection.receiver.ready:
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


def listen(host: Host, port: int, backlog: int = 128) -> Listener:
    """Take connections on `port` of `host`."""
    return host.stack.listen(port, backlog, host.now)


def accept(host: Host, listener: Listener) -> Generator[Condition, None, Stream]:
    """Wait for a connection on `listener`."""
    yield HostCondition(lambda: bool(listener.queue))
    connection = host.stack.accept(listener, host.now)
    if connection is None:
        raise RawprotoError(f"the connection that waited on port {listener.port} was taken by somebody else")
    return Stream(host, connection)


def connect(host: Host, peer: str, port: int) -> Generator[Condition, None, Stream]:
    """Connect to `port` of `peer` and wait until that is done. Raises ConnectionEndedError."""
    connection = host.stack.connect(peer, port, host.now)
    yield HostCondition(lambda: connection.established or connection.end is not None)
    stream = Stream(host, connection)
    stream._check()
    return stream


def wait_closed(stream: Stream) -> Generator[Condition, None, None]:
    """Wait until the peer has acknowledged everything, the end of the stream included, or the connection is over."""
    yield HostCondition(lambda: stream.connection.drained)
