"""What a connection can be told: every mechanism's switch and numbers stand here, with the text they come from.

A mechanism that is switched off is really gone, at this end: what the peer does is the peer's affair. All of it on is
the protocol of docs/rdt.md; the switches are there to show what each part is good for.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from rawproto.errors import ConfigError
from rawproto.transport.sequence import NARROWEST, WIDEST

__all__ = ["MILLISECOND", "SECOND", "SWITCHES", "Config"]

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

CHECKSUMS = ("crc32", "internet", "none")


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one connection. Times in ns, sizes in bytes. Raises ConfigError for what can't work."""

    # -- mechanisms: what a guarantee rests on ---------------------------------------------------------------

    checksum: str = "crc32"
    """How damage is found: "crc32", TCP's "internet" sum, or "none". Both ends must have the same."""
    handshake: bool = True
    """Nobody sends or takes data before both sides have agreed (RFC 9293 §3.5). Off: two ways instead of three."""
    keyed_isn: bool = True
    """Initial sequence numbers that nobody can guess and old connections don't share (RFC 6528). Off: always 0."""
    cookies: bool = True
    """A listener keeps nothing of a client before that has proved its address (RFC 4987 §3.6). Off: a half-open
    connection for each SYN."""
    sequencing: bool = True
    """Octets are given to the application in order. Off: as they come."""
    duplicate_suppression: bool = True
    """Octets are given to the application once. Off: as often as they come."""
    acknowledgement: bool = True
    """What arrived is acknowledged. Off: nothing is, and what was sent counts as arrived."""
    retransmission: bool = True
    """What was lost is sent again. Off: it is not."""
    backoff: bool = True
    """The retransmission timeout doubles each time (RFC 6298 §5.5)."""
    flow_control: bool = True
    """The peer's window holds the sender back (RFC 9293 §3.8.6)."""
    persist: bool = True
    """A closed window is probed (RFC 9293 §3.8.6.1)."""
    challenge_ack: bool = True
    """What may be forged is asked about, and not obeyed (RFC 5961). Off: anything inside the window counts."""
    time_wait: bool = True
    """Who closes first remembers the connection for twice the MSL (RFC 9293 §3.6.1)."""

    # -- mechanisms: what serves speed and fairness ----------------------------------------------------------

    congestion_control: str = "cubic"
    """A name in the registry of transport.congestion, "none" for none, or "module:Class"."""
    sack: bool = True
    """What came out of order is reported (RFC 2018), and what came twice (RFC 2883)."""
    fast_retransmit: bool = True
    """Loss is found from later packets' arrival (RACK, RFC 8985 §6). Off: by the timer alone."""
    tail_loss_probe: bool = True
    """The last packet is sent again early when nothing is heard (RFC 8985 §7)."""
    undo: bool = True
    """A reduction for a loss that was none is taken back (RFC 4015)."""
    proportional_rate_reduction: bool = True
    """While a loss is repaired, sending goes on in proportion to what arrives (RFC 9937)."""
    pacing: bool = True
    """Segments leave spread over the round-trip time (RFC 9002 §7.7)."""
    delayed_ack: bool = True
    """Every second segment is acknowledged, or each after `ack_delay` (RFC 9293 §3.8.6.3)."""
    nagle: bool = True
    """A small segment waits while another small one is unacknowledged (RFC 9293 §3.7.4, as Minshall changed it)."""
    silly_window: bool = True
    """Neither end moves slivers (RFC 9293 §3.8.6.2)."""
    idle_restart: bool = True
    """After a pause the window is small again (RFC 5681 §4.1)."""
    ecn: bool = True
    """Offer and use explicit congestion notification (RFC 3168)."""
    path_mtu_discovery: bool = True
    """Find the size of datagrams that the path takes (RFC 8899)."""
    keep_alive: bool = False
    """Ask an idle peer whether it is there. RFC 9293 §3.8.4: 'they MUST default to off'."""

    # -- numbers ---------------------------------------------------------------------------------------------

    sequence_bits: int = 64
    """Bits of a sequence number on the wire, 4 to 64. Both ends must have the same. With fewer than 64 the numbers
    wrap: a receive buffer of up to half of 2 to that power is safe, a larger one confuses old octets with new ones."""
    send_buffer: int = 4 << 20
    """The most that an application may have handed over and the peer not yet acknowledged."""
    receive_buffer: int = 4 << 20
    """The most that may wait for the application, in order or not: the window is what is left of it."""
    segment_size: int = 45 * 1440
    """The most payload in one segment, that is, in one burst of datagrams."""
    max_record: int = 64 << 10
    """The longest record that SOCK_SEQPACKET takes; at most the receive buffer."""
    max_ranges: int = 1024
    """The most separate ranges held out of order; what would make one more is dropped and counted."""
    max_replies: int = 256
    """The most answers (resets, cookies) that wait to be sent to peers without a connection."""
    max_datagrams: int = 256
    """The most unreliable datagrams that wait for the application of one port, and for the wire."""
    initial_rto: int = SECOND
    """RFC 6298 §2.1: 'the sender SHOULD set RTO <- 1 second'."""
    min_rto: int = 200 * MILLISECOND
    """RFC 6298 §2.4 says 1 second; stacks in use have 200 ms, which their own delayed ACKs can't trip."""
    max_rto: int = 60 * SECOND
    """RFC 6298 §2.5: 'A maximum value MAY be placed on RTO provided it is at least 60 seconds'."""
    packet_threshold: int = 3
    """RFC 8985 §3.3 (DupThresh), RFC 9002 §6.1.1: lost once a packet sent this many later has arrived."""
    ack_delay: int = 40 * MILLISECOND
    """RFC 9293 §3.8.6.3: 'MUST be less than 0.5 seconds'; Linux's least is 40 ms."""
    user_timeout: int = 100 * SECOND
    """RFC 9293 §3.8.3, R2: give up when nothing was acknowledged for this long ('at least 100 seconds')."""
    connect_timeout: int = 180 * SECOND
    """RFC 9293 §3.8.3, MUST-23: for a SYN, R2 is at least three minutes."""
    keep_alive_idle: int = 7200 * SECOND
    """RFC 9293 §3.8.4, MUST-28: 'This interval MUST be configurable and MUST default to no less than two hours'."""
    keep_alive_interval: int = 75 * SECOND
    keep_alive_count: int = 9
    """Questions without an answer before the connection is given up; both as in Linux's tcp(7)."""
    msl: int = 30 * SECOND
    """Maximum segment lifetime; TIME-WAIT lasts twice as long (RFC 9293 §3.4.2 takes 2 minutes)."""
    cookie_lifetime: int = 30 * SECOND
    """How long a client may take to prove its address; until then it can also be replayed."""
    initial_window: int = 10
    """RFC 6928 §2: the first window, in segments."""
    base_mtu: int = 1200
    """RFC 8899 §5.1.2: BASE_PLPMTU, 'RECOMMENDED ... 1200 bytes'; the size of a whole datagram."""

    @property
    def answers_marks(self) -> bool:
        """Whether ECN may be offered: nobody would reduce anything without a congestion control."""
        return self.ecn and self.congestion_control != "none"

    def __post_init__(self) -> None:
        smallest: dict[str, int] = {"max_rto": self.min_rto, "msl": 0, "ack_delay": 0, "base_mtu": 104}
        for field in fields(self):
            value: int | bool | str = getattr(self, field.name)
            kind: type = type(field.default)
            if type(value) is not kind:
                wanted = {bool: "True or False", int: "a whole number", str: "a name"}[kind]
                raise ConfigError(f"{field.name} is {value!r}; it must be {wanted}")
            if isinstance(value, int) and kind is int and value < smallest.get(field.name, 1):
                raise ConfigError(f"{field.name} is {value}; it must be at least {smallest.get(field.name, 1)}")
        if self.checksum not in CHECKSUMS:
            raise ConfigError(f"checksum is {self.checksum!r}; it must be one of {', '.join(CHECKSUMS)}")
        if not NARROWEST <= self.sequence_bits <= WIDEST:
            raise ConfigError(f"sequence_bits is {self.sequence_bits}; it must be from {NARROWEST} to {WIDEST}")
        if self.segment_size > 0xFFFF:
            raise ConfigError(f"segment_size is {self.segment_size}; it must be at most 65535")
        if self.receive_buffer > 0xFFFF_FFFF:
            raise ConfigError(f"receive_buffer is {self.receive_buffer}; the window field holds at most 4294967295")
        if self.ack_delay >= SECOND // 2:
            raise ConfigError(f"ack_delay is {self.ack_delay} ns; it must be less than half a second")


SWITCHES = tuple(field.name for field in fields(Config) if type(field.default) is bool)
"""The mechanisms that can be switched on and off, by the names of their fields."""
