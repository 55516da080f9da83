"""The driver: runs a stack in real time. The only real clock, the only poller, the only thread of rawproto.

The stack belongs to whoever holds the lock. A thread that has to wait in a call runs the stack itself meanwhile, so
that a transfer needs no hand-over between threads; a second thread that waits is told by the first. When no
application thread is in a call, a background thread takes over within a few milliseconds, so that acknowledgements
and timers go on while the applications compute.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rawproto.transport.stack import Stack

__all__ = ["Clock", "Driver", "wall_clock"]

Clock = Callable[[], int]

HAND_OVER_NS = 4_000_000
"""How long no application thread must have run the stack before the background thread does."""

_OFFSET = time.time_ns() - time.monotonic_ns()


def wall_clock() -> int:
    """Nanoseconds since 1970, never going back: the monotonic clock, moved to the time of day when we began."""
    return time.monotonic_ns() + _OFFSET


class Driver:
    """Runs one stack. `with driver.lock:` before touching it; `wait` runs it until something is so."""

    def __init__(self, stack: Stack, clock: Clock = wall_clock) -> None:
        self.stack = stack
        self.clock = clock
        self.lock = threading.Lock()
        self.failure: Exception | None = None
        """What made the link unusable; every call raises it from then on."""
        self._changed = threading.Condition(self.lock)
        self._polling: threading.Thread | None = None
        self._sleeps_until: int | None = None  # what the polling thread waits for at the latest; None for ever
        self._foreground_ns = clock()
        self._waiting = 0
        self._closed = False
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._bell, select.POLLIN)
        if stack.carrier.fileno() >= 0:
            self._poll.register(stack.carrier.fileno(), select.POLLIN)
        self._thread = threading.Thread(target=self._run_in_background, name="rawproto", daemon=True)
        self._thread.start()

    @contextmanager
    def call(self) -> Iterator[int]:
        """Hold the lock for one call on the stack; gives the time. Raises the failure of the link, if it has failed."""
        with self.lock:
            if self.failure is not None:
                raise self.failure
            yield self.clock()
            self._foreground_ns = self.clock()
            self._ring_if_sooner()

    def wait(self, ready: Callable[[], bool], timeout_ns: int | None = None) -> bool:
        """Run the stack until `ready()`; False if that was not so within `timeout_ns`. The lock must be held.

        Raises OSError once the link has failed.
        """
        deadline = None if timeout_ns is None else self.clock() + timeout_ns
        self._waiting += 1
        try:
            while not ready():
                if self.failure is not None:
                    raise self.failure
                if deadline is not None and self.clock() >= deadline:
                    return False
                if self._polling is None:
                    self._iterate(deadline)
                else:
                    if self._polling is self._thread:
                        os.eventfd_write(self._bell, 1)  # the background thread makes way
                    self._changed.wait(None if deadline is None else max(0, deadline - self.clock()) / 1e9)
            return True
        finally:
            self._waiting -= 1
            self._foreground_ns = self.clock()

    def close(self) -> None:
        """Stop the background thread, then close the carrier. May be called twice."""
        with self.lock:
            if self._closed:
                return
            self._closed = True
            os.eventfd_write(self._bell, 1)
            self._changed.notify_all()
        self._thread.join()
        with self.lock:
            self.stack.carrier.close()
            os.close(self._bell)

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    def wake(self) -> None:
        """Have whoever waits look again. The lock must be held."""
        self._changed.notify_all()
        self._ring_if_sooner()

    def _iterate(self, deadline: int | None) -> None:
        """Wait for something to happen, at the latest for `deadline`, and run the stack once."""
        self._polling = threading.current_thread()
        try:
            if not self.stack.endpoint.pending:
                self._sleep(deadline)
            self.stack.step(self.clock())
        except Exception as error:
            self.failure = error
        finally:
            self._polling = None
            self._changed.notify_all()

    def _sleep(self, deadline: int | None) -> None:
        timeout = self.stack.next_timeout()
        self._sleeps_until = timeout if deadline is None or (timeout is not None and timeout < deadline) else deadline
        milliseconds = None
        if self._sleeps_until is not None:
            milliseconds = max(0, self._sleeps_until - self.clock()) / 1e6
        self.lock.release()
        try:
            events = self._poll.poll(milliseconds)
        finally:
            self.lock.acquire()
            self._sleeps_until = 0
        if any(descriptor == self._bell for descriptor, _ in events):
            os.eventfd_read(self._bell)

    def _ring_if_sooner(self) -> None:
        """Wake the polling thread if a call has made it due sooner than it will wake by itself."""
        if self._polling is None:
            return
        timeout = self.stack.next_timeout()
        due = self.stack.endpoint.pending or (
            timeout is not None and (self._sleeps_until is None or timeout < self._sleeps_until)
        )
        if due:
            os.eventfd_write(self._bell, 1)

    def _run_in_background(self) -> None:
        with self.lock:
            while not self._closed:
                if self.failure is not None:
                    self._changed.wait()
                elif self._waiting or self._polling or self.clock() - self._foreground_ns < HAND_OVER_NS:
                    self._changed_or_idle()
                else:
                    self._iterate(None)

    def _changed_or_idle(self) -> None:
        """Give the application threads a few milliseconds. Not woken by what they do: that would cost a switch each."""
        self.lock.release()
        time.sleep(HAND_OVER_NS / 1e9)
        self.lock.acquire()
