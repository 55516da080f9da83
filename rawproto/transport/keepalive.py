"""Keep-alives, by RFC 9293 §3.8.4: ask a peer that has long been silent whether it is still there.

Only while nothing is outstanding: what waits for an acknowledgement asks by itself, and the user timeout ends it.
A probe is an acknowledgement with the sequence number SND.NXT - 1, which any TCP or RDT answers; making it, and any
answer's way here, are the connection's business.
"""

from __future__ import annotations

from typing import Literal

from rawproto.transport.config import SECOND

__all__ = ["KeepAlive"]

KEEP_ALIVE_IDLE = 7200 * SECOND
"""RFC 9293 §3.8.4, MUST-27 and MUST-28: 'This interval MUST be configurable and MUST default to no less than two
hours'. Linux: tcp_keepalive_time, 7200 s."""

KEEP_ALIVE_INTERVAL = 75 * SECOND
"""Between two probes; Linux: tcp_keepalive_intvl."""

KEEP_ALIVE_COUNT = 9
"""Probes without an answer; Linux: tcp_keepalive_probes. RFC 9293 §3.8.4, MUST-29: 'it MUST NOT interpret failure to
respond to any specific probe as a dead connection', so one alone would be too few."""


class KeepAlive:
    """When to ask, and when to give up. Times in ns.

    RFC 9293 §3.8.4: 'they MUST default to off' (MUST-25), and 'the application MUST be able to turn them on or off for
    each TCP connection' (MUST-24): `enabled` can be set at any time. Until the first `on_heard` nothing is due.
    """

    __slots__ = ("_asked", "_count", "_heard", "_idle_ns", "_interval_ns", "enabled", "unanswered")

    def __init__(
        self,
        enabled: bool = False,
        idle_ns: int = KEEP_ALIVE_IDLE,
        interval_ns: int = KEEP_ALIVE_INTERVAL,
        count: int = KEEP_ALIVE_COUNT,
    ) -> None:
        self.enabled = enabled
        self._idle_ns = idle_ns
        self._interval_ns = interval_ns
        self._count = count
        self._heard: int | None = None
        self._asked = 0
        self.unanswered = 0
        """Probes sent since the peer was last heard."""

    def on_heard(self, now: int) -> None:
        """The connection is established, or a segment of the peer came."""
        self._heard = now
        self.unanswered = 0

    def next_timeout(self, owed: bool) -> int | None:
        """When the next probe, or the end, is due; None for never. `owed`: the peer has something to acknowledge.

        RFC 9293 §3.8.4, MUST-26: 'Keep-alive packets MUST only be sent when no sent data is outstanding, and no data or
        acknowledgment packets have been received for the connection within an interval'.
        """
        if not self.enabled or owed or self._heard is None:
            return None
        return self._asked + self._interval_ns if self.unanswered else self._heard + self._idle_ns

    def handle_timeout(self, now: int, owed: bool) -> Literal["probe", "dead"] | None:
        """Say what is due at `now`: a probe, which counts as sent; the end of the connection; or nothing."""
        deadline = self.next_timeout(owed)
        if deadline is None or now < deadline:
            return None
        if self.unanswered >= self._count:
            return "dead"
        self.unanswered += 1
        self._asked = now
        return "probe"
