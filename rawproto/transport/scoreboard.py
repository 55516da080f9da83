"""What was sent and is not acknowledged: which packet carried each octet last, and which octets are lost.

Each octet outstanding belongs to exactly one chunk, the one it was last sent in; sending it again moves it to a new
one. Chunks are in sequence order and leave when acknowledged, cumulatively or selectively. A chunk refers to its
burst, which knows the packet number of every octet in it, so one entry stands for up to 64 KiB.

Which of them are lost is for RACK to say (rack.py): it gives the rule, the scoreboard finds what it strikes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from rawproto.transport.ranges import RangeSet
from rawproto.transport.rate import SendState

__all__ = ["Burst", "Chunk", "Delivery", "Lost", "Scoreboard"]

_BEYOND = 1 << 32
"""More than any burst holds."""


@dataclass(slots=True)
class Burst:
    """One transmission: consecutive packets with consecutive octets."""

    seq: int
    first_length: int
    mss: int
    packet_number: int
    count: int
    time_ns: int
    length: int = 0
    """Octets in all of it."""
    options: int = 0
    """Bytes of options in its first packet, which leave as much less room for octets."""
    rate: SendState | None = None
    """What had been delivered when it was sent, for the delivery rate."""

    @property
    def end(self) -> int:
        """At or a little beyond its last octet, of which one may be a FIN."""
        return self.seq + self.first_length + (self.count - 1) * self.mss + 1

    def packet_of(self, seq: int) -> int:
        """The number of the packet that carried octet `seq`."""
        beyond = seq - self.seq - self.first_length
        return self.packet_number if beyond < 0 else min(
            self.packet_number + 1 + beyond // self.mss, self.packet_number + self.count - 1
        )  # fmt: skip

    def size_of(self, packet_number: int) -> int:
        """The bytes of options and payload in packet `packet_number`."""
        if self.count == 1:
            return self.length + self.options
        if packet_number < self.packet_number + self.count - 1:
            return self.mss
        return self.length - self.first_length - (self.count - 2) * self.mss

    def largest_packet(self, start: int, end: int) -> tuple[int, int]:
        """Of the packets that carried any of the octets `[start, end)` the largest: its size and its number.

        Of packets of one size it is the last one.
        """
        first, last = self.packet_of(start), self.packet_of(end - 1)
        if last > first and last == self.packet_number + self.count - 1 and self.size_of(last) < self.mss:
            last -= 1
        return self.size_of(last), last

    def start_of(self, packet_number: int) -> int:
        """The first octet of packet `packet_number`, or the burst's start or something beyond its end."""
        index = packet_number - self.packet_number
        if index >= self.count:
            return self.seq + _BEYOND
        return self.seq if index <= 0 else self.seq + self.first_length + (index - 1) * self.mss


@dataclass(slots=True)
class Chunk:
    """Octets `[start, end)` that were last sent in `burst`."""

    start: int
    end: int
    burst: Burst
    lost: bool = False
    repetition: Burst | None = None
    """The burst that sent them again first; None if they were sent once only."""
    why: str = ""
    """The rule by which they were taken for lost."""

    def part(self, start: int, end: int) -> Chunk:
        """Octets `[start, end)` of it as a chunk of their own."""
        return Chunk(start, end, self.burst, self.lost, self.repetition, self.why)


@dataclass(frozen=True, slots=True)
class Lost:
    """A range found lost, with the number of its first packet, when it was sent, and the rule that found it."""

    start: int
    end: int
    packet_number: int
    time_ns: int
    rule: str
    burst: Burst
    again: bool = False
    """It was a repetition."""


@dataclass(slots=True)
class Delivery:
    """What one acknowledgement was news of. `seen` is the largest packet number that it says has arrived."""

    seen: int
    octets: int = 0
    newest: Burst | None = None
    """The burst sent last among those whose octets were acknowledged."""
    largest: tuple[int, int] = (0, -1)
    """The size, without header, and the number of the largest packet among those."""
    lowest_original: int = -1
    """The lowest end of octets that were sent once only: below the highest known ones they show reordering."""
    unharmed: list[tuple[int, int]] = field(default_factory=list)
    """Ranges taken for lost of which an earlier transmission turns out to have arrived."""


