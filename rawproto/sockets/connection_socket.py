"""Sockets that have a connection: listening, accepting, connecting, and the two ends of its life.

What kind of stream it carries, of bytes or of records, is for `socket` and `record_socket` to say.
"""

from __future__ import annotations

import errno
import os
import socket as stdlib
import struct
from abc import abstractmethod
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from rawproto.errors import ConfigError, ProtocolError
from rawproto.sockets.base import Address, BaseSocket, Received, parsed
from rawproto.sockets.options import SETTINGS, Key, Option, Setting
from rawproto.transport import congestion
from rawproto.transport.config import SECOND, Config
from rawproto.transport.connection import Connection, End
from rawproto.transport.endpoint import Listener
from rawproto.transport.statistics import Stats

if TYPE_CHECKING:
    from rawproto.sockets.host import Host

__all__ = ["ConnectionSocket"]

_LINGER = struct.Struct("ii")
_NAME_SIZE = 16
"""TCP_CA_NAME_MAX: how long the kernel makes the name of a congestion control."""


class ConnectionSocket(BaseSocket):
    """A socket with one connection, or one that takes them."""

    records: ClassVar[bool]
    """The streams have records."""

    def __init__(self, host: Host, connection: Connection | None = None) -> None:
        super().__init__(host)
        self._connection = connection
        self._listener: Listener | None = None
        self._changes: dict[str, Any] = {}  # settings that differ from the host's, for connections to come
        self._linger: tuple[int, int] = (0, 0)
        self._reuse_address = False
        self._error_told: End | None = None

    # -- opening -----------------------------------------------------------------------------------------------------

    def listen(self, backlog: int = 128) -> None:
        """Take connections on the bound port, at most `backlog` not yet accepted."""
        with self._driver.call() as now:
            self._check_open()
            if self._connection is not None or self._listener is not None:
                raise OSError(errno.EINVAL, "the socket is connected or listens already")
            if not self._port:
                self._take_port(0, now)
            try:
                self._listener = self._host.stack.listen(self._port, backlog, now, records=self.records)
            except ProtocolError as error:
                raise OSError(errno.EADDRINUSE, str(error)) from None

    def accept(self) -> tuple[Self, Address]:
        """Wait for a connection; give a socket for it, with the options of this one, and the peer's address."""
        with self._driver.call() as now:
            self._check_open()
            listener = self._listener
            if listener is None:
                raise OSError(errno.EINVAL, "the socket does not listen; call listen() first")
            self._wait(lambda: bool(listener.queue), "no connection came", self._patience(now))
            connection = self._host.stack.accept(listener, self._driver.clock())
            if connection is None:
                raise BlockingIOError(errno.EAGAIN, "another thread took the connection")
            accepted = type(self)(self._host, connection)
            accepted._changes = dict(self._changes)
            accepted._linger = self._linger
            accepted._reuse_address = self._reuse_address
            accepted._apply_changes(connection)
        return accepted, (connection.peer, connection.peer_port)

    def connect(self, address: Address) -> None:
        """Connect to `address` and wait until that is done; also if an earlier call began it."""
        name, port = parsed(address, least=1)
        peer = self._host.carrier.canonical(name)
        with self._driver.call() as now:
            self._check_open()
            if self._listener is not None or (self._connection is not None and self._connection.established):
                raise OSError(errno.EISCONN, "the socket is connected or listens already")
            progress = errno.EALREADY
            if self._connection is None:
                progress = errno.EINPROGRESS
                self._connection = self._begin(peer, port, now)
            connection, patience = self._connection, self._patience(now)
            if patience == 0 and connection.end is None:
                raise BlockingIOError(progress, os.strerror(progress))
            self._wait(lambda: connection.established or connection.end is not None, f"{peer} did not answer", patience)
            if connection.end is not None and not connection.readable_data:
                self._connection = None  # so that it may be tried again
                raise _error_of(connection.end)

    def _begin(self, peer: str, port: int, now: int) -> Connection:
        # The port is chosen here, so that a recording of the call holds it.
        host, local_port = self._host, self._port or self._host.free_port(peer, port)
        host.take_refusal()
        try:
            connection = host.stack.connect(peer, port, now, local_port, records=self.records)
        except ProtocolError as error:
            raise OSError(errno.EADDRINUSE, str(error)) from None
        refusal = host.take_refusal()
        if refusal is not None:
            host.stack.abort(connection, self._driver.clock())
            raise refusal
        self._apply_changes(connection)
        return connection

    def _take_port(self, port: int, now: int) -> None:
        host = self._host
        if port and host.port_in_use(port, reuse=self._reuse_address):
            raise OSError(errno.EADDRINUSE, f"port {port} is in use on {host.address}; take another one")
        self._port = port or host.free_port()
        host.bound.add(self._port)

    # -- names ---------------------------------------------------------------------------------------------------------

    def getsockname(self) -> Address:
        """The local address."""
        return self._host.address, self._port if self._connection is None else self._connection.local_port

    def getpeername(self) -> Address:
        """The peer's address."""
        connection = self._connected()
        return connection.peer, connection.peer_port

    @property
    def connection(self) -> Connection | None:
        """The engine's side of it, for those who want to look: state, RTT, windows."""
        return self._connection

    def stats(self) -> Stats:
        """What the connection has counted and measured until now, as `ss -ti` shows it; times in ns."""
        with self._driver.call() as now:
            return self._connected().stats(max(now, self._host.stack.now))

    # -- data ----------------------------------------------------------------------------------------------------------

    def _await_room(self, connection: Connection, room: Callable[[], bool], patience: int | None) -> None:
        """Wait until there is `room()`. Raises OSError once nothing can be sent any more."""
        self._wait(
            lambda: connection.end is not None or connection.shut_down or room(),
            "the peer takes no more data",
            patience,
        )
        if connection.shut_down:
            raise BrokenPipeError(errno.EPIPE, "this side has been shut down for sending")
        if connection.end is not None:
            raise _error_of(connection.end, sending=True)

    def _receive(self, limit: int, patience: int | None) -> Received:
        connection = self._connected()
        self._wait(lambda: connection.readable or self._reading_done, "no data came", patience)
        if connection.readable_data and not self._reading_done:
            return self._read(connection, limit)
        if not self._reading_done and not connection.receiver.at_end and connection.end is not None:
            self._raise_unless_closed(connection.end)
        return Received(b"", 0, (connection.peer, connection.peer_port))

    @abstractmethod
    def _read(self, connection: Connection, limit: int) -> Received:
        """Take what is there."""

    def drain(self) -> bool:
        """Wait until the peer has acknowledged all that was handed over; False if the timeout came first.

        Not a Berkeley call: with those nobody can know.
        """
        with self._driver.call():
            connection = self._connected()
            timeout_ns = None if self._timeout is None else int(self._timeout * 1e9)
            return self._driver.wait(lambda: connection.drained, timeout_ns)

    # -- the end -------------------------------------------------------------------------------------------------------

    def _shut_writing(self, now: int) -> None:
        self._host.stack.shutdown(self._connected(), now)

    def close(self) -> None:
        """Give the socket back. What was sent goes on to the peer; unread data makes it a reset (RFC 2525 §2.17).

        With SO_LINGER it waits until the peer has all of it, at most for so many seconds; for 0 seconds it does not
        close but reset. A thread that waits in a call on the socket is told by OSError (EBADF).
        """
        super().close()

    def _end(self) -> None:
        stack, now = self._host.stack, self._driver.clock()
        self._host.bound.discard(self._port)
        if self._listener is not None:
            stack.unlisten(self._listener, now)
        linger, seconds = self._linger
        connection = self._connection
        if connection is not None and linger and not seconds:
            stack.abort(connection, now)
        elif connection is not None:
            stack.close(connection, now)
        self._driver.wake()
        if connection is not None and linger and seconds:
            with suppress(OSError):  # the link has failed: there is nothing to wait for
                self._driver.wait(lambda: connection.drained, seconds * SECOND)

    def _raise_unless_closed(self, end: End) -> None:
        if end.cause != "closed":
            raise _error_of(end)

    def _take_error(self) -> int:
        end = None if self._connection is None else self._connection.end
        if end is None or end is self._error_told or end.cause == "closed":
            return 0
        self._error_told = end
        return _error_of(end).errno or 0

    def _connected(self) -> Connection:
        self._check_open()
        if self._connection is None:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return self._connection

    # -- options -------------------------------------------------------------------------------------------------------

    @property
    def _config(self) -> Config:
        """The settings of the connection, or of the one that comes."""
        if self._connection is not None:
            return self._connection.config
        return replace(self._host.stack.endpoint.config, **self._changes)

    def _change(self, field: str, value: int | bool | str) -> None:
        """Change a setting of the connection, or of those that come."""
        try:
            replace(self._config, **{field: value})  # type: ignore[arg-type]
        except ConfigError as error:
            raise OSError(errno.EINVAL, str(error)) from None
        self._changes[field] = value
        if self._connection is not None:
            self._apply(self._connection, field, value)

    def _apply_changes(self, connection: Connection) -> None:
        for field, value in self._changes.items():
            self._apply(connection, field, value)

    def _apply(self, connection: Connection, field: str, value: Any) -> None:
        if connection.end is None:
            self._host.stack.set_option(connection, field, value, self._driver.clock())

    def _set_linger(self, value: bytes) -> None:
        if len(value) < _LINGER.size:
            raise OSError(errno.EINVAL, f"SO_LINGER has {_LINGER.size} bytes, struct.pack('ii', on, seconds)")
        on, seconds = _LINGER.unpack_from(value)
        self._linger = int(bool(on)), max(0, seconds)

    def _set_congestion(self, value: bytes) -> None:
        name = value.split(b"\0")[0].decode(errors="replace")
        mss = self._host.stack.endpoint.mss
        try:
            congestion.create(name, mss, mss)
        except ConfigError as error:
            raise OSError(errno.ENOENT, str(error)) from None
        self._change("congestion_control", name)

    def _set_reuse_address(self, value: int) -> None:
        self._reuse_address = bool(value)

    def _read_setting(self, setting: Setting) -> int:
        return setting.option(getattr(self._config, setting.field))

    def _write_setting(self, setting: Setting, value: int) -> None:
        default = getattr(self._host.stack.endpoint.config, setting.field)
        self._change(setting.field, setting.value(value, default))

    def _mss(self) -> int:
        return self._host.stack.endpoint.mss if self._connection is None else self._connection.mss

    _options: ClassVar[Mapping[Key, Option]] = {
        **BaseSocket._options,
        **{
            key: Option(
                setting.name,
                lambda each, setting=setting: each._read_setting(setting),  # type: ignore[misc]
                lambda each, value, setting=setting: each._write_setting(setting, value),  # type: ignore[misc]
            )
            for key, setting in SETTINGS.items()
        },
        (stdlib.SOL_SOCKET, stdlib.SO_RCVBUF): Option("SO_RCVBUF", lambda each: each._config.receive_buffer),
        (stdlib.SOL_SOCKET, stdlib.SO_SNDBUF): Option("SO_SNDBUF", lambda each: each._config.send_buffer),
        (stdlib.SOL_SOCKET, stdlib.SO_ACCEPTCONN): Option(
            "SO_ACCEPTCONN", lambda each: int(each._listener is not None)
        ),
        (stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR): Option(
            "SO_REUSEADDR", lambda each: int(each._reuse_address), _set_reuse_address
        ),
        (stdlib.SOL_SOCKET, stdlib.SO_LINGER): Option(
            "SO_LINGER", lambda each: _LINGER.pack(*each._linger), _set_linger, text=True
        ),
        (stdlib.IPPROTO_TCP, stdlib.TCP_MAXSEG): Option("TCP_MAXSEG", _mss),
        (stdlib.IPPROTO_TCP, stdlib.TCP_CONGESTION): Option(
            "TCP_CONGESTION",
            lambda each: each._config.congestion_control.encode().ljust(_NAME_SIZE, b"\0"),
            _set_congestion,
            text=True,
        ),
    }


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
