"""What stands between the IPv6 header and the transport: the extension headers (RFC 8200 §4), and ESP.

Each is a header of its own: `IPv6() / HopByHop(options=[IPv6RouterAlert()]) / Fragment() / UDP()`. The routing headers
are in `ipv6_routing`. IPv4 may carry them too: what announces them is the same number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from rawproto.wire.field import Octets, computed, field, tail
from rawproto.wire.header import IP_PROTOCOLS, Broken, Header, TailRow
from rawproto.wire.ipv6 import IPv6, next_header_of
from rawproto.wire.ipv6_options import IPV6_OPTIONS, HomeAddress, IPv6Option, JumboPayload, jumbo_length
from rawproto.wire.names import IP_PROTOCOL_NAMES

__all__ = [
    "AH",
    "ESP",
    "HIP",
    "DestinationOptions",
    "ExtensionHeader",
    "Fragment",
    "HopByHop",
    "Mobility",
    "Shim6",
]

LONGEST = 8 * 256
"""What a length of 255 stands for, in bytes."""


class ExtensionHeader(Header, source="RFC 8200 §4"):
    """What they share: the type of what follows, and a length in 8 bytes that does not count the first 8."""

    __slots__ = ()
    type_field = "next_header"
    next_header: int | None = computed(8, "type of what follows", "RFC 8200 §4", names=IP_PROTOCOL_NAMES)
    hdr_ext_len: int | None = computed(8, "header length in units of 8 bytes, without the first 8", "RFC 8200 §4")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in next header and length."""
        return self.pack(next_header=next_header_of(above, payload))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the next header, if all of this one is here."""
        return IP_PROTOCOLS.get(self.next_header or 0) if self.is_whole else None

    @property
    def is_whole(self) -> bool:
        """Whether it has the bytes that its length says."""
        return self.size == 8 * (self.hdr_ext_len or 0) + 8


class OptionsHeader(ExtensionHeader):
    """What hop-by-hop and destination options share: options."""

    __slots__ = ()
    options: Octets = tail(LONGEST - 2, "options", "RFC 8200 §4.2", words="hdr_ext_len", unit=8, extra=8)

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the next header, unless the options can't be read: nobody looks behind such (RFC 8200 §4.2)."""
        is_readable = not any(item.error for item in IPV6_OPTIONS.items(self.options))
        return super().above(data, offset, end) if is_readable else None

    def broken_rules(self) -> Iterator[Broken]:
        """Whether the options can be read."""
        return IPV6_OPTIONS.broken(self.options)

    def tail_rows(self) -> list[TailRow]:
        """One row an option."""
        return IPV6_OPTIONS.rows(self.options)

    @property
    def parsed_options(self) -> tuple[IPv6Option, ...]:
        """The options as objects, padding included; reading stops at one that is malformed."""
        return IPV6_OPTIONS.parse(self.options)


class HopByHop(OptionsHeader, ip_protocol=0, source="RFC 8200 §4.3"):
    """Options for every node on the way. It comes first; `options` takes bytes or objects of `ipv6_options`."""

    __slots__ = ()
    family: ClassVar[str] = "HopByHop"
    minds_lower = True
    length_field = "options"

    def payload_end(self, offset: int) -> int | None:
        """By the jumbo payload option, which counts from the end of the IPv6 header (RFC 2675 §2)."""
        length = jumbo_length(self.raw("options"))
        return None if length is None else offset + length

    def rules_above(self, below: Sequence[Header]) -> Iterator[Broken]:
        """It comes first, and has the jumbo payload option if and only if IPv6's length is 0 (RFC 2675 §3)."""
        lower = below[-1] if below else None
        if not isinstance(lower, IPv6):
            yield Broken("next_header", "order", "hop-by-hop options stand only right behind the IPv6 header")
        elif lower.payload_length == 0 and jumbo_length(self.raw("options")) is None:
            yield Broken("options", "length", "IPv6's length is 0, and no jumbo payload option says another")
        elif lower.payload_length and any(option.code == JumboPayload.kind for option in self.parsed_options):
            yield Broken("options", "order", f"a jumbo payload option, with an IPv6 length of {lower.payload_length}")


