"""ICMP (RFC 792) and ICMPv6 (RFC 4443): the common four bytes, echo and errors.

The messages of one family are subclasses of it: `packet[ICMP]` finds an `ICMPEcho` too. A type without a class
of its own is read as the family, with its body as payload. ICMP's other queries are in `icmp_queries`, neighbour
discovery is in `neighbor`, what multicast listeners say in `multicast`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, TypeAlias

from rawproto.wire.checksum import internet_checksum, sum_on
from rawproto.wire.field import Address, Field, computed, field, ipv4_address
from rawproto.wire.header import Header

__all__ = [
    "ICMP",
    "ICMPEcho",
    "ICMPError",
    "ICMPRedirect",
    "ICMPv6",
    "ICMPv6Echo",
    "ICMPv6Error",
    "PacketTooBig",
    "ParameterProblem",
]

ICMP_TYPES = {
    0: "echo reply",
    3: "destination unreachable",
    4: "source quench",
    5: "redirect",
    8: "echo request",
    9: "router advertisement",
    10: "router solicitation",
    11: "time exceeded",
    12: "parameter problem",
    13: "timestamp request",
    14: "timestamp reply",
    15: "information request",
    16: "information reply",
    17: "address mask request",
    18: "address mask reply",
    30: "traceroute",
    31: "datagram conversion error",
    37: "domain name request",
    38: "domain name reply",
    40: "Photuris",
    42: "extended echo request",
    43: "extended echo reply",
}
ICMP_CODES: dict[int, dict[int, str]] = {
    3: {
        0: "net unreachable",
        1: "host unreachable",
        2: "protocol unreachable",
        3: "port unreachable",
        4: "fragmentation needed",
        5: "source route failed",
        6: "net unknown",
        7: "host unknown",
        8: "source host isolated",
        9: "net prohibited",
        10: "host prohibited",
        11: "net unreachable for this type of service",
        12: "host unreachable for this type of service",
        13: "communication prohibited",
        14: "host precedence violation",
        15: "precedence cutoff",
    },
    5: {0: "net", 1: "host", 2: "type of service and net", 3: "type of service and host"},
    9: {0: "normal", 16: "does not route common traffic"},
    11: {0: "TTL exceeded in transit", 1: "reassembly time exceeded"},
    12: {0: "pointer indicates the error", 1: "missing a required option", 2: "bad length"},
    40: {0: "bad SPI", 1: "authentication failed", 2: "decompression failed", 3: "decryption failed"},
    43: {0: "no error", 1: "malformed query", 2: "no such interface", 3: "no such entry", 4: "several interfaces"},
}
ICMPV6_TYPES = {
    1: "destination unreachable",
    2: "packet too big",
    3: "time exceeded",
    4: "parameter problem",
    128: "echo request",
    129: "echo reply",
    130: "multicast listener query",
    131: "multicast listener report",
    132: "multicast listener done",
    133: "router solicitation",
    134: "router advertisement",
    135: "neighbor solicitation",
    136: "neighbor advertisement",
    137: "redirect",
    138: "router renumbering",
    139: "node information query",
    140: "node information reply",
    141: "inverse neighbor solicitation",
    142: "inverse neighbor advertisement",
    143: "multicast listener report v2",
    144: "home agent address discovery request",
    145: "home agent address discovery reply",
    146: "mobile prefix solicitation",
    147: "mobile prefix advertisement",
    148: "certification path solicitation",
    149: "certification path advertisement",
    151: "multicast router advertisement",
    152: "multicast router solicitation",
    153: "multicast router termination",
    154: "FMIPv6",
    155: "RPL control",
    157: "duplicate address request",
    158: "duplicate address confirmation",
    159: "MPL control",
    160: "extended echo request",
    161: "extended echo reply",
}
ICMPV6_CODES: dict[int, dict[int, str]] = {
    1: {
        0: "no route to destination",
        1: "prohibited",
        2: "beyond scope of source address",
        3: "address unreachable",
        4: "port unreachable",
        5: "source address failed policy",
        6: "reject route",
        7: "error in source routing header",
        8: "headers too long",
    },
    3: {0: "hop limit exceeded in transit", 1: "reassembly time exceeded"},
    4: {
        0: "erroneous header field",
        1: "unrecognized next header",
        2: "unrecognized option",
        3: "first fragment has incomplete header chain",
        4: "upper-layer header error",
        5: "unrecognized next header at an intermediate node",
        6: "extension header too big",
        7: "extension header chain too long",
        8: "too many extension headers",
        9: "too many options",
        10: "option too big",
    },
    161: ICMP_CODES[43],
}


HeaderClass: TypeAlias = type[Header]
"""In the classes below `type` is a field."""


class Message(Header, source="RFC 792; RFC 4443"):
    """What both families share: the name of a code depends on the type."""

    __slots__ = ()
    type_names: ClassVar[Mapping[int, str]] = {}
    code_names: ClassVar[Mapping[int, Mapping[int, str]]] = {}
    type: int = field(8, 0, "kind of message", "RFC 792")
    code: int = field(8, 0, "kind within the type", "RFC 792")

    @classmethod
    def variant_of(cls, data: bytes, offset: int, end: int) -> HeaderClass:
        """By the type, and where a type has two forms by the length."""
        kind = cls.variants.get(data[offset], cls)
        return kind.form_of(data, offset, end) if issubclass(kind, Message) else kind

    @classmethod
    def form_of(cls, data: bytes, offset: int, end: int) -> HeaderClass:
        """The class itself, or that of the longer form of its messages."""
        return cls

    @property
    def code_name(self) -> str:
        """What the code is called: "port unreachable"; empty if it has no name."""
        return self.code_names.get(self.type, {}).get(self.code, "")

    def called(self, row: Field) -> str:
        """What the value of that field is called; empty if it has no name."""
        return self.code_name if row.name == "code" else super().called(row)


class ICMP(Message, ip_protocol=1, source="RFC 792"):
    """The first four bytes of every ICMP message."""

    __slots__ = ()
    family: ClassVar[str] = "ICMP"
    type_names: ClassVar[Mapping[int, str]] = ICMP_TYPES
    code_names: ClassVar[Mapping[int, Mapping[int, str]]] = ICMP_CODES
    type: int = field(8, 8, "kind of message", "RFC 792", names=ICMP_TYPES)
    code: int = field(8, 0, "kind within the type", "RFC 792")
    checksum: int | None = computed(16, "over the message", "RFC 792", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the checksum."""
        counts = self.counts()
        return self.seal(0, payload, **counts) if self.checksum is None else self.pack(**counts)

    def counts(self) -> dict[str, int]:
        """What to fill in for the message's own open fields."""
        return {}

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over the message."""
        return internet_checksum(data) == 0


class ICMPEcho(ICMP, first_byte=(0, 8), source="RFC 792 p14"):
    """Echo request (type 8) or reply (type 0), 8 bytes."""

    __slots__ = ()
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 792 p14")
    seq: int = field(16, 0, "number of the request", "RFC 792 p14")


class ICMPError(ICMP, first_byte=(3, 4, 11, 12), source="RFC 792 p4"):
    """An error about a packet, whose start is the payload (see `Packet.quoted`); 8 bytes.

    Types 3, 11 and 12 may carry extensions behind what they quote (RFC 4884).
    """

    __slots__ = ()
    quotes = True
    type: int = field(8, 3, "kind of message", "RFC 792 p4", names=ICMP_TYPES)
    pointer: int = field(8, 0, "where the error is, in bytes (type 12)", "RFC 792 p8")
    length: int = field(8, 0, "32-bit words that are quoted, if extensions follow", "RFC 4884 §4")
    mtu: int = field(16, 0, "next-hop MTU (type 3, code 4)", "RFC 1191 §4")

    def quoted_length(self, length: int) -> int:
        """What the length says, if that leaves room for extensions; else all (RFC 4884 §4)."""
        return quoted(4 * self.length, length) if self.type != 4 else length


class ICMPRedirect(ICMP, first_byte=(5,), source="RFC 792 p12"):
    """A router's advice to send what it quotes to another router; 8 bytes."""

    __slots__ = ()
    quotes = True
    type: int = field(8, 5, "kind of message", "RFC 792 p12", names=ICMP_TYPES)
    code: int = field(8, 1, "kind within the type", "RFC 792 p12")
    gateway: Address = ipv4_address("0.0.0.0", "the better router", "RFC 792 p12")


