"""No congestion control: only the peer's window holds the sender back. For links that are one's own."""

from __future__ import annotations

from rawproto.transport.congestion.base import CongestionControl

__all__ = ["Unlimited"]


class Unlimited(CongestionControl):
    """A window too large to matter, whatever happens."""

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, 1 << 62)

    def on_acknowledged(self, octets: int, in_flight: int, now: int) -> None:
        """Change nothing."""

    def on_lost(self, sent_ns: int, flight_size: int, now: int) -> None:
        """Change nothing."""

    def on_timeout(self, flight_size: int, again: bool, now: int) -> None:
        """Change nothing."""
