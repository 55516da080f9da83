"""The datagram socket, SOCK_DGRAM: what is sent arrives once or not at all, and waits for no stream.

As UDP's: ports of its own, no connection, though a peer may be fixed by `connect`, which then hears when nobody takes
what was sent there. What comes when the queue is full (`Config.max_datagrams`) is lost.
"""

from __future__ import annotations

import errno
import socket as stdlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NoReturn, overload

from rawproto.errors import ProtocolError
from rawproto.sockets.base import Address, BaseSocket, Data, Received, parsed
from rawproto.sockets.options import Key, Option
from rawproto.transport.datagram import DatagramPort

if TYPE_CHECKING:
    from rawproto.sockets.host import Host

__all__ = ["DatagramSocket"]


class DatagramSocket(BaseSocket):
    """A port for unreliable datagrams. It takes a free one when it first needs it and was not bound."""

    type = stdlib.SOCK_DGRAM

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self._opened: DatagramPort | None = None
        self._writing_done = False

    # -- names -------------------------------------------------------------------------------------------------------

    def connect(self, address: Address | None) -> None:
        """Send to `address`, and take datagrams from there alone; None ends that (connect(2): AF_UNSPEC)."""
        remote = None
        if address is not None:
            name, number = parsed(address, least=1)
            remote = self._host.carrier.canonical(name), number
        with self._driver.call() as now:
            port = self._open(now)
            port.refused = False
            self._host.stack.connect_datagrams(port, remote, now)

    def getpeername(self) -> Address:
        """The peer's address."""
        self._check_open()
        if self._opened is None or self._opened.remote is None:
            raise OSError(errno.ENOTCONN, "the socket is not connected")
        return self._opened.remote

    def _take_port(self, port: int, now: int) -> None:
        host = self._host
        if port in host.stack.endpoint.datagrams.ports:
            raise OSError(errno.EADDRINUSE, f"datagram port {port} is in use on {host.address}; take another one")
        self._opened = host.stack.open_datagrams(port or host.free_datagram_port(), now)
        self._port = self._opened.port

    def _open(self, now: int) -> DatagramPort:
        self._check_open()
        if self._opened is None:
            self._take_port(0, now)
        assert self._opened is not None
        return self._opened

    # -- data --------------------------------------------------------------------------------------------------------

    @overload
    def sendto(self, data: Data, address: Address, /) -> int: ...

    @overload
    def sendto(self, data: Data, flags: int, address: Address, /) -> int: ...

    def sendto(self, data: Data, *arguments: int | Address) -> int:
        """Send `data` as one datagram to an address, with flags before it if there are any; give its length.

        Raises OSError: EMSGSIZE for one that does not fit the link, ECONNREFUSED if the peer of `connect` has said that
        nobody takes them, what the link says of an address that it can't reach, EAGAIN when too many wait to be sent.
        """
        flags, address = arguments if len(arguments) == 2 else (0, *arguments)
        if not isinstance(flags, int) or not isinstance(address, tuple):
            raise TypeError("sendto takes data, flags (an int, or nothing) and an address, a tuple (host, port)")
        name, number = parsed(address, least=1)
        remote = self._host.carrier.canonical(name), number
        view = memoryview(data).cast("B")
        with self._driver.call() as now:
            return self._send_to(remote, view, self._patience(now, flags))

    def _send(self, view: memoryview, patience: int | None) -> int:
        self._check_open()
        if self._opened is None or self._opened.remote is None:
            raise OSError(errno.EDESTADDRREQ, "the socket is not connected; call connect() first, or sendto()")
        return self._send_to(self._opened.remote, view, patience)

    def _send_to(self, remote: Address, view: memoryview, patience: int | None) -> int:
        port = self._open(self._driver.clock())
        if self._writing_done:
            raise BrokenPipeError(errno.EPIPE, "this side has been shut down for sending")
        self._raise_refused(port)
        outbox, data = self._host.stack.endpoint.datagrams.outbox, bytes(view)
        while not self._hand_over(port, remote, data):
            if patience == 0:
                raise BlockingIOError(errno.EAGAIN, "too many datagrams wait to be sent")
            self._wait(lambda: len(outbox) < port.limit, "no datagram could be sent", patience)
        return len(data)

    def _hand_over(self, port: DatagramPort, remote: Address, data: bytes) -> bool:
        host = self._host
        host.take_refusal()
        try:
            taken = host.stack.send_datagram(port, *remote, data, self._driver.clock())
        except ProtocolError as error:
            raise OSError(errno.EMSGSIZE, str(error)) from None
        refusal = host.take_refusal()
        if refusal is not None:
            raise refusal
        return taken

    def _receive(self, limit: int, patience: int | None) -> Received:
        port = self._open(self._driver.clock())
        self._wait(lambda: bool(port.queue) or port.refused or self._reading_done, "no datagram came", patience)
        self._raise_refused(port)
        message = self._host.stack.recv_datagram(port, self._driver.clock())
        if message is None:  # shut down for reading
            return Received(b"", 0, port.remote or ("", 0))
        data, length = message.data[:limit], len(message.data)
        return Received(data, length, (message.peer, message.port), stdlib.MSG_TRUNC if length > limit else 0)

    def _raise_refused(self, port: DatagramPort) -> None:
        if port.refused:
            port.refused = False  # it is told once (ip(7))
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"nobody takes datagrams at {port.remote}")

    # -- what it has not -----------------------------------------------------------------------------------------------

    def listen(self, backlog: int = 0) -> NoReturn:
        """Nothing that datagrams have. Raises OSError (EOPNOTSUPP)."""
        raise OSError(errno.EOPNOTSUPP, "a datagram socket has no connections to listen for")

    def accept(self) -> NoReturn:
        """Nothing that datagrams have. Raises OSError (EOPNOTSUPP)."""
        raise OSError(errno.EOPNOTSUPP, "a datagram socket has no connections to accept")

    # -- the end, and options ------------------------------------------------------------------------------------------

    def _shut_writing(self, now: int) -> None:
        self._writing_done = True

    def _end(self) -> None:
        if self._opened is not None:
            self._host.stack.close_datagrams(self._opened, self._driver.clock())
        self._driver.wake()

    def _take_error(self) -> int:
        port = self._opened
        if port is None or not port.refused:
            return 0
        port.refused = False
        return errno.ECONNREFUSED

    @property
    def _queue_size(self) -> int:
        """What waits for the application and for the wire has at most so many bytes each."""
        endpoint = self._host.stack.endpoint
        return endpoint.config.max_datagrams * endpoint.mss

    _options: ClassVar[Mapping[Key, Option]] = {
        **BaseSocket._options,
        (stdlib.SOL_SOCKET, stdlib.SO_RCVBUF): Option("SO_RCVBUF", lambda each: each._queue_size),
        (stdlib.SOL_SOCKET, stdlib.SO_SNDBUF): Option("SO_SNDBUF", lambda each: each._queue_size),
    }