class DestinationOptions(OptionsHeader, ip_protocol=60, source="RFC 8200 §4.6"):
    """Options for the destination, or before a routing header for each one that it names."""

    __slots__ = ()
    reroutes = True
    family: ClassVar[str] = "DestinationOptions"

    def rerouted(self, network: Header) -> Header:
        """`network`, if it is IPv6, with the home address of a mobile node as its source (RFC 6275 §11.3.1)."""
        homes = (option for option in self.parsed_options if isinstance(option, HomeAddress))
        home = next(homes, None)
        return network if home is None or len(network.raw("src")) != 16 else network.replace(src=home.address)


class Fragment(Header, ip_protocol=44, source="RFC 8200 §4.5"):
    """A fragment header, 8 bytes."""

    __slots__ = ()
    type_field = "next_header"
    may_fragment = True
    next_header: int | None = computed(8, "type of what follows", "RFC 8200 §4.5", names=IP_PROTOCOL_NAMES)
    reserved: int = field(8, 0, "reserved", "RFC 8200 §4.5")
    fragment_offset: int = field(13, 0, "position in the fragmentable part, in units of 8 bytes", "RFC 8200 §4.5")
    reserved2: int = field(2, 0, "reserved", "RFC 8200 §4.5")
    more: int = field(1, 0, "more fragments follow", "RFC 8200 §4.5")
    id: int = field(32, 0, "ties fragments together", "RFC 8200 §4.5", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the next header."""
        return self.pack(next_header=next_header_of(above, payload))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the next header, unless this is a later fragment."""
        return None if self.fragment_offset else IP_PROTOCOLS.get(self.next_header or 0)

    @property
    def is_fragment(self) -> bool:
        """Whether more fragments follow or went before; an atomic fragment (RFC 6946) is none."""
        return bool(self.fragment_offset or self.more)


class AH(Header, ip_protocol=51, source="RFC 4302 §2"):
    """An authentication header, 12 bytes and the check value."""

    __slots__ = ()
    type_field = "next_header"
    next_header: int | None = computed(8, "type of what follows", "RFC 4302 §2.1", names=IP_PROTOCOL_NAMES)
    length: int | None = computed(8, "header length in 32-bit words, less 2", "RFC 4302 §2.2")
    reserved: int = field(16, 0, "reserved", "RFC 4302 §2.3")
    spi: int = field(32, 0, "security association", "RFC 4302 §2.4", base=16)
    seq: int = field(32, 0, "number of the packet in it", "RFC 4302 §2.5")
    icv: Octets = tail(1016, "integrity check value", "RFC 4302 §2.6", words="length", unit=4, extra=8)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in next header and length."""
        return self.pack(next_header=next_header_of(above, payload))

    def above(self, data: bytes, offset: int, end: int) -> type[Header] | None:
        """By the next header, if all of this one is here."""
        is_whole = self.size == 4 * (self.length or 0) + 8
        return IP_PROTOCOLS.get(self.next_header or 0) if is_whole else None

    def broken_rules(self) -> Iterator[Broken]:
        """The length counts the fixed part."""
        if not self.length:
            yield Broken("length", "minimum", "length is 0 words, the fixed part alone has 1 (less 2 of 3)")


class ESP(Header, ip_protocol=50, source="RFC 4303 §2"):
    """What of an encapsulating security payload can be read without the key: 8 bytes. The payload is the rest."""

    __slots__ = ()
    spi: int = field(32, 0, "security association", "RFC 4303 §2.1", base=16)
    seq: int = field(32, 0, "number of the packet in it", "RFC 4303 §2.2")


class Mobility(ExtensionHeader, ip_protocol=135, source="RFC 6275 §6.1"):
    """A mobility header, as the extension header that it is: its message is opaque."""

    __slots__ = ()
    family: ClassVar[str] = "Mobility"
    data: Octets = tail(LONGEST - 2, "type, checksum, message", "RFC 6275 §6.1", words="hdr_ext_len", unit=8, extra=8)


class HIP(ExtensionHeader, ip_protocol=139, source="RFC 7401 §5.1"):
    """A host identity protocol header, as the extension header that it is: its message is opaque."""

    __slots__ = ()
    family: ClassVar[str] = "HIP"
    data: Octets = tail(LONGEST - 2, "type, checksum, message", "RFC 7401 §5.1", words="hdr_ext_len", unit=8, extra=8)


class Shim6(ExtensionHeader, ip_protocol=140, source="RFC 5533 §5.1"):
    """A Shim6 header, as the extension header that it is: its message is opaque."""

    __slots__ = ()
    family: ClassVar[str] = "Shim6"
    data: Octets = tail(LONGEST - 2, "type, checksum, message", "RFC 5533 §5.1", words="hdr_ext_len", unit=8, extra=8)
