"""TCP (RFC 9293)."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntFlag

from rawproto.wire.checksum import sum_on
from rawproto.wire.field import Octets, computed, field, tail
from rawproto.wire.header import Broken, Header, TailRow
from rawproto.wire.names import PORT_NAMES
from rawproto.wire.tcp_options import (
    TCP_OPTIONS,
    MaximumSegmentSize,
    SelectiveAck,
    TCPOption,
    Timestamps,
    WindowScale,
    parse_options,
)

__all__ = ["TCP", "TCPFlags", "TCPStart"]


class TCPFlags(IntFlag):
    """The control bits."""

    FIN = 0x01
    SYN = 0x02
    RST = 0x04
    PSH = 0x08
    ACK = 0x10
    URG = 0x20
    ECE = 0x40
    CWR = 0x80


class TCPStart(Header, source="RFC 9293 §3.1"):
    """The first 8 bytes of a TCP header that is cut: as much as an ICMP error has to quote (RFC 792)."""

    __slots__ = ()
    sport: int = field(16, 0, "source port", "RFC 9293 §3.1", names=PORT_NAMES)
    dport: int = field(16, 0, "destination port", "RFC 9293 §3.1", names=PORT_NAMES)
    seq: int = field(32, 0, "sequence number of the first byte", "RFC 9293 §3.1")


TCPStart.family = "TCP"


class TCP(Header, ip_protocol=6, source="RFC 9293 §3.1"):
    """A TCP header, 20 to 60 bytes.

    `options` takes bytes or objects of `tcp_options`, and is padded to whole words while `data_offset` is None.
    Without an IP
    header below, a checksum of None gives 0.
    """

    __slots__ = ()
    needs_network = True
    offloadable = True
    short_form = TCPStart
    sport: int = field(16, 0, "source port", "RFC 9293 §3.1", names=PORT_NAMES)
    dport: int = field(16, 0, "destination port", "RFC 9293 §3.1", names=PORT_NAMES)
    seq: int = field(32, 0, "sequence number of the first byte", "RFC 9293 §3.1")
    ack: int = field(32, 0, "next sequence number expected", "RFC 9293 §3.1")
    data_offset: int | None = computed(4, "header length in 32-bit words", "RFC 9293 §3.1")
    reserved: int = field(4, 0, "reserved; the lowest bit was NS, now AE", "RFC 9293 §3.1")
    flags: int = field(8, 0, "control bits", "RFC 9293 §3.1", names=TCPFlags, base=16)
    window: int = field(16, 65535, "bytes that the sender takes, before scaling", "RFC 9293 §3.1")
    checksum: int | None = computed(16, "over pseudo header, header and payload", "RFC 9293 §3.1", base=16)
    urgent: int = field(16, 0, "urgent pointer", "RFC 9293 §3.1")
    options: Octets = tail(40, "options", "RFC 9293 §3.2", words="data_offset")

    def build(self, payload: bytes, above: Header | None = None, network: Header | None = None) -> bytes:
        """Fill in data offset and checksum."""
        values = self._values
        if values[7] is not None or network is None:
            return self.pack()
        length = 20 + len(values[9])
        if values[4] < 0:  # the options are padded
            length += -length & 3
        return self.seal(network.pseudo_sum(6, length + len(payload)), payload)

    def broken_rules(self) -> Iterator[Broken]:
        """The data offset, and whether the options can be read."""
        if (self.data_offset or 0) < 5:
            yield Broken("data_offset", "minimum", f"data_offset is {self.data_offset} words, 5 at least")
        if self.options:
            yield from TCP_OPTIONS.broken(self.options)

    def verify(self, data: bytes, network: Header | None) -> bool | None:
        """The sum over pseudo header and segment."""
        if network is None:
            return None
        return sum_on(network.pseudo_sum(6, len(data)), data) == 0

    def tail_rows(self) -> list[TailRow]:
        """One row an option."""
        return TCP_OPTIONS.rows(self.options)

    @property
    def parsed_options(self) -> tuple[TCPOption, ...]:
        """The options as objects, in order, without padding; reading stops at one that is malformed."""
        return parse_options(self.options)

    @property
    def mss(self) -> int | None:
        """The MSS option in bytes."""
        return next((o.mss for o in self.parsed_options if isinstance(o, MaximumSegmentSize)), None)

    @property
    def window_scale(self) -> int | None:
        """The window scale option: the shift."""
        return next((o.shift for o in self.parsed_options if isinstance(o, WindowScale)), None)

    @property
    def sack(self) -> tuple[tuple[int, int], ...]:
        """The SACK option: (left edge, right edge) as sequence numbers."""
        return next((o.blocks for o in self.parsed_options if isinstance(o, SelectiveAck)), ())

    @property
    def timestamps(self) -> tuple[int, int] | None:
        """The timestamps option: (value, echo reply)."""
        return next(((o.value, o.echo) for o in self.parsed_options if isinstance(o, Timestamps)), None)
