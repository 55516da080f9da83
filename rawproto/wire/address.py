"""Addresses in, packed bytes out, and back to text.

Whatever people hold an address in is taken: text, packed bytes, `ipaddress` and `netaddr` objects (both have
`.packed`). Text conversions are remembered, because a program uses few addresses and uses them often.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol, TypeAlias

from rawproto.errors import WireError

__all__ = ["AddressLike", "ip_text", "mac_text", "pack_ip", "pack_ipv4", "pack_ipv6", "pack_mac", "to_many"]


class HasPacked(Protocol):
    """An object of `ipaddress` (IPv4Address) or `netaddr` (EUI, IPAddress): it knows its own bytes."""

    @property
    def packed(self) -> bytes:
        """The address in network byte order."""


AddressLike: TypeAlias = str | bytes | bytearray | memoryview | HasPacked

REMEMBERED = 4096
MAC_TEXT = re.compile(
    r"[0-9a-f]{2}(?:(?P<separator>[:-])[0-9a-f]{2})(?:(?P=separator)[0-9a-f]{2}){4}"
    r"|[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}|[0-9a-f]{12}",
    re.IGNORECASE | re.ASCII,
)


class Packs(dict[str, bytes]):
    """Addresses as text, and their bytes. Called, it takes all that an address may be given as."""

    def __init__(self, kind: str, sizes: tuple[int, ...], read: Callable[[str], bytes]) -> None:
        super().__init__()
        self._kind = kind
        self._sizes = sizes
        self._read = read

    def __missing__(self, text: str) -> bytes:
        packed = self._read(text)
        if len(self) >= REMEMBERED:
            self.clear()
        self[text] = packed
        return packed

    def __call__(self, address: AddressLike) -> bytes:
        return self[address] if isinstance(address, str) else _pack(address, self._sizes, self._kind)


class Texts(dict[bytes, str]):
    """Packed addresses and how they read. Fields that hold addresses look here: a subscript costs less than a call."""

    def __init__(self, write: Callable[[bytes], str]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, packed: bytes) -> str:
        text = self._write(packed)
        if len(self) >= REMEMBERED:
            self.clear()
        self[packed] = text
        return text

    def __call__(self, packed: bytes) -> str:
        return self[packed]


def _write_ip(packed: bytes) -> str:
    if len(packed) == 4:
        return "{}.{}.{}.{}".format(*packed)
    if len(packed) == 16:
        return str(IPv6Address(packed))
    raise WireError(f"IP address: {len(packed)} bytes are neither 4 nor 16")


def _write_mac(packed: bytes) -> str:
    return packed.hex(":")


mac_text = Texts(_write_mac)
"""`02:00:00:00:00:01` for 6 bytes (any number of bytes is written the same way)."""
ip_text = Texts(_write_ip)
"""Dotted decimal for 4 bytes, RFC 5952 text for 16. Raises WireError for any other number."""


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


def _mac_from_text(text: str) -> bytes:
    if not MAC_TEXT.fullmatch(text):
        raise WireError(f"MAC address: {text!r} is not six bytes in hexadecimal")
    return bytes.fromhex(re.sub("[:.-]", "", text))


def _ipv4_from_text(text: str) -> bytes:
    try:
        return IPv4Address(text).packed
    except ValueError:
        raise WireError(f"IPv4 address: {text!r} is not four decimal numbers of 0..255") from None


def _ipv6_from_text(text: str) -> bytes:
    if "%" in text:
        raise WireError(f"IPv6 address: {text!r} has a zone, which the wire does not carry")
    try:
        return IPv6Address(text).packed
    except ValueError:
        raise WireError(f"IPv6 address: {text!r} is not an IPv6 address") from None


def _ip_from_text(text: str) -> bytes:
    return _ipv6_from_text(text) if ":" in text else _ipv4_from_text(text)


pack_mac = Packs("MAC", (6,), _mac_from_text)
"""The 6 bytes of a MAC address; text as `02:00:00:00:00:01`, with `-`, as `0200.0000.0001` or bare.

Raises WireError."""
pack_ipv4 = Packs("IPv4", (4,), _ipv4_from_text)
"""The 4 bytes of an IPv4 address. Raises WireError."""
pack_ipv6 = Packs("IPv6", (16,), _ipv6_from_text)
"""The 16 bytes of an IPv6 address; a zone (`%eth0`) is refused: the wire has none. Raises WireError."""
pack_ip = Packs("IP", (4, 16), _ip_from_text)
"""The 4 or 16 bytes of an IP address of either version. Raises WireError."""


def to_many(packed: bytes) -> bool:
    """Tell whether a packed IP address is a multicast or the broadcast address (RFC 9293 §3.9.2.2, MUST-46)."""
    if len(packed) == 4:
        return 224 <= packed[0] <= 239 or packed == b"\xff" * 4
    return packed[0] == 0xFF
