"""The faults that the suite is shown to find, by mechanism.

Each breaks what its mechanism is for, in the smallest way that still runs: a condition turned round, a bound off by
one, an update left out. One that no test can tell from the original (an equal program) has no place here.
"""

from __future__ import annotations

from mutation.mutant import Mutant

__all__ = ["MUTANTS"]

RTT = ("tests/transport/test_transport_rtt.py",)
RANGES = ("tests/transport/test_transport_ranges.py",)
SEND_BUFFER = ("tests/transport/test_transport_sendbuffer.py",)

MUTANTS = (
    Mutant(
        "rto-does-not-double",
        "backoff",
        "rawproto/transport/rtt.py",
        "        self.backoffs += 1\n",
        "        self.backoffs += 0\n",
        RTT,
    ),
    Mutant(
        "ranges-that-touch-stay-apart",
        "sack",
        "rawproto/transport/ranges.py",
        "low = bisect_left(self._ends, start)",
        "low = bisect_right(self._ends, start)",
        RANGES,
    ),
    Mutant(
        "acknowledged-octets-are-kept",
        "retransmission",
        "rawproto/transport/sendbuffer.py",
        "        del self._blocks[:keep], self._starts[:keep]\n",
        "        del self._blocks[:0], self._starts[:0]\n",
        SEND_BUFFER,
    ),
)
