"""The size of datagrams that the path takes, by RFC 8899 (DPLPMTUD). It knows sizes, times and packet numbers only.

All sizes are those of a whole datagram, header included, in bytes. The search sends *probes*: datagrams that carry no
octet of the stream, padded to the size in question, which the peer reports when they arrive. A lost probe costs
nothing and says nothing about congestion (§3: 'Loss of a probe packet SHOULD NOT be treated as an indication of
congestion'). One is on its way at a time, so they come at least a round trip apart (§3, item 7).

**It begins at the end.** Like TCP, a connection starts with the largest size that the interface and the peer take.
RFC 4821 §7.1 allows that ('eff_pmtu may be greater than search_low'), and on nearly every path it is right: the first
acknowledged datagram of that size confirms it, where a search from below would hold all connections at small
datagrams for round trips. Where it is wrong, datagrams vanish, and the detection of black holes (§4.3) finds it.

**A black hole** is suspected when datagrams above a size that should work are lost three times over, or the
retransmission timer expires twice, and none of their size that was sent later arrived. Losses found at one time count
as one: a full queue drops many in a row, whatever their size. Then the size falls to the base, which a probe or any
datagram that arrives confirms (BASE), and the search goes up from there (SEARCHING): first through the sizes that
tunnels and links leave of 1500 bytes, then by halves, until less than `GRANULARITY` is left to gain (SEARCH_COMPLETE).
`raise_after_ns` later it looks again. If not even the base gets through, the size is the smallest that RDT allows
(ERROR) and the search goes on below the base; if that does not get through either, the path is down, nothing that
failed meanwhile tells anything about sizes, and the first sign of life begins again with the base.

Probes are bounded: `probes` for each size, some 20 sizes for a search, and a search for each fall, of which no more
than MAX_FALLS start one until the raise timer has expired.

Not here: what ICMP says (RDT ignores it, docs/rdt.md [4-8]), and the CONFIRMATION_TIMER (§5.1.1: 'When an
acknowledged PL is used, this timer MUST NOT be used').
"""

from __future__ import annotations

from enum import StrEnum

from rawproto.transport.config import SECOND

__all__ = ["PathMtu", "PathState"]

MAX_PROBES = 3
"""RFC 8899 §5.1.2: 'The default value of MAX_PROBES is 3'. It counts attempts of one size here: §5.3.1 leaves it to the
search which size comes next, and this one ends by what is left to gain."""

RAISE_AFTER = 600 * SECOND
"""RFC 8899 §5.1.1, PMTU_RAISE_TIMER: 'This timer has a period of 600 seconds'."""

HASTE = 20
"""How much sooner that is below the base."""

PROBE_TIMER = SECOND
"""RFC 8899 §5.1.1: 'This value MUST NOT be smaller than 1 second'; for a round-trip time that is not known."""

MINIMUM = 104
"""docs/rdt.md [3.5-13]: every host that takes part can receive this, and every carrier takes it ([4-1])."""

GRANULARITY = 8
"""RFC 8899 §5.3.2: 'The search algorithm determines a minimum useful gain in PLPMTU'."""

COMMON_MTUS = (1280, 1400, 1420, 1450, 1472, 1480, 1492, 1500)
"""Of IP packets: IPv6's least, what WireGuard, VXLAN, GRE, 6in4, PPPoE and their like leave of Ethernet's 1500, and
that. RFC 8899 §5.3.2: 'Implementations could optimize the search procedure by selecting step sizes from a table of
common PMTU sizes'. Going up, at most one of them fails."""

LOSSES = 3
"""Losses that make a black hole. RFC 8899 §4.3: 'detect excessive loss of data sent with a specific packet size'."""

TIMEOUTS = 2
"""Retransmission timeouts that do. RFC 4821 §7.7: 'a full-stop timeout ... SHOULD be taken as an indication of some
significantly disruptive event in the network', and is treated as a black hole."""

MOST_PATIENCE = 8
MOST_TIMEOUTS = 4
"""How far a path that loses much raises the number of probes and of timeouts that prove anything."""

CREDIBLE = 10
"""Per mille: how probable it may be at most that as many probes were lost by chance alone."""

STUCK = 4
"""Timeouts in a row, with datagrams out that even the base would carry, after which the path may carry less."""

MAX_FALLS = 3
"""RFC 8899 §5.2, ERROR: 'contradictory information about the network path that would otherwise result in excessive
variation'. After more falls than this the size stays at the base until the raise timer expires."""


class PathState(StrEnum):
    """RFC 8899 §5.2. In ERROR the size is below the base, whether or not there is still something to try."""

    DISABLED = "DISABLED"
    BASE = "BASE"
    SEARCHING = "SEARCHING"
    SEARCH_COMPLETE = "SEARCH_COMPLETE"
    ERROR = "ERROR"


