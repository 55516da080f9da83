"""What a protocol of one's own has to be: a class for the sender, one for the receiver, or both.

They are the machines of a textbook: something comes in (data of the application, a datagram, a timeout), and datagrams
come out. There is no socket, no thread and no clock in them; the time `now` is an int of nanoseconds that they are
given. The words of Kurose & Ross ("Computer Networking", §3.4) are here: rdt_send() is `send`, rdt_rcv() `receive`,
udt_send() `transmit`, deliver_data() `deliver`; start_timer() and stop_timer() are called just so.

A sender mostly has four methods of its own:

    poll_transmit(now)      take chunks from `unsent` as long as the window is open, `transmit` them as packets
    receive(datagram, now)  `unpack` the acknowledgement, move the window
    handle_timeout(now)     transmit again what has not been acknowledged
    done                    everything has been acknowledged, the end too

and a receiver has one:

    receive(datagram, now)  `unpack` it, `deliver` what is next in order, `transmit` an acknowledgement

A packet without data is the end of the stream; it is numbered and acknowledged as any other. `stop_and_wait.py` is the
shortest example. Nothing else of these classes is called: a protocol that needs other parts may have them.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from rawproto.errors import ConfigError
from rawproto.study.textbook.packet import CHECKSUMS, MOST_BITS, Packet, decode, encode

__all__ = ["MS", "Machine", "Receiver", "Sender", "Settings"]

MS = 1_000_000
"""A millisecond, in ns."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What both sides have agreed on before. Raises ConfigError for what can't be."""

    window: int = 4
    """The packets that may be sent without being acknowledged; and those that a receiver may keep for later."""
    seq_bits: int = 16
    """Packets are numbered 0, 1, ... modulo 2 to the power of this: 1 is the alternating bit."""
    timeout_ns: int = 50 * MS
    """How long a sender waits for an acknowledgement."""
    checksum: str = "crc32"
    """ "crc32", "internet" (RFC 1071), or "none"."""
    mss: int = 16
    """The most octets of data in one packet."""

    def __post_init__(self) -> None:
        if not 1 <= self.seq_bits <= MOST_BITS:
            raise ConfigError(f"seq_bits is {self.seq_bits}: give 1 to {MOST_BITS}")
        for name in ("window", "timeout_ns", "mss"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}: give 1 or more")
        if self.checksum not in CHECKSUMS:
            raise ConfigError(f"checksum is {self.checksum!r}; it must be one of: {', '.join(CHECKSUMS)}")

    @property
    def modulus(self) -> int:
        """How many numbers there are."""
        return 1 << self.seq_bits

    def distance(self, start: int, end: int) -> int:
        """How many numbers on from `start` the number `end` is, going round: 0 to modulus - 1."""
        return (end - start) % self.modulus


class Machine:
    """What senders and receivers share: a timer, and the datagrams that wait to be sent."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.due_ns: int | None = None
        """When the timer goes off; None if it is stopped."""
        self._outbox: list[bytes] = []

    @classmethod
    def largest_window(cls, seq_bits: int) -> int:
        """The largest `Settings.window` that this protocol is right with. It is put to the test with just that."""
        return 1 << (seq_bits - 1)

    # -- what comes in -----------------------------------------------------------------------------------------------

    def receive(self, datagram: bytes, now: int) -> None:
        """A datagram has come: perhaps damaged, perhaps late, perhaps not for the first time."""
        raise NotImplementedError("write receive(self, datagram, now)")

    def handle_timeout(self, now: int) -> None:
        """The time that `next_timeout` gave has come."""
        self.stop_timer()

    # -- what comes out ----------------------------------------------------------------------------------------------

    def next_timeout(self) -> int | None:
        """When `handle_timeout` is to be called; None for never. The timer, unless there are others."""
        return self.due_ns

    def poll_transmit(self, now: int) -> list[bytes]:
        """The datagrams to send now, in order. Called after everything that comes in."""
        taken, self._outbox = self._outbox, []
        return taken

    # -- for your use ------------------------------------------------------------------------------------------------

    def unpack(self, datagram: bytes) -> Packet | None:
        """Read a datagram; None for one that is damaged, as far as the checksum can tell."""
        return decode(datagram, self.settings.checksum)

    def transmit(self, packet: Packet) -> None:
        """Send `packet`, its numbers taken modulo 2 to the power of `seq_bits`."""
        self._outbox.append(encode(packet, self.settings.modulus, self.settings.checksum))

    def start_timer(self, now: int) -> None:
        """Let the timer go off in `timeout_ns`; one that is running begins anew."""
        self.due_ns = now + self.settings.timeout_ns

    def stop_timer(self) -> None:
        """Let it not go off."""
        self.due_ns = None


class Sender(Machine):
    """Sends what the application hands over, until all of it has been acknowledged."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.unsent: deque[bytes] = deque()
        """Chunks that have not been sent yet, each for one packet; the empty one is the end."""
        self.finished = False
        """The application has handed over all."""

    def send(self, data: bytes) -> None:
        """The application hands over a chunk: at least 1 octet, at most `settings.mss`."""
        self.unsent.append(data)

    def finish(self) -> None:
        """The application has no more."""
        self.unsent.append(b"")
        self.finished = True

    @property
    def done(self) -> bool:
        """All that was handed over has arrived, the end too: what the application is told. The sender ends with it."""
        raise NotImplementedError("write the property done")


class Receiver(Machine):
    """Takes datagrams and gives the application a stream of octets."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._delivered = bytearray()
        self._ended = False

    def deliver(self, packet: Packet) -> None:
        """Give the packet's data to the application, and the end if it is that."""
        self._delivered += packet.data
        self._ended = self._ended or packet.last

    def read(self) -> bytes:
        """All that has been delivered since the last call."""
        taken = bytes(self._delivered)
        self._delivered.clear()
        return taken

    @property
    def at_end(self) -> bool:
        """Nothing more will come: what the application is told once it has read all."""
        return self._ended
