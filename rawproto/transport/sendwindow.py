"""The peer's window, as the sender knows it, and the silly windows that it does not fill (RFC 9293 §3.8.6)."""

from __future__ import annotations

from rawproto.transport.config import Config
from rawproto.transport.segment import Segment

__all__ = ["SendWindow"]


class SendWindow:
    """How far the peer lets us send. RDT's right edge never moves back (docs/rdt.md §8.1)."""

    __slots__ = ("_config", "edge", "largest", "wl1")

    def __init__(self, config: Config, iss: int) -> None:
        self._config = config
        self.edge = iss + 1
        """SND.UNA + SND.WND: before the first window it allows nothing but SYN."""
        self.largest = 0
        """MAX.SND.WND: the largest window that was ever offered."""
        self.wl1 = -1
        """The packet number of the segment that last updated the window."""

    def take(self, segment: Segment) -> bool:
        """Take the window from `segment`, unless a later one gave it already; tell whether it was news.

        RFC 9293 orders windows by SEG.SEQ and SEG.ACK (SND.WL1, WL2); packet numbers order them directly.
        """
        last = segment.packet_number + segment.count - 1
        if last <= self.wl1:
            return False
        self.wl1 = last
        self.edge = max(self.edge, segment.ack + segment.wnd)
        self.largest = max(self.largest, self.edge - segment.ack)
        return True

    def usable(self, snd_nxt: int, unsent: int, fin: int | None) -> int:
        """How many octets may be sent from `snd_nxt` on. A FIN takes no room in the peer's buffer."""
        if not self._config.flow_control or (fin is not None and fin <= self.edge):
            return unsent
        return self.edge - snd_nxt

    def silly(self, length: int, unsent: int, mss: int, *, override: bool) -> bool:
        """Tell whether `length` octets are too few to send (RFC 9293 §3.8.6.2.1, (1) to (3), less Nagle's part).

        `override` is the timeout that sends them all the same.
        """
        if not self._config.silly_window or length >= mss or length == unsent or length * 2 >= self.largest:
            return False
        return not override
