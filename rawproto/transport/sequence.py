"""The sequence space: how many bits a sequence number has on the wire, and which number is meant by those bits.

Inside the engine sequence numbers are plain ints without bound. On the wire they have `Config.sequence_bits` bits, 64
unless somebody wants to see them wrap: then a number that comes is taken for the nearest one, of all those that look
the same, to what its connection expects. That is how TCP compares its 32 bits (RFC 9293 §3.4: 'all arithmetic dealing
with sequence numbers must be performed modulo 2^32').

**How large a window may be** follows from it. A receiver that has acknowledged up to RCV.NXT may be sent again any
octet of the window before it, if its acknowledgements were lost, or any octet of the window from it on. Both windows
must fit the space, or an old octet is taken for a new one: so half the space is the most, on a path that keeps the
order and only loses. What is half the space away counts as old, since of such a window the oldest octet may come
again, and the first one behind the window may not come at all. Nothing here refuses a larger window: what happens then
is what the setting is for.

Packet numbers are not sequence numbers, and never wrap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawproto.transport.segment import ACK, Segment
from rawproto.transport.state import State

if TYPE_CHECKING:
    from rawproto.transport.connection import Connection

__all__ = ["NARROWEST", "WIDEST", "SequenceSpace"]

WIDEST = 64
"""Bits: what the header of docs/rdt.md §3.1 has; no stream lives long enough to see the end of it."""
NARROWEST = 4
"""Bits: windows of up to 8 octets, few enough to be drawn."""


class SequenceSpace:
    """Numbers of `bits` bits. With 64 of them nothing is changed: RDT's numbers are what they are."""

    __slots__ = ("_half", "mask", "narrow")

    def __init__(self, bits: int) -> None:
        self.mask = (1 << bits) - 1
        """The largest number on the wire."""
        self.narrow = bits < WIDEST
        """Numbers wrap: what comes must be unwrapped."""
        self._half = 1 << bits - 1

    def wrap(self, number: int) -> int:
        """What of `number` goes onto the wire."""
        return number & self.mask

    def unwrap(self, number: int, reference: int) -> int:
        """Of all numbers that look like `number` on the wire, the nearest to `reference`.

        At exactly half the space there are two, and RFC 1982 §3.2 leaves open which is the greater: the lower is taken.
        """
        if not self.narrow:
            return number
        return reference - self._half + (number - reference + self._half & self.mask)

    def place(self, segment: Segment, connection: Connection) -> None:
        """Give `segment`, which came for `connection`, the numbers that are meant in it."""
        receiver, sender = connection.receiver, connection.sender
        if connection.state is not State.SYN_SENT:  # there nothing is known of the peer's numbers: any will do
            # A FIN takes no room in the window: where one has come, what the window lets through ends before it.
            expected = receiver.rcv_nxt if receiver.fin is None else min(receiver.rcv_nxt, receiver.fin)
            segment.seq = self.unwrap(segment.seq, expected)
        if segment.flags & ACK:
            # What is acceptable lies from SND.UNA to SND.NXT: counted from either, the other may be too far away.
            ack = self.unwrap(segment.ack, (sender.snd_una + sender.snd_nxt) // 2)
            moved = ack - segment.ack
            segment.ack = ack
            segment.sack = tuple((start + moved, end + moved) for start, end in segment.sack)
            if segment.dsack is not None:  # alone it is not counted from the acknowledgement (docs/rdt.md §3.5)
                start, end = segment.dsack
                moved = self.unwrap(start, ack) - start
                segment.dsack = start + moved, end + moved
