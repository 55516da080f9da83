"""Asks questions on the wire and waits for answers, by the real clock: what ping, traceroute and scan run on.

What is asked, when, and what an answer means is a `Probing`: it owns no clock, no socket and no chance, so that it runs
in virtual time as well (`echo`, `hops`, `sweep`). `drive` runs one over real links and gives its events as they happen.

Times of arrival are the kernel's where a frame has one. Those are of CLOCK_REALTIME, which may be set while we wait;
so only the age of a frame is taken from it, at the moment of receiving, and subtracted from the monotonic clock.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

from rawproto.errors import LinkError, WireError
from rawproto.link.base import Link
from rawproto.link.bpf import Filter, compile_filter
from rawproto.link.rawip import RawIpLink
from rawproto.sockets.driver import Clock, wall_clock
from rawproto.wire.fragment import fragment
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.packet import Packet

__all__ = ["Outgoing", "Probing", "drive", "fragments", "open_raw", "reserve_port", "source_for"]

Event = TypeVar("Event")

_OLDEST_NS: Final = 10_000_000_000
"""A frame that claims to be older has waited for no poll: CLOCK_REALTIME was set in between."""
_MOMENT_NS: Final = 5_000
"""What reading three clocks takes at most when nothing comes in between."""
_TRIES: Final = 10
_DISCARD: Final = 9
"""A UDP port for asking the routing table: nothing is sent to it."""
_ICMP: Final = {4: 1, 6: 58}


class Outgoing(NamedTuple):
    """A packet to send now, in as many frames as it takes. `road` says through which link, `probe` is the sender's."""

    frames: Sequence[bytes]
    road: str
    probe: Any


class Probing(ABC, Generic[Event]):
    """A sequence of questions and what is known of the answers; times are ns of one clock, passed in.

    Order of use: `poll_transmit` until it gives None, each time followed by `sent` or `refused`; `receive` for each
    packet that came; `handle_timeout` when `next_timeout` has come; `poll_events`. Over when `done`.
    """

    @property
    @abstractmethod
    def done(self) -> bool:
        """Whether nothing is left to send or to wait for."""

    @abstractmethod
    def poll_transmit(self, now: int) -> Outgoing | None:
        """The next packet that is due."""

    @abstractmethod
    def sent(self, out: Outgoing, now: int) -> None:
        """`out` left at `now`."""

    @abstractmethod
    def refused(self, out: Outgoing, reason: str, now: int) -> None:
        """`out` could not be sent."""

    @abstractmethod
    def receive(self, packet: Packet, now: int) -> None:
        """A packet came at `now`, which may be a little in the past."""

    @abstractmethod
    def next_timeout(self) -> int | None:
        """When there is something to send or to give up; None for never."""

    @abstractmethod
    def handle_timeout(self, now: int) -> None:
        """Give up what has waited long enough."""

    @abstractmethod
    def poll_events(self) -> list[Event]:
        """Take out what has happened since the last call."""


class Poller(Protocol):
    """Waits until one of some links has frames."""

    def poll(self, timeout_ns: int | None) -> None:
        """Wait, at most so long; None for as long as it takes."""


class LinkPoller:
    """Polls the links' descriptors."""

    def __init__(self, links: Mapping[str, Link]) -> None:
        self._poll = select.poll()
        for link in links.values():
            self._poll.register(link.fileno(), select.POLLIN)

    def poll(self, timeout_ns: int | None) -> None:
        """Wait for frames."""
        self._poll.poll(None if timeout_ns is None else max(0, timeout_ns) / 1e6)


def drive(
    probing: Probing[Event],
    links: Mapping[str, Link],
    *,
    clock: Clock = wall_clock,
    realtime: Clock = time.time_ns,
    poller: Poller | None = None,
) -> Iterator[Event]:
    """Run `probing` over `links`, which `Outgoing.road` names, to its end; give its events as they happen.

    All that the links receive goes to `probing`. `clock`, `realtime` (the clock of the frames) and `poller` are for
    tests. A packet that a link refuses is told to `probing`; raises LinkError when a link can't receive any more. A
    KeyboardInterrupt goes through; `probing` then holds what there is so far.
    """
    poller = poller or LinkPoller(links)
    while not probing.done:
        _transmit(probing, links, clock)
        yield from probing.poll_events()
        if probing.done:
            return
        timeout = probing.next_timeout()
        poller.poll(None if timeout is None else timeout - clock())
        for link in links.values():
            _receive(probing, link, clock, realtime)
        probing.handle_timeout(clock())
        yield from probing.poll_events()


