"""Seeded bugs of the receiving half and of the codec: what the application is given, and what the peer is told."""

from __future__ import annotations

from mutation.seeded_base import bug

__all__ = ["BUGS"]

BUGS = (
    # -- reassembly ------------------------------------------------------------------------------------------------
    bug(
        "overlap-is-cut-at-the-wrong-end",
        "receiver",
        "piece = bytes(payload[low - seq : high - seq])",
        "piece = bytes(payload[: high - low])",
        "of a segment whose head had come before, the head is kept and the tail dropped",
    ),
    bug(
        "old-head-is-taken-again",
        "receiver",
        "self.held.gaps(max(seq, self.rcv_nxt), end)",
        "self.held.gaps(seq, end)",
        "octets before RCV.NXT are filed as if they were new",
    ),
    bug(
        "early-segment-is-appended",
        "receiver",
        "if seq == self.rcv_nxt and not self.held:",
        "if not self.held:",
        "a segment ahead of a gap is given to the application at once",
    ),
    bug(
        "stale-octets-count-as-next",
        "arrival",
        "if receiver.rcv_nxt <= seq <= edge or receiver.irs <= seq < receiver.rcv_nxt < end:",
        "if seq <= edge:",
        "the lower bound of the window is not checked",
    ),
    bug(
        "gap-is-forgotten",
        "receiver",
        "            self._deliver(block)\n            self.rcv_nxt += len(block)",
        "            self._deliver(block)\n            self.rcv_nxt = max(self.rcv_nxt + len(block), self.held.end)",
        "after one gap is filled the receiver moves on over the next one too",
    ),
    bug(
        "held-block-counts-short",
        "receiver",
        "self.rcv_nxt += len(block)",
        "self.rcv_nxt += len(block) - 1",
        "RCV.NXT moves on by one octet too few over what came early",
    ),
    bug(
        "place-in-a-block-is-overwritten",
        "receiver",
        "self._head += wanted",
        "self._head = wanted",
        "a second short read of one block begins at the wrong place",
    ),
    bug(
        "next-block-loses-its-head",
        "receiver",
        "            self._head = 0\n",
        "",
        "the place within a block is not reset for the next block",
    ),
    bug(
        "octets-read-still-fill-the-window",
        "receiver",
        "return self.rcv_nxt + max(0, self._size - self.ready)",
        "return max(self.rcv_nxt, self.irs + 1 + self._size)",
        "the window does not open again by what was read",
    ),
    bug(
        "dropped-ranges-are-reported",
        "receiver",
        '            self.refused_octets += new\n            return "too many ranges"',
        '            self.held.add(*gaps[0])\n            return "too many ranges"',
        "what is dropped for want of room is reported by SACK all the same",
    ),
    bug(
        "neighbours-are-merged-over-a-hole",
        "ranges",
        "high = bisect_right(self._starts, end)",
        "high = bisect_right(self._starts, end + 1)",
        "two ranges with one octet between them become one",
    ),
    # -- acknowledgement ---------------------------------------------------------------------------------------------
    bug(
        "ack-goes-beyond-the-gap",
        "connection",
        "segment.ack = receiver.rcv_nxt",
        "segment.ack = max(receiver.rcv_nxt, receiver.held.end)",
        "what was not received is acknowledged, as far as something behind it was",
    ),
    bug(
        "ack-is-one-ahead",
        "connection",
        "segment.ack = receiver.rcv_nxt",
        "segment.ack = receiver.rcv_nxt + (receiver.fin is not None and not receiver.at_end)",
        "with the FIN known, one octet too many is acknowledged",
    ),
    bug(
        "sack-is-one-too-long",
        "codec",
        "tuple((start - ack, end - ack) for start, end in segment.sack)",
        "tuple((start - ack, end - ack + 1) for start, end in segment.sack)",
        "each SACK range claims the first octet of the hole behind it",
    ),
    bug(
        "sack-is-read-from-the-edge",
        "codec",
        "segment.sack = tuple((ack + start, ack + end) for start, end in sack)",
        "segment.sack = tuple((ack, ack + end) for start, end in sack)",
        "a SACK range is taken to begin at the acknowledgement: the hole counts as filled",
    ),
    bug(
        "old-octets-are-not-acknowledged",
        "arrival",
        'connection.acks.at_once("ACK of a segment outside the window")',
        "pass",
        "what is sent again because its acknowledgement was lost is dropped in silence",
    ),
    # -- the end of the stream ---------------------------------------------------------------------------------------
    bug(
        "fin-does-not-count",
        "receiver",
        "            self.rcv_nxt += 1\n",
        "",
        "RCV.NXT does not move over the FIN",
    ),
    bug(
        "fin-overtakes-data",
        "receiver",
        "if self.fin is not None and self.rcv_nxt == self.fin:",
        "if self.fin is not None:",
        "a FIN that comes ahead of a gap ends the stream",
    ),
    bug(
        "end-is-told-when-fin-is-known",
        "receiver",
        "return self.fin is not None and self.rcv_nxt > self.fin",
        "return self.fin is not None",
        "the application is told the end while octets are missing",
    ),
    bug(
        "data-after-our-fin-is-dropped",
        "state",
        "RECEIVING = frozenset((_S.ESTABLISHED, _S.FIN_WAIT_1, _S.FIN_WAIT_2))",
        "RECEIVING = frozenset((_S.ESTABLISHED, _S.FIN_WAIT_1))",
        "a half-closed connection receives nothing once its FIN is acknowledged",
    ),
    # -- records -----------------------------------------------------------------------------------------------------
    bug(
        "record-end-out-of-order-is-lost",
        "arrival",
        'if segment.flags & EOR and outcome != "too many ranges":',
        'if segment.flags & EOR and outcome == "in order":',
        "the end of a record is noted only if the record comes in order",
    ),
    bug(
        "record-ends-are-appended",
        "records",
        "            insort(self._ends, end)",
        "            self._ends.append(end)",
        "ends of records are kept in the order in which they came",
    ),
    bug(
        "records-run-together",
        "sender",
        "return end if limit is None else min(end, limit)",
        "return end",
        "one segment may hold several records and marks the end of the last",
    ),
    bug(
        "every-datagram-ends-a-record",
        "codec",
        "_LAST_ONLY = FIN | PSH | EOR",
        "_LAST_ONLY = FIN | PSH",
        "all datagrams of a long record carry the end mark",
    ),
    bug(
        "record-is-read-in-part",
        "receiver",
        "return end - self.read_from if end is not None and end <= self.rcv_nxt else None",
        "return end - self.read_from if end is not None and self.ready else None",
        "a record whose end is known is given out before all of it has come",
    ),
    bug(
        "record-marks-go-before-the-ack",
        "feedback",
        "sender.records.release(segment.ack)",
        "sender.records.release(sender.snd_nxt)",
        "a record that is sent again has lost its end mark",
    ),
    # -- the codec ---------------------------------------------------------------------------------------------------
    bug(
        "checksum-covers-the-header-alone",
        "codec",
        "intact = crc32(payload, crc32(start)) == crc if checksum is None",
        "intact = end > header or crc32(payload, crc32(start)) == crc if checksum is None",
        "a datagram with payload passes whatever its checksum",
    ),
    bug(
        "offset-of-later-datagrams",
        "codec",
        "header = pack(*head, number, seq + offset, ack, wnd)",
        "header = pack(*head, number, seq + offset - offsets.start, ack, wnd)",
        "datagrams of one segment forget that options shortened the first",
    ),
    bug(
        "offset-of-the-last-datagram",
        "codec",
        'segment.flags, b"", view[last:], last, index, checksum, mask)',
        'segment.flags, b"", view[last:], last - 1, index, checksum, mask)',
        "the last datagram of a segment is placed one octet too low",
    ),
    bug(
        "joined-over-a-hole",
        "codec",
        "run == (source, destination, flags & _INNER, seq, number, ack, wnd):",
        "run and run[:3] == (source, destination, flags & _INNER):",
        "datagrams that came together are joined whether or not they are contiguous",
    ),
    bug(
        "joined-fin-is-lost",
        "codec",
        "                segment.flags = flags\n",
        "",
        "of joined datagrams the flags of the last are dropped",
    ),
    bug(
        "numbers-are-never-negative",
        "sequence",
        "return reference - self._half + (number - reference + self._half & self.mask)",
        "return reference + (number - reference & self.mask)",
        "every number is taken to lie ahead: an old octet becomes a new one",
    ),
)
