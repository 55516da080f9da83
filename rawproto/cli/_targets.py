"""What `rawproto scan` is pointed at: addresses, ranges and names, and whether all of that is on our own networks."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from netaddr import AddrFormatError, IPNetwork, IPRange

from rawproto.cli import UsageError
from rawproto.cli._hosts import Address, LocalNetwork, resolve_host

__all__ = ["MOST_TARGETS", "Target", "expand_targets", "foreign", "network_of"]

MOST_TARGETS = 1 << 16
RANGE = re.compile(r"(?P<first>[0-9.]+|[0-9a-fA-F:]*:[0-9a-fA-F:.]*)-(?P<last>[0-9.]+|[0-9a-fA-F:.]+)")


@dataclass(frozen=True, slots=True)
class Target:
    """One address; `named` if it was given by itself, and not as a part of a range."""

    address: str
    zone: str = ""
    named: bool = True

    @property
    def scoped(self) -> str:
        """The address with its zone, as sockets take it."""
        return f"{self.address}%{self.zone}" if self.zone else self.address

    @property
    def ip(self) -> Address:
        """The address as an object."""
        return ipaddress.ip_address(self.address)


def expand_targets(texts: Sequence[str], family: socket.AddressFamily) -> list[Target]:
    """The addresses that `texts` stand for, each once: "10.0.0.5", "10.0.0.0/24", "10.0.0.1-20", "fd00::/120", names.

    Of a subnet those that hosts can have. Raises UsageError, also for more than `MOST_TARGETS`.
    """
    targets: dict[str, Target] = {}
    for text in texts:
        for target in _expand(text, family):
            if target.named or target.scoped not in targets:
                targets[target.scoped] = target
        if len(targets) > MOST_TARGETS:
            raise UsageError(f"more than {MOST_TARGETS:,} addresses: scan them in several runs")
    for target in targets.values():
        if target.ip.is_multicast or target.ip.is_unspecified or target.address == "255.255.255.255":
            raise UsageError(f"{target.address} is no address of one host: give the addresses of hosts, or a range")
        if target.ip.version == 6 and target.ip.is_link_local and not target.zone:
            raise UsageError(f"{target.address} is valid on one wire only: say on which, {target.address}%eth0")
    return list(targets.values())


def network_of(target: Target, networks: Sequence[LocalNetwork]) -> LocalNetwork | None:
    """The subnet of ours that `target` is on: the one with the longest prefix, None if it is on none."""
    ip = target.ip
    for one in networks:
        if ip in one.network and target.zone in ("", one.interface):
            return one
    return None


def foreign(targets: Sequence[Target], networks: Sequence[LocalNetwork]) -> Target | None:
    """The first target that is neither this machine nor on a subnet of one of its interfaces; None if there is none."""
    for target in targets:
        if not target.ip.is_loopback and network_of(target, networks) is None:
            return target
    return None


def _expand(text: str, family: socket.AddressFamily) -> Iterator[Target]:
    span = RANGE.fullmatch(text)
    if "/" not in text and not span:
        host = resolve_host(text, family)
        yield Target(host.address, host.zone)
        return
    try:
        block = _range(span["first"], span["last"]) if span else IPNetwork(text)
    except (AddrFormatError, ValueError):
        raise UsageError(
            f"{text!r} is no range: give one such as 10.0.0.0/24, 10.0.0.1-10.0.0.20, 10.0.0.1-20 or fd00::/120"
        ) from None
    if block.size > MOST_TARGETS:
        raise UsageError(f"{text} has {block.size:,} addresses, at most {MOST_TARGETS:,} are scanned in one run")
    if block.version == {socket.AF_INET: 6, socket.AF_INET6: 4}.get(family):
        raise UsageError(f"{text} is IPv{block.version}: leave out -{10 - block.version}")
    alone = block.size == 1
    for ip in [block[0]] if alone else block.iter_hosts() if isinstance(block, IPNetwork) else block:
        yield Target(
            str(ipaddress.ip_address(int(ip)) if ip.version == 4 else ipaddress.IPv6Address(int(ip))), "", alone
        )


def _range(first: str, last: str) -> IPRange:
    """From `first` to `last`, of which the last number is enough."""
    if last.isdigit() and "." in first:
        last = f"{first.rpartition('.')[0]}.{last}"
    return IPRange(first, last)
