"""Explicit congestion notification: routers mark datagrams instead of dropping them (RFC 3168 §6.1).

The receiver echoes a mark (ECE) on every acknowledgement until the sender says that it has reduced its window (CWR).
What only acknowledges, or is sent again, is not ECN-capable (§6.1.4, §6.1.5); nor is a window probe (§6.1.6).
"""

from __future__ import annotations

from rawproto.transport.segment import ACK, CWR, ECE, SYN

__all__ = ["Ecn"]


class Ecn:
    """Both halves of ECN for one connection."""

    __slots__ = ("_enabled", "_reduced_until", "active", "echo", "marks_echoed", "marks_received", "say_reduced")

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self.active = False
        """Both ends have agreed."""
        self.echo = False
        """A mark came, and the peer has not said that it has reduced."""
        self.marks_received = 0
        self.marks_echoed = 0
        """Reductions that the peer's echoes asked for."""
        self.say_reduced = False
        """The next new data is to tell the peer that its echo was heeded (CWR)."""
        self._reduced_until = 0

    def offer(self, flags: int) -> int:
        """The flags to add to a SYN: 'ECN-setup SYN' has both, 'ECN-setup SYN-ACK' has ECE alone (§6.1.1)."""
        if not self._enabled:
            return 0
        if not flags & ACK:
            return ECE | CWR
        return ECE if self.active else 0

    def on_syn(self, flags: int) -> None:
        """Take the peer's SYN for what it offers."""
        wanted = ECE if flags & ACK else ECE | CWR
        self.active = self._enabled and flags & (ECE | CWR) == wanted

    def on_segment(self, flags: int, *, marked: bool) -> None:
        """Note a mark, and the peer's answer to our echo. A mark that comes with that answer starts a new echo."""
        if not self.active or flags & SYN:
            return
        if flags & CWR:
            self.echo = False
        if marked:
            self.marks_received += 1
            self.echo = True

    def must_reduce(self, flags: int, snd_una: int, snd_nxt: int) -> bool:
        """Tell whether an echo, a segment with ECE, asks for a reduction: 'at most once per window of data' (§6.1.2).

        What acknowledges that window's last octet still echoes it: CWR goes out behind that octet.
        """
        if not self.active or flags & SYN or snd_una <= self._reduced_until:
            return False
        self._reduced_until = snd_nxt
        self.say_reduced = True
        self.marks_echoed += 1
        return True

    def flags(self, *, new_data: bool) -> int:
        """The flags to add to a segment with ACK; CWR goes on the first new data after a reduction (§6.1.2)."""
        if not self.active:
            return 0
        flags = ECE if self.echo else 0
        if new_data and self.say_reduced:
            self.say_reduced = False
            flags |= CWR
        return flags
