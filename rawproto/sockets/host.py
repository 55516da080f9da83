"""A host in real time: a link, an address on it, and sockets. What a kernel would be, for one address."""

from __future__ import annotations

import errno
import socket as stdlib
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from random import Random, SystemRandom
from types import TracebackType
from typing import Literal, Protocol, Self, overload

from rawproto.capture.journal import JournalWriter
from rawproto.errors import LinkError, ProtocolError
from rawproto.link.base import Link
from rawproto.link.carrier import DatagramCarrier, IpCarrier
from rawproto.link.chance import derive_rng
from rawproto.link.tap import RecordingLink
from rawproto.sockets.base import BaseSocket
from rawproto.sockets.datagram_socket import DatagramSocket
from rawproto.sockets.driver import Clock, Driver, wall_clock
from rawproto.sockets.reach import ForgivingLink
from rawproto.sockets.record_socket import RecordSocket
from rawproto.sockets.socket import Socket
from rawproto.transport.config import Config
from rawproto.transport.endpoint import EPHEMERAL_PORTS, Endpoint
from rawproto.transport.stack import Stack
from rawproto.transport.state import State
from rawproto.transport.trace import Trace
from rawproto.wire.frame import Frame, LinkType

__all__ = ["Host"]


KINDS: dict[int, type[Socket | RecordSocket | DatagramSocket]] = {
    kind.type: kind for kind in (Socket, RecordSocket, DatagramSocket)
}
"""The sockets, by their type."""


class Sink(Protocol):
    """Where a recording goes: any capture writer."""

    def write(self, frame: Frame) -> None:
        """Append `frame`."""


