"""Which network interface a command means when none is named, and whether whole Ethernet frames pass through it."""

from __future__ import annotations

import fcntl
import socket
import struct
from contextlib import suppress
from pathlib import Path

from rawproto.cli import UsageError

__all__ = ["default_interface", "is_loopback"]

ROUTES = Path("/proc/thread-self/net/route")
"""Destination, mask and metric of each IPv4 route, proc_pid_net(5); in hexadecimal but for the metric."""
ROUTE_UP = 0x0001
LOOPBACK = "lo"
SIOCGIFHWADDR = 0x8927
ETHERNET, LOOPBACK_KIND = 1, 772
"""Kinds of interface with an Ethernet header, by ARPHRD_ numbers (linux/if_arp.h)."""


def default_interface() -> str:
    """The interface of the default route of lowest metric, the loopback if there is none."""
    with suppress(OSError):
        rows = [line.split() for line in ROUTES.read_text(encoding="ascii").splitlines()[1:]]
        defaults = [
            (int(metric), name)
            for name, destination, _, flags, _, _, metric, mask, *_ in rows
            if int(destination, 16) == int(mask, 16) == 0 and int(flags, 16) & ROUTE_UP
        ]
        if defaults:
            return min(defaults)[1]
    return LOOPBACK


def is_loopback(name: str) -> bool:
    """Whether it is a loopback, where each frame that is sent comes in again.

    Raises the UsageError for an interface whose frames have no Ethernet header: a tunnel, say.
    """
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            reply = fcntl.ioctl(probe, SIOCGIFHWADDR, struct.pack("16s24x", name.encode()[:15]))
    except OSError:  # there is none: opening it will say so
        return False
    (kind,) = struct.unpack_from("=H", reply, 16)
    if kind not in (ETHERNET, LOOPBACK_KIND):
        raise UsageError(f"{name} has no Ethernet frames (its kind is {kind}): give an interface that has")
    return bool(kind == LOOPBACK_KIND)
