"""What a connection can be told. Every mechanism's numbers stand here, with the text they come from."""

from __future__ import annotations

from dataclasses import dataclass

from rawproto.errors import ConfigError

__all__ = ["MILLISECOND", "SECOND", "Config"]

MILLISECOND = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of one connection. Times in ns, sizes in bytes. Raises ConfigError for what can't work."""

    send_buffer: int = 4 << 20
    """The most that an application may have handed over and the peer not yet acknowledged."""
    receive_buffer: int = 4 << 20
    """The most that may wait for the application, in order or not: the window is what is left of it."""
    segment_size: int = 45 * 1440
    """The most payload in one segment, that is, in one burst of datagrams."""
    max_ranges: int = 1024
    """The most separate ranges held out of order; what would make one more is dropped and counted."""
    initial_rto: int = SECOND
    """RFC 6298 §2.1: 'the sender SHOULD set RTO <- 1 second'."""
    min_rto: int = 200 * MILLISECOND
    """RFC 6298 §2.4 says 1 second; stacks in use have 200 ms, which their own delayed ACKs can't trip."""
    max_rto: int = 60 * SECOND
    """RFC 6298 §2.5: 'A maximum value MAY be placed on RTO provided it is at least 60 seconds'."""
    packet_threshold: int = 3
    """RFC 9002 §6.1.1: a packet is lost once one sent this many after it has arrived."""
    user_timeout: int = 100 * SECOND
    """RFC 9293 §3.8.3, R2: give up when nothing was acknowledged for this long ('at least 100 seconds')."""
    connect_timeout: int = 180 * SECOND
    """RFC 9293 §3.8.3, MUST-23: for a SYN, R2 is at least three minutes."""
    msl: int = 30 * SECOND
    """Maximum segment lifetime; TIME-WAIT lasts twice as long (RFC 9293 §3.4.2 takes 2 minutes)."""
    congestion_control: str = "reno"
    """A name in the registry of transport.congestion."""
    initial_window: int = 10
    """RFC 6928 §2: the first window, in segments."""

    def __post_init__(self) -> None:
        smallest = {
            "send_buffer": 1,
            "receive_buffer": 1,
            "segment_size": 1,
            "max_ranges": 1,
            "initial_rto": 1,
            "min_rto": 1,
            "max_rto": self.min_rto,
            "packet_threshold": 1,
            "user_timeout": 1,
            "connect_timeout": 1,
            "msl": 0,
            "initial_window": 1,
        }
        for name, least in smallest.items():
            if type(getattr(self, name)) is not int:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be a whole number")
            if getattr(self, name) < least:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if self.segment_size > 0xFFFF:
            raise ConfigError(f"segment_size is {self.segment_size}; it must be at most 65535")
        if self.receive_buffer > 0xFFFF_FFFF:
            raise ConfigError(f"receive_buffer is {self.receive_buffer}; the window field holds at most 4294967295")
