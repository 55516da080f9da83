"""A network address translator in virtual time: hosts behind it are seen under other addresses, or other UDP ports.

To RDT in IP a peer is an address, to RDT in UDP an address and a UDP port. A translator that changes either one makes
another peer of the host; to the transport the two are the same thing.
"""

from __future__ import annotations

from rawproto.errors import ConfigError
from rawproto.link.rewrite import IPV4_CHECKSUM, adjusted, replaced
from rawproto.sim.router import IPV4_HEADER, IPV6_HEADER, Router, destination
from rawproto.sim.udplink import UDP, UDP_HEADER, endpoint_text, pack_endpoint
from rawproto.wire.checksum import patch

__all__ = ["Nat"]


class Nat(Router):
    """A router that also translates what is bound: whole addresses ("10.0.0.1"), or UDP ports ("10.0.0.1:4000").

    That is basic NAT and NAPT (RFC 2663 §4.1), with bindings that are given and never expire. Outside is where the
    default port leads. What comes for an address that was bound once and is not any more is counted in `dropped` as
    "unbound".
    """

    ipv4_looks_at = IPV4_HEADER + UDP_HEADER
    ipv6_looks_at = IPV6_HEADER + UDP_HEADER

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._outside: dict[bytes, bytes] = {}
        self._inside: dict[bytes, bytes] = {}
        self._pool: set[bytes] = set()

    def bind(self, inside: str, outside: str) -> None:
        """Let `inside` be seen as `outside` from now on, and no more as what it was seen as before.

        What is still on its way to the old one is lost. Raises ConfigError for what is somebody else's, WireError for
        what is no address.
        """
        old, new = pack_endpoint(inside), pack_endpoint(outside)
        if len(old) != len(new):
            raise ConfigError(
                f"{inside} can't be seen as {outside}: give both with a UDP port or none, of one IP version"
            )
        owner = self._inside.get(new, old)
        if owner != old:
            raise ConfigError(f"{outside} is what {endpoint_text(owner)} is seen as already: bind another one")
        self._inside.pop(self._outside.get(old, b""), None)
        self._outside[old] = new
        self._inside[new] = old
        self._pool.add(new[:-2] if len(new) in (6, 18) else new)
        self._known.clear()

    def translate(self, header: bytes) -> bytes | str:
        """Change the destination of what comes in, and the source of what leaves by the default port."""
        size = 4 if header[0] >> 4 == 4 else 16
        source_at = 12 if size == 4 else 8
        changed = self._replace(header, source_at + size, 2, self._inside)
        if self._routes.get(destination(changed), self.default) is self.default:
            changed = self._replace(changed, source_at, 0, self._outside)
        if changed == header and destination(header) in self._pool:
            return "unbound"
        return changed

    def _replace(self, header: bytes, at: int, port_at: int, table: dict[bytes, bytes]) -> bytes:
        """Look up the address at `at` in `table`, with the UDP port or without, and put there what it says."""
        size, ip, protocol = (4, IPV4_HEADER, header[9]) if header[0] >> 4 == 4 else (16, IPV6_HEADER, header[6])
        address = header[at : at + size]
        udp = protocol == UDP and len(header) >= ip + UDP_HEADER
        port = header[ip + port_at : ip + port_at + 2] if udp else b""
        new = table.get(address + port) or table.get(address)
        if new is None:
            return header
        if udp and header[ip + 6 : ip + 8] != b"\0\0":
            header = _patched(header, ip + 6, address + port, new[:size] + (new[size:] or port))
        if udp:
            header = header[: ip + port_at] + (new[size:] or port) + header[ip + port_at + 2 :]
        if size == 4:
            return replaced(header, at, new[:size], IPV4_CHECKSUM)
        return header[:at] + new[:size] + header[at + size :]


def _patched(header: bytes, at: int, old: bytes, new: bytes) -> bytes:
    """`header` with the UDP checksum at `at` made to fit; a 0 would mean "none" (RFC 768) and is sent as 0xffff."""
    checksum = adjusted(int.from_bytes(header[at : at + 2]), old, new) or 0xFFFF
    return patch(header, at, checksum)
