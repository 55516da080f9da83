"""What a connection has counted and measured, in the words of `ss -ti` (man 8 ss)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from rawproto.transport.codec import RdtCodec

if TYPE_CHECKING:
    from rawproto.transport.connection import Connection

__all__ = ["Stats", "collect"]


@dataclass(frozen=True, slots=True)
class Stats:
    """One connection at one moment. Times in ns, sizes in octets of payload, rates in octets a second."""

    state: str
    congestion: str
    """The name of its congestion control."""
    phase: str
    """"open", "fast recovery", "timeout recovery" or "reducing"."""
    cwnd: int
    ssthresh: int | None
    """None: as high as possible."""
    rtt: int
    """Smoothed: SRTT."""
    rttvar: int
    min_rtt: int
    rto: int
    backoff: int
    mss: int
    pmtu: int
    """The largest datagram that the path is taken to carry, header included."""
    delivery_rate: int
    pacing_rate: int
    """0: not paced."""
    unacked: int
    """Octets sent and not acknowledged cumulatively."""
    sacked: int
    lost: int
    in_flight: int
    notsent: int
    retrans: int
    """Datagrams sent again."""
    bytes_sent: int
    bytes_retrans: int
    bytes_acked: int
    bytes_received: int
    segs_out: int
    segs_in: int
    """Datagrams, acknowledgements included."""
    timeouts: int
    tail_probes: int
    window_probes: int
    reord_seen: int
    dsack_dups: int
    undone: int
    """Reductions taken back."""
    ecn: bool
    ecn_marks: int
    """Marked segments that came."""
    ecn_reductions: int
    delayed_acks: int
    challenges: int
    challenges_suppressed: int
    snd_wnd: int
    rcv_wnd: int
    rcv_ooo: int
    """Octets held out of order."""
    rcv_dup: int
    rcv_refused: int
    """Octets that came beyond the window, or that were too many ranges."""
    app_limited: bool
    busy: int
    rwnd_limited: int

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        return asdict(self)


def collect(connection: Connection, now: int) -> Stats:
    """Look at all parts of `connection` at `now`."""
    sender, receiver, board = connection.sender, connection.receiver, connection.sender.scoreboard
    return Stats(
        state=str(connection.state),
        congestion=sender.congestion.name,
        phase=str(sender.recovery.phase),
        cwnd=sender.congestion.cwnd,
        ssthresh=sender.congestion.ssthresh,
        rtt=sender.rtt.srtt,
        rttvar=sender.rtt.rttvar,
        min_rtt=sender.rtt.min_rtt,
        rto=sender.rtt.rto,
        backoff=sender.rtt.backoffs,
        mss=sender.mss,
        pmtu=sender.mss + RdtCodec.header_length,
        delivery_rate=sender.delivery_rate,
        pacing_rate=sender.pacer.rate,
        unacked=sender.snd_nxt - sender.snd_una,
        sacked=board.sacked,
        lost=board.lost,
        in_flight=board.in_flight,
        notsent=sender.unsent,
        retrans=sender.segments_retransmitted,
        bytes_sent=connection.octets_sent,
        bytes_retrans=sender.octets_retransmitted,
        bytes_acked=max(0, sender.buffer.start - sender.iss - 1),
        bytes_received=receiver.delivered,
        segs_out=connection.datagrams_sent,
        segs_in=connection.datagrams_received,
        timeouts=sender.timeouts,
        tail_probes=sender.tail.sent,
        window_probes=sender.persist.sent,
        reord_seen=sender.rack.reordering_seen,
        dsack_dups=sender.duplicates_reported,
        undone=sender.recovery.undone,
        ecn=connection.ecn.active,
        ecn_marks=connection.ecn.marks_received,
        ecn_reductions=connection.ecn.marks_echoed,
        delayed_acks=connection.acks.delayed,
        challenges=connection.challenges.sent,
        challenges_suppressed=connection.challenges.suppressed,
        snd_wnd=max(0, sender.window.edge - sender.snd_una),
        rcv_wnd=receiver.rcv_adv - receiver.rcv_nxt,
        rcv_ooo=receiver.held.total,
        rcv_dup=receiver.duplicate_octets,
        rcv_refused=receiver.refused_octets,
        app_limited=sender.app_limited,
        busy=sender.chronograph.busy(now),
        rwnd_limited=sender.chronograph.rwnd_limited(now),
    )
