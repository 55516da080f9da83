"""The bytes of a plain packet, put together in one go instead of header by header.

What `locate` is for parsing, this is for building: Ethernet, IPv4 without options and TCP or UDP, with lengths,
types and checksums left open, is what most packets are. It decides nothing of its own: what it gives is what the
headers' own `build` would give, and for every other packet it gives nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct
from typing import Any, TypeAlias

from rawproto.wire.ethernet import Ethernet
from rawproto.wire.header import Header
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.tcp import TCP
from rawproto.wire.udp import UDP

__all__ = ["assemble"]

Values: TypeAlias = tuple[Any, ...]

_from_bytes = int.from_bytes
_with_tcp = Struct(">6s6sHBBHHHBBH4s4sHHIIBBHHH").pack
_with_udp = Struct(">6s6sHBBHHHBBH4s4sHHHH").pack
_OPEN_IHL = ~(4 << 4)
"""The first unit of an IPv4 header of version 4 whose length is open (see `codec`)."""
_LARGEST = 65535 - 20


def assemble(layers: tuple[Header, ...], payload: bytes) -> bytes | None:
    """The bytes of Ethernet, IPv4, TCP or UDP, and `payload`; None if these are not such `layers`."""
    if len(layers) != 3:
        return None
    ethernet, network, transport = layers
    if ethernet.__class__ is not Ethernet or network.__class__ is not IPv4:
        return None
    build = _BUILDERS.get(transport.__class__)
    return None if build is None else build(ethernet._values, network._values, transport._values, payload)


# A checksum is the negative of the sum modulo 65535; the sums here are never of zeros alone (RFC 1071).


def _tcp(ethernet: Values, network: Values, transport: Values, payload: bytes) -> Any:
    to, by, ethertype = ethernet
    first, tos, total, ident, fragment, ttl, protocol, checksum, src, dst, ip_options = network
    sport, dport, seq, ack, offset, flags, window, tcp_checksum, urgent, options = transport
    if not (ethertype is total is protocol is checksum is tcp_checksum is None and first == _OPEN_IHL and offset < 0):
        return None
    size = 20 + len(options)
    data = options + payload
    length = 20 + len(data)
    if ip_options or size & 3 or length > _LARGEST:
        return None
    addresses = _from_bytes(src + dst)
    offset = ~offset | size << 2
    covered = _from_bytes(data) << 8 if length & 1 else _from_bytes(data)
    covered += addresses + 6 + length + sport + dport + seq + ack + (offset << 8 | flags) + window + urgent
    length += 20
    header = 0x4500 + tos + length + ident + fragment + (ttl << 8) + 6 + addresses
    return (
        _with_tcp(
            to, by, 0x0800,
            0x45, tos, length, ident, fragment, ttl, 6, -header % 0xFFFF, src, dst,
            sport, dport, seq, ack, offset, flags, window, -covered % 0xFFFF, urgent,
        )
        + data
    )  # fmt: skip


def _udp(ethernet: Values, network: Values, transport: Values, payload: bytes) -> bytes | None:
    to, by, ethertype = ethernet
    first, tos, total, ident, fragment, ttl, protocol, checksum, src, dst, ip_options = network
    sport, dport, udp_length, udp_checksum = transport
    if not (ethertype is total is protocol is checksum is udp_length is udp_checksum is None and first == _OPEN_IHL):
        return None
    length = 8 + len(payload)
    if ip_options or length > _LARGEST:
        return None
    addresses = _from_bytes(src + dst)
    covered = _from_bytes(payload) << 8 if length & 1 else _from_bytes(payload)
    covered += addresses + 17 + length + sport + dport + length
    header = 0x4500 + tos + length + 20 + ident + fragment + (ttl << 8) + 17 + addresses
    return (
        _with_udp(
            to, by, 0x0800,
            0x45, tos, length + 20, ident, fragment, ttl, 17, -header % 0xFFFF, src, dst,
            sport, dport, length, -covered % 0xFFFF or 0xFFFF,
        )
        + payload
    )  # fmt: skip


_BUILDERS: dict[type[Header], Callable[..., bytes | None]] = {TCP: _tcp, UDP: _udp}
