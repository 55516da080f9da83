"""What the sockets of all types share: names, timeouts and waiting, closing, and the calls that differ in nothing.

A kind of socket says how it takes a port, what sending and receiving mean, and what is to be done when it closes. The
calls, their arguments and their exceptions are those of the standard library's `socket.socket`.
"""

from __future__ import annotations

import builtins
import errno
import os
import socket as stdlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Self

from rawproto.sockets.options import Key, Option, as_bytes, as_value, find

if TYPE_CHECKING:
    from rawproto.sockets.host import Host

__all__ = ["Address", "BaseSocket", "Data", "Received"]

Address = tuple[str, int]
"""A host, as its carrier writes it, and a port."""
Data = bytes | bytearray | memoryview

HARMLESS = stdlib.MSG_NOSIGNAL | stdlib.MSG_EOR
"""Flags that ask for what is so in any case: no signal is ever raised, and each send of a record ends one."""


class Received(NamedTuple):
    """What came: cut to the size asked for, its full length in bytes, from whom, and the flags MSG_EOR, MSG_TRUNC."""

    data: bytes
    length: int
    address: Address
    flags: int = 0


class BaseSocket(ABC):
    """A socket, made by `Host.socket`. Addresses are `(host, port)`; timeouts are in seconds, as in `socket`."""

    type: ClassVar[stdlib.SocketKind]
    _options: ClassVar[Mapping[Key, Option]] = {
        (stdlib.SOL_SOCKET, stdlib.SO_TYPE): Option("SO_TYPE", lambda each: int(each.type)),
        (stdlib.SOL_SOCKET, stdlib.SO_ERROR): Option("SO_ERROR", lambda each: each._take_error()),
    }

    def __init__(self, host: Host) -> None:
        self._host = host
        self._driver = host.driver
        self._port = 0  # that this socket has taken; 0 if none
        self._timeout: float | None = None
        self._reading_done = False
        self._closed = False

    # -- names -------------------------------------------------------------------------------------------------------

    def bind(self, address: Address) -> None:
        """Take a local port; 0 takes a free one. The host part must be this host's address, or "" for it."""
        host, port = parsed(address, least=0)
        if host not in ("", self._host.address):
            raise OSError(
                errno.EADDRNOTAVAIL, f"{host!r} is not an address of this host; it has {self._host.address!r}"
            )
        with self._driver.call() as now:
            self._check_open()
            if self.getsockname()[1]:
                raise OSError(errno.EINVAL, "the socket has a port already")
            self._take_port(port, now)

    @abstractmethod
    def connect(self, address: Address) -> None:
        """Make `address` the peer of this socket."""

    def connect_ex(self, address: Address) -> int:
        """As connect, but give the errno of what went wrong, 0 if nothing did."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or errno.EAGAIN  # as the standard library says it of a timeout
        return 0

    def getsockname(self) -> Address:
        """The local address."""
        return self._host.address, self._port

    @abstractmethod
    def getpeername(self) -> Address:
        """The peer's address."""

    # -- data --------------------------------------------------------------------------------------------------------

    def send(self, data: Data, flags: int = 0) -> int:
        """Hand over `data`, waiting for room; give how many bytes were taken. Of the flags it knows MSG_DONTWAIT."""
        view = memoryview(data).cast("B")
        with self._driver.call() as now:
            return self._send(view, self._patience(now, flags))

    def sendall(self, data: Data, flags: int = 0) -> None:
        """Hand over all of `data`. The timeout is for the whole of it."""
        view = memoryview(data).cast("B")
        with self._driver.call() as now:
            patience = self._patience(now, flags)
            sent = self._send(view, patience)
            while sent < len(view):
                sent += self._send(view[sent:], patience)

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Wait for data and give up to `bufsize` bytes; b"" once the peer has no more to send."""
        return self._recv(bufsize, flags).data

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """As recv, into `buffer`; give how many bytes that was."""
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Address]:
        """As recv; gives the sender's address as well."""
        received = self._recv(bufsize, flags)
        return received.data, received.address

    def recvfrom_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> tuple[int, Address]:
        """As recv_into; gives the sender's address as well."""
        view = memoryview(buffer).cast("B")
        if view.readonly:
            raise TypeError("the buffer is read-only; give a bytearray or a writable memoryview")
        if nbytes > len(view):
            raise ValueError(f"the buffer has {len(view)} bytes; {nbytes} don't fit")
        received = self._recv(nbytes or len(view), flags)
        view[: len(received.data)] = received.data
        return len(received.data), received.address

    def recvmsg(
        self, bufsize: int, ancbufsize: int = 0, flags: int = 0
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int, Address]:
        """As recv; gives the data, no ancillary data, the flags MSG_EOR and MSG_TRUNC, and the sender's address.

        MSG_TRUNC: the rest of a record or datagram that did not fit is lost. MSG_EOR: this was the end of a record.
        """
        received = self._recv(bufsize, flags)
        return received.data, [], int(received.flags), received.address

    def _recv(self, bufsize: int, flags: int) -> Received:
        if bufsize < 0:
            raise ValueError(f"bufsize is {bufsize}; it must be at least 0")
        with self._driver.call() as now:
            return self._receive(bufsize, self._patience(now, flags))

    # -- closing -----------------------------------------------------------------------------------------------------

    def shutdown(self, how: int) -> None:
        """End one direction or both: socket.SHUT_RD, SHUT_WR, SHUT_RDWR."""
        if how not in (stdlib.SHUT_RD, stdlib.SHUT_WR, stdlib.SHUT_RDWR):
            raise OSError(errno.EINVAL, f"how is {how}; it must be SHUT_RD, SHUT_WR or SHUT_RDWR")
        with self._driver.call() as now:
            self._check_open()
            self.getpeername()  # ENOTCONN without one
            if how != stdlib.SHUT_WR:
                self._reading_done = True
            if how != stdlib.SHUT_RD:
                self._shut_writing(now)
            self._driver.wake()  # another thread may wait in a call on this socket

    def close(self) -> None:
        """Give the socket back. A thread that waits in a call on it is told by OSError (EBADF)."""
        with self._driver.lock:
            if self._closed:
                return
            self._closed = True
            if self._driver.failure is None:
                self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: builtins.type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
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

    def getblocking(self) -> bool:
        """False if no call waits at all."""
        return self._timeout != 0

    def setsockopt(self, level: int, optname: int, value: int | Data) -> None:
        """Set an option of socket(7) or tcp(7); docs of `options` say which there are.

        Raises OSError: ENOPROTOOPT for one that there is not or that can only be read, EINVAL for a value that can't
        be, ENOENT for a congestion control that nobody knows.
        """
        option = find(self._options, level, optname)
        with self._driver.call():
            self._check_open()
            option.set(self, as_value(option, value))

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> int | bytes:
        """Read an option: as an int, or with a `buflen` as at most so many bytes. Raises OSError as setsockopt."""
        option = find(self._options, level, optname)
        with self._driver.call():
            self._check_open()
            value = option.read(self)
        return as_bytes(option, value, buflen)

    # -- what a kind of socket does in its own way ---------------------------------------------------------------------

    @abstractmethod
    def _take_port(self, port: int, now: int) -> None:
        """Take `port`, 0 for a free one, and set `_port`. Raises OSError (EADDRINUSE)."""

    @abstractmethod
    def _send(self, view: memoryview, patience: int | None) -> int:
        """Hand over at least one byte of `view`, or all of it; give how many were taken."""

    @abstractmethod
    def _receive(self, limit: int, patience: int | None) -> Received:
        """Wait for data and take it."""

    @abstractmethod
    def _take_error(self) -> int:
        """The errno of what has gone wrong and was not told yet, once; 0 if nothing has (SO_ERROR)."""

    @abstractmethod
    def _shut_writing(self, now: int) -> None:
        """Send no more."""

    @abstractmethod
    def _end(self) -> None:
        """Give back what this socket has of the stack, and wake those who wait on it."""

    # -- waiting -------------------------------------------------------------------------------------------------------

    def _patience(self, now: int, flags: int = 0) -> int | None:
        """Until when a call that begins at `now` may wait, in ns: None for ever, 0 not at all."""
        unknown = flags & ~(stdlib.MSG_DONTWAIT | HARMLESS)
        if unknown:
            raise OSError(errno.EOPNOTSUPP, f"flags {unknown:#x} are not supported; MSG_DONTWAIT is")
        if self._timeout == 0 or flags & stdlib.MSG_DONTWAIT:
            return 0
        return None if self._timeout is None else now + int(self._timeout * 1e9)

    def _wait(self, ready: Callable[[], bool], what: str, patience: int | None) -> None:
        """Wait until `ready()`. Raises BlockingIOError, or TimeoutError with `what` was not so."""
        if ready():
            return
        if patience == 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        left_ns = None if patience is None else patience - self._driver.clock()
        if not self._driver.wait(lambda: self._closed or ready(), left_ns):
            raise TimeoutError(f"timed out: {what} within {self._timeout:g} s")
        self._check_open()

    def _check_open(self) -> None:
        if self._closed:
            raise OSError(errno.EBADF, "the socket is closed")


def parsed(address: Address, *, least: int) -> Address:
    """`address`, if it is one whose port is at least `least`. Raises TypeError, OverflowError."""
    if not isinstance(address, tuple) or len(address) != 2:
        raise TypeError(f"an address is a tuple (host, port), not {address!r}")
    host, port = address
    if not isinstance(host, str) or not isinstance(port, int):
        raise TypeError(f"an address has a str and an int, not {address!r}")
    if not least <= port <= 0xFFFF:
        raise OverflowError(f"port is {port}; it must be {least} to 65535")
    return host, port