class Scoreboard:
    """Outstanding chunks in sequence order. Sizes are in octets of sequence space."""

    __slots__ = ("_chunks", "_disordered", "_lost_from", "_sacked", "in_flight", "lost")

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._sacked = RangeSet()
        self._disordered = False  # a retransmission is outstanding: packet numbers don't rise along the chunks
        self._lost_from = 0  # nothing below it is lost
        self.in_flight = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def sacked(self) -> int:
        """Octets acknowledged selectively and not yet cumulatively."""
        return self._sacked.total

    def outstanding(self) -> list[tuple[int, int]]:
        """The ranges that are not acknowledged, in order."""
        return [(chunk.start, chunk.end) for chunk in self._chunks]

    def largest_outstanding(self) -> int:
        """The size, without header, of the largest packet that any of it was last sent in."""
        return max((chunk.burst.largest_packet(chunk.start, chunk.end)[0] for chunk in self._chunks), default=0)

    # -- sending -----------------------------------------------------------------------------------------------

    def sent(self, start: int, end: int, burst: Burst) -> None:
        """Note new octets `[start, end)`, which follow all that were sent before."""
        self._chunks.append(Chunk(start, end, burst))
        self.in_flight += end - start

    def resent(self, chunk: Chunk, end: int, burst: Burst) -> None:
        """Note that `chunk`, lost or at the tail, was sent again up to `end`; what lies behind stays as it was."""
        if end < chunk.end:
            index = self._index(chunk.start)
            self._chunks.insert(index + 1, chunk.part(end, chunk.end))
            chunk.end = end
        chunk.burst = burst
        chunk.repetition = chunk.repetition or burst
        self._disordered = True
        if chunk.lost:
            chunk.lost = False
            self.lost -= chunk.end - chunk.start
            self.in_flight += chunk.end - chunk.start

    def first_lost(self) -> Chunk | None:
        """The lost chunk that is lowest in the sequence space."""
        if not self.lost:
            return None
        for index in range(max(0, self._index(self._lost_from)), len(self._chunks)):
            if self._chunks[index].lost:
                self._lost_from = self._chunks[index].start
                return self._chunks[index]
        return None

    def tail(self, length: int) -> Chunk | None:
        """The last `length` octets outstanding, or fewer, as a chunk of their own."""
        if not self._chunks:
            return None
        last = self._chunks[-1]
        if last.end - last.start > length:
            cut = last.end - length
            self._chunks.append(last.part(cut, last.end))
            last.end = cut
        return self._chunks[-1]

    # -- acknowledgements ----------------------------------------------------------------------------------------

    def acknowledge(self, una: int, delivery: Delivery) -> None:
        """Drop everything under `una`."""
        keep = 0
        for chunk in self._chunks:
            if chunk.start >= una:
                break
            self._deliver(chunk, chunk.start, min(chunk.end, una), delivery)
            if chunk.end > una:
                chunk.start = una
                break
            keep += 1
        del self._chunks[:keep]
        if self._sacked:
            self._sacked.remove_below(una)
        if not self._chunks:
            self._disordered = False

    def acknowledge_range(self, start: int, end: int, delivery: Delivery) -> None:
        """Drop `[start, end)`, which the peer holds out of order."""
        if self._sacked.covers(start, end):
            return
        self._sacked.add(start, end)
        index = max(0, self._index(start))
        while index < len(self._chunks) and self._chunks[index].start < end:
            chunk = self._chunks[index]
            low, high = max(start, chunk.start), min(end, chunk.end)
            if low >= high:
                index += 1
                continue
            self._deliver(chunk, low, high, delivery)
            rest = [(a, b) for a, b in ((chunk.start, low), (high, chunk.end)) if a < b]
            self._chunks[index : index + 1] = [chunk.part(a, b) for a, b in rest]
            index += bool(rest and rest[0][0] < low)

    def _deliver(self, chunk: Chunk, low: int, high: int, delivery: Delivery) -> None:
        """Note that octets `[low, high)` of `chunk` have arrived."""
        octets = high - low
        delivery.octets += octets
        burst = chunk.burst
        if delivery.newest is None or burst.packet_number > delivery.newest.packet_number:
            delivery.newest = burst
        delivery.largest = max(delivery.largest, burst.largest_packet(low, high))
        if chunk.lost:
            self.lost -= octets
        else:
            self.in_flight -= octets
        if chunk.repetition is None:
            if chunk.lost:
                delivery.unharmed.append((low, high))
            if delivery.lowest_original < 0:
                delivery.lowest_original = high
        elif delivery.seen < chunk.repetition.packet_of(low):
            # The peer knows of no packet that repeated them: the first one has arrived (RFC 3522 §3.2).
            delivery.unharmed.append((low, high))

    # -- losses --------------------------------------------------------------------------------------------------

    def detect_lost(
        self, largest_seen: int, bound: int, threshold: int, sent_before: int
    ) -> tuple[list[Lost], int | None]:
        """Mark what is lost, now that packet `largest_seen` is known to have arrived.

        Lost are packets smaller than `largest_seen` that were sent at `sent_before`, in ns, or earlier, and those
        smaller than or equal to `threshold` whenever they were sent. Only octets under `bound` are judged: the peer
        said nothing of those beyond. Gives what was newly found, and the earliest time of sending among what may
        still turn out lost by time.
        """
        found: list[Lost] = []
        earliest: int | None = None
        for chunk, burst in self._suspects(largest_seen, bound):
            if burst.time_ns <= sent_before:
                cut, rule = burst.start_of(largest_seen), "time"
            else:
                cut, rule = burst.start_of(threshold + 1), "packet threshold"
            end = min(chunk.end, bound, cut)
            if end > chunk.start:
                found.append(
                    Lost(
                        chunk.start,
                        end,
                        burst.packet_of(chunk.start),
                        burst.time_ns,
                        rule,
                        burst,
                        chunk.repetition is not None,
                    )
                )
            if end < min(chunk.end, bound) and burst.packet_of(max(chunk.start, end)) < largest_seen:
                earliest = burst.time_ns if earliest is None else min(earliest, burst.time_ns)
        for loss in found:
            self._mark_lost(loss)
        return found, earliest

    def _suspects(self, largest_seen: int, bound: int) -> Iterator[tuple[Chunk, Burst]]:
        for chunk in self._chunks:
            if chunk.start >= bound:
                return
            if chunk.burst.packet_number >= largest_seen:
                if not self._disordered:
                    return
            elif not chunk.lost:
                yield chunk, chunk.burst

    def mark_all_lost(self, why: str) -> None:
        """Take everything outstanding for lost (RFC 6298 §5.4: the timer has expired)."""
        for chunk in self._chunks:
            if not chunk.lost:
                chunk.lost = True
                chunk.why = why
        self._lost_from = 0
        self.lost += self.in_flight
        self.in_flight = 0

    def _mark_lost(self, loss: Lost) -> None:
        start, end = loss.start, loss.end
        index = self._index(start)
        chunk = self._chunks[index]
        if end < chunk.end:
            self._chunks.insert(index + 1, chunk.part(end, chunk.end))
            chunk.end = end
        chunk.lost = True
        self._lost_from = min(self._lost_from, start)
        chunk.why = loss.rule
        self.in_flight -= end - start
        self.lost += end - start

    def _index(self, seq: int) -> int:
        """The index of the last chunk that starts at or before `seq`; -1 if all start behind it."""
        return bisect_right(self._chunks, seq, key=_start) - 1


def _start(chunk: Chunk) -> int:
    return chunk.start
