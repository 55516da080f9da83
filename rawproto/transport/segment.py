"""The segment: what the engine sends and receives. A codec turns it into datagrams and back.

Sequence numbers here are plain unbounded ints; their width and wrap are the codec's business. A segment may
carry far more payload than a datagram holds: the codec cuts it at the MSS and joins runs of datagrams again, so
that the engine's cost is per burst.
"""

from __future__ import annotations

from dataclasses import dataclass

from rawproto.wire.rdt_format import Flags

__all__ = ["ACK", "CWR", "DGM", "ECE", "EOR", "FIN", "MIN_MSS", "PSH", "RST", "SYN", "Segment"]

MIN_MSS = 64
"""docs/rdt.md §3.5: a smaller limit is taken for this one, so that options always leave room for payload."""

FIN = int(Flags.FIN)
SYN = int(Flags.SYN)
RST = int(Flags.RST)
PSH = int(Flags.PSH)
ACK = int(Flags.ACK)
ECE = int(Flags.ECE)
CWR = int(Flags.CWR)
EOR = int(Flags.EOR)
DGM = int(Flags.DGM)


@dataclass(slots=True)
class Segment:
    """One segment of one connection.

    `seq` is the sequence number of its first octet (of SYN, if that is set), `ack` the next one expected, both in
    octets. `packet_number` is that of its first datagram; the others follow on without a gap, `count` of them. `sack`
    holds ranges `(start, end)` of sequence numbers that came out of order, lowest first, end exclusive. `seen` is
    the largest packet number received and how long ago that was, in ns. `mss` is the largest payload, in bytes,
    that the sender of the segment takes in one datagram. `dsack` is a range `(start, end)` of sequence numbers that
    came once more than needed. `cookie` is opaque. `record` says, with SYN, that the stream has records, and how long
    one may be. `probe` is the size in bytes to which the datagram was padded to try the path, `probed` such a size
    that arrived. `ect` asks the carrier to mark the datagrams as ECN-capable, `marked` says that the network marked at
    least one of them.
    """

    source_port: int
    destination_port: int
    flags: int
    seq: int
    ack: int = 0
    wnd: int = 0
    payload: bytes | memoryview = b""
    packet_number: int = 0
    count: int = 1
    sack: tuple[tuple[int, int], ...] = ()
    seen: tuple[int, int] | None = None
    mss: int | None = None
    dsack: tuple[int, int] | None = None
    cookie: bytes = b""
    record: int | None = None
    probe: int = 0
    probed: int = 0
    ect: bool = False
    marked: bool = False

    @property
    def length(self) -> int:
        """What it takes of the sequence space: payload, and one each for SYN and FIN (RFC 9293 §3.4)."""
        return len(self.payload) + (1 if self.flags & SYN else 0) + (1 if self.flags & FIN else 0)

    @property
    def end(self) -> int:
        """The sequence number after its last octet."""
        return self.seq + self.length

    def describe(self, isn: int = 0, ack_base: int = 0) -> str:
        """One line for people; sequence numbers relative to `isn`, acknowledgements to `ack_base`."""
        names = "|".join(flag.name or "" for flag in Flags if self.flags & flag) or "none"
        text = f"{names} seq={self.seq - isn}"
        if self.length:
            text += f"..{self.end - isn}"
        if self.flags & ACK:
            text += f" ack={self.ack - ack_base}"
        return f"{text} win={self.wnd} len={len(self.payload)} packet={self.packet_number}"
