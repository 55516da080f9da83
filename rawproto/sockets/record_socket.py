"""The record socket, SOCK_SEQPACKET: as reliable and as ordered as a stream, and what was one send is one recv.

A record is taken whole or not at all, and comes whole or not at all; what does not fit the receiver's buffer is lost,
as with the kernel's sockets.
"""

from __future__ import annotations

import errno
import socket as stdlib

from rawproto.errors import ProtocolError
from rawproto.sockets.base import Received
from rawproto.sockets.connection_socket import ConnectionSocket
from rawproto.transport.connection import Connection

__all__ = ["RecordSocket"]

_LARGEST = 1 << 32


class RecordSocket(ConnectionSocket):
    """A stream of records in each direction, of at least one byte each.

    The longest is `Config.max_record` of the one who receives it; `send` raises OSError (EMSGSIZE) for a longer one,
    and (EINVAL) for one without a byte, which would look like the end.
    """

    type = stdlib.SOCK_SEQPACKET
    records = True

    def recv_record(self, bufsize: int = _LARGEST) -> tuple[bytes, int]:
        """As recv; gives the record, cut to `bufsize` bytes, and its full length. (b"", 0) once no more come.

        Not a Berkeley call: those say by MSG_TRUNC that something is missing, and not how much.
        """
        received = self._recv(bufsize, 0)
        return received.data, received.length

    def _send(self, view: memoryview, patience: int | None) -> int:
        connection = self._connected()
        if not view:
            raise OSError(errno.EINVAL, "a record has at least one byte")
        # What the peer takes is known once it has answered; one that is too long must not wait for room in vain.
        self._await_room(connection, lambda: connection.established, patience)
        while not (taken := self._hand_over(connection, view)):
            self._await_room(connection, lambda: connection.sender.space() >= len(view), patience)
        return taken

    def _hand_over(self, connection: Connection, view: memoryview) -> int:
        try:
            return self._host.stack.send(connection, view, self._driver.clock())
        except ProtocolError as error:
            raise OSError(errno.EMSGSIZE, str(error)) from None

    def _read(self, connection: Connection, limit: int) -> Received:
        data, length = self._host.stack.recv_record(connection, limit, self._driver.clock())
        flags = stdlib.MSG_EOR | (stdlib.MSG_TRUNC if length > len(data) else 0)
        return Received(data, length, (connection.peer, connection.peer_port), flags)
