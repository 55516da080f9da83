"""RDT (docs/rdt.md): the header with its table, and its options as objects.

The engine's hot path uses the plain functions of `rdt_format`, which are offered here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rawproto.errors import WireError
from rawproto.wire.field import Octets, computed, field, tail
from rawproto.wire.frame import LinkType
from rawproto.wire.header import Broken, Header, TailRow
from rawproto.wire.rdt_format import (
    ACK,
    CWR,
    DGM,
    ECE,
    EOR,
    FIN,
    FIXED,
    HEADER_LENGTH,
    IP_PROTOCOL,
    MAX_OPTIONS_LENGTH,
    MAX_SACK_RANGES,
    NO_OPTIONS,
    PSH,
    RDT_UDP_PORT,
    RST,
    SYN,
    VERSION,
    Flags,
    OptionKind,
    Options,
    datagram_crc,
    decode_options,
    encode_options,
)
from rawproto.wire.tlv import Item, walk

__all__ = [
    "ACK",
    "CWR",
    "DGM",
    "ECE",
    "EOR",
    "FIN",
    "FIXED",
    "HEADER_LENGTH",
    "IP_PROTOCOL",
    "MAX_OPTIONS_LENGTH",
    "MAX_SACK_RANGES",
    "NO_OPTIONS",
    "PSH",
    "RDT",
    "RDT_UDP_PORT",
    "RST",
    "SYN",
    "VERSION",
    "Cookie",
    "Dsack",
    "Flags",
    "Mss",
    "OptionKind",
    "Options",
    "Pad",
    "Probe",
    "Probed",
    "Record",
    "Sack",
    "Seen",
    "UnknownOption",
    "datagram_crc",
    "decode_options",
    "encode_options",
    "parse_options",
]


@dataclass(frozen=True, slots=True)
class Pad:
    """One zero byte."""

    def __bytes__(self) -> bytes:
        return b"\0"


@dataclass(frozen=True, slots=True)
class Sack:
    """Ranges received above the acknowledgement: (start, end) in bytes relative to it, end exclusive."""

    ranges: tuple[tuple[int, int], ...]

    def __bytes__(self) -> bytes:
        body = encode_options(sack=self.ranges)
        return body[: 2 + 8 * len(self.ranges)]


@dataclass(frozen=True, slots=True)
class Seen:
    """The largest packet number received, and how long its acknowledgement was held back."""

    packet_number: int
    delay_us: int = 0

    def __bytes__(self) -> bytes:
        return encode_options(seen=(self.packet_number, self.delay_us))


@dataclass(frozen=True, slots=True)
class Mss:
    """The largest payload in bytes that its sender takes in one datagram."""

    mss: int

    def __bytes__(self) -> bytes:
        return encode_options(mss=self.mss)


@dataclass(frozen=True, slots=True)
class Cookie:
    """Opaque bytes, at most 253, to be given back."""

    data: bytes

    def __bytes__(self) -> bytes:
        return encode_options(cookie=self.data)[: 2 + len(self.data)] or bytes((OptionKind.COOKIE, 2))


@dataclass(frozen=True, slots=True)
class Dsack:
    """A range that came once more than needed (RFC 2883): the sequence number of its start, its length in octets."""

    start: int
    length: int

    def __bytes__(self) -> bytes:
        return encode_options(dsack=(self.start, self.length))[:14]


@dataclass(frozen=True, slots=True)
class Probe:
    """The datagram has `size` bytes, from its header to the end of the padding behind its payload."""

    size: int

    def __bytes__(self) -> bytes:
        return encode_options(probe=self.size) or bytes((OptionKind.PROBE, 4, 0, 0))


@dataclass(frozen=True, slots=True)
class Probed:
    """A probe of `size` bytes arrived."""

    size: int

    def __bytes__(self) -> bytes:
        return encode_options(probed=self.size) or bytes((OptionKind.PROBED, 4, 0, 0))


@dataclass(frozen=True, slots=True)
class Record:
    """The stream has records, of at most `limit` bytes each."""

    limit: int

    def __bytes__(self) -> bytes:
        return encode_options(record=self.limit)[:6]


@dataclass(frozen=True, slots=True)
class UnknownOption:
    """An option of a type, or with a length, that this version does not know."""

    kind: int
    data: bytes = b""

    def __bytes__(self) -> bytes:
        if not 0 < self.kind <= 255 or len(self.data) > 253:
            raise WireError(f"RDT option {self!r}: type or length does not fit")
        return bytes((self.kind, 2 + len(self.data))) + self.data


RDTOption = Pad | Sack | Seen | Mss | Cookie | Dsack | Probe | Probed | Record | UnknownOption


def parse_options(data: bytes) -> tuple[RDTOption, ...]:
    """The options in `data` as objects, padding included, up to one whose length can't be. Never raises."""
    return tuple(_from_item(item) for item in _walk(data) if not item.error)


