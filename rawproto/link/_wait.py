"""What to do when the kernel has no room for a frame: wait a little, try again, and never lose it."""

from __future__ import annotations

import errno
import select
from collections.abc import Callable

from rawproto.errors import LinkError

__all__ = ["NO_ROOM", "send_when_room"]

NO_ROOM = frozenset({errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM})
"""What a send says when the socket's buffer (EAGAIN) or the interface's queue (ENOBUFS) is full."""

_PATIENCE_MS = 1000


def send_when_room(fd: int, send: Callable[[], object], refusal: OSError, interface: str) -> None:
    """Repeat `send` until the kernel takes the frame that it has just refused with `refusal`.

    Polls the descriptor `fd` between tries. Raises LinkError when the kernel takes nothing for a whole second,
    and lets any other OSError of `send` through.
    """
    for _ in range(_PATIENCE_MS):
        poller = select.poll()
        # A full queue of the interface does not show in the socket, which stays writable: only time helps.
        poller.register(fd, select.POLLOUT if refusal.errno == errno.EAGAIN else 0)
        poller.poll(1)
        try:
            send()
        except OSError as error:
            if error.errno not in NO_ROOM:
                raise
            refusal = error
        else:
            return
    raise LinkError(refusal.errno or errno.ENOBUFS, f"{interface or 'the link'} took no frame for a second")
