"""Nagle's algorithm: one small segment at a time may be on its way (RFC 9293 §3.7.4).

In the form that Minshall gave it, which that section names too: a small segment waits for the acknowledgement of
another *small* one, not of everything. So the last piece of a large write does not wait for a round trip, and an
application that writes byte by byte still fills segments.
"""

from __future__ import annotations

__all__ = ["Nagle"]


class Nagle:
    """Remembers where the last small segment ended."""

    __slots__ = ("_small_end", "enabled")

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled
        self._small_end = -1

    def holds(self, length: int, mss: int, snd_una: int) -> bool:
        """Tell whether a segment of `length` octets of data has to wait."""
        return self.enabled and length < mss and self._small_end > snd_una

    def on_sent(self, end: int, length: int, mss: int) -> None:
        """A segment of `length` octets that ends at `end` has left."""
        if length % mss:
            self._small_end = end
