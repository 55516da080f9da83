"""Setting up interfaces by netlink, with errors that say what to do."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute

from rawproto.errors import LinkError
from rawproto.link._interface import interface_facts
from rawproto.link._privilege import privilege_error

__all__ = ["give_address", "netlink_errors", "set_interface"]

_ROUTES6 = Path("/proc/thread-self/net/ipv6_route")
_PATIENCE_MS = 5000
_RTF_LOCAL = 0x8000_0000
_IFA_F_NODAD = 0x02
"""linux/if_addr.h: no duplicate address detection, so that the address is usable at once."""


def set_interface(name: str, **settings: Any) -> None:
    """Change `settings` of the interface (pyroute2's names, such as mtu=1400, state="up"). Raises LinkError."""
    told = " ".join(f"{key} {value}" for key, value in settings.items())
    with netlink_errors(f"setting {name} to {told}"), IPRoute() as netlink:
        netlink.link("set", index=interface_facts(name).index, **settings)


def give_address(name: str, address: str) -> None:
    """Give the interface an `address` with its prefix length, "10.9.0.1/24" or "fd00::1/64"; usable on return.

    Raises LinkError: EINVAL for what is no address, EEXIST for one that it has.
    """
    try:
        mine = ipaddress.ip_interface(address)
    except ValueError as error:
        text = f"{address!r} is no address with a prefix length, such as 10.9.0.1/24"
        raise LinkError(errno.EINVAL, text) from error
    options: dict[str, Any] = {"address": str(mine.ip), "prefixlen": mine.network.prefixlen, "family": socket.AF_INET}
    if mine.version == 6:
        options |= {"family": socket.AF_INET6, "flags": _IFA_F_NODAD}
    with netlink_errors(f"giving {address} to {name}"), IPRoute() as netlink:
        netlink.addr("add", index=interface_facts(name).index, **options)
    if isinstance(mine.ip, ipaddress.IPv6Address):
        _await_local_route(mine.ip)


@contextlib.contextmanager
def netlink_errors(what: str) -> Iterator[None]:
    """Turn what netlink raises, while doing `what`, into LinkError or PrivilegeError."""
    try:
        yield
    except LinkError:
        raise
    except Exception as error:  # pyroute2's NetlinkError is an Exception with a `code`
        number = error.errno if isinstance(error, OSError) else getattr(error, "code", None)
        if not isinstance(number, int):
            raise
        if number == errno.EPERM:
            raise privilege_error(what, "CAP_NET_ADMIN") from error
        raise LinkError(number, f"{what}: {os.strerror(number)}") from error


def _await_local_route(address: ipaddress.IPv6Address) -> None:
    """Wait until what comes for `address` is delivered: the kernel makes that route in its own time.

    See net/ipv6/addrconf.c, addrconf_dad_work. Raises LinkError (ETIMEDOUT).
    """
    start = f"{address.packed.hex()} 80 "
    for _ in range(_PATIENCE_MS):
        lines = _ROUTES6.read_text().splitlines()
        if any(line.startswith(start) and int(line.split()[8], 16) & _RTF_LOCAL for line in lines):
            return
        select.poll().poll(1)
    raise LinkError(errno.ETIMEDOUT, f"{address} was given but is not delivered to after {_PATIENCE_MS} ms")
