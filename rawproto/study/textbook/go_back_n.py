"""Go-back-N: a window of packets, one timer, and a receiver that keeps nothing (Kurose & Ross §3.4.3; RFC 3366 §1.4.2).

Acknowledgements are cumulative. After a timeout everything that is on the way is sent again. Of the numbers that there
are, all but one may be on the way: with one more, a window that arrived and was acknowledged in vain would look the
same to the receiver as the next window.
"""

from __future__ import annotations

from collections import deque

from rawproto.study.textbook.machine import Receiver, Sender, Settings
from rawproto.study.textbook.packet import Packet

__all__ = ["GoBackNReceiver", "GoBackNSender"]


class GoBackNSender(Sender):
    """Keeps up to `window` packets on the way, and sends all of them again after a timeout."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.base = 0
        """The number of the oldest packet that is on the way."""
        self.on_the_way: deque[bytes] = deque()

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        """All numbers but one."""
        return (1 << seq_bits) - 1

    def poll_transmit(self, now: int) -> list[bytes]:
        """Send new packets as long as the window is open."""
        while self.unsent and len(self.on_the_way) < self.settings.window:
            if not self.on_the_way:
                self.start_timer(now)
            self.on_the_way.append(self.unsent.popleft())
            self._transmit(len(self.on_the_way) - 1)
        return super().poll_transmit(now)

    def receive(self, datagram: bytes, now: int) -> None:
        """Forget what has been acknowledged; the timer is that of the oldest packet that has not."""
        packet = self.unpack(datagram)
        if packet is None:
            return
        acknowledged = self.settings.distance(self.base, packet.ack)
        if not 1 <= acknowledged <= len(self.on_the_way):
            return  # an old one, said once more
        for _ in range(acknowledged):
            self.on_the_way.popleft()
        self.base = packet.ack
        if self.on_the_way:
            self.start_timer(now)
        else:
            self.stop_timer()

    def handle_timeout(self, now: int) -> None:
        """Go back: send all again."""
        self.start_timer(now)
        for index in range(len(self.on_the_way)):
            self._transmit(index)

    @property
    def done(self) -> bool:
        """Nothing is left and nothing is on the way."""
        return self.finished and not self.unsent and not self.on_the_way

    def _transmit(self, index: int) -> None:
        data = self.on_the_way[index]
        self.transmit(Packet(self.base + index, data, last=not data))


class GoBackNReceiver(Receiver):
    """Delivers the packet that is next in order and throws away all others."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.expected = 0

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        """All numbers but one."""
        return (1 << seq_bits) - 1

    def receive(self, datagram: bytes, now: int) -> None:
        """Deliver it if it is next; say in any case what is expected."""
        packet = self.unpack(datagram)
        if packet is None:
            return
        if packet.seq == self.expected:
            self.deliver(packet)
            self.expected = (self.expected + 1) % self.settings.modulus
        self.transmit(Packet(ack=self.expected, has=self.expected - 1))
