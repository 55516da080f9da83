"""Socket buffers as big as the kernel will give, and what it really gave."""

from __future__ import annotations

import contextlib
import socket

from rawproto.link import sockopt

__all__ = ["grow_buffers", "grow_receive_buffer"]

LARGEST = (1 << 31) - 1
"""The kernel takes an int."""


def grow_receive_buffer(sock: socket.socket, size: int) -> int:
    """Ask for a receive buffer of `size` bytes; give what it became, the kernel's bookkeeping included.

    SO_RCVBUFFORCE needs CAP_NET_ADMIN on the host; without it net.core.rmem_max is the limit.
    """
    size = min(size, LARGEST)
    # Forced first and never lowered after: plain SO_RCVBUF would cut it back to the limit.
    try:
        sock.setsockopt(socket.SOL_SOCKET, sockopt.SO_RCVBUFFORCE, size)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def grow_buffers(sock: socket.socket, size: int) -> int:
    """As `grow_receive_buffer`, and the same for the send buffer."""
    size = min(size, LARGEST)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
    with contextlib.suppress(PermissionError):
        sock.setsockopt(socket.SOL_SOCKET, sockopt.SO_SNDBUFFORCE, size)
    return grow_receive_buffer(sock, size)
