"""Reading the ancillary data of `recvmsg`: a list of (level, kind, bytes), see cmsg(3)."""

from __future__ import annotations

import socket
import struct
from typing import Final

from rawproto.link import sockopt

__all__ = ["TIMESTAMP_SPACE", "Ancillary", "timestamp_ns"]

Ancillary = list[tuple[int, int, bytes]]

_TIMESPEC = struct.Struct("@qq")
TIMESTAMP_SPACE: Final = socket.CMSG_SPACE(_TIMESPEC.size)
"""Bytes that the timestamp of a socket with SO_TIMESTAMPNS takes."""


def timestamp_ns(ancillary: Ancillary) -> int:
    """Give the kernel's time of arrival (CLOCK_REALTIME) in ns; 0 if the data holds none."""
    for level, kind, value in ancillary:
        if kind == sockopt.SCM_TIMESTAMPNS and level == socket.SOL_SOCKET:
            seconds, nanoseconds = _TIMESPEC.unpack(value)
            return int(seconds * 1_000_000_000 + nanoseconds)
    return 0
