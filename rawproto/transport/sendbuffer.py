"""The octets that the application handed over and the peer has not acknowledged, by sequence number."""

from __future__ import annotations

from bisect import bisect_right

__all__ = ["SendBuffer"]

_COALESCE = 4096
"""Blocks up to this size are put together, so that many small writes don't become many small blocks."""


class SendBuffer:
    """Keeps blocks as they were handed over and gives views of them; only a read across blocks copies."""

    __slots__ = ("_blocks", "_starts", "end", "start")

    def __init__(self, start: int) -> None:
        self._blocks: list[bytes] = []
        self._starts: list[int] = []
        self.start = start
        """The sequence number of the first octet kept."""
        self.end = start
        """The sequence number that the next octet will get."""

    def __len__(self) -> int:
        return self.end - self.start

    def append(self, data: bytes) -> None:
        """Take `data` in behind the rest."""
        if self._blocks and len(self._blocks[-1]) + len(data) <= _COALESCE:
            self._blocks[-1] += data
        else:
            self._blocks.append(data)
            self._starts.append(self.end)
        self.end += len(data)

    def read(self, start: int, end: int) -> bytes | memoryview:
        """Give the octets `[start, end)`, which must be in the buffer."""
        index = bisect_right(self._starts, start) - 1
        low = start - self._starts[index]
        block = self._blocks[index]
        if end - start <= len(block) - low:
            return memoryview(block)[low : low + end - start]
        pieces = [memoryview(block)[low:]]
        left = end - start - len(pieces[0])
        while left > 0:
            index += 1
            pieces.append(memoryview(self._blocks[index])[:left])
            left -= len(pieces[-1])
        return b"".join(pieces)

    def release(self, bound: int) -> None:
        """Forget the octets before `bound`: they are acknowledged."""
        if bound <= self.start:
            return
        self.start = min(bound, self.end)
        keep = bisect_right(self._starts, self.start) - 1
        if self.start == self.end:
            keep = len(self._blocks)
        del self._blocks[:keep], self._starts[:keep]
