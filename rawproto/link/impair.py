"""A link that damages what is sent through it, from a seed: the bad wire to learn on and to test against.

Frames pass through it in this order, as on a line with a slow router at its head:

    queue (rate, drop-tail) -> loss, burst loss -> corruption, swap, truncation -> duplication
        -> delay, jitter, reordering

Every fault rolls its dice for every frame, even for one that another fault has already taken, and each has dice of
its own. So a fault that is switched on changes nothing of what the others choose: an experiment with loss and one
with loss and corruption lose the same frames. What a fault does to a frame it chooses by the frame as handed in, not
by what others have made of it.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from rawproto.errors import LinkError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.impairment import Impairment
from rawproto.wire.frame import LinkType

__all__ = ["FaultObserver", "ImpairedLink", "Impairment"]

FaultObserver = Callable[[int, str, bytes, str], object]
"""Told of each fault: time in ns, its name, the frame as it was handed in, and the peer it was for."""

ETHERNET_HEADER = 14


class Fate(NamedTuple):
    """What the dice say of one frame."""

    lost_by: str
    """The fault that loses it, or an empty string."""
    flipped_bits: Sequence[int]
    """Counted from the start of the frame, the least bit of each byte first."""
    swapped_words: tuple[int, int] | None
    """Where in the frame they begin."""
    cut_bytes: int
    """So many are lost at its end."""
    duplicated: bool
    held_back: bool
    jitter_ns: int


class Held(NamedTuple):
    """A frame on its way, in the order of a heap: by time, and as handed in for those of one time."""

    due_ns: int
    serial: int
    data: bytes
    peer: str
    damaged: bool = False


class ImpairedLink(LinkWrapper):
    """Impairs what is sent through it, not what is received: a wire that is bad both ways has one at each end.

    `rng_for(name)` gives the generator of the fault of that name, such as `partial(derive_rng, seed, "a->b")`.
    `fired` counts, from the start with a zero for each fault switched on, how often it really struck. `on_fault`
    is called for each. A reordering has struck once a later frame has left before the one held back; a swap has not
    struck a frame that it leaves as it was.

    A held frame that the inner link refuses raises its LinkError from the call that let it go; but one that was
    damaged is lost then, as a network card would lose it.
    """

    def __init__(
        self,
        inner: Link,
        impairment: Impairment,
        rng_for: Callable[[str], random.Random],
        on_fault: FaultObserver | None = None,
    ) -> None:
        super().__init__(inner)
        self.impairment = impairment
        self.on_fault = on_fault
        self._transparent = impairment == Impairment.none
        self.fired = dict.fromkeys(impairment.faults, 0)
        self._dice = Dice(impairment, rng_for, ETHERNET_HEADER if inner.linktype is LinkType.ETHERNET else 0)
        self._bottleneck = Bottleneck(impairment.rate_bps, impairment.queue_bytes)
        self._held: list[Held] = []
        self._serial = 0
        self._latest_due_ns = 0
        self._held_back: deque[Held] = deque()
        """Frames held back that nothing has overtaken yet, as handed in, by serial."""

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Let each of `frames` meet its fate, and pass on in one batch what is due at once."""
        if self._transparent:
            self.inner.send(frames, now, peer)
            return
        for frame in frames:
            self._accept(frame, now, peer)
        self._release(now)

    def next_timeout(self) -> int | None:
        """When the next held frame is due, or the inner link wants to be called."""
        inner = self.inner.next_timeout()
        if not self._held:
            return inner
        due_ns = self._held[0].due_ns
        return due_ns if inner is None else min(due_ns, inner)

    def handle_timeout(self, now: int) -> None:
        """Pass on the frames that are due at `now`."""
        self._release(now)
        self.inner.handle_timeout(now)

    def close(self) -> None:
        """Forget the held frames and close the inner link."""
        self._held.clear()
        self._held_back.clear()
        self.inner.close()

    def _accept(self, frame: bytes, now: int, peer: str) -> None:
        fate = self._dice.roll(frame)
        leaves_ns = self._bottleneck.pass_through(len(frame), now)
        if leaves_ns is None:
            self._fire("queue_drop", now, frame, peer)
            return
        if fate.lost_by:
            self._fire(fate.lost_by, now, frame, peer)
            return
        data = self._damage(frame, fate, now, peer)
        due_ns = self._due(leaves_ns, fate)
        if fate.held_back:
            self._held_back.append(Held(due_ns, self._serial, frame, peer))
        self._hold(due_ns, data, peer, data is not frame)
        if fate.duplicated:
            self._fire("duplicate", now, frame, peer)
            self._hold(due_ns + self.impairment.duplicate_delay_ns, data, peer, data is not frame)

    def _damage(self, frame: bytes, fate: Fate, now: int, peer: str) -> bytes:
        """What is left of `frame` behind the faults that change its bytes."""
        data = frame
        if fate.flipped_bits:
            data = flip_bits(data, fate.flipped_bits)
            self._fire("corrupt", now, frame, peer)
        if fate.swapped_words is not None:
            swapped = swap_words(data, *fate.swapped_words)
            # Flipped bits may have made the two words the same.
            if swapped != data:
                data = swapped
                self._fire("swap", now, frame, peer)
        if fate.cut_bytes:
            data = data[: -fate.cut_bytes]
            self._fire("truncate", now, frame, peer)
        return data

    def _due(self, leaves_ns: int, fate: Fate) -> int:
        """When a frame that leaves the bottleneck at `leaves_ns` arrives."""
        due_ns = leaves_ns + self.impairment.delay_ns + fate.jitter_ns
        if self.impairment.jitter_keeps_order:
            due_ns = self._latest_due_ns = max(due_ns, self._latest_due_ns)
        return due_ns + self.impairment.reorder_delay_ns if fate.held_back else due_ns

    def _hold(self, due_ns: int, data: bytes, peer: str, damaged: bool) -> None:
        heapq.heappush(self._held, Held(due_ns, self._serial, data, peer, damaged))
        self._serial += 1

    def _release(self, now: int) -> None:
        """Pass on what is due, each run of frames for one peer in one call."""
        held = self._held
        while held and held[0].due_ns <= now:
            peer = held[0].peer
            batch = []
            if held[0].damaged:
                self._release_damaged(heapq.heappop(held), now)
                continue
            while held and held[0].due_ns <= now and held[0].peer == peer and not held[0].damaged:
                leaving = heapq.heappop(held)
                batch.append(leaving.data)
                if self._held_back:
                    self._note_overtaking(leaving.serial, now)
            self.inner.send(batch, now, peer)

    def _release_damaged(self, leaving: Held, now: int) -> None:
        """By itself: a link that takes no frame with such a header, as the kernel's raw sockets, has lost this one."""
        if self._held_back:
            self._note_overtaking(leaving.serial, now)
        with suppress(LinkError):
            self.inner.send([leaving.data], now, leaving.peer)

    def _note_overtaking(self, serial: int, now: int) -> None:
        """The frame `serial` leaves: what was held back and came before it has now really been reordered."""
        waiting = self._held_back
        while waiting and waiting[0].serial < serial:
            overtaken = waiting.popleft()
            self._fire("reorder", now, overtaken.data, overtaken.peer)
        if waiting and waiting[0].serial == serial:
            waiting.popleft()

    def _fire(self, kind: str, now: int, frame: bytes, peer: str) -> None:
        self.fired[kind] += 1
        if self.on_fault is not None:
            self.on_fault(now, kind, frame, peer)


