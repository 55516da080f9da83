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
from typing import Any, TypeVar

from rawproto.errors import WireError

# Imported so that they register themselves for what lies below them.
from rawproto.wire import arp, neighbor, tcp, udp  # noqa: F401
from rawproto.wire.dissect import (
    ChecksumVerdict,
    Layout,
    Problem,
    broken_rules,
    dissect,
    first_header,
    lay_out,
    verdicts,
)
from rawproto.wire.explain import explain_layout
from rawproto.wire.frame import ChecksumStatus, Frame, LinkType
from rawproto.wire.header import Header
from rawproto.wire.summary import summary_of

__all__ = ["ChecksumVerdict", "Packet", "Problem"]

H = TypeVar("H", bound=Header)


class Packet:
    """An immutable stack of headers with a payload. Composed with `/`, or parsed from bytes."""

    # Class-wide defaults: making a packet stores three names, not eight.
    _layers: tuple[Header, ...] | None
    _payload: bytes
    _trailer: bytes = b""
    _linktype: LinkType | None = None
    _layout: Layout | None = None
    _data: bytes | None = None
    _wire_length: int = 0
    _checksum: ChecksumStatus = ChecksumStatus.UNKNOWN

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

    @classmethod
    def parse(cls, data: Frame | bytes | bytearray | memoryview, linktype: LinkType = LinkType.ETHERNET) -> Packet:
        """Read a frame, or bytes of `linktype`. Never raises for what the bytes hold.

        A frame's own link type counts, and its original length and checksum status are taken into account.
        """
        packet = object.__new__(cls)
        packet._layers = None
        if isinstance(data, Frame):
            packet._data = data.data
            packet._wire_length = data.original_length or 0
            packet._linktype = data.linktype
            packet._checksum = data.checksum
        else:
            packet._data = bytes(data)
            packet._linktype = linktype
        return packet

    @property
    def layers(self) -> tuple[Header, ...]:
        """The headers, lowest first."""
        return self.layout.layers if self._layers is None else self._layers

    @property
    def payload(self) -> bytes:
        """What follows the last header, as far as the lengths go."""
        if self._data is None:
            return self._payload
        layout = self.layout
        return layout.data[layout.payload_start : layout.payload_end]

    @property
    def trailer(self) -> bytes:
        """What follows the payload: Ethernet padding, or bytes that no length field counts."""
        if self._data is None:
            return self._trailer
        layout = self.layout
        return layout.data[max(layout.payload_start, layout.payload_end) :]

    @property
    def linktype(self) -> LinkType:
        """What the first header is, as captures number it. USER0 (bare datagrams) unless it is Ethernet or IP."""
        if self._linktype is not None:
            return self._linktype
        number = self.layers[0].link_number if self.layers else None
        return LinkType.USER0 if number is None else LinkType(number)

    @property
    def layout(self) -> Layout:
        """Where each header lies in the bytes; its headers have all fields worked out."""
        if self._layout is None:
            if self._data is not None:
                first = first_header(self._linktype or 0, self._data)
                self._layout = dissect(self._data, self._wire_length, first)
                self._layers = self._layout.layers
            else:
                sizes: list[int] = []
                data = self._build(sizes)
                self._layout = lay_out(data, self.layers, sizes, len(self._trailer))
        return self._layout

    @property
    def problems(self) -> tuple[Problem, ...]:
        """What a parser finds wrong with the bytes; empty for a good packet."""
        if self._data is None:
            return Packet.parse(bytes(self), self.linktype).problems
        return (*self.layout.problems, *broken_rules(self.layout))

    @property
    def checksums(self) -> dict[str, ChecksumVerdict]:
        """For each layer that has one, by name ("IPv4", "TCP", "RDT"): ok, bad, offloaded or unverifiable."""
        return verdicts(self.layout, self._checksum)

    @property
    def quoted(self) -> Packet | None:
        """The packet that an ICMP error is about, as much of it as the error quotes; None for other packets."""
        for at, header in enumerate(self.layers):
            if header.quotes:
                layout = self.layout
                wire_length = layout.ends[at] - layout.payload_start
                data = self.payload[: header.quoted_length(wire_length)]
                # What is missing was left out by the sender of the error: as much as nothing is known to be wrong.
                return Packet.parse(Frame(data, linktype=LinkType.RAW, original_length=0xFFFFF))
        return None

    @property
    def truncated(self) -> bool:
        """Whether the capture cut the frame."""
        return any(problem.by_capture for problem in self.problems)

    def computed(self) -> Packet:
        """The same packet with every None replaced by what is sent for it."""
        return Packet(self.layout.layers, self.payload, trailer=self.trailer, linktype=self._linktype)

    def recompute(self) -> Packet:
        """The same packet with lengths, checksums and types left open again, to be computed on build."""
        layers = [header.recompute() for header in self.layers]
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
        for header in self._layers or self.layers:
            if isinstance(header, layer):
                return header
        return None

    def explain(self) -> str:
        """An annotated hex dump: for each field its bytes, name, value, meaning and source."""
        return explain_layout(self.layout, self.checksums, self.problems)

    def summary(self) -> str:
        """One line, much as tcpdump prints it."""
        return summary_of(self.layers, self.payload)

    def _stacked(self, layers: tuple[Header, ...], payload: bytes) -> Packet:
        packet = object.__new__(Packet)
        packet._layers = layers
        packet._payload = payload
        if self._trailer or self._data is not None:
            packet._trailer = self.trailer
        if self._linktype is not None:
            packet._linktype = self._linktype
        return packet

    def _find(self, layer: type[Header]) -> int | None:
        return next((at for at, header in enumerate(self.layers) if isinstance(header, layer)), None)

    def _build(self, sizes: list[int] | None = None) -> bytes:
        """The packet's bytes, from the last header to the first; `sizes` gets each header's length, in order."""
        data = self._payload
        networks: list[Header | None] = []
        network: Header | None = None
        for header in self.layers:
            networks.append(network)
            if header.has_pseudo_header:
                network = header
            elif header.reroutes and network is not None:
                network = header.rerouted(network)
        above: Header | None = None
        for header in reversed(self.layers):
            part = header.build(data, above, networks.pop())
            data = part + data
            above = header
            if sizes is not None:
                sizes.insert(0, len(part))
        return data + self._trailer

    def __getitem__(self, layer: type[H]) -> H:
        header = self.get(layer)
        if header is None:
            raise KeyError(layer.__name__)
        return header

    def __contains__(self, layer: object) -> bool:
        return isinstance(layer, type) and self._find(layer) is not None

    def __iter__(self) -> Iterator[Header]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(bytes(self))

    def __bool__(self) -> bool:
        return True

    def __bytes__(self) -> bytes:
        return self._build() if self._data is None else self._data

    def __truediv__(self, other: Header | Packet | bytes) -> Packet:
        if isinstance(other, (bytes, bytearray, memoryview)):
            return self._stacked(self.layers, self.payload + other)
        if not isinstance(other, (Header, Packet)):
            raise WireError(f"{other!r} is neither a header, a packet nor bytes")
        if self.payload or self.trailer:
            raise WireError(f"{type(other).__name__} can't follow a payload of {len(self.payload)} bytes")
        if isinstance(other, Header):
            return self._stacked((*self.layers, other), b"")
        return Packet(self.layers + other.layers, other.payload, trailer=other.trailer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Packet):
            return NotImplemented
        return (self.layers, self.payload, self.trailer) == (other.layers, other.payload, other.trailer)

    def __hash__(self) -> int:
        return hash((self.layers, self.payload, self.trailer))

    def __repr__(self) -> str:
        parts = [repr(header) for header in self.layers]
        if not parts:
            return f"Packet((), {self.payload!r})"
        if self.trailer or len(parts) == 1:
            extra = f", trailer={self.trailer!r}" if self.trailer else ""
            return f"Packet(({', '.join(parts)},), {self.payload!r}{extra})"
        return " / ".join([*parts, *([repr(self.payload)] if self.payload else [])])
