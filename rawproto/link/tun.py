"""TUN and TAP: an interface whose wire ends in this process (Documentation/networking/tuntap.rst).

What the kernel sends through the interface is received here, and what is sent here the kernel receives through it.
This process is the other end of the cable; on the kernel's side everything (routes, sockets, ping, a firewall) works
as with any interface. A `TunLink` carries IP packets, a `TapLink` Ethernet frames.

Through these the kernel leaves no checksum out and hands over no super-frames; it tells no time of arrival, and a VLAN
tag stays in the bytes. `rawproto.link.tap` is something else: a link that records what passes.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from rawproto.errors import LinkError
from rawproto.link import sockopt
from rawproto.link._interface import interface_facts
from rawproto.link._netlink import give_address, set_interface
from rawproto.link._privilege import privilege_error
from rawproto.link._wait import NO_ROOM, send_when_room
from rawproto.link.base import Link
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["TapLink", "TunLink"]

_DEVICE = "/dev/net/tun"
_REQUEST = struct.Struct("@16sH22x")
"""struct ifreq: name and flags."""
_LONGEST_NAME = 15
"""IFNAMSIZ (linux/if.h) without the null byte at the end."""
_ETHERNET_HEADER = 14
_VLAN_TAG = 4
_VLAN_TYPES = (b"\x81\x00", b"\x88\xa8")
_RECEIVE_SIZE = 65_535 + _ETHERNET_HEADER + _VLAN_TAG
"""The largest frame there can be, whatever the MTU is set to while we are open."""


class _DeviceLink(Link, ABC):
    """What TUN and TAP have in common: a descriptor that reads and writes one frame a call."""

    _flag: ClassVar[int]
    _flaw: ClassVar[str]
    """What is wrong with a frame that the kernel takes for none."""

    def __init__(
        self,
        name: str = "",
        *,
        addresses: Sequence[str] = (),
        mtu: int | None = None,
        up: bool = True,
        batch: int = 256,
    ) -> None:
        self._batch = batch
        self._fd = _open_device()
        try:
            self.interface = self._attach(name)
            if mtu is not None:
                set_interface(self.interface, mtu=mtu)
            # One that was made for an unprivileged user beforehand is up, and setting that needs the privilege.
            if up and not interface_facts(self.interface).up:
                set_interface(self.interface, state="up")
            for address in addresses:
                give_address(self.interface, address)
            facts = interface_facts(self.interface)
            self.mtu = facts.mtu
            self.kernel_address = facts.address
            """The MAC address of the kernel's end, zeros for TUN; ours is another one, of our choice."""
            self._buffer = memoryview(bytearray(_RECEIVE_SIZE))
        except BaseException:
            self.close()
            raise

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Have the kernel receive all of `frames`, in order, through the interface.

        Raises LinkError: EMSGSIZE for a frame over the MTU, EINVAL for what is no frame, ENETDOWN when the
        interface is down, ENODEV when it was removed. The frames before it were sent, those after it were not.
        `peer` means nothing here.
        """
        fd, write, mtu = self._fd, os.write, self.mtu
        for frame in frames:
            if len(frame) > mtu and len(frame) > self._limit(frame):
                raise self._error(errno.EMSGSIZE, frame)
            try:
                write(fd, frame)
            except OSError as error:
                self._send_again(frame, error)

    def receive(self, now: int) -> list[Frame]:
        """Give the frames that the kernel has sent, at most a batch, stamped with `now`, without waiting.

        Raises LinkError ENODEV when the interface was removed.
        """
        frames: list[Frame] = []
        fd, read, buffer, buffers = self._fd, os.readv, self._buffer, (self._buffer,)
        linktype, interface, inbound = self.linktype, self.interface, Direction.INBOUND
        try:
            while len(frames) < self._batch:
                length = read(fd, buffers)
                frames.append(Frame(bytes(buffer[:length]), now, linktype, interface, inbound))
        except BlockingIOError:
            pass
        except OSError as error:
            raise self._error(error.errno) from error
        return frames

    def fileno(self) -> int:
        """The device, readable when the kernel has sent something; -1 when closed."""
        return self._fd

    def close(self) -> None:
        """Close the device; the interface goes with it. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @abstractmethod
    def _limit(self, frame: bytes) -> int:
        """The most bytes that a frame like this one may have."""

    def _attach(self, name: str) -> str:
        """Make the interface, or take hold of one that was made to stay; give its name."""
        packed = name.encode()
        if len(packed) > _LONGEST_NAME or "\0" in name:
            raise LinkError(errno.EINVAL, f"{name!r} can't name an interface: at most {_LONGEST_NAME} bytes")
        try:
            reply = fcntl.ioctl(self._fd, sockopt.TUNSETIFF, _REQUEST.pack(packed, self._flag | sockopt.IFF_NO_PI))
        except OSError as error:
            raise _attach_error(name, error) from error
        return bytes(reply[:16]).rstrip(b"\0").decode()

    def _send_again(self, frame: bytes, error: OSError) -> None:
        """Send a frame that the kernel refused with `error`, or say why it can't be sent."""
        try:
            if error.errno not in NO_ROOM:
                raise error
            send_when_room(self._fd, lambda: os.write(self._fd, frame), error, self.interface)
        except LinkError:
            raise
        except OSError as final:
            raise self._error(final.errno, frame) from final

    def _error(self, number: int | None, frame: bytes = b"") -> LinkError:
        """Give the LinkError for the errno of a call on this link, about `frame`."""
        name, size = self.interface, len(frame)
        if number == errno.EMSGSIZE:
            text = f"a frame of {size} bytes is over the MTU of {name}, {self.mtu} bytes: at most {self._limit(frame)}"
            return LinkError(errno.EMSGSIZE, text)
        if number == errno.EINVAL:
            return LinkError(errno.EINVAL, f"{name} takes no frame of {size} bytes, {frame[:1].hex()}...: {self._flaw}")
        if number == errno.EIO:
            return LinkError(errno.ENETDOWN, f"interface {name} is down: ip link set {name} up")
        if number == errno.EBADFD:
            return LinkError(errno.ENODEV, f"interface {name} was removed: open it again")
        number = number or errno.EIO
        return LinkError(number, f"{name}: {os.strerror(number)}")


