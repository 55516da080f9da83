"""Packets: headers one upon another, a payload, and what is left over.

packet = Ethernet(...) / IPv4(dst="10.0.0.2") / TCP(dport=80, flags=TCPFlags.SYN) / b"payload"
bytes(packet)                       # lengths, checksums and types worked out
packet[TCP].window, TCP in packet
packet.replace(IPv4, ttl=3)         # another packet

packet = Packet.parse(frame)        # never raises; looks at nothing until it is asked
packet.layers, packet.payload, packet.trailer, packet.problems, packet.checksums
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from rawproto.errors import WireError

# Imported so that they register themselves for what lies below them.
from rawproto.wire import (  # noqa: F401
    arp,
    cooked,
    encapsulation,
    icmp_queries,
    ipv6_routing,
    loopback,
    multicast,
    neighbor,
    tcp,
    udp,
    udplite,
)
from rawproto.wire.assemble import assemble
from rawproto.wire.dissect import (
    ChecksumVerdict,
    Layout,
    Problem,
    broken_rules,
    dissect,
    first_header,
    lay_out,
    network_below,
    verdicts,
)
from rawproto.wire.explain import explain_layout
from rawproto.wire.frame import ChecksumStatus, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.locate import locate
from rawproto.wire.summary import summary_of

if TYPE_CHECKING:
    from rawproto.wire.template import Template

__all__ = ["ChecksumVerdict", "Packet", "Problem"]

H = TypeVar("H", bound=Header)
ETHERNET = LinkType.ETHERNET
TAG_AT = 12
"""Where a VLAN tag stands: behind the two MAC addresses."""
UNKNOWN = ChecksumStatus.UNKNOWN
WHOLE = 1 << 20
"""A length that is more than any packet has."""
_new = object.__new__


class Packet:
    """An immutable stack of headers with a payload. Composed with `/`, or parsed from bytes.

    Two packets are equal if their bytes are, and the kind of link that these are for.
    """

    __slots__ = ("_layers", "_layout", "_linktype", "_payload", "_trailer")
    _layers: tuple[Header, ...]
    _payload: bytes
    _trailer: bytes
    _linktype: LinkType | None
    _layout: Layout | None

    def __init__(
        self,
        layers: Sequence[Header] = (),
        payload: bytes = b"",
        *,
        trailer: bytes = b"",
        linktype: LinkType | None = None,
    ) -> None:
        self._layers = tuple(layers)
        self._payload = payload
        self._trailer = trailer
        self._linktype = linktype
        self._layout = None

    @staticmethod
    def parse(data: Frame | bytes | bytearray | memoryview, linktype: LinkType = LinkType.ETHERNET) -> Packet:
        """Read a frame, or bytes of `linktype`. Never raises for what the bytes hold.

        A frame's own link type counts, and its original length and checksum status are taken into account. A VLAN
        tag that stands beside it goes back to where it was.
        """
        packet = _new(Parsed)
        packet._checksum = UNKNOWN
        packet._wire_length = 0
        packet._layout = packet._found = None
        if type(data) is bytes:
            packet._data = data
            packet._linktype = linktype
        elif isinstance(data, Frame):
            packet._data, _, packet._linktype, _, _, length, tci, packet._checksum, _ = data
            if length is not None:
                packet._wire_length = length
            if tci is not None:
                packet._put_back(tci)
        else:
            packet._data = bytes(memoryview(data))  # TypeError for what is no bytes: an int, text
            packet._linktype = linktype
        return packet

    @property
    def layers(self) -> tuple[Header, ...]:
        """The headers, lowest first."""
        return self._layers

    @property
    def payload(self) -> bytes:
        """What follows the last header, as far as the lengths go."""
        return self._payload

    @property
    def trailer(self) -> bytes:
        """What follows the payload: Ethernet padding, or bytes that no length field counts."""
        return self._trailer

    @property
    def linktype(self) -> LinkType:
        """What the first header is, as captures number it; USER0 (bare datagrams) if no link begins with it."""
        if self._linktype is not None:
            return self._linktype
        number = self.layers[0].link_number if self.layers else None
        return LinkType.USER0 if number is None else LinkType(number)

    @property
    def layout(self) -> Layout:
        """Where each header lies in the bytes; its headers have all fields worked out."""
        if self._layout is None:
            sizes: list[int] = []
            data = self._build(sizes)
            self._layout = lay_out(data, self._layers, sizes, len(self._trailer))
        return self._layout

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What a parser finds wrong with the bytes; empty for a good packet."""
        if not self._layers:
            return Packet.parse(bytes(self), self.linktype).problems
        # By its own first header: not everything that a packet may begin with has a link type.
        layout = dissect(bytes(self), 0, type(self._layers[0]))
        return (*layout.problems, *broken_rules(layout))

    @property
    def checksums(self) -> dict[str, ChecksumVerdict]:
        """For each layer that has one, by name ("IPv4", "TCP", "RDT"): ok, bad, offloaded or unverifiable."""
        return verdicts(self.layout, UNKNOWN)

    @property
    def quoted(self) -> Packet | None:
        """The packet that an ICMP error is about, as much of it as the error quotes; None for other packets."""
        for at, header in enumerate(self.layers):
            if header.quotes:
                layout = self.layout
                start = layout.offsets[at] + layout.layers[at].size  # composed, it may be headers too
                length = header.quoted_length(layout.ends[at] - start)
                data = layout.data[start : min(start + length, max(start, layout.payload_end))]
                # The sender of the error has left out the rest: as with a capture, nothing is known to be wrong.
                version = LinkType.IPV6 if header.family == "ICMPv6" else LinkType.IPV4
                return Packet.parse(Frame(data, 0, version, original_length=WHOLE))
        return None

    @property
    def truncated(self) -> bool:
        """Whether the capture cut the frame."""
        return any(problem.by_capture for problem in self.problems)

    def computed(self) -> Packet:
        """The same packet with every None replaced by what is sent for it."""
        return Packet(self.layout.layers, self.payload, trailer=self.trailer, linktype=self._linktype)

    def recompute(self) -> Packet:
        """The same packet with lengths, checksums and types left open again, to be computed on build.

        The type of a payload that no header here is for stays, and so do the headers in a fragment: what they count
        and sum is not all here.
        """
        layers: list[Header] = []
        is_fragment = False
        for header in self.layers:
            layers.append(header if is_fragment else header.recompute())
            is_fragment = is_fragment or (header.may_fragment and header.is_fragment)
        if layers and layers[-1].type_field:
            name = layers[-1].type_field
            layers[-1] = layers[-1].replace(**{name: self.layers[-1].raw(name)})
        return Packet(layers, self.payload, trailer=self.trailer, linktype=self._linktype)

    def replace(
        self,
        layer: type[Header] | None = None,
        *,
        payload: bytes | None = None,
        trailer: bytes | None = None,
        **fields: Any,
    ) -> Packet:
        """Another packet, with `fields` of the first `layer` and/or payload and trailer changed.

        All else stays as it is, checksums that are numbers included (`recompute` opens them). Raises WireError.
        """
        layers = list(self.layers)
        if layer is not None:
            at = self._find(layer)
            if at is None:
                raise WireError(f"packet has no {layer.__name__} to replace")
            layers[at] = layers[at].replace(**fields)
        elif fields:
            raise WireError(f"replace: say which layer's {min(fields)} is meant")
        return Packet(
            layers,
            self.payload if payload is None else payload,
            trailer=self.trailer if trailer is None else trailer,
            linktype=self._linktype,
        )

    def get(self, layer: type[H]) -> H | None:
        """The first header of this class, or None."""
        try:
            return self[layer]
        except KeyError:
            return None

    def explain(self) -> str:
        """An annotated hex dump: for each field its bytes, name, value, meaning and source."""
        return explain_layout(self.layout, self.checksums, self.problems)

    def _repr_html_(self) -> str:
        from rawproto.wire.html import explain_html  # noqa: PLC0415 - it shows packets, so it imports this

        return explain_html(self)

    def summary(self) -> str:
        """One line, much as tcpdump prints it."""
        return summary_of(self.layers, self.payload)

    def template(self, *fields: str) -> Template:
        """A compiled template that gives this packet with other values in `fields`, checksums put right.

        Fields are named "ipv4.id", "tcp.sport", "ipv4#2.ttl" for a layer's second header, "payload[4:8]". Raises
        WireError for a name that the packet does not have.
        """
        from rawproto.wire.template import template  # noqa: PLC0415 - it is made of packets, so it imports this

        return template(self, *fields)

    def _find(self, layer: type[Header]) -> int | None:
        return next((at for at, header in enumerate(self.layers) if isinstance(header, layer)), None)

    def _build(self, sizes: list[int] | None = None) -> bytes:
        """The packet's bytes, from the last header to the first; `sizes` gets each header's length, in order."""
        data = self._payload
        layers = self._layers
        at = len(layers)
        above: Header | None = None
        for header in layers[::-1]:
            at -= 1
            network = network_below(layers, at) if header.needs_network else None
            part = header.build(data, above, network)
            data = part + data
            above = header
            if sizes is not None:
                sizes.insert(0, len(part))
        return data + self._trailer if self._trailer else data

    def __getitem__(self, layer: type[H]) -> H:
        for header in self.layers:
            if isinstance(header, layer):
                return header
        raise KeyError(layer.__name__)

    def __contains__(self, layer: object) -> bool:
        return isinstance(layer, type) and self.get(layer) is not None

    def __iter__(self) -> Iterator[Header]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(bytes(self))

    def __bool__(self) -> bool:
        return True

    def __bytes__(self) -> bytes:
        data = assemble(self._layers, self._payload)
        return self._build() if data is None else data + self._trailer

    def __truediv__(self, other: Header | Packet | bytes) -> Packet:
        packet = _new(Packet)
        packet._linktype = self._linktype
        packet._layout = None
        if isinstance(other, (bytes, bytearray, memoryview)):
            packet._layers = self._layers
            packet._payload = self._payload + other if self._payload else bytes(other)
            packet._trailer = self._trailer
            return packet
        if self._payload or self._trailer:
            raise WireError(f"{type(other).__name__} can't follow a payload of {len(self._payload)} bytes")
        if isinstance(other, Header):
            packet._layers = self._layers + (other,)  # noqa: RUF005 - faster than unpacking
            packet._payload = packet._trailer = b""
            return packet
        if not isinstance(other, Packet):
            raise WireError(f"{other!r} is neither a header, a packet nor bytes")
        packet._layers = self._layers + other.layers
        packet._payload, packet._trailer = other.payload, other.trailer
        return packet

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return bytes(self) == bytes(other) and self.linktype == other.linktype

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        parts = [repr(header) for header in self.layers]
        if self.trailer or len(parts) < 2:
            extra = f", trailer={self.trailer!r}" if self.trailer else ""
            layers = ", ".join(parts) + "," * bool(parts)
            return f"Packet(({layers}), {self.payload!r}{extra})"
        return " / ".join([*parts, *([repr(self.payload)] if self.payload else [])])


