"""A listener: what takes connections on a port, and what it answers to those who have proved nothing yet.

With cookies it keeps nothing of a SYN (RFC 4987 §3.6): its answer holds, sealed, all that it would have to remember,
and has at most three times the bytes of what it answers (RFC 9000 §8.1). The connection is made when the cookie comes
back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rawproto.transport.cookie import Baked, CookieJar, allowed
from rawproto.transport.segment import ACK, CWR, ECE, SYN, Segment

if TYPE_CHECKING:
    from rawproto.transport.codec import RdtCodec
    from rawproto.transport.config import Config
    from rawproto.transport.connection import Connection

__all__ = ["Listener", "answer_statelessly"]


@dataclass(eq=False, slots=True)
class Listener:
    """A port that takes connections. `queue` holds those that are established and not yet accepted."""

    port: int
    backlog: int
    records: bool = False
    """It takes streams of records (SOCK_SEQPACKET)."""
    queue: deque[Connection] = field(default_factory=deque)
    half_open: int = 0
    overflows: int = 0
    """Connections that were not taken because the backlog was full."""

    @property
    def full(self) -> bool:
        """There is no room for another connection."""
        return self.half_open + len(self.queue) >= self.backlog


def answer_statelessly(
    listener: Listener,
    segment: Segment,
    peer: str,
    iss: int,
    jar: CookieJar,
    config: Config,
    codec: RdtCodec,
    mss: int,
    now: int,
) -> Segment | None:
    """The answer to a SYN, with a cookie; None if it would be too large for what it answers."""
    ecn = config.answers_marks and segment.flags & (ECE | CWR) == ECE | CWR
    baked = Baked(segment.seq, mss if segment.mss is None else segment.mss, segment.record, ecn)
    reply = Segment(listener.port, segment.source_port, SYN | ACK | (ECE if ecn else 0), iss, ack=segment.seq + 1)
    reply.wnd = config.receive_buffer
    reply.mss = mss
    reply.seen = (segment.packet_number, 0)
    reply.record = min(config.max_record, config.receive_buffer) if listener.records else None
    reply.cookie = jar.bake(now, listener.port, peer, segment.source_port, iss, baked)
    received = codec.header_length + codec.options_length(segment) + len(segment.payload)
    return reply if codec.header_length + codec.options_length(reply) <= allowed(received) else None
