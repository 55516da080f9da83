"""The receiving half: put octets in order, hold what came early, offer a window.

What was acknowledged selectively is kept (RDT forbids reneging: docs/rdt.md §7.3), and the right edge of the
window never moves back (RFC 9293 §3.8.6: shrinking it is 'strongly discouraged'; here it is forbidden), so the
buffer can hold all that a peer may send.
"""

from __future__ import annotations

from collections import deque

from rawproto.transport.config import Config
from rawproto.transport.ranges import RangeSet
from rawproto.transport.records import RecordEnds

__all__ = ["Receiver"]

_COALESCE = 4096
"""Ready blocks up to this size are put together, so that a peer's small segments don't become many small blocks."""
_PIECES_PER_RANGE = 16
"""How many pieces may be held out of order for each range that may: small ones cost far more than their octets."""


class Receiver:
    """Reassembly and flow control for one direction. Knows sequence numbers; knows neither segments nor time."""

    __slots__ = (
        "_config", "_head", "_held", "_max_ranges", "_ready", "_size", "delivered", "duplicate", "duplicate_octets",
        "fin", "held", "irs", "rcv_adv", "rcv_nxt", "read_from", "ready", "records", "refused_octets", "whole_records",
    )  # fmt: skip

    def __init__(self, config: Config) -> None:
        self._config = config
        self._size = config.receive_buffer
        self._max_ranges = config.max_ranges
        self._ready: deque[bytes] = deque()
        self._head = 0  # octets of the first ready block that the application has taken
        self._held: dict[int, bytes] = {}  # payload that came early, by its first sequence number
        self.held = RangeSet()
        """The ranges held out of order: what SACK reports."""
        self.ready = 0
        """Octets in order that wait for the application."""
        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0
        """The right edge of the window as last offered to the peer."""
        self.fin: int | None = None
        """The sequence number of the peer's FIN, once it has come."""
        self.records = RecordEnds()
        self.whole_records = False
        """The application takes nothing but whole records."""
        self.read_from = 0
        """The sequence number of the first octet that the application has not taken."""
        self.duplicate: tuple[int, int] | None = None
        """A range that came once more than needed and has not been reported (RFC 2883)."""
        self.duplicate_octets = 0
        self.refused_octets = 0
        self.delivered = 0
        """Octets that were made ready for the application."""

    def start(self, irs: int) -> None:
        """Take `irs` for the peer's initial sequence number; its SYN has come."""
        self.irs = irs
        self.rcv_nxt = irs + 1
        self.rcv_adv = self.read_from = self.rcv_nxt

    @property
    def at_end(self) -> bool:
        """All of the peer's stream has come, its FIN included."""
        return self.fin is not None and self.rcv_nxt > self.fin

    def window(self, mss: int = 1) -> int:
        """The window to offer now, in octets. A right edge once offered is kept.

        RFC 9293 §3.8.6.2.2: it moves only by min(half the buffer, MSS) or more, or the peer would send slivers.
        """
        edge = self._edge()
        if edge - self.rcv_adv >= self._least(mss):
            self.rcv_adv = edge
        return self.rcv_adv - self.rcv_nxt

    def _least(self, mss: int) -> int:
        """By how much the right edge must move, if it moves.

        By anything, if the application waits for the rest of a record: it makes no more room before that has come.
        """
        if not self._config.silly_window:
            return 1
        if self.whole_records and self.rcv_adv - self.rcv_nxt < mss and self.ready and self.record_ready is None:
            return 1
        return min(self._size // 2, mss)

    def _edge(self) -> int:
        """Where the window would end if it were offered now.

        Octets held out of order lie inside the window, so they don't count against it a second time.
        """
        return self.rcv_nxt + max(0, self._size - self.ready)

    def update_due(self, mss: int) -> bool:
        """Tell whether the window has opened so far that the peer should hear of it.

        RFC 9293 §3.8.6.2.2: when it can be moved by at least min(half the buffer, MSS); here a quarter of the
        buffer while the peer still has room, so that a fast reader doesn't answer every read with a segment.
        """
        edge = self._edge()
        room = self.rcv_adv - self.rcv_nxt
        if room < mss:
            return edge - self.rcv_adv >= self._least(mss)
        return edge - self.rcv_adv >= self._size // 4 and room < self._size // 2

    def accept(self, seq: int, payload: bytes | memoryview) -> str:
        """Take in the octets at `seq` that are new and inside the window; say what became of them.

        The answer is one of: "in order", "fills a gap", "out of order", "duplicate", "beyond the window",
        "too many ranges". Octets that had come before are left in `duplicate`.
        """
        end = min(seq + len(payload), self.rcv_adv if self.fin is None else min(self.rcv_adv, self.fin))
        if end <= seq:
            self.refused_octets += len(payload)
            return "beyond the window"
        self.refused_octets += seq + len(payload) - end
        if seq == self.rcv_nxt and not self.held:  # nothing early, nothing late: the common case
            self._deliver(payload if end - seq == len(payload) else payload[: end - seq])
            self.rcv_nxt = end
            return "in order"
        gaps = self.held.gaps(max(seq, self.rcv_nxt), end)
        new = sum(high - low for low, high in gaps)
        if new < end - seq:
            self._note_duplicate(seq, end, payload, gaps)
        if not new:
            return "duplicate"
        return self._accept_gaps(seq, payload, gaps, new)

    def _accept_gaps(self, seq: int, payload: bytes | memoryview, gaps: list[tuple[int, int]], new: int) -> str:
        """Take in what of `payload` had not come before: the ranges `gaps`, `new` octets in all."""
        early = gaps[0][0] > self.rcv_nxt
        full = len(self.held) >= self._max_ranges or len(self._held) >= self._max_ranges * _PIECES_PER_RANGE
        if early and full:
            self.refused_octets += new
            return "too many ranges"
        for low, high in gaps:
            piece = bytes(payload[low - seq : high - seq])
            if self._config.sequencing:
                self._held[low] = piece
            else:
                self._deliver(piece)
            self.held.add(low, high)
        if early:
            return "out of order"
        filled = self.held.total > new
        self._deliver_held()
        return "fills a gap" if filled else "in order"

    def _note_duplicate(self, seq: int, end: int, payload: bytes | memoryview, gaps: list[tuple[int, int]]) -> None:
        """Count octets of `[seq, end)` that had come before, and remember the first run of them."""
        new = sum(high - low for low, high in gaps)
        self.duplicate_octets += end - seq - new
        start = seq
        if gaps and gaps[0][0] == seq:
            start = gaps[0][1]
        self.duplicate = (start, next((low for low, _ in gaps if low > start), end))
        if not self._config.duplicate_suppression:
            self._deliver(bytes(payload[start - seq : self.duplicate[1] - seq]))

    def accept_old(self, seq: int, payload: bytes | memoryview) -> None:
        """Note octets from before the window, which the application has been given already."""
        self.duplicate_octets += len(payload)
        if payload and seq > self.irs:
            self.duplicate = (seq, seq + len(payload))
            if not self._config.duplicate_suppression:
                self._deliver(payload)

    def accept_fin(self, seq: int) -> bool:
        """Note the FIN at `seq`; tell whether the stream is complete with it.

        One beyond the window, or before octets that have come, is not noted.
        """
        if self.fin is None and max(self.rcv_nxt, self.held.end) <= seq <= self.rcv_adv:
            self.fin = seq
        if self.fin is not None and self.rcv_nxt == self.fin:
            self.rcv_nxt += 1
            self.rcv_adv = max(self.rcv_adv, self.rcv_nxt)
            return True
        return False

    def _deliver(self, payload: bytes | memoryview) -> None:
        """Make `payload` ready for the application."""
        if self._ready and len(self._ready[-1]) + len(payload) <= _COALESCE:
            self._ready[-1] += bytes(payload)
        else:
            self._ready.append(bytes(payload))
        self.ready += len(payload)
        self.delivered += len(payload)

    def _deliver_held(self) -> None:
        """Move on over all that is held without a gap."""
        while (block := self._held.pop(self.rcv_nxt, None)) is not None:
            self._deliver(block)
            self.rcv_nxt += len(block)
        if self.held and not self._config.sequencing:
            start, end = self.held.first(1)[0]
            self.rcv_nxt = end if start <= self.rcv_nxt else self.rcv_nxt
        self.held.remove_below(self.rcv_nxt)

    def end_record(self, seq: int) -> None:
        """A record ends before `seq`."""
        if self.read_from < seq <= self.rcv_adv:
            self.records.add(seq)

    @property
    def record_ready(self) -> int | None:
        """How long the next record is, if all of it has come."""
        end = self.records.after(self.read_from)
        return end - self.read_from if end is not None and end <= self.rcv_nxt else None

    def read_record(self, limit: int) -> tuple[bytes, int]:
        """Give the next record, cut to `limit` octets, and its full length; (b"", -1) if none is complete."""
        length = self.record_ready
        if length is None:
            return b"", -1
        data = self.read(length)
        self.records.release(self.read_from)
        return data[:limit], length

    def read(self, limit: int) -> bytes:
        """Give the application up to `limit` octets, b"" if none are ready."""
        blocks = []
        wanted = max(0, min(limit, self.ready))
        self.ready -= wanted
        self.read_from += wanted
        while wanted:
            block = self._ready[0]
            left = len(block) - self._head
            if wanted < left:
                blocks.append(block[self._head : self._head + wanted])
                self._head += wanted
                break
            blocks.append(block[self._head :])
            wanted -= left
            self._head = 0
            self._ready.popleft()
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)