class Host:
    """One address on one link, with RDT sockets for streams, records and datagrams. Closing it closes the link.

    `address` is an IP address for links that carry frames or packets, and what the link calls itself for those that
    carry datagrams (the default). `mac` is for Ethernet links without an address of their own, or to take another one
    than the kernel has, which then leaves our frames alone (a card needs `promiscuous` for that). With a `seed`, all
    that is random in the transport follows from it. `recording` gets every frame and every call; `trace` gets the
    engine's records. `clock` gives the time in ns and must never go back.
    """

    def __init__(
        self,
        link: Link,
        address: str = "",
        *,
        mac: str = "",
        name: str = "host",
        config: Config | None = None,
        seed: int | None = None,
        recording: Sink | None = None,
        trace: Trace | None = None,
        clock: Clock = wall_clock,
    ) -> None:
        config = Config() if config is None else config
        self.reach = ForgivingLink(link)
        tapped = self.reach if recording is None else RecordingLink(self.reach, recording.write)
        carrier: IpCarrier | DatagramCarrier
        if link.linktype is LinkType.USER0:
            carrier = DatagramCarrier(
                tapped, link.canonical(address) if address else str(getattr(link, "address", "")) or link.interface
            )
        else:
            carrier = IpCarrier(tapped, address, mac or str(getattr(link, "address", "")) or random_mac())
        rng: Random = SystemRandom() if seed is None else derive_rng(seed, name, "endpoint")
        endpoint = Endpoint(config, rng, carrier.datagram_size, trace)
        journal = None if recording is None else JournalWriter(recording)
        self.address = carrier.address
        self.name = name
        self.carrier = carrier
        self.stack = Stack(carrier, endpoint, journal)
        self.bound: set[int] = set()
        """Ports that sockets of streams have taken by `bind` or `listen`; datagrams have ports of their own."""
        self.driver = Driver(self.stack, clock)

    @overload
    def socket(self, type: Literal[stdlib.SocketKind.SOCK_STREAM] = ...) -> Socket: ...

    @overload
    def socket(self, type: Literal[stdlib.SocketKind.SOCK_SEQPACKET]) -> RecordSocket: ...

    @overload
    def socket(self, type: Literal[stdlib.SocketKind.SOCK_DGRAM]) -> DatagramSocket: ...

    @overload
    def socket(self, type: int) -> BaseSocket: ...

    def socket(self, type: int = stdlib.SOCK_STREAM) -> BaseSocket:  # noqa: A002 - as in socket.socket
        """A new socket: SOCK_STREAM for a stream of bytes, SOCK_SEQPACKET for one of records, SOCK_DGRAM for datagrams.

        With SOCK_NONBLOCK it does not wait. Raises OSError (ESOCKTNOSUPPORT) for another type.
        """
        kind = KINDS.get(type & ~(stdlib.SOCK_NONBLOCK | stdlib.SOCK_CLOEXEC))
        if kind is None:
            known = ", ".join(each.type.name for each in KINDS.values())
            raise OSError(errno.ESOCKTNOSUPPORT, f"there are no sockets of type {type}; there are: {known}")
        made = kind(self)
        made.setblocking(not type & stdlib.SOCK_NONBLOCK)
        return made

    def port_in_use(self, port: int, *, reuse: bool = False) -> bool:
        """Tell whether a socket, or a connection unless `reuse`, has `port`. The driver's lock must be held."""
        if port in self.bound:
            return True
        return port in self.stack.endpoint.listeners if reuse else self.stack.endpoint.port_in_use(port)

    def free_port(self, peer: str = "", peer_port: int = 0) -> int:
        """A port that is free: for a connection to `peer_port` of `peer`, or without those for a socket of its own.

        Raises OSError (EADDRINUSE) if there is none. The driver's lock must be held.
        """
        return self._free_port(
            lambda port: port not in self.bound and bool(peer or not self.port_in_use(port)), peer, peer_port
        )

    def free_datagram_port(self) -> int:
        """A datagram port that is free. Raises OSError (EADDRINUSE) if there is none. The driver must be locked."""
        return self._free_port(lambda port: port not in self.stack.endpoint.datagrams.ports)

    def _free_port(self, free: Callable[[int], bool], peer: str = "", peer_port: int = 0) -> int:
        for _ in EPHEMERAL_PORTS:
            try:
                port = self.stack.endpoint.free_port(peer, peer_port)
            except ProtocolError:
                break
            if free(port):
                return port
        raise OSError(errno.EADDRINUSE, f"all ephemeral ports of {self.address} are in use; close some sockets")

    def take_refusal(self) -> LinkError | None:
        """What the link last refused because of where it was to go, once. The driver's lock must be held."""
        refusal, self.reach.refusal = self.reach.refusal, None
        return refusal

    def discarded(self) -> Counter[str]:
        """Datagrams that reached no connection, by reason."""
        with self.driver.lock:
            return self.stack.endpoint.discarded + self.carrier.discarded

    def wait_idle(self, timeout: float) -> bool:
        """Wait, at most `timeout` seconds, until no connection has anything left to deliver to its peer."""
        with self.driver.lock:
            connections = self.stack.endpoint.connections
            return self.driver.wait(
                lambda: all(connection.drained for connection in connections.values()), int(timeout * 1e9)
            )

    def close(self, linger: float = 5.0) -> None:
        """Deliver what was handed over, for at most `linger` seconds, then go.

        Connections that are not over by then are reset, so that their peers don't wait for ever; with a `linger` of 0
        they fall silent, as if the process had been killed. May be called twice.
        """
        try:
            with suppress(OSError):  # the link has failed: there is nothing to wait for
                if linger > 0:
                    self.wait_idle(linger)
                    self._abort_all()
        finally:
            self.driver.close()

    def _abort_all(self) -> None:
        with self.driver.call() as now:
            for connection in list(self.stack.endpoint.connections.values()):
                if connection.state is not State.TIME_WAIT:  # its peer is done with it
                    self.stack.abort(connection, now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(linger=0 if kind is not None else 5.0)


def random_mac() -> str:
    """A locally administered unicast address (IEEE 802 §8.4)."""
    octets = bytearray(SystemRandom().randbytes(6))
    octets[0] = octets[0] & 0xFC | 0x02
    return octets.hex(":")
