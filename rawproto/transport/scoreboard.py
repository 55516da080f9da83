"""What was sent and is not acknowledged: which packet carried each octet last, and which octets are lost.

Each octet outstanding belongs to exactly one chunk, the one it was last sent in; sending it again moves it to a new
one. Chunks are in sequence order and leave when acknowledged, cumulatively or selectively. A chunk refers to its
burst, which knows the packet number of every octet in it, so one entry stands for up to 64 KiB.

Loss is detected by packet number (RFC 9002 §6.1): a packet is lost once a later one has arrived and either
`packet_threshold` packets or 9/8 of a round trip lie between them. That needs no count of duplicate
acknowledgements and finds a lost retransmission like any other packet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from rawproto.transport.ranges import RangeSet

__all__ = ["Burst", "Chunk", "Lost", "Scoreboard"]

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
    why: str = ""
    """The rule by which it was taken for lost."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A range found lost, with the number of its first packet, when it was sent, and the rule that found it."""

    start: int
    end: int
    packet_number: int
    time_ns: int
    rule: str


class Scoreboard:
    """Outstanding chunks in sequence order. Sizes are in octets of sequence space."""

    __slots__ = ("_chunks", "_disordered", "_sacked", "in_flight", "lost")

    def __init__(self) -> None:
        self._chunks: list[Chunk] = []
        self._sacked = RangeSet()
        self._disordered = False  # a retransmission is outstanding: packet numbers don't rise along the chunks
        self.in_flight = 0
        self.lost = 0

    def __len__(self) -> int:
        return len(self._chunks)

    @property
    def sacked(self) -> int:
        """Octets acknowledged selectively and not yet cumulatively."""
        return self._sacked.total

    def sent(self, start: int, end: int, burst: Burst) -> None:
        """Note new octets `[start, end)`, which follow all that were sent before."""
        self._chunks.append(Chunk(start, end, burst))
        self.in_flight += end - start

    def resent(self, chunk: Chunk, end: int, burst: Burst) -> None:
        """Note that the lost `chunk` was sent again, up to `end`; what lies behind stays lost."""
        if end < chunk.end:
            index = self._index(chunk.start)
            self._chunks.insert(index + 1, Chunk(end, chunk.end, chunk.burst, lost=True, why=chunk.why))
            chunk.end = end
        chunk.burst = burst
        chunk.lost = False
        self.lost -= chunk.end - chunk.start
        self.in_flight += chunk.end - chunk.start
        self._disordered = True

    def first_lost(self) -> Chunk | None:
        """The lost chunk that is lowest in the sequence space."""
        if not self.lost:
            return None
        return next((chunk for chunk in self._chunks if chunk.lost), None)

    def acknowledge(self, una: int) -> int:
        """Drop everything under `una`; give how many octets that newly acknowledges."""
        newly = 0
        keep = 0
        for chunk in self._chunks:
            if chunk.start >= una:
                break
            newly += self._count(chunk, min(chunk.end, una) - chunk.start)
            if chunk.end > una:
                chunk.start = una
                break
            keep += 1
        del self._chunks[:keep]
        self._sacked.remove_below(una)
        if not self._chunks:
            self._disordered = False
        return newly

    def acknowledge_range(self, start: int, end: int) -> int:
        """Drop `[start, end)`, which the peer holds out of order; give how many octets that newly acknowledges."""
        if self._sacked.covers(start, end):
            return 0
        self._sacked.add(start, end)
        newly = 0
        index = max(0, self._index(start))
        while index < len(self._chunks) and self._chunks[index].start < end:
            chunk = self._chunks[index]
            low, high = max(start, chunk.start), min(end, chunk.end)
            if low >= high:
                index += 1
                continue
            newly += self._count(chunk, high - low)
            left = [Chunk(chunk.start, low, chunk.burst, chunk.lost, chunk.why)] if chunk.start < low else []
            right = [Chunk(high, chunk.end, chunk.burst, chunk.lost, chunk.why)] if high < chunk.end else []
            self._chunks[index : index + 1] = left + right
            index += len(left)
        return newly

    def detect_lost(
        self, largest_seen: int, bound: int, packet_threshold: int, sent_before: int
    ) -> tuple[list[Lost], int | None]:
        """Mark what is lost, now that packet `largest_seen` is known to have arrived.

        Only octets under `bound` are judged: the peer said nothing of those beyond. `sent_before` is the time, in
        ns, before which a packet smaller than `largest_seen` counts as lost whatever its number. Gives what was
        newly found, and the earliest time of sending among what may still turn out lost by time.
        """
        found: list[Lost] = []
        earliest: int | None = None
        threshold = largest_seen - packet_threshold
        for chunk, burst in self._suspects(largest_seen, bound):
            if burst.time_ns <= sent_before:
                cut, rule = burst.start_of(largest_seen), "sent long before"
            else:
                cut, rule = burst.start_of(threshold + 1), "packet threshold"
            end = min(chunk.end, bound, cut)
            if end > chunk.start:
                found.append(Lost(chunk.start, end, burst.packet_of(chunk.start), burst.time_ns, rule))
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

    def mark_all_lost(self, why: str = "timeout") -> None:
        """Take everything outstanding for lost (RFC 6298 §5.4: the timer has expired)."""
        for chunk in self._chunks:
            if not chunk.lost:
                chunk.lost = True
                chunk.why = why
        self.lost += self.in_flight
        self.in_flight = 0

    def _mark_lost(self, loss: Lost) -> None:
        start, end = loss.start, loss.end
        index = self._index(start)
        chunk = self._chunks[index]
        if end < chunk.end:
            self._chunks.insert(index + 1, Chunk(end, chunk.end, chunk.burst))
            chunk.end = end
        chunk.lost = True
        chunk.why = loss.rule
        self.in_flight -= end - start
        self.lost += end - start

    def _count(self, chunk: Chunk, octets: int) -> int:
        if chunk.lost:
            self.lost -= octets
        else:
            self.in_flight -= octets
        return octets

    def _index(self, seq: int) -> int:
        """The index of the last chunk that starts at or before `seq`; -1 if all start behind it."""
        return bisect_right(self._chunks, seq, key=_start) - 1


def _start(chunk: Chunk) -> int:
    return chunk.start
