"""What is to become of a frame over the MTU: an error, nothing, or IP fragments. It is never cut short."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Literal, get_args

from rawproto.errors import ConfigError, LinkError, WireError
from rawproto.link.base import Link, LinkWrapper
from rawproto.wire.fragment import extension_chain, fragment, ip_offset
from rawproto.wire.frame import LinkType

__all__ = ["FittingLink", "Oversize"]

Oversize = Literal["error", "skip", "fragment"]

_ETHERNET_HEADER = 14
_VLAN_TAG = 4
_VLAN_TYPE = b"\x81\x00"
_IS_FRAGMENT = 0x3FFF
"""More fragments, or an offset: of the 16 bits at 6 in an IPv4 header."""


class FittingLink(LinkWrapper):
    """Passes frames on and sees to those over the inner link's MTU, as `oversize` says.

    "error" raises LinkError (EMSGSIZE) for the first one; "skip" leaves them out; "fragment" sends IP fragments in
    their place (RFC 791 §3.2, RFC 8200 §4.5), and raises the same error, with the reason, for what can't be
    fragmented: don't-fragment is set, or it is no IP.

    Fragments of one packet share an identification. IPv4 has one in its header; where that is 0, and for IPv6, they
    are numbered from `identification` on. Two senders to one host should not start at the same number.

    Raises ConfigError for another `oversize`.
    """

    def __init__(self, inner: Link, oversize: Oversize = "error", *, identification: int = 1) -> None:
        super().__init__(inner)
        if oversize not in get_args(Oversize):
            choices = ", ".join(get_args(Oversize))
            raise ConfigError(f"a frame over the MTU can't be dealt with by {oversize!r}: choose one of {choices}")
        self.oversize = oversize
        self.skipped = 0
        """How many frames were left out."""
        self.fragmented = 0
        """How many frames went out as fragments."""
        self._identification = identification

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Pass `frames` on, in order, each whole, as fragments, or not at all.

        Raises LinkError, EMSGSIZE for a frame that must not be left out and can't be sent; those before it were sent.
        """
        smallest = self.inner.mtu
        if all(len(frame) <= smallest for frame in frames):
            self.inner.send(frames, now, peer)
            return
        fitting: list[bytes] = []
        try:
            for frame in frames:
                fitting += self._fit(frame)
        finally:
            if fitting:
                self.inner.send(fitting, now, peer)

    def _fit(self, frame: bytes) -> Sequence[bytes]:
        """Give what is sent for `frame`."""
        limit = self._limit(frame)
        if len(frame) <= limit:
            return (frame,)
        if self.oversize == "skip":
            self.skipped += 1
            return ()
        if self.oversize == "error":
            raise self._too_long(frame, 'skip it or fragment it (oversize="skip", "fragment")')
        try:
            pieces = self._fragments(frame, limit)
        except WireError as error:
            raise self._too_long(frame, str(error)) from error
        if any(len(piece) > limit for piece in pieces):
            raise self._too_long(frame, "what makes it so lies behind its IP packet, where no fragment can hold it")
        self.fragmented += 1
        return pieces

    def _fragments(self, frame: bytes, limit: int) -> list[bytes]:
        """Give the fragments of which each is a frame of at most `limit` bytes. Raises WireError."""
        at, version = ip_offset(frame, self.linktype)
        packet = frame[at:]
        if version == 4:
            nameless = packet[4:6] == b"\0\0" and not int.from_bytes(packet[6:8]) & _IS_FRAGMENT
        else:
            chain = extension_chain(packet) if version == 6 else None
            nameless = chain is not None and not chain.fragment
        return fragment(frame, limit - at, self.linktype, identification=self._next(version) if nameless else None)

    def _next(self, version: int) -> int:
        """Give the next identification for IPv4 (16 bits) or IPv6 (32); never 0, which a raw socket overwrites."""
        most = 0xFFFF if version == 4 else 0xFFFF_FFFF
        number = (self._identification - 1) % most + 1
        self._identification += 1
        return number

    def _limit(self, frame: bytes) -> int:
        """The most bytes that a frame like this one may have on the inner link."""
        if self.linktype is not LinkType.ETHERNET:
            return self.inner.mtu
        return self.inner.mtu + _ETHERNET_HEADER + (_VLAN_TAG if frame[12:14] == _VLAN_TYPE else 0)

    def _too_long(self, frame: bytes, reason: str) -> LinkError:
        where = f"the MTU of {self.interface}" if self.interface else "the MTU"
        text = f"a frame of {len(frame)} bytes is over {where}, {self.inner.mtu} bytes: {reason}"
        return LinkError(errno.EMSGSIZE, text)
