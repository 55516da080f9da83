"""What a link can't bring to one peer is lost on the way there: the other peers must not hear of it.

RFC 9293 §3.9.2.2, MUST-56: that a destination is unreachable is a soft error, on which no connection is aborted.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence

from rawproto.errors import LinkError
from rawproto.link.base import LinkWrapper

__all__ = ["ForgivingLink"]

SOFT = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES, errno.EPERM, errno.EINVAL})
"""No route, a firewall, or an address that this link's own does not reach: all about one destination."""


class ForgivingLink(LinkWrapper):
    """Passes everything on, and loses what the inner link refuses because of where it was to go.

    `refusal` holds the last such error, for a `connect` that wants to fail at once. All others are raised.
    """

    refusal: LinkError | None = None

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass `frames` on, or lose them."""
        try:
            self.inner.send(frames, now, peer)
        except LinkError as error:
            self._forgive(error)

    def handle_timeout(self, now: int) -> None:
        """Pass the time on; what the inner link held until now may be refused as well."""
        try:
            self.inner.handle_timeout(now)
        except LinkError as error:
            self._forgive(error)

    def _forgive(self, error: LinkError) -> None:
        if error.errno not in SOFT:
            raise error
        self.refusal = error
