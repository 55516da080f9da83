"""Stop-and-wait: one packet at a time (Kurose & Ross §3.4.1, rdt3.0; RFC 3366 §1.4.1).

One bit of number is enough: a packet can only be taken for the one before it, and that for the one before it was
acknowledged long ago. Over a path that reorders, a bit is not enough for anybody.
"""

from __future__ import annotations

from rawproto.study.textbook.machine import Receiver, Sender, Settings
from rawproto.study.textbook.packet import Packet

__all__ = ["StopAndWaitReceiver", "StopAndWaitSender"]


class StopAndWaitSender(Sender):
    """Sends a packet again and again until it is acknowledged, then the next one."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.seq = 0
        self.waiting: bytes | None = None
        """The data that is on the way."""

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        """One, however many numbers there are."""
        return 1

    def poll_transmit(self, now: int) -> list[bytes]:
        """Send the next chunk if nothing is on the way."""
        if self.waiting is None and self.unsent:
            self.waiting = self.unsent.popleft()
            self._transmit(self.waiting, now)
        return super().poll_transmit(now)

    def receive(self, datagram: bytes, now: int) -> None:
        """An acknowledgement of the packet that is on the way lets the next one go; all others are too late."""
        packet = self.unpack(datagram)
        if packet is not None and self.waiting is not None and packet.has == self.seq:
            self.waiting = None
            self.seq = (self.seq + 1) % self.settings.modulus
            self.stop_timer()

    def handle_timeout(self, now: int) -> None:
        """Send the packet again."""
        if self.waiting is not None:
            self._transmit(self.waiting, now)

    @property
    def done(self) -> bool:
        """Nothing is left and nothing is on the way."""
        return self.finished and not self.unsent and self.waiting is None

    def _transmit(self, data: bytes, now: int) -> None:
        self.transmit(Packet(self.seq, data, last=not data))
        self.start_timer(now)


class StopAndWaitReceiver(Receiver):
    """Delivers the packet that it waits for, and acknowledges whatever it has."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.expected = 0

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        """One, however many numbers there are."""
        return 1

    def receive(self, datagram: bytes, now: int) -> None:
        """Deliver it if it is new. Acknowledge it in any case: the acknowledgement before may have been lost."""
        packet = self.unpack(datagram)
        if packet is None:
            return
        if packet.seq == self.expected:
            self.deliver(packet)
            self.expected = (self.expected + 1) % self.settings.modulus
        self.transmit(Packet(ack=self.expected, has=self.expected - 1))
