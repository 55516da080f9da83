"""The driver: runs a stack in real time. The only real clock, the only poller, the only thread of rawproto.

The stack belongs to whoever holds the lock. A thread that has to wait in a call runs the stack itself meanwhile, so
that a transfer needs no hand-over between threads; a second thread that waits is told by the first. When no
application thread is in a call, a background thread takes over within a few milliseconds, so that acknowledgements
and timers go on while the applications compute.
"""

from __future__ import annotations

import errno
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
"""How long no application thread must have run the stack before the background thread does. A call that need not wait
does not run it."""

_OFFSET = time.time_ns() - time.monotonic_ns()


def wall_clock() -> int:
    """Nanoseconds since 1970, never going back: the monotonic clock, moved to the time of day when we began."""
    return time.monotonic_ns() + _OFFSET


class Driver:
    """Runs one stack. `with driver.lock:` before touching it; `wait` runs it until something is so."""

    def __init__(self, stack: Stack, clock: Clock = wall_clock) -> None:
        self.stack = stack
        self.clock = clock
        self.lock = threading.RLock()
        """A thread takes it once only; but what a signal handler raises can't keep a Condition from taking it back."""
        self.failure: Exception | None = None
        """What made the link unusable, its closing included; every call raises it from then on."""
        self._changed = threading.Condition(self.lock)
        self._polling: threading.Thread | None = None
        self._sleeps_until: int | None = 0  # what the polling thread waits for at the latest; None for ever, 0 not
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
            self._check()
            try:
                yield self.clock()
            finally:
                self._ring_if_sooner()

    def wait(self, ready: Callable[[], bool], timeout_ns: int | None = None) -> bool:
        """Run the stack until `ready()`; False if that was not so within `timeout_ns`. The lock must be held.

        Raises OSError once the link has failed.
        """
        deadline = None if timeout_ns is None else self.clock() + timeout_ns
        self._waiting += 1
        try:
            while not ready():
                self._check()
                if deadline is not None and self.clock() >= deadline:
                    return False
                if self._polling is None:
                    self._iterate(deadline)
                else:
                    if self._polling is self._thread:
                        self._ring()  # it makes way
                    else:
                        self._ring_if_sooner()  # for what this call did before it had to wait
                    self._changed.wait(None if deadline is None else max(0, deadline - self.clock()) / 1e9)
            return True
        finally:
            if not self.lock._is_owned():  # type: ignore[attr-defined]
                self.lock.acquire()  # a signal handler has raised just where Condition.wait had given it back
            self._waiting -= 1
            self._foreground_ns = self.clock()
            self._give_back()

    def close(self) -> None:
        """Stop the background thread, then close the carrier. May be called twice.

        Threads that wait in a call are told by OSError (EBADF).
        """
        with self.lock:
            if self._closed:
                return
            self._closed = True
            if self.failure is None:
                self.failure = OSError(errno.EBADF, "the host was closed")
            self.wake()
        self._thread.join()
        with self.lock:
            self._give_back()

    @property
    def closed(self) -> bool:
        """`close` was called."""
        return self._closed

    def wake(self) -> None:
        """Have whoever waits look again. The lock must be held."""
        self._changed.notify_all()
        if self._polling is not None:
            self._ring()

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure.with_traceback(None)

    def _give_back(self) -> None:
        """Close the descriptors of a closed driver, once nobody polls them any more: the last to leave does it."""
        if self._closed and not self._waiting and not self._thread.is_alive() and self._bell >= 0:
            self.stack.carrier.close()
            os.close(self._bell)
            self._bell = -1

    def _iterate(self, deadline: int | None) -> None:
        """Wait for something to happen, at the latest for `deadline`, and run the stack once."""
        self._polling = threading.current_thread()
        try:
            self._sleep(deadline)  # what a signal handler raises meanwhile is the caller's
            try:
                self.stack.step(self.clock())
            except Exception as error:
                self.failure = error
        finally:
            self._polling = None
            self._changed.notify_all()

    def _sleep(self, deadline: int | None) -> None:
        """Without the lock, wait for something to come; not at all if there is more to send, but let others at it."""
        timeout = 0 if self.stack.endpoint.pending else self.stack.next_timeout()
        self._sleeps_until = timeout if deadline is None or (timeout is not None and timeout < deadline) else deadline
        milliseconds = None
        if self._sleeps_until is not None:
            milliseconds = max(0, self._sleeps_until - self.clock()) / 1e6
        held = (1, threading.get_ident())
        try:
            self.lock.release()
            events = self._poll.poll(milliseconds)
        finally:
            # As Condition.wait does it: what a signal handler raises could leave us without the lock after `acquire`.
            self.lock._acquire_restore(held)  # type: ignore[attr-defined]
            self._sleeps_until = 0
        if any(descriptor == self._bell for descriptor, _ in events):
            os.eventfd_read(self._bell)

    def _ring(self) -> None:
        """Wake the polling thread."""
        os.eventfd_write(self._bell, 1)

    def _ring_if_sooner(self) -> None:
        """Wake the polling thread if a call has made it due sooner than it will wake by itself."""
        if self._polling is None or self._sleeps_until == 0:
            return
        timeout = self.stack.next_timeout()
        due = self.stack.endpoint.pending or (
            timeout is not None and (self._sleeps_until is None or timeout < self._sleeps_until)
        )
        if due:
            self._ring()

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
