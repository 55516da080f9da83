"""AF_PACKET: whole Ethernet frames through one interface, past the kernel's own protocols (packet(7)).

What goes in is what appears on the wire; the kernel changes nothing. What comes out is every frame that the
interface receives, with what the kernel took off it (VLAN tag) or knows of it (checksum state) put back beside it.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link._ancillary import TIMESTAMP_SPACE, Ancillary, timestamp_ns
from rawproto.link._buffer import grow_receive_buffer
from rawproto.link._interface import Interface, interface_facts
from rawproto.link._privilege import privilege_error
from rawproto.link._wait import NO_ROOM, send_when_room
from rawproto.link.base import Link
from rawproto.link.ring import ReceiveRing, checksum_of, direction_of, put_tag_back
from rawproto.wire.frame import Frame, LinkType

__all__ = ["PacketLink"]

_AUXDATA = struct.Struct("@IIIHHHH")
"""struct tpacket_auxdata: status, length, captured length, MAC and network offset, TCI, TPID."""
_ANCILLARY_SPACE = socket.CMSG_SPACE(_AUXDATA.size) + TIMESTAMP_SPACE
_ETHERNET_HEADER = 14
_VLAN_TAG = 4


class PacketLink(Link):
    """A link that sends and receives the Ethernet frames of `interface`.

    `ring` receives through a mapped ring of about `ring_size` bytes, which is what makes it fast; without it each
    frame is one call. `batch` is the most frames that one `receive` gives. `outgoing` also gives what this host
    sends on the interface. `promiscuous` asks the card for frames that are not addressed to it. `ethertype`
    receives one protocol only, and `bpf` (an array of `struct sock_filter`, as bytes) only what the filter lets
    through; both hold from the first frame on. Frames longer than a slot (mtu + 18 bytes; the kernel's joined
    super-frames when offloads are on) come cut, and their `original_length` says so.

    Frames carry the kernel's time of arrival (CLOCK_REALTIME, ns). `peer` in `send` means nothing here.

    Raises PrivilegeError without CAP_NET_RAW, LinkError ENODEV when there is no such interface and ENETDOWN when
    it is down.
    """

    linktype = LinkType.ETHERNET

    def __init__(
        self,
        interface: str,
        *,
        ring: bool = True,
        ring_size: int = 32 << 20,
        batch: int = 256,
        outgoing: bool = False,
        promiscuous: bool = False,
        ethertype: int = sockopt.ETH_P_ALL,
        bpf: bytes = b"",
    ) -> None:
        facts = interface_facts(interface)
        if not facts.up:
            raise LinkError(errno.ENETDOWN, f"interface {interface} is down: ip link set {interface} up")
        self.interface = interface
        self.mtu = facts.mtu
        self.address = facts.address
        """The interface's MAC address, "02:00:00:00:00:01"."""
        self.ring: ReceiveRing | None = None
        self._batch = batch
        self._drops = 0
        try:
            # With protocol 0 nothing is received until bind, when filter and ring are in place.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise privilege_error(f"sending and receiving raw frames on {interface}") from error
        try:
            self._socket.setblocking(False)
            self._configure(facts, outgoing=outgoing, promiscuous=promiscuous, bpf=bpf)
            if ring:
                self.ring = ReceiveRing(self._socket, interface, mtu=facts.mtu, size=ring_size)
            else:
                self._configure_calls(ring_size)
            self._socket.bind((interface, ethertype))
        except BaseException:
            self.close()
            raise

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send all of `frames`, in order, waiting a little whenever the kernel has no room.

        Raises LinkError: EMSGSIZE for a frame over the MTU, EINVAL for one shorter than an Ethernet header,
        ENETDOWN when the interface went down. The frames before it were sent, those after it were not.
        """
        send = self._socket.send
        for frame in frames:
            try:
                send(frame)
            except OSError as error:
                self._send_again(frame, error)

    def receive(self, now: int) -> list[Frame]:
        """Give the frames that have come, at most a batch, without waiting.

        Raises LinkError ENETDOWN, once, when the interface went down.
        """
        frames = self._receive_by_calls() if self.ring is None else self.ring.read(self._batch)
        if not frames:
            # An interface that goes down leaves an error behind, which keeps the socket readable until taken.
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise self._error(number)
        return frames

    def drops(self) -> int:
        """How many frames the kernel had to drop since opening, because ring or buffer was full."""
        statistics = self._socket.getsockopt(sockopt.SOL_PACKET, sockopt.PACKET_STATISTICS, 8)
        self._drops += struct.unpack("@II", statistics)[1]  # reading sets the kernel's count to zero
        return self._drops

    def fileno(self) -> int:
        """The socket, readable when the ring has a frame; -1 when closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Unmap the ring and close the socket."""
        if self.ring is not None:
            self.ring.close()
        self._socket.close()

    def _configure(self, facts: Interface, *, outgoing: bool, promiscuous: bool, bpf: bytes) -> None:
        setsockopt = self._socket.setsockopt
        if not outgoing:
            setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_IGNORE_OUTGOING, 1)
        if promiscuous:
            membership = struct.pack("@iHH8s", facts.index, sockopt.PACKET_MR_PROMISC, 0, b"")
            setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_ADD_MEMBERSHIP, membership)
        if bpf:
            program = ctypes.create_string_buffer(bpf, len(bpf))
            setsockopt(
                socket.SOL_SOCKET,
                sockopt.SO_ATTACH_FILTER,
                struct.pack("@HP", len(bpf) // 8, ctypes.addressof(program)),
            )

    def _configure_calls(self, buffer_size: int) -> None:
        setsockopt = self._socket.setsockopt
        setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_AUXDATA, 1)
        setsockopt(socket.SOL_SOCKET, sockopt.SO_TIMESTAMPNS, 1)
        grow_receive_buffer(self._socket, buffer_size)

    def _receive_by_calls(self) -> list[Frame]:
        frames: list[Frame] = []
        recvmsg, size = self._socket.recvmsg, self.mtu + _ETHERNET_HEADER + _VLAN_TAG
        try:
            while len(frames) < self._batch:
                data, ancillary, _, sender = recvmsg(size, _ANCILLARY_SPACE)
                frames.append(self._frame(data, ancillary, sender[2]))
        except BlockingIOError:
            pass
        except OSError as error:
            raise self._error(error.errno) from error
        return frames

    def _frame(self, data: bytes, ancillary: Ancillary, packet_type: int) -> Frame:
        values = {(level, kind): value for level, kind, value in ancillary}
        status, length, _, _, _, tci, tpid = _AUXDATA.unpack(values[sockopt.SOL_PACKET, sockopt.PACKET_AUXDATA])
        tag = None
        if status & sockopt.TP_STATUS_VLAN_VALID:
            captured = len(data)
            data, tag = put_tag_back(data, status, tci, tpid)
            length += len(data) - captured
        return Frame(
            data,
            timestamp_ns(ancillary),
            LinkType.ETHERNET,
            self.interface,
            direction_of(packet_type),
            None if len(data) == length else length,
            tag,
            checksum_of(status),
        )

    def _send_again(self, frame: bytes, error: OSError) -> None:
        """Send a frame that the kernel refused with `error`, or say why it can't be sent."""
        try:
            if error.errno not in NO_ROOM:
                raise error
            send_when_room(self.fileno(), lambda: self._socket.send(frame), error, self.interface)
        except LinkError:
            raise
        except OSError as final:
            raise self._error(final.errno, len(frame)) from final

    def _error(self, number: int | None, size: int = 0) -> LinkError:
        """Give the LinkError for the errno of a call on this link, about a frame of `size` bytes."""
        if number == errno.EMSGSIZE:
            limit = self.mtu + _ETHERNET_HEADER
            return LinkError(
                errno.EMSGSIZE,
                f"a frame of {size} bytes is over the MTU of {self.interface}, {self.mtu} bytes: at most {limit} "
                f"with the Ethernet header, {limit + _VLAN_TAG} with a VLAN tag",
            )
        if number == errno.EINVAL and size < _ETHERNET_HEADER:
            return LinkError(
                errno.EINVAL, f"a frame of {size} bytes is shorter than an Ethernet header ({_ETHERNET_HEADER})"
            )
        if number == errno.ENETDOWN:
            return LinkError(errno.ENETDOWN, f"interface {self.interface} went down: ip link set {self.interface} up")
        number = number or errno.EIO
        return LinkError(number, f"{self.interface}: {errno.errorcode.get(number, number)}")