class Parsed(Packet):
    """A packet that is read from bytes, and no further than somebody asks."""

    __slots__ = ("_checksum", "_data", "_found", "_wire_length")
    _data: bytes
    _linktype: LinkType
    _wire_length: int
    """Bytes on the wire; 0 if they are all here."""
    _checksum: ChecksumStatus
    _found: dict[type[Header], Header] | None
    """Headers by the class that they were asked by."""

    def _put_back(self, tci: int) -> None:
        """Give an Ethernet frame the VLAN tag that the kernel took out of it."""
        data = self._data
        if self._linktype == ETHERNET and len(data) >= TAG_AT:
            self._data = b"".join((data[:TAG_AT], b"\x81\x00", tci.to_bytes(2), data[TAG_AT:]))
            self._wire_length += 4 if self._wire_length else 0

    @property
    def layers(self) -> tuple[Header, ...]:
        """The headers, lowest first."""
        return self.layout.layers

    @property
    def payload(self) -> bytes:
        """What follows the last header, as far as the lengths go."""
        layout = self.layout
        return layout.data[layout.payload_start : layout.payload_end]

    @property
    def trailer(self) -> bytes:
        """What follows the payload: Ethernet padding, or bytes that no length field counts."""
        layout = self.layout
        return layout.data[max(layout.payload_start, layout.payload_end) :]

    @property
    def layout(self) -> Layout:
        """Where each header lies in the bytes."""
        if self._layout is None:
            first = first_header(self._linktype, self._data)
            self._layout = dissect(self._data, self._wire_length, first)
        return self._layout

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What is wrong with the bytes; empty for a good packet."""
        return (*self.layout.problems, *broken_rules(self.layout))

    @property
    def checksums(self) -> dict[str, ChecksumVerdict]:
        """For each layer that has one, by name ("IPv4", "TCP", "RDT"): ok, bad, offloaded or unverifiable."""
        return verdicts(self.layout, self._checksum)

    def __getitem__(self, layer: type[H]) -> H:
        found = self._found
        if found is None:
            found = self._found = locate(self._data) if self._linktype is ETHERNET else {}
        header = found.get(layer)
        if header is None:  # not a plain frame, or not this layer: go from header to header
            header = found[layer] = Packet.__getitem__(self, layer)
        return header  # type: ignore[return-value]

    def __bytes__(self) -> bytes:
        return self._data

    def __truediv__(self, other: Header | Packet | bytes) -> Packet:
        return Packet(self.layers, self.payload, trailer=self.trailer, linktype=self._linktype) / other


def stack(header: Header, other: Header | Packet | bytes) -> Packet:
    """`header / other`: a packet is made of headers, so these can't know how."""
    packet = _new(Packet)
    packet._layers = (header,)
    packet._payload = packet._trailer = b""
    packet._linktype = packet._layout = None
    if isinstance(other, Header):
        packet._layers = (header, other)
        return packet
    return packet / other


Header.__truediv__ = stack  # type: ignore[method-assign]