class TunLink(_DeviceLink):
    """A link to the kernel by a TUN interface: the IP packets that it routes there, and ours to it.

    `name` is the interface to make, "" for one that the kernel names (see `.interface`); it is gone when the link is
    closed, unless it was there already, made to stay (`ip tuntap add`). `addresses` are given to the kernel's end:
    ("10.9.0.1/24", "fd00::1/64"). `mtu` in bytes; `up` sets the interface up. `batch` is the most frames that one
    `receive` gives. The kernel may have something to say by itself, such as IPv6 router solicitations.

    Raises PrivilegeError without CAP_NET_ADMIN, LinkError: EBUSY when a process has the interface, EINVAL when it is no
    TUN interface or the name can't be, ENOENT when there is no /dev/net/tun, and what netlink says of the settings.
    """

    linktype = LinkType.RAW
    _flag = sockopt.IFF_TUN
    _flaw = "it has to be an IPv4 or IPv6 packet"

    def _limit(self, frame: bytes) -> int:
        return self.mtu


class TapLink(_DeviceLink):
    """A link to the kernel by a TAP interface: Ethernet frames, as by a cable; arguments and errors as for `TunLink`.

    The kernel's end has the MAC address `kernel_address`. Ours is what we answer to when it asks by ARP.
    """

    linktype = LinkType.ETHERNET
    _flag = sockopt.IFF_TAP
    _flaw = f"it has to have an Ethernet header of {_ETHERNET_HEADER} bytes"

    def _limit(self, frame: bytes) -> int:
        return self.mtu + _ETHERNET_HEADER + (_VLAN_TAG if frame[12:14] in _VLAN_TYPES else 0)


def _open_device() -> int:
    try:
        return os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise privilege_error(f"opening {_DEVICE}", "CAP_NET_ADMIN") from error
    except OSError as error:
        number = error.errno or errno.EIO
        missing = f"{_DEVICE} is not there: modprobe tun (in a container: give it the device)"
        text = missing if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO) else f"{_DEVICE}: {error.strerror}"
        raise LinkError(number, text) from error


def _attach_error(name: str, error: OSError) -> LinkError:
    """Say why there is no interface `name`."""
    number = error.errno or errno.EIO
    what = f"interface {name}" if name else "an interface"
    if number == errno.EPERM:
        return privilege_error(f"making {what}", "CAP_NET_ADMIN")
    advice = {
        errno.EBUSY: f"{what} is in use by another process: choose another name, or none",
        errno.EINVAL: f"{what} can't be made: the name is wrong, or of an interface of another kind",
    }
    return LinkError(number, advice.get(number, f"{what} can't be made: {error.strerror}"))
