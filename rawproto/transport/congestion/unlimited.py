"""No congestion control: only the peer's window holds the sender back. For links that are one's own."""

from __future__ import annotations

from rawproto.transport.congestion.base import AckSample, CongestionControl

__all__ = ["Unlimited"]

_WINDOW = 1 << 62


class Unlimited(CongestionControl):
    """A window too large to matter, whatever happens."""

    name = "none"
    proportional = False

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, _WINDOW)

    def on_ack(self, ack: AckSample) -> None:
        """Change nothing."""

    def on_congestion(self, now: int, in_flight: int, *, marked: bool = False) -> None:
        """Change nothing."""

    def on_timeout(self, now: int, in_flight: int, *, again: bool) -> None:
        """Change nothing."""

    def undo(self, now: int) -> None:
        """Change nothing: nothing was."""

    def set_mss(self, mss: int) -> None:
        """Take a new size for segments; the window stays."""
        self.mss = mss