def _walk(data: bytes) -> Iterator[Item]:
    return walk(data, singles=(OptionKind.PAD.value,))


def _from_item(item: Item) -> RDTOption:
    if item.kind == OptionKind.PAD:
        return Pad()
    if item.error or item.kind not in OBJECTS:
        return UnknownOption(item.kind, item.data)
    known = decode_options(bytes((item.kind, item.length)) + item.data)
    return UnknownOption(item.kind, item.data) if known.error else OBJECTS[item.kind](known)


OBJECTS: dict[int, Callable[[Options], RDTOption]] = {
    OptionKind.SACK: lambda known: Sack(known.sack),
    OptionKind.SEEN: lambda known: Seen(*known.seen or (0, 0)),
    OptionKind.MSS: lambda known: Mss(known.mss or 0),
    OptionKind.COOKIE: lambda known: Cookie(known.cookie),
    OptionKind.DSACK: lambda known: Dsack(*known.dsack or (0, 0)),
    OptionKind.PROBE: lambda known: Probe(known.probe),
    OptionKind.PROBED: lambda known: Probed(known.probed),
    OptionKind.RECORD: lambda known: Record(known.record or 0),
}


class RDT(Header, ip_protocol=IP_PROTOCOL, linktype=LinkType.USER0, source="docs/rdt.md"):
    """An RDT header, 40 to 1020 bytes. `options` takes bytes or a sequence of option objects."""

    __slots__ = ()
    length_field = "payload_length"
    version: int = field(8, VERSION, "version", "docs/rdt.md")
    header_length: int | None = computed(8, "header length in 32-bit words", "docs/rdt.md")
    flags: int = field(16, 0, "what the datagram does", "docs/rdt.md", names=Flags, base=16)
    sport: int = field(16, 0, "source port", "docs/rdt.md")
    dport: int = field(16, 0, "destination port", "docs/rdt.md")
    payload_length: int | None = computed(16, "payload in bytes", "docs/rdt.md")
    packet_number: int = field(48, 0, "never used twice in a connection and direction", "docs/rdt.md")
    seq: int = field(64, 0, "offset of the first byte in the stream", "docs/rdt.md")
    ack: int = field(64, 0, "next offset expected", "docs/rdt.md")
    window: int = field(32, 0, "bytes that the sender takes beyond the acknowledgement", "docs/rdt.md")
    crc: int | None = computed(32, "CRC-32 over all but itself", "docs/rdt.md", base=16)
    options: Octets = tail(MAX_OPTIONS_LENGTH, "options", "docs/rdt.md", words="header_length")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in lengths and CRC."""
        header = self.pack(payload_length=len(payload))
        if self._values[10] is not None:
            return header
        return header[:36] + datagram_crc(header, payload).to_bytes(4) + header[HEADER_LENGTH:]

    def payload_end(self, offset: int) -> int | None:
        """By the payload length."""
        end: int = offset + max(self._values[1] * 4, HEADER_LENGTH) + self._values[5]
        return end

    def broken_rules(self) -> Iterator[Broken]:
        """Version, header length, options."""
        version, words, *_ = self._values
        if version != VERSION:
            yield Broken("version", "version", f"version is {version}, not {VERSION}")
        if words < 10:
            yield Broken("header_length", "minimum", f"header_length is {words} words, at least 10 are needed")
        error = decode_options(self.options).error
        if error:
            yield Broken("options", "option", error)

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The CRC over header and payload."""
        crc: int = self._values[10]
        return datagram_crc(data) == crc

    def tail_rows(self) -> list[TailRow]:
        """One row an option."""
        return [
            TailRow(item.offset, item.length, type(option).__name__, item.error or repr(option), "docs/rdt.md")
            for item, option in ((item, _from_item(item)) for item in _walk(self.options))
        ]

    @property
    def parsed_options(self) -> tuple[RDTOption, ...]:
        """The options as objects, padding included."""
        return parse_options(self.options)
