"""Addresses in, packed bytes out, and back to text.

Whatever people hold an address in is taken: text, packed bytes, `ipaddress` and `netaddr` objects (both have
`.packed`). Text conversions are remembered, because a program uses few addresses and uses them often.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, TypeAlias

from rawproto.errors import WireError

__all__ = ["AddressLike", "ip_text", "mac_text", "pack_ip", "pack_ipv4", "pack_ipv6", "pack_mac"]


class HasPacked(Protocol):
    """An object of `ipaddress` (IPv4Address) or `netaddr` (EUI, IPAddress): it knows its own bytes."""

    @property
    def packed(self) -> bytes:
        """The address in network byte order."""


AddressLike: TypeAlias = str | bytes | bytearray | memoryview | HasPacked

MAC_TEXT = re.compile(
    r"[0-9a-f]{2}(?:(?P<separator>[:-])[0-9a-f]{2})(?:(?P=separator)[0-9a-f]{2}){4}"
    r"|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12}",
    re.IGNORECASE | re.ASCII,
)


def pack_mac(address: AddressLike) -> bytes:
    """The 6 bytes of a MAC address; text as `02:00:00:00:00:01`, with `-`, as `0200.0000.0001` or bare.

    Raises WireError.
    """
    if isinstance(address, str):
        return _mac_from_text(address)
    return _pack(address, (6,), "MAC")


def pack_ipv4(address: AddressLike) -> bytes:
    """The 4 bytes of an IPv4 address. Raises WireError."""
    if isinstance(address, str):
        return _ipv4_from_text(address)
    return _pack(address, (4,), "IPv4")


def pack_ipv6(address: AddressLike) -> bytes:
    """The 16 bytes of an IPv6 address; a zone (`%eth0`) is refused: the wire has none. Raises WireError."""
    if isinstance(address, str):
        return _ipv6_from_text(address)
    return _pack(address, (16,), "IPv6")


def pack_ip(address: AddressLike) -> bytes:
    """The 4 or 16 bytes of an IP address of either version. Raises WireError."""
    if isinstance(address, str):
        return _ipv6_from_text(address) if ":" in address else _ipv4_from_text(address)
    return _pack(address, (4, 16), "IP")


@lru_cache(4096)
def mac_text(packed: bytes) -> str:
    """`02:00:00:00:00:01` for 6 bytes (any number of bytes is written the same way)."""
    return packed.hex(":")


@lru_cache(4096)
def ip_text(packed: bytes) -> str:
    """Dotted decimal for 4 bytes, RFC 5952 text for 16. Raises WireError for any other number."""
    if len(packed) == 4:
        return "{}.{}.{}.{}".format(*packed)
    if len(packed) == 16:
        return str(IPv6Address(packed))
    raise WireError(f"IP address: {len(packed)} bytes are neither 4 nor 16")


def _pack(address: object, sizes: tuple[int, ...], kind: str) -> bytes:
    if not isinstance(address, (bytes, bytearray, memoryview)):
        held = getattr(address, "packed", None)
        if not isinstance(held, bytes):
            raise WireError(f"{kind} address: {address!r} is neither text, bytes nor an address object")
        address = held
    if len(address) not in sizes:
        wanted = " or ".join(map(str, sizes))
        raise WireError(f"{kind} address: {bytes(address)!r} has {len(address)} bytes, not {wanted}")
    return bytes(address)


@lru_cache(4096)
def _mac_from_text(text: str) -> bytes:
    if not MAC_TEXT.fullmatch(text):
        raise WireError(f"MAC address: {text!r} is not six bytes in hexadecimal")
    return bytes.fromhex(re.sub("[:.-]", "", text))


@lru_cache(4096)
def _ipv4_from_text(text: str) -> bytes:
    try:
        return IPv4Address(text).packed
    except ValueError:
        raise WireError(f"IPv4 address: {text!r} is not four decimal numbers of 0..255") from None


@lru_cache(4096)
def _ipv6_from_text(text: str) -> bytes:
    if "%" in text:
        raise WireError(f"IPv6 address: {text!r} has a zone, which the wire does not carry")
    try:
        return IPv6Address(text).packed
    except ValueError:
        raise WireError(f"IPv6 address: {text!r} is not an IPv6 address") from None
