"""Selective repeat: each packet is acknowledged and sent again by itself (Kurose & Ross §3.4.4; RFC 3366 §1.4.2).

The receiver keeps what comes out of order, so it has a window, too. Only half of all numbers may be on the way, or the
window that the receiver waits for and the one that the sender may still repeat would overlap.
"""

from __future__ import annotations

from rawproto.study.textbook.machine import Receiver, Sender, Settings
from rawproto.study.textbook.packet import Packet

__all__ = ["SelectiveRepeatReceiver", "SelectiveRepeatSender"]


class SelectiveRepeatSender(Sender):
    """Keeps up to `window` packets on the way, each with a timer of its own."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.base = 0
        """The number of the oldest packet that has not been acknowledged."""
        self.count = 0  # packets that have been sent from there on
        self.data: dict[int, bytes] = {}
        """By number, those of them that have not been acknowledged."""
        self.timers: dict[int, int] = {}
        """When each of those is sent again, in ns."""

    def poll_transmit(self, now: int) -> list[bytes]:
        """Send new packets as long as the window is open."""
        while self.unsent and self.count < self.settings.window:
            number = (self.base + self.count) % self.settings.modulus
            self.data[number] = self.unsent.popleft()
            self.count += 1
            self._transmit(number, now)
        return super().poll_transmit(now)

    def receive(self, datagram: bytes, now: int) -> None:
        """Forget what has been acknowledged, and move the window to the oldest packet that has not."""
        packet = self.unpack(datagram)
        if packet is None:
            return
        distance = self.settings.distance
        arrived = distance(self.base, packet.ack)
        if arrived > self.count:
            arrived = 0  # an old one
        for number in [number for number in self.data if distance(self.base, number) < arrived]:
            self._forget(number)
        if packet.has in self.data:
            self._forget(packet.has)
        while self.count and self.base not in self.data:
            self.base = (self.base + 1) % self.settings.modulus
            self.count -= 1

    def next_timeout(self) -> int | None:
        """The first of all timers."""
        return min(self.timers.values(), default=None)

    def handle_timeout(self, now: int) -> None:
        """Send again the packets whose time has come, and no others."""
        for number in [number for number, due_ns in self.timers.items() if due_ns <= now]:
            self._transmit(number, now)

    @property
    def done(self) -> bool:
        """Nothing is left and nothing is on the way."""
        return self.finished and not self.unsent and not self.data

    def _transmit(self, number: int, now: int) -> None:
        data = self.data[number]
        self.transmit(Packet(number, data, last=not data))
        self.timers[number] = now + self.settings.timeout_ns

    def _forget(self, number: int) -> None:
        del self.data[number], self.timers[number]


class SelectiveRepeatReceiver(Receiver):
    """Keeps what comes out of order until what is missing has come."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.base = 0
        """The number that is next in order."""
        self.kept: dict[int, Packet] = {}

    def receive(self, datagram: bytes, now: int) -> None:
        """Keep it if it is in the window, deliver what is in order now. Acknowledge it, even an old one."""
        packet = self.unpack(datagram)
        if packet is None:
            return
        settings = self.settings
        if settings.distance(self.base, packet.seq) < settings.window:
            self.kept[packet.seq] = packet
        elif settings.distance(packet.seq, self.base) > settings.window:
            return  # neither in this window nor in the one before: nobody sends that
        while self.base in self.kept:
            self.deliver(self.kept.pop(self.base))
            self.base = (self.base + 1) % settings.modulus
        self.transmit(Packet(ack=self.base, has=packet.seq))
