"""What one demonstration is to do: the same value drives the simulated run and the one on real interfaces."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rawproto.link.chance import derive_rng
from rawproto.link.impairment import Impairment

__all__ = ["SERVER_STREAM", "DemoOptions", "data_from_seed"]

SERVER_STREAM = 64 << 10
"""The server sends as much as the client does, but at most these bytes, and then its digest."""

PIECE = 64 << 20
"""Drawn at a time: `randbytes` can't make more than 256 MiB in one call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOptions:
    """One run: what is carried, over which road, and what is done to it. Both directions are impaired alike."""

    data: bytes
    """What the client sends: the file."""
    seed: int
    out: Path
    """Where the captures go: a directory that exists."""
    impairment: Impairment = Impairment.none
    carrier: str = "packet"
    """ "packet" (AF_PACKET), "rawip" (SOCK_RAW) or "udp"; a simulated run knows the first alone."""
    ipv6: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of Config that both sides have otherwise than by default: mechanisms switched off, another control."""
    timeout_ns: int = 10_000_000_000
    """On real interfaces: how long a side waits for a peer that acknowledges nothing before it gives up."""

    @property
    def size(self) -> int:
        """Bytes that the client sends."""
        return len(self.data)

    def server_stream(self) -> bytes:
        """What the server sends at the same time, before the digest of what it received."""
        return derive_rng(self.seed, "server stream").randbytes(min(len(self.data), SERVER_STREAM))


def data_from_seed(seed: int, size: int) -> bytes:
    """`size` random bytes to carry when there is no file."""
    rng = derive_rng(seed, "data")
    return b"".join(rng.randbytes(min(PIECE, size - start)) for start in range(0, size, PIECE))