class ICMPv6(Message, ip_protocol=58, source="RFC 4443 §2.1"):
    """The first four bytes of every ICMPv6 message. Without an IPv6 header below, a checksum of None gives 0."""

    __slots__ = ()
    needs_network = True
    family: ClassVar[str] = "ICMPv6"
    type_names: ClassVar[Mapping[int, str]] = ICMPV6_TYPES
    code_names: ClassVar[Mapping[int, Mapping[int, str]]] = ICMPV6_CODES
    type: int = field(8, 128, "kind of message", "RFC 4443 §2.1", names=ICMPV6_TYPES)
    code: int = field(8, 0, "kind within the type", "RFC 4443 §2.1")
    checksum: int | None = computed(16, "over pseudo header and message", "RFC 4443 §2.3", base=16)

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in the checksum."""
        counts = self.counts()
        header = self.pack(**counts)
        if self.checksum is not None or network is None:
            return header
        return self.seal(network.pseudo_sum(58, len(header) + len(payload)), payload, **counts)

    def counts(self) -> dict[str, int]:
        """What to fill in for the message's own open fields."""
        return {}

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over pseudo header and message."""
        if network is None:
            return None
        return sum_on(network.pseudo_sum(58, len(data)), data) == 0


class ICMPv6Echo(ICMPv6, first_byte=(128, 129), source="RFC 4443 §4"):
    """Echo request (type 128) or reply (type 129), 8 bytes."""

    __slots__ = ()
    id: int = field(16, 0, "tells the sender's processes apart", "RFC 4443 §4.1")
    seq: int = field(16, 0, "number of the request", "RFC 4443 §4.1")


class ICMPv6Error(ICMPv6, first_byte=(1, 3), source="RFC 4443 §3"):
    """An error about a packet, whose start is the payload: unreachable (type 1) or time exceeded (3); 8 bytes."""

    __slots__ = ()
    quotes = True
    type: int = field(8, 1, "kind of message", "RFC 4443 §3", names=ICMPV6_TYPES)
    length: int = field(8, 0, "64-bit words that are quoted, if extensions follow", "RFC 4884 §4")
    unused: int = field(24, 0, "unused", "RFC 4443 §3")

    def quoted_length(self, length: int) -> int:
        """What the length says, if that leaves room for extensions; else all (RFC 4884 §4)."""
        return quoted(8 * self.length, length)


class PacketTooBig(ICMPv6, first_byte=(2,), source="RFC 4443 §3.2"):
    """An error: the packet that it quotes does not fit the next link; 8 bytes."""

    __slots__ = ()
    quotes = True
    type: int = field(8, 2, "kind of message", "RFC 4443 §3.2", names=ICMPV6_TYPES)
    mtu: int = field(32, 1280, "what the next link takes, in bytes", "RFC 4443 §3.2")


class ParameterProblem(ICMPv6, first_byte=(4,), source="RFC 4443 §3.4"):
    """An error: something in the packet that it quotes is not understood; 8 bytes."""

    __slots__ = ()
    quotes = True
    type: int = field(8, 4, "kind of message", "RFC 4443 §3.4", names=ICMPV6_TYPES)
    pointer: int = field(32, 0, "where it is in the packet, in bytes", "RFC 4443 §3.4")


def quoted(declared: int, length: int) -> int:
    """How much of a payload of `length` bytes is the packet that an error `declared` to quote so many bytes of.

    Extensions follow 128 bytes at least (RFC 4884 §4); a number below that is no such declaration.
    """
    return declared if 128 <= declared < length else length
