"""Protocols as they are handed in: each is one of the textbook's with one thing wrong."""

from __future__ import annotations

import random

from rawproto.study.textbook import Packet, Sender, Settings
from rawproto.study.textbook.go_back_n import GoBackNReceiver, GoBackNSender
from rawproto.study.textbook.selective_repeat import SelectiveRepeatReceiver, SelectiveRepeatSender
from rawproto.study.textbook.stop_and_wait import StopAndWaitSender

NOT_A_CLASS = 7


class ForgetsDuplicates(GoBackNReceiver):
    """Delivers a packet again that comes again."""

    def receive(self, datagram: bytes, now: int) -> None:
        packet = self.unpack(datagram)
        if packet is not None and self.settings.distance(packet.seq, self.expected) == 1:
            self.deliver(packet)
        super().receive(datagram, now)


class AcknowledgesWhatItHasNot(GoBackNReceiver):
    """Says that it expects the next one after whatever has come."""

    def receive(self, datagram: bytes, now: int) -> None:
        packet = self.unpack(datagram)
        if packet is None:
            return
        if packet.seq == self.expected:
            self.deliver(packet)
            self.expected = (self.expected + 1) % self.settings.modulus
        self.transmit(Packet(ack=packet.seq + 1, has=packet.seq))


class HasNoTimer(GoBackNSender):
    def start_timer(self, now: int) -> None:
        pass


class KeepsTooMuch(SelectiveRepeatReceiver):
    """Selective repeat with the window of go-back-N."""

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        return (1 << seq_bits) - 1


class RepeatsTooMuch(SelectiveRepeatSender):
    """The sender to go with it."""

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        return (1 << seq_bits) - 1


class UsesAllNumbers(GoBackNSender):
    """Go-back-N with as many packets on the way as there are numbers."""

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        return 1 << seq_bits


class DeliversOutOfOrder(SelectiveRepeatReceiver):
    """Gives the application at once whatever is new."""

    def receive(self, datagram: bytes, now: int) -> None:
        packet = self.unpack(datagram)
        if packet is None:
            return
        distance, window = self.settings.distance, self.settings.window
        if distance(self.base, packet.seq) < window:
            if packet.seq not in self.kept:
                self.deliver(packet)
            self.kept[packet.seq] = packet
        while self.base in self.kept:
            del self.kept[self.base]
            self.base = (self.base + 1) % self.settings.modulus
        self.transmit(Packet(ack=self.base, has=packet.seq))


class ChecksNothing(GoBackNReceiver):
    """Takes a packet for what it says, whatever its checksum."""

    def unpack(self, datagram: bytes) -> Packet | None:
        if len(datagram) < 12:
            return None
        number = int.from_bytes(datagram[2:4])
        return Packet(number % self.settings.modulus, datagram[12:], bool(datagram[0] & 1))


class TakesAnyAcknowledgement(StopAndWaitSender):
    """The alternating bit, without a bit in the acknowledgements."""

    def receive(self, datagram: bytes, now: int) -> None:
        if self.unpack(datagram) is not None and self.waiting is not None:
            self.waiting = None
            self.seq = (self.seq + 1) % self.settings.modulus
            self.stop_timer()


class IsDoneTooEarly(SelectiveRepeatSender):
    """Success is when all has been sent."""

    @property
    def done(self) -> bool:
        return self.finished and not self.unsent


class IgnoresTheWindow(GoBackNSender):
    def __init__(self, settings: Settings) -> None:
        super().__init__(Settings(window=8, seq_bits=settings.seq_bits, timeout_ns=settings.timeout_ns))


class IsInAHurry(StopAndWaitSender):
    def start_timer(self, now: int) -> None:
        self.due_ns = now + 1_000_000


class Raises(GoBackNReceiver):
    """Knows only packets in order."""

    def receive(self, datagram: bytes, now: int) -> None:
        packet = self.unpack(datagram)
        if packet is not None:
            {self.expected: "expected"}[packet.seq]
        super().receive(datagram, now)


class LoopsForEver(GoBackNSender):
    def handle_timeout(self, now: int) -> None:
        while self.on_the_way:
            self.start_timer(now)


class LetsNoTimePass(GoBackNSender):
    def handle_timeout(self, now: int) -> None:
        self._transmit(0)


class SendsGarbage(GoBackNReceiver):
    def poll_transmit(self, now: int) -> list[bytes]:
        return [b"ok" for _ in super().poll_transmit(now)]


class SendsText(GoBackNReceiver):
    def poll_transmit(self, now: int) -> list[bytes]:
        return ["ok"]  # type: ignore[list-item]


class HasAMethodDone(StopAndWaitSender):
    def done(self) -> bool:  # type: ignore[override]
        return False


class CannotBeMade(Sender):
    def __init__(self) -> None:
        pass


class ThrowsDice(GoBackNReceiver):
    """Loses a packet now and then, for ever, and not the same one each time."""

    deaf = False

    def receive(self, datagram: bytes, now: int) -> None:
        if random.random() < 0.01:
            self.deaf = True
        if not self.deaf:
            super().receive(datagram, now)


class HasNoLimit(GoBackNReceiver):
    def largest_window(self, seq_bits: int) -> int:  # type: ignore[override]
        return 4