def _transmit(probing: Probing[Event], links: Mapping[str, Link], clock: Clock) -> None:
    while (out := probing.poll_transmit(clock())) is not None:
        link = links[out.road]
        began = clock()  # the last thing before the call: what was built meanwhile is no part of the round trip
        try:
            link.send(out.frames, began)
        except LinkError as error:
            probing.refused(out, error.strerror or str(error), began)
        else:
            probing.sent(out, began)


def _receive(probing: Probing[Event], link: Link, clock: Clock, realtime: Clock) -> None:
    while frames := link.receive(clock()):
        now, today = _both_clocks(clock, realtime)
        for frame in frames:
            probing.receive(Packet.parse(frame), now - _age(frame, today))


def _both_clocks(clock: Clock, realtime: Clock) -> tuple[int, int]:
    """One moment by both clocks. Whoever is interrupted between the two would see a wrong age: try again."""
    for _ in range(_TRIES):
        before, today, after = clock(), realtime(), clock()
        if after - before < _MOMENT_NS:
            break
    return (before + after) // 2, today


def _age(frame: Frame, today: int) -> int:
    """How long ago the kernel received `frame`, in ns; 0 if it does not say."""
    age = today - frame.time_ns
    return age if frame.time_ns and 0 <= age < _OLDEST_NS else 0


def fragments(packet: bytes, mtu: int, identification: int) -> list[bytes]:
    """An IP packet in as many frames as the MTU asks for. Raises LinkError (EMSGSIZE) where it may not be cut."""
    if len(packet) <= mtu:
        return [packet]
    try:
        return fragment(packet, mtu, LinkType.RAW, identification=identification)
    except WireError as error:
        raise LinkError(errno.EMSGSIZE, str(error)) from error


def source_for(target: str) -> str:
    """The local address from which the kernel would send to `target`, IPv4 or IPv6 text, with its zone if it has one.

    Nothing is sent. Raises LinkError with the kernel's errno where no route leads there.
    """
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            # Resolved, because in a bare pair of text and port the zone would be lost.
            probe.connect(socket.getaddrinfo(target, _DISCARD, family, socket.SOCK_DGRAM)[0][4])
            address, _, *rest = probe.getsockname()
            scope = rest[1] if rest else 0
            return f"{address}%{socket.if_indextoname(scope)}" if scope else str(address)
    except OSError as error:
        number = error.errno or errno.EIO
        why = "that is a broadcast address" if number == errno.EACCES else error.strerror or str(error)
        raise LinkError(number, f"no way to {target}: {why}") from error


@contextlib.contextmanager
def reserve_port(source: str, kind: socket.SocketKind) -> Iterator[int]:
    """Have the kernel keep a free port of `source` from everybody else, for SOCK_STREAM or SOCK_DGRAM; give its number.

    A datagram socket also takes what comes to the port, so that the kernel does not answer "port unreachable". A stream
    socket does not: a SYN-ACK finds no connection, and the kernel answers RST. Raises LinkError.
    """
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    with socket.socket(family, kind) as keeper:
        try:
            keeper.bind(socket.getaddrinfo(source, 0, family, kind)[0][4])
        except OSError as error:
            raise LinkError(error.errno or errno.EIO, f"no free port at {source}: {error.strerror}") from error
        yield int(keeper.getsockname()[1])


def open_raw(source: str, protocol: str, condition: str = "") -> RawIpLink:
    """A raw IP link at `source` for "icmp", "tcp" or "udp", that receives only what meets `condition` (pcap-filter).

    Raises PrivilegeError without CAP_NET_RAW, and LinkError.
    """
    version = 6 if ":" in source else 4
    number = {"icmp": _ICMP[version], "tcp": 6, "udp": 17}[protocol]
    try:
        return RawIpLink(source, protocol=number, filter=_filter(condition) if condition else None)
    except LinkError:
        raise
    except OSError as error:
        raise LinkError(error.errno or errno.EIO, f"a raw IP socket at {source}: {error.strerror}") from error


def _filter(condition: str) -> Filter | None:
    """The compiled condition; None where there is no libpcap: what it keeps away would only cost time."""
    try:
        return compile_filter(condition, LinkType.RAW)
    except LinkError as error:
        if error.errno == errno.ELIBACC:
            return None
        raise
