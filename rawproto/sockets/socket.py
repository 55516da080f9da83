"""The stream socket, SOCK_STREAM: the calls, the arguments and the exceptions of the standard library's.

What a kernel's socket raises, this one raises: ConnectionRefusedError, ConnectionResetError, BrokenPipeError,
TimeoutError, BlockingIOError, OSError with the right errno.
"""

from __future__ import annotations

import socket as stdlib

from rawproto.sockets.base import Received
from rawproto.sockets.connection_socket import ConnectionSocket
from rawproto.transport.connection import Connection

__all__ = ["Socket"]


class Socket(ConnectionSocket):
    """A stream of bytes in each direction. `send` takes as much as there is room for, at least one byte."""

    type = stdlib.SOCK_STREAM
    records = False

    def _send(self, view: memoryview, patience: int | None) -> int:
        connection = self._connected()
        if not view:
            return 0
        self._await_room(connection, lambda: connection.writable, patience)
        return self._host.stack.send(connection, view, self._driver.clock())

    def _receive(self, limit: int, patience: int | None) -> Received:
        connection = self._connected()
        if not limit:
            return Received(b"", 0, (connection.peer, connection.peer_port))
        return super()._receive(limit, patience)

    def _read(self, connection: Connection, limit: int) -> Received:
        data = self._host.stack.recv(connection, limit, self._driver.clock())
        return Received(data, len(data), (connection.peer, connection.peer_port))