class Dice:
    """The generators of all faults switched on, each rolled once for every frame.

    Corruption, swap and truncation spare the first `header` bytes. Behind Ethernet's 14 that models what gets past
    hardware: a bit flipped on a real cable fails the frame check sequence and the card drops the frame, which is
    `loss`. What reaches a protocol damaged was damaged inside a switch or a host, where the payload is copied and a
    new frame check sequence is computed over it, while a wrong address would lead the frame elsewhere. Everything
    behind the link header is fair game, ARP included.

    The words of a swap are counted from there, and both may lie anywhere: faulty memory and DMA know of no headers
    (Stone and Partridge 2000, "When the CRC and TCP checksum disagree"). Two words of one IPv4 header pass its
    checksum, so a datagram may come from an address that nobody has, or be for another host. It still gets to the
    machine at the end of this link, which has to notice, as it must for IPv6, where nothing covers the addresses.
    """

    def __init__(self, impairment: Impairment, rng_for: Callable[[str], random.Random], header: int) -> None:
        def rng_if(on: float, name: str) -> random.Random | None:
            return rng_for(name) if on else None

        self._impairment = impairment
        self._header = header
        self._loss = rng_if(impairment.loss, "loss")
        self._burst = rng_if(impairment.burst_start, "burst_loss")
        self._corrupt = rng_if(impairment.corrupt, "corrupt")
        self._swap = rng_if(impairment.swap, "swap")
        self._truncate = rng_if(impairment.truncate, "truncate")
        self._duplicate = rng_if(impairment.duplicate, "duplicate")
        self._reorder = rng_if(impairment.reorder, "reorder")
        self._jitter = rng_if(impairment.jitter_ns, "jitter")
        self._link_is_bad = False

    def roll(self, frame: bytes) -> Fate:
        """The fate of `frame`."""
        impairment = self._impairment
        lost_by = "burst_loss" if self._burst is not None and self._roll_burst(self._burst) else ""
        if self._loss is not None and self._loss.random() < impairment.loss:
            lost_by = "loss"
        jitter_ns = 0
        if self._jitter is not None:
            jitter_ns = self._jitter.randrange(impairment.jitter_ns + 1)
        return Fate(
            lost_by,
            self._roll_bits(self._corrupt, len(frame)) if self._corrupt is not None else (),
            self._roll_words(self._swap, frame) if self._swap is not None else None,
            self._roll_cut(self._truncate, len(frame)) if self._truncate is not None else 0,
            self._duplicate is not None and self._duplicate.random() < impairment.duplicate,
            self._reorder is not None and self._reorder.random() < impairment.reorder,
            jitter_ns,
        )

    def _roll_burst(self, rng: random.Random) -> bool:
        """One step of the two-state chain of Gilbert (1960) and Elliott (1963): a good and a bad state."""
        impairment = self._impairment
        turns, hits = rng.random(), rng.random()
        self._link_is_bad = turns >= impairment.burst_stop if self._link_is_bad else turns < impairment.burst_start
        return self._link_is_bad and hits < impairment.burst_loss

    def _roll_bits(self, rng: random.Random, length: int) -> Sequence[int]:
        """The bits to flip; none in a frame that is all link header."""
        struck = rng.random() < self._impairment.corrupt
        bits = range(self._header * 8, length * 8)
        if not struck:
            return ()
        return rng.sample(bits, min(self._impairment.corrupt_bits, len(bits)))

    def _roll_words(self, rng: random.Random, frame: bytes) -> tuple[int, int] | None:
        """Where the words to swap begin: one at random, and one of those that differ from it; None if none does."""
        count = (len(frame) - self._header) // 2
        if rng.random() >= self._impairment.swap or count < 1:
            return None
        words = memoryview(frame)[self._header : self._header + 2 * count].cast("H").tolist()
        one = rng.randrange(count)
        others = [n for n, word in enumerate(words) if word != words[one]]
        if not others:
            return None
        return self._header + 2 * one, self._header + 2 * rng.choice(others)

    def _roll_cut(self, rng: random.Random, length: int) -> int:
        """How many bytes the frame loses: one behind the link header stays."""
        struck = rng.random() < self._impairment.truncate
        most = length - self._header - 1
        return rng.randint(1, most) if struck and most > 0 else 0


