"""UDP peers as text, "10.0.0.2:25300" or "[::1]:25300", and as the tuples that sockets take; both ways remembered."""

from __future__ import annotations

import contextlib
import errno
import socket
from typing import Final

from rawproto.errors import LinkError
from rawproto.link._interface import resolve

__all__ = ["DEFAULT_PORT", "PeerNames", "SockAddress"]

SockAddress = tuple[str, int] | tuple[str, int, int, int]

DEFAULT_PORT: Final = 25300
"""The UDP port of RDT (docs/rdt.md)."""

_MOST = 65_536
"""Entries kept each way; a flood of forged senders must not fill the memory."""


class _Names(dict[SockAddress, str]):
    """Socket address to text, made when first asked for."""

    def __missing__(self, address: SockAddress) -> str:
        if len(self) >= _MOST:
            self.clear()
        host = address[0]
        name = self[address] = f"[{host}]:{address[1]}" if ":" in host else f"{host}:{address[1]}"
        return name


class PeerNames:
    """The two-way memory of one socket's peers. `scope` is the interface index for link-local IPv6 peers."""

    def __init__(self, family: socket.AddressFamily, scope: int) -> None:
        self.names = _Names()
        """Indexed by what `recvfrom` gives as the sender."""
        self._family = family
        self._scope = scope
        self._addresses: dict[str, SockAddress] = {}

    def address(self, peer: str) -> SockAddress:
        """Give the socket address for `peer`; without a port that is DEFAULT_PORT.

        Raises LinkError: EDESTADDRREQ when `peer` is empty, EINVAL when it is no address, EAFNOSUPPORT when it is
        one of the other IP version.
        """
        known = self._addresses.get(peer)
        if known is None:
            if len(self._addresses) >= _MOST:
                self._addresses.clear()
            known = self._addresses[peer] = self._parse(peer)
        return known

    def _parse(self, peer: str) -> SockAddress:
        if not peer:
            raise LinkError(errno.EDESTADDRREQ, 'a UDP link needs a peer to send to, such as "10.0.0.2:25300"')
        host, port = _split(peer)
        family, text, scope = resolve(host)
        if family != self._family:
            mine = 4 if self._family == socket.AF_INET else 6
            raise LinkError(errno.EAFNOSUPPORT, f"peer {peer} can't be reached from an IPv{mine} link")
        if family == socket.AF_INET:
            return text, port
        # The scope says which interface a link-local peer (fe80::/10) is on.
        packed = socket.inet_pton(family, text)
        local = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
        return text, port, 0, (scope or self._scope) if local else 0


def _split(peer: str) -> tuple[str, int]:
    """Give host and port of "host", "host:port", "ipv6", "[ipv6]" or "[ipv6]:port"."""
    host, port = peer, ""
    if peer.startswith("["):
        host, _, rest = peer[1:].partition("]")
        port = rest.removeprefix(":")
    elif peer.count(":") == 1:
        host, _, port = peer.partition(":")
    number = DEFAULT_PORT
    if port:
        number = -1
        with contextlib.suppress(ValueError):
            number = int(port)
    if not 0 < number < 65536:
        raise LinkError(errno.EINVAL, f"peer {peer!r}: the port is not in 1..65535")
    return host, number
