"""Datagrams in AF_UNIX sockets: two processes of one machine, with no network and no privilege at all (unix(7)).

Nothing is lost on the way: the kernel refuses a datagram while the receiver's queue (sysctl net.unix.max_dgram_qlen,
10 datagrams by default) is full, and `send` waits. Datagrams may be far larger than on a wire.

A socket has a name in the file system ("/run/app/rdt.sock") or, with "@" before it, in a space of its own ("@rdt"),
from which it goes when the socket is closed. The latter belongs to the network namespace, the former does not.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import deque
from collections.abc import MutableSequence, Sequence

from rawproto.errors import LinkError
from rawproto.link._buffer import grow_buffers
from rawproto.link._unixname import Address, PathHolder, address_of, name_of
from rawproto.link._wait import NO_ROOM
from rawproto.link.base import Link
from rawproto.wire.frame import Direction, Frame, LinkType

__all__ = ["UnixLink"]

_OVERHEAD = 32
"""Bytes that the kernel wants a send buffer to be larger than its datagram (net/unix/af_unix.c)."""
_LARGEST_BUFFER = (1 << 30) - 1
"""The kernel doubles what it is asked for, in an int."""
_USUAL_MTU = 65_535
_RECEIVE_SIZE = 1 << 20
_PATIENCE_MS = 1000
_MOST_HELD = 1024
_MOST_PEERS = 65_536
_NOBODY = frozenset({errno.ECONNREFUSED, errno.ENOENT})


class UnixLink(Link):
    """A link whose frames are datagrams between AF_UNIX sockets (`LinkType.USER0`), this one called `name`.

    `name` is a path, or "@" and an abstract name; with "" the kernel chooses an abstract one, see `.address`. A
    path is made absolute, because peers answer to it, and `close` removes it. What a process that is gone has left
    at the path is replaced. Peers are written the same way; `Frame.peer` names the sender in that form, "" one
    without a name.

    `mtu` is the most bytes of a datagram, by default 65,535. `batch` is the most frames that one `receive` gives;
    `buffer_size` the wanted size of the socket buffers in bytes. A datagram that a peer made larger than our `mtu`
    and larger than a mebibyte comes cut, and its `original_length` says so.

    The `time_ns` of a frame is the `now` of the call that received it.

    Raises LinkError: EADDRINUSE when another socket has the name, EEXIST for a path that is no socket, ENAMETOOLONG
    over 107 bytes, ENOENT or EACCES for a directory that is not there or not ours, EMSGSIZE for an `mtu` over
    what the kernel's buffers hold.
    """

    linktype = LinkType.USER0
    interface = "unix"

    def __init__(
        self, name: str = "", *, mtu: int | None = None, batch: int = 256, buffer_size: int = 16 << 20
    ) -> None:
        self._batch = batch
        self._peers: dict[str, Address] = {}
        self._names: dict[Address | None, str] = {}
        self._stuck: set[str] = set()
        """Peers that were waited for in vain: not again, until they take something."""
        self._held: deque[Frame] = deque()
        """What came while `send` waited."""
        self.refused = 0
        """How many datagrams had nobody to go to: no socket of that name receives."""
        self._path: PathHolder | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        """Readable while frames are held; the socket may be empty then."""
        self._either = select.epoll()
        try:
            self._socket.setblocking(False)
            for one in (self._socket, self._bell):
                self._either.register(one, select.EPOLLIN)
            grow_buffers(self._socket, min(max(buffer_size, mtu or 0), _LARGEST_BUFFER))
            self.mtu = self._checked(mtu)
            self._buffer = memoryview(bytearray(max(_RECEIVE_SIZE, self.mtu)))
            self._path = PathHolder.bind(self._socket, address_of(name) if name else b"")
        except BaseException:
            self.close()
            raise
        self.address = name_of(self._socket.getsockname())
        """This end, as peers write it."""

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Send all of `frames`, in order, to `peer`, waiting while its queue is full.

        Meanwhile our own queue is emptied into memory, since the peer may be waiting for us. Raises LinkError:
        EMSGSIZE for a datagram over `mtu`, EDESTADDRREQ without a `peer`, EHOSTUNREACH when the peer takes nothing
        for a second, and what the kernel says (EACCES, EPROTOTYPE). The datagrams before a wrong one were sent.
        Those for a name at which nobody receives are counted in `refused`, not raised.
        """
        address, stuck = self._address(peer), peer in self._stuck
        sendto = self._socket.sendto
        for frame in frames:
            if len(frame) > self.mtu:
                text = f"a datagram of {len(frame)} bytes is over the MTU of {self.address}, {self.mtu} bytes"
                raise LinkError(errno.EMSGSIZE, text)
            try:
                sendto(frame, address)
            except OSError as error:
                self._send_again(frame, peer, now, error)
            if stuck:
                stuck = False
                self._stuck.discard(peer)

    def receive(self, now: int) -> list[Frame]:
        """Give the datagrams that have come, at most a batch, without waiting."""
        frames: list[Frame] = []
        if self._held:
            frames += [self._held.popleft() for _ in range(min(len(self._held), self._batch))]
            if not self._held:
                os.eventfd_read(self._bell)
        self._take(frames, self._batch, now)
        return frames

    def canonical(self, peer: str) -> str:
        """`peer` with its path made absolute. Raises LinkError for what can't be a name."""
        return name_of(self._address(peer))

    def fileno(self) -> int:
        """A descriptor that polls readable when `receive` has something; -1 when closed."""
        return -1 if self._either.closed else self._either.fileno()

    def close(self) -> None:
        """Close the socket, and remove the path that it made. May be called twice."""
        if self._either.closed:
            return
        if self._path is not None:
            self._path.remove()
        self._either.close()
        self._socket.close()
        os.close(self._bell)

    def _checked(self, mtu: int | None) -> int:
        largest = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - _OVERHEAD
        if mtu is None:
            return min(largest, _USUAL_MTU)
        if not 0 < mtu <= largest:
            text = f"the MTU can't be {mtu}: 1 to {largest} bytes fit the send buffer (sysctl net.core.wmem_max)"
            raise LinkError(errno.EMSGSIZE, text)
        return mtu

    def _address(self, peer: str) -> Address:
        address = self._peers.get(peer)
        if address is None:
            if len(self._peers) >= _MOST_PEERS:
                self._peers.clear()
            address = self._peers[peer] = address_of(peer)
        return address

    def _name(self, sender: Address | None) -> str:
        name = self._names.get(sender)
        if name is None:
            if len(self._names) >= _MOST_PEERS:
                self._names.clear()
            name = self._names[sender] = name_of(sender)
        return name

    def _take(self, frames: MutableSequence[Frame], limit: int, now: int) -> None:
        """Append what the socket has to `frames`, until there are `limit` of them."""
        buffer, size, interface = self._buffer, len(self._buffer), self.interface
        user, inbound, receive = LinkType.USER0, Direction.INBOUND, self._socket.recvfrom_into
        try:
            while len(frames) < limit:
                # With MSG_TRUNC the length is the datagram's, also where the buffer was too small for it.
                length, sender = receive(buffer, size, socket.MSG_TRUNC)
                cut = length if length > size else None
                frames.append(
                    Frame(bytes(buffer[:length]), now, user, interface, inbound, cut, peer=self._name(sender))
                )
        except BlockingIOError:
            pass
        except OSError as error:
            raise LinkError(error.errno or errno.EIO, f"receiving at {self.address}: {error.strerror}") from error

    def _send_again(self, frame: bytes, peer: str, now: int, error: OSError) -> None:
        """Send a frame that the kernel refused with `error`, or say why it can't be sent."""
        final: OSError | None = error
        if error.errno in NO_ROOM and peer not in self._stuck:
            final = self._send_patiently(frame, self._address(peer), now, error)
        if final is None:
            return
        if final.errno in _NOBODY:
            self.refused += 1
            return
        number, text = final.errno or errno.EIO, f"sending from {self.address} to {peer}: {final.strerror}"
        if number == errno.EAGAIN:
            self._stuck.add(peer)
            number, text = errno.EHOSTUNREACH, f"{peer} takes no datagram: its process has stopped, or doesn't receive"
        elif number in NO_ROOM:
            number = errno.EHOSTUNREACH
            text = (
                f"no room for a datagram to {peer}: the send buffer of {self.address} is full of what others don't take"
            )
        raise LinkError(number, text) from final

    def _send_patiently(self, frame: bytes, address: Address, now: int, error: OSError) -> OSError | None:
        """Send `frame` as soon as there is room. If there is none for a second, give the error: EAGAIN when it is the
        receiver's queue that is full, ENOBUFS when it is our own buffer.
        """
        poller = select.poll()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as watcher:
            # Our own socket can't tell when somebody else's queue has room; one that is connected to it can.
            with contextlib.suppress(OSError):
                watcher.connect(address)
            poller.register(watcher, select.POLLOUT)
            patience = _PATIENCE_MS
            while patience:
                hears = len(self._held) < _MOST_HELD
                poller.register(self._socket, select.POLLIN if hears else 0)
                ready = [descriptor for descriptor, _ in poller.poll(1)]
                if hears:
                    self._hold(now)
                try:
                    self._socket.sendto(frame, address)
                except OSError as again:
                    if again.errno not in NO_ROOM:
                        return again
                else:
                    return None
                if watcher.fileno() in ready:
                    poller.unregister(watcher)  # only time will empty our own buffer
                    error = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
                if not ready:
                    patience -= 1
        return error

    def _hold(self, now: int) -> None:
        """Take what has come into memory."""
        empty = not self._held
        self._take(self._held, _MOST_HELD, now)
        if empty and self._held:
            os.eventfd_write(self._bell, 1)
