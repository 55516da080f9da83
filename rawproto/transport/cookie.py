"""Cookies: a listener keeps nothing of a client that has not shown that it gets what is sent to its address.

The answer to a SYN carries, in the option COOKIE, all that the listener would have to remember, and a keyed hash over
it. The client gives it back with its first acknowledgement, and only then is there a connection. So a flood of SYNs
with forged sources costs a listener one hash each, and no memory (RFC 4987 §3.6; SCTP has it from the first day, RFC
9260 §5.1.3). TCP's cookies hide in 32 bits of sequence number and lose the options; here everything has its room.

**What a cookie holds**, most significant byte first: the time of its making (5 bytes, in 2^24 ns, about 17 ms), the
peer's initial sequence number (8), MSS (2), longest record (4), flags (1), and BLAKE2s over all of it (16): 36 bytes.
The hash also covers the ports, the peer's address, and the listener's own initial sequence number, which comes back in
the acknowledgement and takes no room here. Nothing in a cookie is secret, and nothing of it is believed before the
hash has been checked.

**What a replay can do: nothing.** A cookie is good for one connection. Once a client has proved its address, a
listener may remember something of it, as TIME-WAIT does: it keeps the hash of each cookie that has made a connection,
until that cookie would have expired anyway. Without this, whoever has seen one datagram with a cookie could send it
again when the connection is over, and a second one would begin with the same name, numbers and octets: a ghost. What
is remembered is bounded: when it gets too much, the oldest entry is dropped, and from then on no cookie as old as that
one is taken any more, used or not.

**One secret, not two.** Taking turns with secrets bounds how long a stolen or guessed one is good for. This one is
256 random bits, is made when the endpoint is and dies with it, never leaves it, and the time inside the cookie does
what the turns would do for old cookies.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from struct import Struct

__all__ = ["COOKIE_LENGTH", "Baked", "CookieJar", "allowed"]

_BODY = Struct("!BIQHIB")  # time: upper 8 bits and lower 32, irs, mss, record, flags
_NAME = Struct("!HHQ")  # local port, peer's port, iss; the peer's address follows
_DIGEST = 16
_ECN = 0x01
_RECORD = 0x02
_TICK = 24  # the time is shifted right by so many bits

COOKIE_LENGTH = _BODY.size + _DIGEST
"""Bytes. With it a SYN|ACK has 100 at most (header 40, SEEN 12, MSS 4, RECORD 6, COOKIE 38), below `allowed(44)`, 44
being the shortest SYN."""

MAX_SPENT = 1 << 16
"""The most used cookies that are remembered: some 10 MB."""

AMPLIFICATION = 3
"""RFC 9000 §8.1: 'Prior to validating the client address, servers MUST NOT send more than three times as many bytes as
the number of bytes they have received'."""


def allowed(received: int) -> int:
    """How many bytes may be sent in answer to a datagram of `received` bytes from an address that has proved nothing.

    For each datagram on its own, and at once: to save up what is left over, a listener would need a memory of addresses
    that may all be forged. So an unproved address gets one answer to each SYN, and none is repeated unasked.
    """
    return AMPLIFICATION * received


@dataclass(frozen=True, slots=True)
class Baked:
    """What the listener had to know of a SYN: the peer's initial sequence number, and what its options said.

    `mss` in bytes; `record` is the longest record in bytes, None for a stream without records.
    """

    irs: int
    mss: int
    record: int | None
    ecn: bool


class CookieJar:
    """Makes cookies and checks them; keeps the secret, which has at most 32 bytes, and which were used. Times in ns.

    What RFC 9260 §5.1.3 puts into a State Cookie is in it: a message authentication code, the time of its making, and
    all that is needed to set up the connection. The lifespan is the same for all, and so stays here.
    """

    __slots__ = ("_lifetime_ns", "_oldest", "_secret", "_spent")

    def __init__(self, secret: bytes, *, lifetime_ns: int) -> None:
        self._secret = secret
        self._lifetime_ns = lifetime_ns
        self._spent: dict[bytes, int] = {}
        """When each used cookie was made, in ticks, by its hash; in the order in which they were used."""
        self._oldest = 0
        """Cookies that were made before this are not taken, in ticks."""

    def bake(self, now: int, local_port: int, peer: str, peer_port: int, iss: int, baked: Baked) -> bytes:
        """Make the cookie for the answer to a SYN, that answer's sequence number being `iss`."""
        tick = now >> _TICK
        flags = (_ECN if baked.ecn else 0) | (0 if baked.record is None else _RECORD)
        body = _BODY.pack(tick >> 32 & 0xFF, tick & 0xFFFF_FFFF, baked.irs, baked.mss, baked.record or 0, flags)
        return body + self._digest(body, local_port, peer, peer_port, iss)

    def open(self, cookie: bytes, now: int, local_port: int, peer: str, peer_port: int, iss: int) -> Baked | str:
        """Give what the cookie holds, or why it counts for nothing: "cookie forged", "cookie expired", "cookie used".

        `iss` is what the datagram with the cookie acknowledges, less one: before there is a connection, nothing but
        SYN has been sent that could be. A cookie is good until `lifetime_ns` after it was made, or one tick less.
        """
        body, digest = cookie[: _BODY.size], cookie[_BODY.size :]
        if not 0 <= iss < 1 << 64:
            return "cookie forged"
        if not hmac.compare_digest(digest, self._digest(body, local_port, peer, peer_port, iss)):
            return "cookie forged"
        upper, lower, irs, mss, record, flags = _BODY.unpack(body)
        tick = upper << 32 | lower
        if not 0 <= now - (tick << _TICK) <= self._lifetime_ns:
            return "cookie expired"
        if tick < self._oldest or digest in self._spent:
            return "cookie used"
        return Baked(irs, mss, record if flags & _RECORD else None, bool(flags & _ECN))

    def spend(self, cookie: bytes, now: int) -> None:
        """Take `cookie`, which has just made a connection, no more."""
        upper, lower = _BODY.unpack_from(cookie)[:2]
        self._spent[cookie[_BODY.size :]] = upper << 32 | lower
        while self._spent:
            first = next(iter(self._spent))
            made = self._spent[first]
            if len(self._spent) > MAX_SPENT:
                self._oldest = max(self._oldest, made + 1)
            elif now - (made << _TICK) <= self._lifetime_ns:
                break
            del self._spent[first]

    def _digest(self, body: bytes, local_port: int, peer: str, peer_port: int, iss: int) -> bytes:
        # All before the address has a fixed length, so no two names run together. The personalization keeps it apart
        # from whatever else the endpoint's secret is good for.
        text = body + _NAME.pack(local_port, peer_port, iss) + peer.encode()
        return hashlib.blake2s(text, key=self._secret, digest_size=_DIGEST, person=b"cookie").digest()
