"""What the kernel says of a network interface, by ioctl: index, MTU, hardware address, flags, who owns an address.

By ioctl and not by /sys, because /sys keeps showing the network namespace in which it was mounted, while a
socket belongs to the namespace of the thread that opens it.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import ipaddress
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

from rawproto.errors import LinkError
from rawproto.link import sockopt

__all__ = ["Interface", "address_interface", "interface_facts", "resolve"]

_IFREQ = struct.Struct("16s24s")
_INET6_TABLE = Path("/proc/thread-self/net/if_inet6")
_FALLBACK_MTU = 1500


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface as it was when asked. `address` is the MAC as text, "02:00:00:00:00:01"; `mtu` in bytes."""

    name: str
    index: int
    mtu: int
    address: str
    up: bool
    loopback: bool


def interface_facts(name: str) -> Interface:
    """Ask the kernel about the interface `name` of this thread's network namespace.

    Raises LinkError (ENODEV), which lists the interfaces that do exist.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            index = socket.if_nametoindex(name)
            (flags,) = struct.unpack_from("=H", _ask(probe, sockopt.SIOCGIFFLAGS, name))
            (mtu,) = struct.unpack_from("=i", _ask(probe, sockopt.SIOCGIFMTU, name))
            hardware = _ask(probe, sockopt.SIOCGIFHWADDR, name)
        except (OSError, ValueError) as error:
            there = ", ".join(other for _, other in socket.if_nameindex()) or "none"
            raise LinkError(errno.ENODEV, f"no interface {name!r}; there are: {there}") from error
    return Interface(
        name=name,
        index=index,
        mtu=mtu,
        address=hardware[2:8].hex(":"),
        up=bool(flags & sockopt.IFF_UP),
        loopback=bool(flags & sockopt.IFF_LOOPBACK),
    )


def address_interface(address: str) -> Interface:
    """Give the interface that owns the IPv4 or IPv6 `address` ("fe80::1%eth0" is understood).

    The unspecified address belongs to all of them: the result then has no name, and the smallest MTU of the
    interfaces that are up (of the loopback only if there is no other).
    Raises LinkError (EADDRNOTAVAIL), which lists the addresses there are.
    """
    wanted = ipaddress.ip_address(address)
    if wanted.is_unspecified:
        return Interface("", 0, _smallest_mtu(), "", up=True, loopback=False)
    if wanted.version == 4 and wanted.is_loopback:
        return interface_facts("lo")
    scope = getattr(wanted, "scope_id", None)
    bare = ipaddress.ip_address(wanted.packed)
    owned = _addresses4() if wanted.version == 4 else _addresses6()
    for owner, name in owned:
        if owner == bare and scope in (None, name):
            return interface_facts(name)
    there = ", ".join(f"{owner} on {name}" for owner, name in owned) or "none"
    raise LinkError(
        errno.EADDRNOTAVAIL, f"no interface has the address {address}; IPv{wanted.version} addresses: {there}"
    )


def resolve(host: str) -> tuple[socket.AddressFamily, str, int]:
    """Give family, address text and scope (an interface index, IPv6 link-local only) of the literal `host`.

    Raises LinkError (EINVAL) when `host` is no IPv4 or IPv6 address: names are not looked up.
    """
    text, _, scope = host.partition("%")
    for family in (socket.AF_INET, socket.AF_INET6):
        with contextlib.suppress(OSError, ValueError):
            socket.inet_pton(family, text)
            return family, text, interface_facts(scope).index if scope else 0
    raise LinkError(errno.EINVAL, f"{host!r} is not an IPv4 or IPv6 address")


AnyAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _ask(probe: socket.socket, request: int, name: str) -> bytes:
    """Give the 24 bytes behind the name in the `struct ifreq` that ioctl `request` fills in."""
    reply: bytes = fcntl.ioctl(probe, request, _IFREQ.pack(name.encode(), b""))
    return reply[16:]


def _smallest_mtu() -> int:
    """Give the smallest MTU of the interfaces that are up."""
    facts = [interface_facts(name) for _, name in socket.if_nameindex()]
    up = [one for one in facts if one.up]
    wires = [one for one in up if not one.loopback] or up
    return min((one.mtu for one in wires), default=_FALLBACK_MTU)


def _addresses4() -> list[tuple[AnyAddress, str]]:
    """Give all IPv4 addresses and their interfaces (SIOCGIFCONF, see netdevice(7))."""
    size = 40 * 1024
    table = array.array("B", bytes(size))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        ifconf = struct.pack("@iP", size, table.buffer_info()[0])
        used = struct.unpack("@iP", fcntl.ioctl(probe, sockopt.SIOCGIFCONF, ifconf))[0]
    entries = (table[start : start + 40].tobytes() for start in range(0, used, 40))
    # An alias has a label like "eth0:1".
    return [
        (ipaddress.IPv4Address(entry[20:24]), entry[:16].rstrip(b"\0").decode().partition(":")[0]) for entry in entries
    ]


def _addresses6() -> list[tuple[AnyAddress, str]]:
    """Give all IPv6 addresses and their interfaces (proc_pid_net(5): if_inet6)."""
    try:
        lines = _INET6_TABLE.read_text().splitlines()
    except FileNotFoundError:  # a kernel without IPv6
        return []
    rows = (line.split() for line in lines)
    return [(ipaddress.IPv6Address(bytes.fromhex(row[0])), row[5]) for row in rows]
