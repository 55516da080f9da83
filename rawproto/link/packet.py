"""AF_PACKET: whole Ethernet frames through one interface, past the kernel's own protocols (packet(7)).

What goes in is what appears on the wire; the kernel changes nothing. What comes out is every frame that the
interface receives, with what the kernel took off it (VLAN tag) or knows of it (checksum state) put back beside it.

Frames go out by mapped memory, many to a call (`sendring`), and come in by mapped memory without any call (`ring`,
`blockring`). docs/performance.md says what else was tried.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import socket
import struct
from collections.abc import Callable, Sequence
from functools import partial

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link._ancillary import TIMESTAMP_SPACE, Ancillary, timestamp_ns
from rawproto.link._buffer import grow_receive_buffer
from rawproto.link._interface import interface_facts
from rawproto.link._privilege import privilege_error
from rawproto.link._wait import NO_ROOM, send_when_room
from rawproto.link.base import Link
from rawproto.link.blockring import BlockRing
from rawproto.link.bpf import attach_filter
from rawproto.link.fanout import FanoutMode, join_group, receive_nothing
from rawproto.link.ring import MappedRing, ReceiveRing, checksum_of, direction_of, put_tag_back
from rawproto.link.sendring import AT_ONCE, SendRing
from rawproto.wire.frame import Frame, LinkType

__all__ = ["FanoutMode", "PacketLink"]

_AUXDATA = struct.Struct("@IIIHHHH")
"""struct tpacket_auxdata: status, length, captured length, MAC and network offset, TCI, TPID."""
_ANCILLARY_SPACE = socket.CMSG_SPACE(_AUXDATA.size) + TIMESTAMP_SPACE
_ETHERNET_HEADER = 14
_VLAN_TAG = 4
_IFREQ = struct.Struct("@16si20x")
"""struct ifreq: name and MTU."""
_FEW = 6
"""Up to so many frames, a call for each costs less than the ring."""
_ALWAYS = 68 + _ETHERNET_HEADER
"""Bytes of a frame that passes whatever the MTU is: IPv4 works with no smaller one (RFC 791 §3.2, ETH_MIN_MTU)."""

Block = bytes | bytearray | memoryview


class PacketLink(Link):
    """A link that sends and receives the Ethernet frames of `interface`.

    `ring` sends and receives through mapped rings, that for receiving of about `ring_size` bytes, which is what makes
    it fast; without it each frame is one call. `bulk` receives through a ring of blocks, for much traffic: less work
    for each frame, but one may wait for up to a millisecond. `batch` is the most frames that one `receive` gives.

    `outgoing` also gives what this host sends on the interface. `promiscuous` asks the card for frames that are not
    addressed to it, as long as the link is open. `ethertype` receives one protocol only, and `bpf` (an array of
    `struct sock_filter`, as bytes) only what the filter lets through; both hold from the first frame on.

    `fanout`, 0 to 65535, makes the link a member of that group: each frame goes to one of the group's links, which one
    says `fanout_mode`. Open all of them before the traffic begins; what comes while one joins may be lost.

    `qdisc_bypass` sends past the interface's queue: faster where there is one, but traffic control does not hold, and
    nobody on this host sees the frames leave.

    Frames that are too long for their place (a slot of mtu + 18 bytes; the kernel's joined super-frames when offloads
    are on) come cut, and their `original_length` says so; the places of `bulk` hold 64 KiB.

    Frames carry the kernel's time of arrival (CLOCK_REALTIME, ns); without a ring the very first may carry the time
    when they were read, because the kernel takes a moment to begin. `peer` in `send` means nothing here.

    Raises PrivilegeError without CAP_NET_RAW; LinkError ENODEV when there is no such interface, ENETDOWN when it is
    down, EINVAL for a filter, group or combination that can't be.
    """

    linktype = LinkType.ETHERNET

    def __init__(
        self,
        interface: str,
        *,
        ring: bool = True,
        bulk: bool = False,
        ring_size: int = 32 << 20,
        batch: int = 256,
        outgoing: bool = False,
        promiscuous: bool = False,
        ethertype: int = sockopt.ETH_P_ALL,
        bpf: bytes = b"",
        fanout: int | None = None,
        fanout_mode: FanoutMode = FanoutMode.HASH,
        qdisc_bypass: bool = False,
    ) -> None:
        facts = interface_facts(interface)
        if not facts.up:
            raise LinkError(errno.ENETDOWN, f"interface {interface} is down: ip link set {interface} up")
        if batch < 1 or not 0 <= ethertype <= 0xFFFF:
            what = f"batch {batch} is not 1 or more" if batch < 1 else f"ethertype {ethertype} is not in 0..65535"
            raise LinkError(errno.EINVAL, f"PacketLink: {what}")
        if bulk and not ring:
            raise LinkError(errno.EINVAL, "bulk receives through a ring: leave out ring=False")
        self.interface = interface
        self.mtu = facts.mtu
        self.address = facts.address
        """The interface's MAC address, "02:00:00:00:00:01"."""
        self.ring: MappedRing | None = None
        self._sender: SendRing | None = None
        self._batch = batch
        self._drops = 0
        self._promiscuous = struct.pack("@iHH8s", facts.index, sockopt.PACKET_MR_PROMISC, 0, b"")
        try:
            # With protocol 0 nothing is received until bind, when filter and ring are in place.
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        except PermissionError as error:
            raise privilege_error(f"sending and receiving raw frames on {interface}") from error
        try:
            self._socket.setblocking(False)
            self._configure(outgoing=outgoing, promiscuous=promiscuous, qdisc_bypass=qdisc_bypass)
            if ring:
                kind = BlockRing if bulk else ReceiveRing
                self.ring = kind(self._socket, interface, mtu=facts.mtu, size=ring_size)
                self._sender = SendRing(interface, facts.mtu + _ETHERNET_HEADER, qdisc_bypass=qdisc_bypass)
            else:
                self._configure_calls(ring_size)
            if fanout is not None:
                join_group(self._socket, fanout, fanout_mode, outgoing=outgoing, bind=(interface, ethertype), bpf=bpf)
            else:
                if bpf:
                    attach_filter(self._socket, bpf)
                self._socket.bind((interface, ethertype))
        except BaseException:
            self.close()
            raise

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send all of `frames`, in order, waiting a little whenever the kernel has no room.

        Raises LinkError: EMSGSIZE for a frame over the MTU, EINVAL for one shorter than an Ethernet header,
        ENETDOWN when the interface went down, ENOBUFS or EAGAIN when the kernel has no room for a whole second. The
        text says which frame it was. The frames before it were sent, those after it were not.
        """
        total = len(frames)
        if total <= _FEW:
            self._send_each(frames, 0, total)
            return
        if not isinstance(frames, (list, tuple)):
            frames = list(frames)
        for start in range(0, total, AT_ONCE):
            part = frames[start : start + AT_ONCE]
            lengths = set(map(len, part))
            if 0 in lengths:
                self._send_each(part, start, total)
            else:
                self._send_many(part, lengths, start, total)

    def send_block(self, block: Block, stride: int, now: int, peer: str = "") -> None:
        """Send the frames that lie back to back in `block`, each of `stride` bytes; what `Template.block` renders.

        As `send`, and raises what that does; also EINVAL for a block that is not a whole number of frames.
        """
        view = memoryview(block)
        if stride <= 0 or view.nbytes % stride:
            text = f"a block of {view.nbytes} bytes is not a whole number of frames of {stride} bytes"
            raise LinkError(errno.EINVAL, text)
        data = block if view.c_contiguous else bytes(view)
        total = view.nbytes // stride
        for start in range(0, total, AT_ONCE):
            frames = _cutter(stride, min(AT_ONCE, total - start)).unpack_from(data, start * stride)
            self._send_many(frames, {stride}, start, total)

    def prepare_to_send(self) -> None:
        """Map the ring for sending, for frames of any length: that takes some 10 ms, and would be done by a burst."""
        if self._sender is not None:
            with self._sender.lock:
                self._sender.takes(self.mtu + _ETHERNET_HEADER)

    def receive(self, now: int) -> list[Frame]:
        """Give the frames that have come, at most a batch, without waiting.

        Raises LinkError: ENETDOWN, once, when the interface went down, EBADF when the link is closed.
        """
        if self.fileno() < 0:
            raise self._error(errno.EBADF)
        frames = self._receive_by_calls() if self.ring is None else self.ring.read(self._batch)
        if not frames:
            # An interface that goes down leaves an error behind, which keeps the socket readable until taken.
            number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                raise self._error(number)
        return frames

    def drops(self) -> int:
        """How many frames the kernel had to drop since opening, because ring or buffer was full."""
        if self.fileno() < 0:
            raise self._error(errno.EBADF)
        statistics = self._socket.getsockopt(sockopt.SOL_PACKET, sockopt.PACKET_STATISTICS, 8)
        self._drops += struct.unpack("@II", statistics)[1]  # reading sets the kernel's count to zero
        return self._drops

    def fileno(self) -> int:
        """The socket, readable when the ring has a frame; -1 when closed."""
        return self._socket.fileno()

    def close(self) -> None:
        """Unmap the rings and close the sockets. May be called twice."""
        if self._sender is not None:
            self._sender.close()
        # A mapping that somebody still reads keeps the kernel's end of the socket: it must not go on receiving.
        if self.ring is not None and not self.ring.close() and self.fileno() >= 0:
            receive_nothing(self._socket)
            with contextlib.suppress(OSError):  # it was not promiscuous
                self._socket.setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_DROP_MEMBERSHIP, self._promiscuous)
        self._socket.close()

    def _configure(self, *, outgoing: bool, promiscuous: bool, qdisc_bypass: bool) -> None:
        setsockopt = self._socket.setsockopt
        if not outgoing:
            setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_IGNORE_OUTGOING, 1)
        if promiscuous:
            setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_ADD_MEMBERSHIP, self._promiscuous)
        if qdisc_bypass:
            setsockopt(sockopt.SOL_PACKET, sockopt.PACKET_QDISC_BYPASS, 1)

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

    def _send_each(self, frames: Sequence[bytes], start: int, total: int) -> None:
        """Send `frames`, those of `total` from number `start` on, by a call for each."""
        send = self._socket.send
        for number, frame in enumerate(frames, start):
            try:
                send(frame)
            except OSError as error:
                self._try_again(partial(send, frame), error, len(frame), number, total)

    def _send_many(self, frames: Sequence[bytes], lengths: set[int], start: int, total: int) -> None:
        """As `_send_each`, for frames of `lengths` bytes, through the ring where that is possible."""
        ring, done = self._sender, 0
        if ring is None or not self._passes(max(lengths)):
            self._send_each(frames, start, total)
            return
        with ring.lock:
            if not ring.takes(max(lengths)):
                self._send_each(frames, start, total)
                return
            while done < len(frames):
                try:
                    done += ring.send(frames[done:] if done else frames, even=len(lengths) == 1)
                except OSError:
                    # By itself, which waits for room, or tells what is wrong with it.
                    self._send_each(frames[done : done + 1], start + done, total)
                    done += 1

    def _passes(self, longest: int) -> bool:
        """Whether a frame of `longest` bytes is within the MTU, which nobody checks in a ring.

        If not, it is left to the kernel's plain call to say so, or to excuse it for its tag.
        """
        return longest <= _ALWAYS or longest <= self._mtu_now() + _ETHERNET_HEADER

    def _mtu_now(self) -> int:
        """The interface's MTU, which may have changed; 0 if the interface is gone or has another name."""
        try:
            reply = fcntl.ioctl(self._socket, sockopt.SIOCGIFMTU, _IFREQ.pack(self.interface.encode(), 0))
        except (OSError, ValueError):  # ValueError: we are closed
            return 0
        return int(_IFREQ.unpack(reply)[1])

    def _try_again(self, send: Callable[[], object], error: OSError, size: int, number: int, total: int) -> None:
        """Repeat `send`, whose first frame the kernel refused with `error`, or say why that can't be sent.

        It has `size` bytes, and is number `number` (from 0) of `total`.
        """
        try:
            if error.errno not in NO_ROOM:
                raise error
            send_when_room(self.fileno(), send, error, self.interface)
        except OSError as final:
            told = final if isinstance(final, LinkError) else self._error(final.errno, size)
            if total > 1:
                told = LinkError(told.errno, f"frame {number + 1} of {total}: {told.strerror}")
            raise told from final

    def _error(self, number: int | None, size: int = 0) -> LinkError:
        """Give the LinkError for the errno of a call on this link, about a frame of `size` bytes."""
        if number == errno.EMSGSIZE:
            mtu = self._mtu_now() or self.mtu
            limit = mtu + _ETHERNET_HEADER
            return LinkError(
                errno.EMSGSIZE,
                f"a frame of {size} bytes is over the MTU of {self.interface}, {mtu} bytes: at most {limit} "
                f"with the Ethernet header, {limit + _VLAN_TAG} with a VLAN tag",
            )
        if number == errno.EINVAL and size < _ETHERNET_HEADER:
            return LinkError(
                errno.EINVAL, f"a frame of {size} bytes is shorter than an Ethernet header ({_ETHERNET_HEADER})"
            )
        if number == errno.ENETDOWN:
            return LinkError(errno.ENETDOWN, f"interface {self.interface} went down: ip link set {self.interface} up")
        if number == errno.EBADF:
            return LinkError(errno.EBADF, f"the link on {self.interface} is closed")
        number = number or errno.EIO
        return LinkError(number, f"{self.interface}: {errno.errorcode.get(number, number)}")


@functools.lru_cache(maxsize=32)
def _cutter(stride: int, count: int) -> struct.Struct:
    """Give what cuts a block into its frames, faster than slices do."""
    return struct.Struct(f"{stride}s" * count)