class Bottleneck:
    """A transmitter of `rate_bps` with a drop-tail queue of `queue_bytes` before it; None for no limit."""

    def __init__(self, rate_bps: int | None, queue_bytes: int | None) -> None:
        self._rate_bps = rate_bps
        self._queue_bytes = queue_bytes
        self._free_at = 0
        """When the last frame will have left, in ns times bits a second, so that nothing is rounded away."""
        self._waiting: deque[tuple[int, int]] = deque()
        """When each queued frame starts to be sent (ns), and its bytes."""
        self._waiting_bytes = 0

    def pass_through(self, length: int, now: int) -> int | None:
        """When a frame of `length` bytes handed over at `now` will have left, in ns; None if the queue is full."""
        rate = self._rate_bps
        if rate is None:
            return now
        while self._waiting and self._waiting[0][0] <= now:
            self._waiting_bytes -= self._waiting.popleft()[1]
        starts_at = max(self._free_at, now * rate)
        starts_ns = -(-starts_at // rate)
        if starts_ns > now:
            if self._queue_bytes is not None and self._waiting_bytes + length > self._queue_bytes:
                return None
            self._waiting.append((starts_ns, length))
            self._waiting_bytes += length
        self._free_at = starts_at + length * 8 * 1_000_000_000
        return -(-self._free_at // rate)


def flip_bits(frame: bytes, bits: Sequence[int]) -> bytes:
    """`frame` with the given bits turned over, counted from its start, the least bit of each byte first."""
    data = bytearray(frame)
    for bit in bits:
        data[bit >> 3] ^= 1 << (bit & 7)
    return bytes(data)


def swap_words(frame: bytes, one: int, other: int) -> bytes:
    """`frame` with the 16-bit words that begin at the offsets `one` and `other` in each other's place."""
    data = bytearray(frame)
    data[one : one + 2], data[other : other + 2] = data[other : other + 2], data[one : one + 2]
    return bytes(data)
