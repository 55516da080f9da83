"""The initial sequence number of a connection, by RFC 6528: nobody can guess it, and it rises from one to the next.

48 bits of it, so that a stream that begins anywhere can't reach the end of RDT's 64 bits.
"""

from __future__ import annotations

import hashlib

__all__ = ["InitialSequence"]

CLOCK_TICK_NS = 4_000
"""RFC 6528 §3: 'M is the 4 microsecond timer'."""

ISN_OCTETS = 6
ISN_MASK = (1 << 8 * ISN_OCTETS) - 1


class InitialSequence:
    """Chooses initial sequence numbers; keeps no state but the secret, which has at most 32 bytes.

    Not `keyed`, it gives 0 for every connection: what a network is like without the mechanism.
    """

    __slots__ = ("_keyed", "_secret")

    def __init__(self, secret: bytes, keyed: bool = True) -> None:
        self._secret = secret
        self._keyed = keyed

    def choose(self, local_port: int, peer: str, peer_port: int, now: int) -> int:
        """RFC 6528 §3: 'ISN = M + F(localip, localport, remoteip, remoteport, secretkey)'; `now` in ns.

        F is keyed BLAKE2s. The local address is left out: the secret belongs to one host, and so stands for it.
        """
        if not self._keyed:
            return 0
        name = f"{local_port} {peer} {peer_port}".encode()
        keyed = hashlib.blake2s(name, key=self._secret, digest_size=ISN_OCTETS).digest()
        return (int.from_bytes(keyed, "big") + now // CLOCK_TICK_NS) & ISN_MASK
