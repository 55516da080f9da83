"""What the packets on the link say of a sender: whether it kept to its window, and to its timeout.

A window of as many packets as there are numbers can't be judged from there: the first and the last would look alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from rawproto.link.script import Arrived, Sent
from rawproto.sim.applications import Account
from rawproto.sim.world import Run
from rawproto.study.onlink import Found, LinkView
from rawproto.study.textbook.machine import Settings
from rawproto.study.textbook.packet import decode

__all__ = ["PacketView"]

SLACK = 2
"""Times that a packet is sent into silence, beyond one for each timeout: the first, and one at the wrong moment."""


class PacketView(LinkView):
    """The packets of one run."""

    def __init__(self, run: Run, settings: Settings) -> None:
        super().__init__(run)
        self.settings = settings

    def last_data(self, account: Account, time_ns: int) -> Sent | None:
        """Whatever comes to a receiver is data."""
        return self.last_arrival(account, time_ns)

    def _sent_as(self, arrived: Arrived) -> Sent | None:
        """The last one before that was the same; if there is none, the last that was struck."""
        before = [sent for sent in self.run.log.sent if sent.time_ns < arrived.time_ns and sent.side != arrived.side]
        candidates = [sent for sent in before if sent.frame == arrived.frame] or [sent for sent in before if sent.fate]
        return candidates[-1] if candidates else None

    def violations(self) -> Iterator[Found]:
        """The first time that the sender had more than its window outstanding, and that it repeated itself too fast."""
        for watch in (Outstanding(self.settings), Silence(self.settings)):
            for entry in self._in_order():
                if isinstance(entry, Sent) and entry.side == "client":
                    text = watch.sent(entry)
                    if text:
                        yield "restraint", entry.time_ns, text, entry
                        break
                elif isinstance(entry, Arrived) and entry.side == "client":
                    watch.heard(entry)


class Outstanding:
    """Counts what has been sent and not acknowledged. Numbers are counted on without end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._base = self._next = 0
        self._has: set[int] = set()

    def sent(self, entry: Sent) -> str:
        """What is wrong about it; "" if nothing is."""
        settings = self._settings
        packet = decode(entry.frame, settings.checksum)
        if packet is None or settings.window >= settings.modulus or packet.seq != self._next % settings.modulus:
            return ""
        self._next += 1
        outstanding = self._next - self._base
        if outstanding <= settings.window:
            return ""
        return f"the sender had {outstanding} packets outstanding; the window is {settings.window}"

    def heard(self, entry: Arrived) -> None:
        """What the sender knows from it."""
        packet = decode(entry.frame, self._settings.checksum)
        if packet is None:
            return
        outstanding = self._next - self._base
        has = self._settings.distance(self._base, packet.has)
        if has < outstanding:
            self._has.add(self._base + has)
        arrived = self._settings.distance(self._base, packet.ack)
        if arrived <= outstanding:
            self._base += arrived
        while self._base in self._has:
            self._base += 1


class Silence:
    """Counts how often a packet is sent without anything being heard."""

    def __init__(self, settings: Settings) -> None:
        self._timeout_ns = settings.timeout_ns
        self._sent: dict[bytes, tuple[int, int]] = {}
        """When it was sent first, and how often."""

    def sent(self, entry: Sent) -> str:
        """What is wrong about it; "" if nothing is."""
        first_ns, times = self._sent.get(entry.frame, (entry.time_ns, 0))
        self._sent[entry.frame] = first_ns, times + 1
        since = entry.time_ns - first_ns
        if times + 1 <= SLACK + since // self._timeout_ns:
            return ""
        return (
            f"the sender sent a packet {times + 1} times in {since / 1e6:g} ms without hearing anything; the timeout "
            f"is {self._timeout_ns / 1e6:g} ms"
        )

    def heard(self, entry: Arrived) -> None:
        """It was not silent."""
        self._sent.clear()
