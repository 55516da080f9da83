"""SOCK_RAW: whole IPv4 or IPv6 packets with handmade headers; the kernel routes and resolves neighbours (raw(7)).

What the kernel leaves of a handmade header (seen on Linux 6.18):

IPv4 (IP_HDRINCL): total length and header checksum are always overwritten; the source only when it is zero, the
identification only when it is zero and don't-fragment is not set. An IHL below 5 is refused. Nothing is ever
fragmented, and a smaller MTU of the route is not looked at (IP_PMTUDISC_PROBE). What arrives is the whole packet as
it was on the wire, put together again if it came in fragments.

IPv6 (IPPROTO_RAW): nothing is changed on sending. On receiving the kernel strips the header; it is rebuilt here
from the ancillary data: traffic class, flow label, hop limit and both addresses are those of the wire, the
payload length is that of what arrived. Extension headers are lost: the next header is the link's protocol.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from collections.abc import Sequence

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link._ancillary import TIMESTAMP_SPACE, Ancillary, timestamp_ns
from rawproto.link._buffer import grow_buffers
from rawproto.link._interface import address_interface, resolve
from rawproto.link._privilege import privilege_error
from rawproto.link._wait import NO_ROOM, send_when_room
from rawproto.link.base import Link
from rawproto.link.bpf import Filter, attach
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["RawIpLink"]

_LARGEST = 65575
"""Bytes of the largest packet: an IPv6 header and a payload of 65,535."""
_MIN_HEADER = {4: 20, 6: 40}
_IPV6_HEADER = struct.Struct("!IHBB16s16s")
_VERSION_6 = 6 << 28
_PKTINFO = struct.Struct("@16si")
_ANCILLARY_SPACE6 = TIMESTAMP_SPACE + socket.CMSG_SPACE(_PKTINFO.size) + socket.CMSG_SPACE(4) + socket.CMSG_SPACE(4)

SockAddress = tuple[str, int] | tuple[str, int, int, int]


class RawIpLink(Link):
    """A link that sends and receives the IP packets of one `protocol` number at one local `address`.

    `address` is IPv4 or IPv6 text ("fe80::1%veth0" for a link-local one) and decides the version. As long as the
    link is open the kernel answers nothing ("protocol unreachable") to packets of this protocol. Frames sent may be of
    any protocol; their destination is read from their own header. `batch` is the most frames that one `receive`
    gives; `buffer_size` the wanted socket buffers in bytes. `filter`, compiled for LinkType.RAW, keeps away what does
    not match, from the first frame on.

    Frames carry the kernel's time of arrival (CLOCK_REALTIME, ns). `peer` in `send` means nothing here.

    Raises PrivilegeError without CAP_NET_RAW, LinkError EADDRNOTAVAIL when no interface has the address, EINVAL for a
    filter of another link type.
    """

    linktype = LinkType.RAW

    def __init__(
        self,
        address: str,
        *,
        protocol: int = 253,
        batch: int = 256,
        buffer_size: int = 32 << 20,
        filter: Filter | None = None,  # noqa: A002 - what it is called everywhere
    ) -> None:
        self._family, text, scope = resolve(address)
        facts = address_interface(address)
        self.interface = facts.name
        self.mtu = facts.mtu
        self.address = text
        self.protocol = protocol
        self._batch = batch
        self._scope = scope or facts.index
        self._destinations: dict[bytes, SockAddress] = {}
        self._sockets: list[socket.socket] = []
        try:
            self._receiver = self._open(protocol)
            self._sender = self._receiver
            if self._family == socket.AF_INET:
                setsockopt = self._receiver.setsockopt
                setsockopt(socket.IPPROTO_IP, socket.IP_HDRINCL, 1)
                # Otherwise the kernel cuts what a route's MTU is too small for, and connection tracking holds back
                # fragments until all are there.
                setsockopt(socket.IPPROTO_IP, sockopt.IP_MTU_DISCOVER, sockopt.IP_PMTUDISC_PROBE)
                setsockopt(socket.IPPROTO_IP, sockopt.IP_NODEFRAG, 1)
                self._bind((text, 0))
            else:
                self._sender = self._open(socket.IPPROTO_RAW)
                self._sender.setsockopt(sockopt.SOL_IPV6, sockopt.IPV6_MTU_DISCOVER, sockopt.IPV6_PMTUDISC_PROBE)
                for option in (socket.IPV6_RECVPKTINFO, socket.IPV6_RECVHOPLIMIT, sockopt.IPV6_FLOWINFO):
                    self._receiver.setsockopt(sockopt.SOL_IPV6, option, 1)
                self._bind((text, 0, 0, scope))
            self._receiver.setsockopt(socket.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, 1)
            self.receive_buffer = grow_buffers(self._receiver, buffer_size)
            """Bytes of receive buffer that the kernel gave."""
            if self._sender is not self._receiver:
                grow_buffers(self._sender, buffer_size)
            self._filter = filter if filter is not None and not attach(self._receiver, filter) else None
        except BaseException:
            self.close()
            raise

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send all of `frames`, in order, each to the destination in its own header.

        Raises LinkError: EMSGSIZE for a packet over the MTU, EINVAL for a header that the kernel refuses or that
        is of the other IP version, and what routing says (ENETUNREACH, EHOSTUNREACH). The frames before it were
        sent, those after it were not.
        """
        sendto, destinations = self._sender.sendto, self._destinations
        place, version = (slice(16, 20), 4) if self._family == socket.AF_INET else (slice(24, 40), 6)
        for frame in frames:
            try:
                address = destinations[frame[place]]
                if frame[0] >> 4 != version:
                    raise self._not_ours(frame, version)
                sendto(frame, address)
            except KeyError:
                self._send_first(frame, frame[place])
            except OSError as error:
                self._send_again(frame, destinations[frame[place]], error)

    def receive(self, now: int) -> list[Frame]:
        """Give the packets that have come, at most a batch, without waiting."""
        frames: list[Frame] = []
        recvmsg, give = self._receiver.recvmsg, frames.append
        ipv4, interface, raw, inbound = self._family == socket.AF_INET, self.interface, LinkType.RAW, Direction.INBOUND
        space = TIMESTAMP_SPACE if ipv4 else _ANCILLARY_SPACE6
        try:
            while len(frames) < self._batch:
                data, ancillary, _, sender = recvmsg(_LARGEST, space)
                if not ipv4:
                    data = self._with_header(data, ancillary, sender)
                give(Frame(data, timestamp_ns(ancillary), raw, interface, inbound))
        except BlockingIOError:
            pass
        except OSError as error:
            raise LinkError(error.errno or errno.EIO, f"receiving on {self.address}: {error.strerror}") from error
        if self._filter is not None:  # the kernel can't run it
            frames = [frame for frame in frames if self._filter.matches(frame)]
        return frames

    def fileno(self) -> int:
        """The receiving socket; -1 when closed."""
        return self._receiver.fileno()

    def close(self) -> None:
        """Close the sockets. The kernel then answers for this protocol again."""
        for sock in self._sockets:
            sock.close()

    def _bind(self, address: SockAddress) -> None:
        try:
            self._receiver.bind(address)
        except OSError as error:
            raise LinkError(error.errno or errno.EIO, f"a raw IP socket at {address[0]}: {error.strerror}") from error

    def _open(self, protocol: int) -> socket.socket:
        try:
            sock = socket.socket(self._family, socket.SOCK_RAW, protocol)
        except PermissionError as error:
            raise privilege_error(f"a raw IP socket at {self.address}") from error
        self._sockets.append(sock)
        sock.setblocking(False)
        return sock

    def _with_header(self, payload: bytes, ancillary: Ancillary, sender: SockAddress) -> bytes:
        """Put the IPv6 header back that the kernel has stripped."""
        flow, hop_limit, destination = 0, 0, bytes(16)
        for level, kind, value in ancillary:
            if level != sockopt.SOL_IPV6:
                continue
            if kind == socket.IPV6_PKTINFO:
                destination = value[:16]
            elif kind == socket.IPV6_HOPLIMIT:
                hop_limit = int.from_bytes(value, sys.byteorder)
            elif kind == sockopt.IPV6_FLOWINFO:
                flow = int.from_bytes(value, "big")
        source = socket.inet_pton(socket.AF_INET6, sender[0].partition("%")[0])
        header = _IPV6_HEADER.pack(_VERSION_6 | flow, len(payload), self.protocol, hop_limit, source, destination)
        return header + payload

    def _send_first(self, frame: bytes, destination: bytes) -> None:
        """Send the first frame to `destination` (4 or 16 bytes), whose socket address is made here and kept."""
        version = 4 if self._family == socket.AF_INET else 6
        if len(frame) < _MIN_HEADER[version] or frame[0] >> 4 != version:
            raise self._not_ours(frame, version)
        text = socket.inet_ntop(self._family, destination)
        if version == 4:
            address: SockAddress = (text, 0)
        else:
            # The port must be 0. The scope says which interface a link-local destination (fe80::/10) is on.
            local = destination[0] == 0xFE and destination[1] & 0xC0 == 0x80
            address = (text, 0, 0, self._scope if local else 0)
        self._destinations[destination] = address
        try:
            self._sender.sendto(frame, address)
        except OSError as error:
            self._send_again(frame, address, error)

    @staticmethod
    def _not_ours(frame: bytes, version: int) -> LinkError:
        return LinkError(errno.EINVAL, f"a frame of {len(frame)} bytes is no IPv{version} packet: {frame[:1].hex()}")

    def _send_again(self, frame: bytes, address: SockAddress, error: OSError) -> None:
        """Send a frame that the kernel refused with `error`, or say why it can't be sent."""
        try:
            if error.errno not in NO_ROOM:
                raise error
            send_when_room(self._sender.fileno(), lambda: self._sender.sendto(frame, address), error, self.interface)
        except LinkError:
            raise
        except OSError as final:
            raise self._error(final, frame, address[0]) from final

    def _error(self, error: OSError, frame: bytes, destination: str) -> LinkError:
        number = error.errno or errno.EIO
        if number == errno.EMSGSIZE:
            return LinkError(
                number,
                f"a packet of {len(frame)} bytes is over the MTU of {self.interface or 'the route'}, {self.mtu} bytes",
            )
        if number == errno.EINVAL:
            return LinkError(number, f"the kernel refuses this IP header: {frame[:40].hex(' ')}")
        return LinkError(number, f"sending from {self.address} to {destination}: {error.strerror}")
