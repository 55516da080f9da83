"""How many challenge ACKs one connection may send, by RFC 5961 §7.

What may be forged is answered with an acknowledgement, and that answer may provoke another one: two ends that disagree
would go on for ever, and whoever forges segments would have them multiplied. The limit belongs to one connection: a
limit that connections share tells an outsider what the others do (CVE-2016-5696).
"""

from __future__ import annotations

from rawproto.transport.config import SECOND

__all__ = ["ChallengeLimit"]

MAX_CHALLENGES = 10
"""RFC 5961 §7: 'in any 5 second window, no more than 10 challenge ACKs should be sent'."""

CHALLENGE_PERIOD = 5 * SECOND
"""RFC 5961 §7: 'The values for both the time and number of ACKs SHOULD be tunable by the system administrator'."""


class ChallengeLimit:
    """At most `most` challenges (one at least) in any `period_ns`. Not `enabled`, there is no limit.

    RFC 5961 §7 makes do with a timestamp and a counter, which lets twice as many through where two periods meet.
    The times of the last `most` challenges hold it in any window, and take no room before there is a first one.
    """

    __slots__ = ("_enabled", "_most", "_period_ns", "_times", "sent", "suppressed")

    def __init__(self, enabled: bool = True, most: int = MAX_CHALLENGES, period_ns: int = CHALLENGE_PERIOD) -> None:
        self._enabled = enabled
        self._most = most
        self._period_ns = period_ns
        self._times: list[int] = []
        self.sent = 0
        self.suppressed = 0

    def allow(self, now: int) -> bool:
        """Tell whether a challenge may be sent at `now`, in ns; it is counted as sent or as suppressed."""
        if self._enabled:
            times = self._times
            if len(times) == self._most:
                if now - times[0] < self._period_ns:
                    self.suppressed += 1
                    return False
                del times[0]
            times.append(now)
        self.sent += 1
        return True
