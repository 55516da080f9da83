"""Bare datagrams in an ordinary UDP socket: no root needed, and 64 KB a call where the kernel helps (udp(7)).

Sending, runs of datagrams of one length go to the kernel in one call that it cuts up (UDP_SEGMENT); receiving, it
joins runs of equal ones from one sender (UDP_GRO), and they are cut apart again here. Every datagram still crosses
the wire on its own, with its own UDP header and its boundaries kept.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import struct
import sys
from collections.abc import Callable, Sequence

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link._buffer import grow_buffers
from rawproto.link._interface import address_interface, resolve
from rawproto.link._peers import DEFAULT_PORT, PeerNames, SockAddress
from rawproto.link._udpheader import with_headers
from rawproto.link._wait import NO_ROOM, send_when_room
from rawproto.link.base import Link
from rawproto.wire.address import to_many
from rawproto.wire.frame import ChecksumStatus, Direction, Frame, LinkType

__all__ = ["UdpLink"]

_LARGEST = 65_507
"""Bytes of the largest datagram in IPv4, and the most that one call may hand to UDP_SEGMENT."""
_RECEIVE_SIZE = 65_536
_HEADERS = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}
_ANCILLARY_SPACE = socket.CMSG_SPACE(4)
_SEGMENT_SIZE = struct.Struct("@H")
_EXTENDED_ERROR = struct.Struct("@IBBBBII")
"""struct sock_extended_err (linux/errqueue.h): errno, origin, type, code, padding, info, data."""
_ERROR_SPACE = socket.CMSG_SPACE(_EXTENDED_ERROR.size + 28)
"""The error, and behind it the address of who reported it."""
_CANT_SEGMENT = frozenset({errno.EINVAL, errno.EIO, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOPROTOOPT})


class UdpLink(Link):
    """A link whose frames are the payloads of UDP datagrams (`LinkType.USER0`), at the local `host` and `port`.

    `host` is an IPv4 or IPv6 address, "0.0.0.0" and "::" included; names are not looked up. Port 0 takes a free
    one, see `.port`. Peers are text, "10.0.0.2:25300" or "[::1]:25300"; in `send` the port may be left out
    (then 25300). `Frame.peer` names the sender in that form. `mtu` is the most bytes of a datagram, by default
    the interface's MTU without the IP and UDP headers; datagrams are sent with don't-fragment, and what ICMP
    claims of the path's MTU is ignored (PMTUDISC_PROBE): finding that out is the transport's (RFC 8899), and
    anybody could forge it. `batch` is the number of datagrams at which `receive` stops (a joined run may go over
    it): more at once no longer fit the processor's cache and cost double. `buffer_size` is the wanted size of the
    socket buffers in bytes.

    Bound to all addresses ("0.0.0.0"), it answers from the one that the kernel's routes choose: a host with several is
    better served by one link for each.

    The `time_ns` of a frame is the `now` of the call that received it. Its checksum status is unknown: the kernel
    has checked the UDP checksum, but that is not in the frame.

    Raises LinkError: EADDRINUSE, EADDRNOTAVAIL, EACCES (a port below 1024), EINVAL (no address).
    """

    linktype = LinkType.USER0

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        *,
        mtu: int | None = None,
        batch: int = 256,
        buffer_size: int = 16 << 20,
    ) -> None:
        if not 0 <= port <= 0xFFFF:
            raise LinkError(errno.EINVAL, f"UDP port {port} can't be: give 1 to 65535, or 0 for a free one")
        self._family, text, scope = resolve(host)
        facts = address_interface(host)
        self.interface = facts.name
        largest = min(facts.mtu - _HEADERS[self._family], _LARGEST)
        self.mtu = largest if mtu is None else min(mtu, _LARGEST)
        self._batch = batch
        self._segmenting = True
        self._peers = PeerNames(self._family, scope or facts.index)
        self._sources: dict[str, SockAddress] = {}
        self.refused = 0
        """How many ICMP "port unreachable" came back for datagrams of ours: nobody listens there."""
        self.unreachable = 0
        """How many other ICMP errors came back."""
        self._socket = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._configure()
            self.receive_buffer = grow_buffers(self._socket, buffer_size)
            """Bytes of receive buffer that the kernel gave."""
            self._bind(text, port, scope)
        except BaseException:
            self.close()
            raise
        self.host = text
        self.port: int = self._socket.getsockname()[1]

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send all of `frames`, in order, to `peer`, in as few calls as the kernel allows.

        Raises LinkError: EMSGSIZE for a datagram over `mtu`, EDESTADDRREQ without a `peer`, EINVAL if that is no
        address. The datagrams before a wrong one were sent. ICMP errors are counted, not raised.
        """
        address = self._peers.address(peer)
        start, count = 0, len(frames)
        while start < count:
            size = len(frames[start])
            if size > self.mtu:
                raise _too_long(size, self.mtu, self.interface)
            end = start + 1
            if size and self._segmenting:
                limit = min(count, start + min(sockopt.UDP_MAX_SEGMENTS, _LARGEST // size))
                while end < limit and len(frames[end]) == size:
                    end += 1
                if end < limit and 0 < len(frames[end]) < size:  # the last one of a run may be shorter
                    end += 1
            run = frames[start:end]
            if len(run) == 1 or not self._send_run(run, size, address):
                for frame in run:
                    self._send_one(frame, address)
            start = end

    def receive(self, now: int) -> list[Frame]:
        """Give the datagrams that have come, at most a batch, without waiting."""
        frames: list[Frame] = []
        give, make, new = frames.append, tuple.__new__, Frame
        recvmsg, names = self._socket.recvmsg, self._peers.names
        user, inbound, unknown = LinkType.USER0, Direction.INBOUND, ChecksumStatus.UNKNOWN
        interface = self.interface
        for _ in itertools.repeat(None, self._batch):
            try:
                data, ancillary, _, sender = recvmsg(_RECEIVE_SIZE, _ANCILLARY_SPACE)
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error about something sent earlier; nothing was received by this call.
                self._take_errors()
                continue
            length = size = len(data)
            for level, kind, value in ancillary:
                if kind == sockopt.UDP_GRO and level == sockopt.SOL_UDP:
                    size = int.from_bytes(value, sys.byteorder)
            known = (now, user, interface, inbound, None, None, unknown, names[sender])
            if size == length:
                give(make(new, (data, *known)))
            else:
                for start in range(0, length, size):
                    give(make(new, (data[start : start + size], *known)))
            if len(frames) >= self._batch:
                break
        return frames

    @property
    def address(self) -> str:
        """This end, as peers write it."""
        return self._peers.names[self._socket.getsockname()]

    def canonical(self, peer: str) -> str:
        """`peer` with its port. Raises LinkError for what is no address of this link's IP version, or of many hosts."""
        address = self._peers.address(peer)
        if to_many(self._packed(address)[0]):
            raise LinkError(errno.EACCES, f"{peer} is not one host: a connection has one at its other end")
        return self._peers.names[address]

    def on_wire(self, data: bytes, *, peer: str, outbound: bool) -> tuple[bytes, LinkType]:
        """Give `data` as an IP packet: its IP and UDP headers put back, `LinkType.RAW`.

        They are reconstructed, since a UDP socket never shows them: TTL 64, identification 0, don't-fragment, right
        checksums, and no sign of how the datagrams were joined or cut on the way. Raises LinkError for a `peer`
        that is no address.
        """
        there = self._peers.address(peer)
        here = self._source(peer, there)
        local, remote = self._packed(here), self._packed(there)
        packet = with_headers(data, local, remote) if outbound else with_headers(data, remote, local)
        return packet, LinkType.RAW

    def fileno(self) -> int:
        """The socket; -1 when closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _configure(self) -> None:
        setsockopt = self._socket.setsockopt
        if self._family == socket.AF_INET:
            setsockopt(socket.IPPROTO_IP, sockopt.IP_MTU_DISCOVER, sockopt.IP_PMTUDISC_PROBE)
            setsockopt(socket.IPPROTO_IP, sockopt.IP_RECVERR, 1)
        else:
            setsockopt(sockopt.SOL_IPV6, socket.IPV6_V6ONLY, 1)
            setsockopt(sockopt.SOL_IPV6, sockopt.IPV6_MTU_DISCOVER, sockopt.IPV6_PMTUDISC_PROBE)
            setsockopt(sockopt.SOL_IPV6, socket.IPV6_DONTFRAG, 1)
            setsockopt(sockopt.SOL_IPV6, sockopt.IPV6_RECVERR, 1)
        with contextlib.suppress(OSError):  # Linux before 5.0: one datagram a call then
            setsockopt(sockopt.SOL_UDP, sockopt.UDP_GRO, 1)

    def _bind(self, host: str, port: int, scope: int) -> None:
        try:
            self._socket.bind((host, port) if self._family == socket.AF_INET else (host, port, 0, scope))
        except OSError as error:
            where = f"{host} UDP port {port}"
            advice = {
                errno.EADDRINUSE: f"{where} is in use: choose another port (0 takes a free one), "
                f"or see who holds it with ss -ulpn 'sport = {port}'",
                errno.EACCES: f"{where} is reserved: choose a port above 1023",
            }
            number = error.errno or errno.EIO
            raise LinkError(number, advice.get(number, f"{where}: {error.strerror}")) from error

    def _send_run(self, run: Sequence[bytes], size: int, address: SockAddress) -> bool:
        """Send datagrams of `size` bytes, the last of which may be shorter, by one call; False if that can't be."""
        ancillary = [(sockopt.SOL_UDP, sockopt.UDP_SEGMENT, _SEGMENT_SIZE.pack(size))]
        sendmsg = self._socket.sendmsg
        try:
            sendmsg(run, ancillary, 0, address)
        except OSError as error:
            final = self._send_again(lambda: sendmsg(run, ancillary, 0, address), error)
            if final is None:
                return True
            if final.errno not in _CANT_SEGMENT:
                raise self._error(final, address, size) from final
            # EIO: this device computes no checksums, so no run will do. The others may concern this run only.
            self._segmenting = final.errno != errno.EIO
            return False
        return True

    def _send_one(self, frame: bytes, address: SockAddress) -> None:
        if len(frame) > self.mtu:
            raise _too_long(len(frame), self.mtu, self.interface)
        sendto = self._socket.sendto
        try:
            sendto(frame, address)
        except OSError as error:
            final = self._send_again(lambda: sendto(frame, address), error)
            if final is not None:
                raise self._error(final, address, len(frame)) from final

    def _send_again(self, send: Callable[[], object], error: OSError) -> OSError | None:
        """Repeat the call `send`, which failed with `error`, until it succeeds; give the error if it can't."""
        while True:
            no_room = error.errno in NO_ROOM
            # An ICMP error about an earlier datagram is told by the next call, which then does nothing else.
            if not no_room and not self._take_errors():
                return error
            try:
                if no_room:
                    send_when_room(self.fileno(), send, error, self.interface)
                else:
                    send()
            except LinkError:
                raise
            except OSError as again:
                error = again
            else:
                return None

    def _take_errors(self) -> int:
        """Empty the socket's error queue (IP_RECVERR, ip(7)), count what it says; give how many came by ICMP."""
        taken = 0
        while True:
            try:
                _, ancillary, _, _ = self._socket.recvmsg(0, _ERROR_SPACE, socket.MSG_ERRQUEUE)
            except BlockingIOError:
                return taken
            for _, _, value in ancillary:
                number, origin, *_ = _EXTENDED_ERROR.unpack_from(value)
                if origin not in (sockopt.SO_EE_ORIGIN_ICMP, sockopt.SO_EE_ORIGIN_ICMP6):
                    continue  # what the kernel itself says of a call, that call has raised
                taken += 1
                if number == errno.ECONNREFUSED:
                    self.refused += 1
                else:
                    self.unreachable += 1

    def _source(self, peer: str, address: SockAddress) -> SockAddress:
        """Give the address that packets to `peer` come from; the kernel chooses when we are bound to all."""
        known = self._sources.get(peer)
        if known is None:
            known = self._socket.getsockname()
            if not any(socket.inet_pton(self._family, self.host)):
                with socket.socket(self._family, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
                    probe.connect(address)  # sends nothing, only looks up the route
                    known = (probe.getsockname()[0], self.port)
            self._sources[peer] = known
        return known

    def _packed(self, address: SockAddress) -> tuple[bytes, int]:
        return socket.inet_pton(self._family, address[0].partition("%")[0]), address[1]

    def _error(self, error: OSError, address: SockAddress, size: int) -> LinkError:
        number = error.errno or errno.EIO
        if number == errno.EMSGSIZE:
            return _too_long(size, self.mtu, self.interface)
        return LinkError(number, f"sending to {address[0]} port {address[1]}: {error.strerror}")


def _too_long(size: int, mtu: int, interface: str) -> LinkError:
    where = f" of {interface}" if interface else ""
    return LinkError(errno.EMSGSIZE, f"a datagram of {size} bytes is over the MTU{where}, {mtu} bytes for a datagram")
