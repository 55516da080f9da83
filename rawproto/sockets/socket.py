"""Berkeley sockets over a host's stack: the calls, the arguments and the exceptions of the standard library's.

What a kernel's socket raises, this one raises: ConnectionRefusedError, ConnectionResetError, BrokenPipeError,
TimeoutError, BlockingIOError, OSError with the right errno.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rawproto.errors import ProtocolError
from rawproto.transport.connection import Connection, End
from rawproto.transport.endpoint import Listener

if TYPE_CHECKING:
    from rawproto.sockets.host import Host

__all__ = ["Socket"]

Address = tuple[str, int]


class Socket:
    """A stream socket, made by `Host.socket`. Addresses are `(host, port)`; timeouts are in seconds, as in `socket`."""

    def __init__(self, host: Host, connection: Connection | None = None) -> None:
        self._host = host
        self._driver = host.driver
        self._connection = connection
        self._listener: Listener | None = None
        self._port = 0  # that this socket has taken; 0 if none
        self._timeout: float | None = None
        self._reading_done = False
        self._closed = False

    # -- opening -------------------------------------------------------------------------------------------------

    def bind(self, address: Address) -> None:
        """Take a local port; 0 takes a free one. The host part must be this host's address, or "" for it."""
        host, port = address
        if host not in ("", self._host.address):
            raise OSError(
                errno.EADDRNOTAVAIL, f"{host!r} is not an address of this host; it has {self._host.address!r}"
            )
        if not 0 <= port <= 0xFFFF:
            raise OverflowError(f"port is {port}; it must be 0 to 65535")
        with self._driver.call():
            self._check_open()
            if self._port or self._connection is not None:
                raise OSError(errno.EINVAL, "the socket has a port already")
            if port and self._host.port_in_use(port):
                raise OSError(errno.EADDRINUSE, f"port {port} is in use on {self._host.address}; take another one")
            self._take(port or self._host.free_port())

    def listen(self, backlog: int = 128) -> None:
        """Take connections on the bound port, at most `backlog` not yet accepted."""
        with self._driver.call() as now:
            self._check_open()
            if self._connection is not None or self._listener is not None:
                raise OSError(errno.EINVAL, "the socket is connected or listens already")
            if not self._port:
                self._take(self._host.free_port())
            try:
                self._listener = self._host.stack.listen(self._port, backlog, now)
            except ProtocolError as error:
                raise OSError(errno.EADDRINUSE, str(error)) from None

    def accept(self) -> tuple[Socket, Address]:
        """Wait for a connection; give a socket for it and the peer's address."""
        with self._driver.call():
            self._check_open()
            listener = self._listener
            if listener is None:
                raise OSError(errno.EINVAL, "the socket does not listen; call listen() first")
            self._wait(lambda: bool(listener.queue), "no connection came")
            connection = self._host.stack.accept(listener, self._driver.clock())
            if connection is None:
                raise BlockingIOError(errno.EAGAIN, "another thread took the connection")
        return Socket(self._host, connection), (connection.peer, connection.peer_port)

    def connect(self, address: Address) -> None:
        """Connect to `address` and wait until that is done; also if an earlier call began it."""
        peer, port = self._host.carrier.canonical(address[0]), address[1]
        if not 0 < port <= 0xFFFF:
            raise OverflowError(f"port is {port}; it must be 1 to 65535")
        with self._driver.call() as now:
            self._check_open()
            if self._listener is not None or (self._connection is not None and self._connection.established):
                raise OSError(errno.EISCONN, "the socket is connected or listens already")
            progress = errno.EALREADY
            if self._connection is None:
                progress = errno.EINPROGRESS
                self._connection = self._begin(peer, port, now)
            connection = self._connection
            if self._timeout == 0 and connection.end is None:
                raise BlockingIOError(progress, os.strerror(progress))
            self._wait(lambda: connection.established or connection.end is not None, f"{peer} did not answer")
            if connection.end is not None and not connection.readable_data:
                self._connection = None  # so that it may be tried again
                raise _error_of(connection.end)

    def _begin(self, peer: str, port: int, now: int) -> Connection:
        # The port is chosen here, so that a recording of the call holds it.
        host, local_port = self._host, self._port or self._host.free_port(peer, port)
        host.reach.refusal = None
        try:
            connection = host.stack.connect(peer, port, now, local_port)
        except ProtocolError as error:
            raise OSError(errno.EADDRINUSE, str(error)) from None
        if host.reach.refusal is not None:
            host.stack.abort(connection, self._driver.clock())
            raise host.reach.refusal.with_traceback(None)
        return connection

    # -- data ----------------------------------------------------------------------------------------------------

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Hand over as much of `data` as there is room for, at least one byte; give how much that was."""
        with self._driver.call():
            return self._send(memoryview(data).cast("B"))

    def sendall(self, data: bytes | bytearray | memoryview) -> None:
        """Hand over all of `data`. The timeout is for the whole of it."""
        view = memoryview(data).cast("B")
        with self._driver.call() as now:
            self._connected()
            deadline = None if self._timeout is None else now + int(self._timeout * 1e9)
            while view:
                view = view[self._send(view, deadline) :]

    def _send(self, view: memoryview, deadline: int | None = None) -> int:
        connection = self._connected()
        if not view:
            return 0
        self._wait(lambda: connection.writable or connection.shut_down, "the peer takes no more data", deadline)
        if connection.shut_down:
            raise BrokenPipeError(errno.EPIPE, "this side has been shut down for sending")
        if connection.end is not None:
            raise _error_of(connection.end, sending=True)
        return self._host.stack.send(connection, view, self._driver.clock())

    def recv(self, limit: int) -> bytes:
        """Wait for data and give up to `limit` bytes; b"" once the peer has no more to send."""
        if limit < 0:
            raise ValueError(f"limit is {limit}; it must be at least 0")
        with self._driver.call():
            connection = self._connected()
            if not limit:
                return b""
            self._wait(lambda: connection.readable or self._reading_done, "no data came")
            if self._reading_done:
                return b""
            if connection.readable_data:
                return self._host.stack.recv(connection, limit, self._driver.clock())
            if not connection.receiver.at_end and connection.end is not None and connection.end.cause != "closed":
                raise _error_of(connection.end)
            return b""

    def recv_into(self, buffer: bytearray | memoryview, limit: int = 0) -> int:
        """As recv, into `buffer`; give how many bytes that was."""
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise TypeError("the buffer is read-only; give a bytearray or a writable memoryview")
        data = self.recv(min(limit or len(view), len(view)))
        view[: len(data)] = data
        return len(data)

    # -- closing ---------------------------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR, SHUT_RDWR."""
        if how not in (stdlib.SHUT_RD, stdlib.SHUT_WR, stdlib.SHUT_RDWR):
            raise OSError(errno.EINVAL, f"how is {how}; it must be SHUT_RD, SHUT_WR or SHUT_RDWR")
        with self._driver.call() as now:
            connection = self._connected()
            if how != stdlib.SHUT_WR:
                self._reading_done = True
            if how != stdlib.SHUT_RD:
                self._host.stack.shutdown(connection, now)
            self._driver.wake()  # another thread may wait in a call on this socket

    def close(self) -> None:
        """Give the socket back. What was sent goes on to the peer; unread data makes it a reset (RFC 2525 §2.17).

        A thread that waits in a call on it is told by OSError (EBADF).
        """
        with self._driver.lock:
            if self._closed:
                return
            self._closed = True
            self._host.bound.discard(self._port)
            if self._driver.failure is not None:
                return
            now = self._driver.clock()
            if self._listener is not None:
                self._host.stack.unlisten(self._listener, now)
            if self._connection is not None:
                self._host.stack.close(self._connection, now)
            self._driver.wake()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- settings ----------------------------------------------------------------------------------------------------

    def settimeout(self, timeout: float | None) -> None:
        """Wait at most `timeout` seconds in each call; None for ever, 0 not at all."""
        if timeout is not None and not 0 <= timeout < threading.TIMEOUT_MAX:
            raise ValueError(f"timeout is {timeout}; it must be at least 0 and at most {threading.TIMEOUT_MAX:.0f} s")
        self._timeout = timeout

    def gettimeout(self) -> float | None:
        """The timeout in seconds."""
        return self._timeout

    def setblocking(self, blocking: bool) -> None:
        """As settimeout(None) or settimeout(0)."""
        self._timeout = None if blocking else 0

    def getsockname(self) -> Address:
        """The local address."""
        return self._host.address, self._port if self._connection is None else self._connection.local_port

    def getpeername(self) -> Address:
        """The peer's address."""
        connection = self._connected()
        return connection.peer, connection.peer_port

    def drain(self) -> bool:
        """Wait until the peer has acknowledged all that was handed over; False if the timeout came first.

        Not a Berkeley call: with those nobody can know.
        """
        with self._driver.call():
            connection = self._connected()
            timeout_ns = None if self._timeout is None else int(self._timeout * 1e9)
            return self._driver.wait(lambda: connection.drained, timeout_ns)

    @property
    def connection(self) -> Connection | None:
        """The engine's side of it, for those who want to look: state, RTT, windows."""
        return self._connection

    # -- helpers -----------------------------------------------------------------------------------------------

    def _take(self, port: int) -> None:
        self._port = port
        self._host.bound.add(port)

    def _wait(self, ready: Callable[[], bool], what: str, deadline: int | None = None) -> None:
        """Wait for `ready`, by default for as long as the timeout says."""
        if ready():
            return
        timeout = self._timeout
        if timeout is None:
            self._driver.wait(lambda: self._closed or ready())
        elif timeout == 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        else:
            left_ns = int(timeout * 1e9) if deadline is None else deadline - self._driver.clock()
            if not self._driver.wait(lambda: self._closed or ready(), left_ns):
                raise TimeoutError(f"timed out: {what} within {timeout:g} s")
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the socket is closed")

    def _connected(self) -> Connection:
        self._check_open()
        if self._connection is None:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return self._connection


def _error_of(end: End, *, sending: bool = False) -> OSError:
    """What the standard library would raise for the way a connection ended."""
    text = str(end)
    if end.cause == "refused":
        return ConnectionRefusedError(errno.ECONNREFUSED, text)
    if end.cause == "timeout":
        return TimeoutError(errno.ETIMEDOUT, text)
    if end.cause == "aborted":
        return ConnectionAbortedError(errno.ECONNABORTED, text)
    if end.cause == "closed" and sending:
        return BrokenPipeError(errno.EPIPE, text)
    return ConnectionResetError(errno.ECONNRESET, text)
