"""Whom a command speaks to, and from where: names to addresses, and the networks that this machine is on."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Iterator
from dataclasses import dataclass

from rawproto.cli import UsageError
from rawproto.errors import LinkError

__all__ = ["Host", "LocalNetwork", "family_of", "link_errors", "local_networks", "resolve_host"]

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ARPHRD_ETHER = 1
"""linux/if_arp.h: the kind of interface whose neighbours have MAC addresses."""


@dataclass(frozen=True, slots=True)
class Host:
    """A host: the name it was called by, its address, and the zone of a link-local one ("eth0", "" for none)."""

    name: str
    address: str
    zone: str = ""

    @property
    def scoped(self) -> str:
        """The address with its zone, as sockets take it."""
        return f"{self.address}%{self.zone}" if self.zone else self.address

    def __str__(self) -> str:
        return self.scoped if self.name in (self.address, self.scoped) else f"{self.name} ({self.scoped})"


@dataclass(frozen=True, slots=True)
class LocalNetwork:
    """A subnet that an interface is on, and this machine's own address in it. `mac` is "" if it is no Ethernet."""

    network: Network
    interface: str
    address: Address
    mac: str


@contextlib.contextmanager
def link_errors() -> Iterator[None]:
    """A link that can't be opened or used ends the command, in one line."""
    try:
        yield
    except LinkError as error:
        raise UsageError(error.strerror or str(error)) from None


def family_of(*, ipv4: bool, ipv6: bool) -> socket.AddressFamily:
    """What -4 and -6 ask for."""
    if ipv4 and ipv6:
        raise UsageError("-4 and -6 exclude each other: give one of them, or none for what the name has")
    return socket.AF_INET if ipv4 else socket.AF_INET6 if ipv6 else socket.AF_UNSPEC


def resolve_host(name: str, family: socket.AddressFamily = socket.AF_UNSPEC) -> Host:
    """The first address that the system's resolver has for `name`, which may be an address. Raises UsageError."""
    versions = {socket.AF_INET: "IPv4 ", socket.AF_INET6: "IPv6 "}
    try:
        found = socket.getaddrinfo(name, None, family, socket.SOCK_DGRAM) if name else []
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no name"
        raise UsageError(f"no {versions.get(family, '')}address for {name!r}: {why}") from None
    if not found:
        raise UsageError(f"no address for {name!r}: give a host name or an IP address")
    family, _, _, _, sockaddr = found[0]
    address, zone = str(sockaddr[0]).partition("%")[0], ""
    parsed = ipaddress.ip_address(address)
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    if parsed.is_unspecified:
        raise UsageError(f"{name} is no address of a host: give 127.0.0.1 or ::1 for this one")
    if parsed.version == 6 and (parsed.is_link_local or parsed.is_multicast):
        scope = int(sockaddr[3]) if len(sockaddr) == 4 else 0
        if not scope:
            raise UsageError(f"{name} is valid on one wire only: say on which, {address}%eth0")
        zone = socket.if_indextoname(scope)
    return Host(name, str(parsed), zone)


def local_networks() -> list[LocalNetwork]:
    """The subnets of this machine's interfaces, those with the longest prefix first."""
    from pyroute2 import IPRoute  # noqa: PLC0415 - it costs a tenth of a second

    with IPRoute() as netlink:
        links = {link["index"]: link for link in netlink.get_links()}
        found = []
        for row in netlink.get_addr():
            link = links[row["index"]]
            ethernet = link["ifi_type"] == ARPHRD_ETHER
            own = row.get_attr("IFA_LOCAL") or row.get_attr("IFA_ADDRESS")
            # On a point-to-point interface IFA_ADDRESS is the other side's.
            network = ipaddress.ip_network(f"{row.get_attr('IFA_ADDRESS')}/{row['prefixlen']}", strict=False)
            mac = link.get_attr("IFLA_ADDRESS") if ethernet else ""
            found.append(LocalNetwork(network, link.get_attr("IFLA_IFNAME"), ipaddress.ip_address(own), mac or ""))
    return sorted(found, key=lambda one: -one.network.prefixlen)