class PathMtu:
    """The search of one path. `size` is the largest datagram that may be sent, probes excepted.

    `maximum` is what interface and peer take, `base` what should work nearly everywhere (1200); a base above the
    maximum is taken for the maximum. `overhead` is what the carrier adds to a datagram to make an IP packet. Not
    `enabled`, the size is the maximum for ever. Whatever returns a bool tells that `size` has changed, up for a probe
    and down for the others, so that what waits to be sent must be cut anew.

    Packet numbers must rise in the order of sending. RFC 8899 §5.1.1 lets a sender withhold probes from a path that has
    nothing to do: not to ask `probe_due`, nor for timeouts, is all that takes.
    """

    __slots__ = (
        "_arrived",
        "_asked",
        "_base",
        "_candidate",
        "_ceiling",
        "_deadline",
        "_failures",
        "_falls",
        "_losses",
        "_lost_ns",
        "_minimum",
        "_overhead",
        "_probes",
        "_raise_after_ns",
        "_raise_at",
        "_stuck",
        "_suspect",
        "_timeouts",
        "_unproven",
        "loss_permille",
        "maximum",
        "size",
        "state",
    )

    def __init__(
        self,
        base: int,
        maximum: int,
        *,
        enabled: bool = True,
        probes: int = MAX_PROBES,
        raise_after_ns: int = RAISE_AFTER,
        overhead: int = 20,
    ) -> None:
        self.maximum = maximum
        self.size = maximum
        self.state = PathState.SEARCH_COMPLETE if enabled else PathState.DISABLED
        self.loss_permille = 0
        """What the path loses whatever the size, as far as known: the more, the less a single loss says."""
        self._minimum = min(MINIMUM, maximum)
        self._base = max(min(base, maximum), self._minimum)
        self._probes = probes
        self._raise_after_ns = raise_after_ns
        self._overhead = overhead
        self._candidate = 0  # the size to probe; 0 for none
        self._failures = 0  # PROBE_COUNT of RFC 8899 §5.1.3
        self._deadline: int | None = None  # PROBE_TIMER: a probe is on its way
        self._raise_at: int | None = None  # PMTU_RAISE_TIMER
        self._ceiling = maximum + 1  # the smallest size that is taken to be too large
        self._unproven = False  # nothing of this size has arrived since it fell to it
        self._falls = 0  # since the raise timer expired
        self._asked: tuple[int, ...] = ()  # sizes probed since then, or since the last fall
        self._losses = self._timeouts = self._stuck = 0
        self._lost_ns = -1  # when the last of them was found
        self._suspect = maximum  # the smallest size among them, or `size`
        self._arrived = -1  # the latest packet number of that size that arrived

    # -- probes --------------------------------------------------------------------------------------------------

    def probe_due(self) -> int:
        """Give the size of the probe to send now; 0 for none."""
        return self._candidate if self._deadline is None else 0

    def on_probe_sent(self, size: int, now: int, timeout_ns: int = 0) -> None:
        """A probe left. It counts as lost after `timeout_ns`: the RTO, or 0 if no round trip has been measured.

        RFC 8899 §5.1.1 wants 'a period longer than the maximum time to receive an acknowledgment to a probe packet',
        which the RTO is, but one that is not 'smaller than 1 second'. A smaller RTO departs from that, so that a search
        of ten sizes does not take half a minute; who wants the letter gives a second at least.
        """
        if size not in self._asked:
            self._asked += (size,)
        self._deadline = now + (timeout_ns or PROBE_TIMER)

    def on_probe_acked(self, size: int, now: int) -> bool:
        """The peer reports a probe; true if `size` grew.

        However late: what arrived, arrived. But not from before the last fall, when the path may have been another one,
        and not what was never asked (RFC 8899 §3: 'The feedback mechanism is REQUIRED to be robust to the possibility
        that packets could be significantly delayed or duplicated').
        """
        grew = size > self.size
        if size not in self._asked or not (grew or (self._unproven and size == self.size)):
            return False
        self._take(size, now)
        return grew

    def _take(self, size: int, now: int) -> None:
        """Use `size`, which has been shown to get through, and look for more."""
        self.size = size
        self._unproven = False
        if self._ceiling <= size:  # it failed before, and so what was concluded from that is void
            self._ceiling = self.maximum + 1
        if size >= self._base:
            self.state = PathState.SEARCHING
        self._trust()
        self._search(now)

    def _search(self, now: int) -> None:
        self._deadline = self._raise_at = None
        self._failures = 0
        self._candidate = self._choose()
        if not self._candidate:
            self._rest(now)

    def _choose(self) -> int:
        low, high = self.size, self._ceiling
        if low < self._base < high:
            return self._base
        if self._falls > MAX_FALLS:
            return 0
        for mtu in COMMON_MTUS:
            size = mtu - self._overhead
            if low + GRANULARITY <= size < high:
                return size
        if high > self.maximum:
            return self.maximum if low < self.maximum else 0
        return (low + high) // 2 if high - low > GRANULARITY else 0

    def _rest(self, now: int) -> None:
        self._candidate = 0
        if self.state is PathState.SEARCHING:
            self.state = PathState.SEARCH_COMPLETE
        if self.size < self.maximum or self._falls:
            # Below the base every segment costs: look again soon.
            self._raise_at = now + self._raise_after_ns // (1 if self.size >= self._base else HASTE)

    # -- time ----------------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When `handle_timeout` wants to be called, in ns; None for never."""
        return self._raise_at if self._deadline is None else self._deadline

    def handle_timeout(self, now: int) -> bool:
        """Count a probe as lost, or begin to search again, if that is due; true if `size` fell."""
        if self._deadline is not None and now >= self._deadline:
            return self._on_probe_lost(now)
        if self._raise_at is not None and now >= self._raise_at:
            self._raise_at = None
            self._ceiling = self.maximum + 1
            self._falls = 0
            self._asked = ()
            if self.state is PathState.SEARCH_COMPLETE:
                self.state = PathState.SEARCHING
            if self._unproven:
                self._confirm()
            else:
                self._search(now)
        return False

    def _on_probe_lost(self, now: int) -> bool:
        self._deadline = None
        self._failures += 1
        if self.state is PathState.ERROR and self._unproven:
            self._ceiling = self.maximum + 1  # the path is down: nothing that failed was too large for that
        if self._failures < self._patience(self._probes, MOST_PATIENCE):
            return False
        if not self._unproven:
            self._ceiling = self._candidate
            self._search(now)
        elif self.state is PathState.BASE:
            self._ceiling = min(self._ceiling, self._base)
            return self._fail()
        else:
            self._rest(now)
        return False

    # -- black holes -----------------------------------------------------------------------------------------------

    def on_full_sized_acked(self, size: int, number: int, now: int) -> None:
        """A datagram of `size`, with this packet number, arrived.

        What a segment acknowledges is to be told before what it shows to be lost.
        """
        if size > self._minimum:
            self._stuck = 0
        if self._unproven and size >= self.size:
            self._take(self.size, now)
        if size >= self._suspect and number > self._arrived:
            self._arrived = number
            self._trust()

    def on_full_sized_lost(self, size: int, number: int, now: int) -> bool:
        """A datagram of `size`, with this packet number, was found lost; true if `size` fell.

        One that the size has fallen below meanwhile tells nothing, nor does one that could not be a reason to fall.
        """
        if not self.threshold < size <= self.size or number <= self._arrived:
            return False
        self._suspect = min(self._suspect, size)
        if now != self._lost_ns:
            self._lost_ns = now
            self._losses += 1
        return self._losses >= LOSSES and self._fall()

    def on_retransmission_timeout(self, outstanding_full_sized: bool, now: int, *, smaller: bool = False) -> bool:
        """The retransmission timer expired; true if `size` fell.

        Only one with datagrams of that size out counts; but a path may take less than the base, too: after so many
        timeouts in a row that had `smaller` ones out, above the minimum, it is taken for such a path.
        """
        if self.state is PathState.DISABLED:
            return False
        self._stuck += smaller
        if self._stuck >= STUCK:
            self._stuck = 0
            self._falls += 1
            self._asked = ()
            return self._fail()  # the base would carry what is out, and does not
        if not outstanding_full_sized or self.threshold >= self.size:
            return False
        self._timeouts += 1
        return self._timeouts >= self._patience(TIMEOUTS, MOST_TIMEOUTS) and self._fall()

    def _patience(self, least: int, most: int) -> int:
        """How many losses in a row are not chance, on a path that loses so much (RFC 8899 §5.1.2: a larger MAX_PROBES
        'can be used to make the search more robust to loss')."""
        arrives = 1000 - min(self.loss_permille, 900)
        fails = 1000 - arrives * arrives // 1000  # the probe, or the answer
        count, chance = 1, fails
        while chance > CREDIBLE and count < most:
            count, chance = count + 1, chance * fails // 1000
        return max(count, least)

    @property
    def threshold(self) -> int:
        """No loss of a datagram up to this size speaks against the path."""
        if self.state is PathState.DISABLED:
            return self.maximum
        return self._base if self.size > self._base else self._minimum

    def _fall(self) -> bool:
        size = self.size
        self._falls += 1
        self._asked = ()
        self._ceiling = min(self._ceiling, size + 1)
        if size < self._base or self.state is PathState.BASE:
            return self._fail()
        self.state = PathState.BASE
        self.size = self._base
        self._confirm()
        return size > self.size

    def _fail(self) -> bool:
        fell = self.size > self._minimum
        self.state = PathState.ERROR
        self.size = self._minimum
        self._confirm()
        return fell

    def _confirm(self) -> None:
        """Probe the size that is in use."""
        self._unproven = True
        self._candidate = self.size
        self._failures = 0
        self._deadline = self._raise_at = None
        self._trust()

    def _trust(self) -> None:
        self._losses = self._timeouts = 0
        self._suspect = self.size
