"""A simulated network: hosts, the wires between them, and virtual time that jumps to the next thing to happen.

The hosts run the stack, the engine and the link wrappers that run on a real wire; only the innermost link and the
clock are of memory. A run is a function of what was set up and of the seed: nothing here draws a random number
or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field

from rawproto.errors import RawprotoError
from rawproto.link.memory import MemoryLink
from rawproto.transport.stack import Stack

__all__ = ["Condition", "Host", "Simulation", "StalledError", "Task"]

Condition = Callable[[], bool]
"""What a task waits for: called again after each step of its host, until it says True."""

Task = Generator[Condition, None, None]
"""An application: a generator that yields what it waits for."""


class StalledError(RawprotoError):
    """Applications wait, and nothing is ever going to happen."""


@dataclass(eq=False)
class Host:
    """One machine on the network: its stack, its end of the wire, and the applications that run on it."""

    name: str
    stack: Stack
    wire: MemoryLink
    simulation: Simulation
    tasks: list[tuple[Task, Condition]] = field(default_factory=list)
    more: bool = False

    @property
    def now(self) -> int:
        """The time at this host, in ns."""
        return self.simulation.now

    def spawn(self, task: Task) -> None:
        """Start an application on this host; it runs up to its first wait when the simulation next runs."""
        self.tasks.append((task, _at_once))

    @property
    def busy(self) -> bool:
        """There is something to do without waiting for time to pass."""
        return self.more or self.wire.waiting > 0 or self.stack.endpoint.pending

    def step(self, now: int) -> None:
        """One iteration of the stack, then of the applications that can go on."""
        self.more = self.stack.step(now)

    def run_tasks(self) -> bool:
        """Let the applications go on that no longer have to wait; tell whether any did."""
        progress = False
        tasks, self.tasks = self.tasks, []
        for task, condition in tasks:
            if not condition():
                self.tasks.append((task, condition))
                continue
            progress = True
            with suppress(StopIteration):
                self.tasks.append((task, next(task)))
        return progress


class Simulation:
    """Runs hosts in virtual time, which begins at `start` ns."""

    def __init__(self, start: int = 0) -> None:
        self.now = start
        self.hosts: list[Host] = []
        self.observers: list[Callable[[int], None]] = []
        """Called with the time whenever it has moved: for progress bars."""

    def add(self, name: str, stack: Stack, wire: MemoryLink) -> Host:
        """Put a host on the network. `wire` is the memory link that its stack's links end in."""
        host = Host(name, stack, wire, self)
        self.hosts.append(host)
        return host

    def run(self, until: int | None = None) -> None:
        """Run until all applications are done, or until virtual time `until`, in ns.

        Raises StalledError when applications wait for what can't happen any more.
        """
        while any(host.tasks for host in self.hosts):
            if not self._settle(until):
                return

    def run_idle(self, until: int | None = None) -> None:
        """Run until nothing is left to happen (timers included), or until virtual time `until`, in ns."""
        while self._step():
            pass
        while (deadline := self._next_timeout()) is not None and (until is None or deadline <= until):
            self._advance(deadline)
            while self._step():
                pass

    def _settle(self, until: int | None) -> bool:
        """Do all that can be done now, then let time pass; False once `until` has come."""
        while self._step():
            pass
        waiting = [host.name for host in self.hosts if host.tasks]
        if not waiting:
            return True
        deadline = self._next_timeout()
        if deadline is None:
            raise StalledError(f"at {self.now} ns nothing is left to happen, but applications wait on {waiting}")
        if until is not None and deadline > until:
            self.now = until
            return False
        self._advance(deadline)
        return True

    def _step(self) -> bool:
        progress = False
        for host in self.hosts:
            if host.busy:
                host.step(self.now)
                progress = True
            if host.tasks and host.run_tasks():
                progress = True
        return progress

    def _next_timeout(self) -> int | None:
        deadlines = [at for host in self.hosts if (at := host.stack.next_timeout()) is not None]
        return min(deadlines, default=None)

    def _advance(self, deadline: int) -> None:
        self.now = max(self.now, deadline)
        for observer in self.observers:
            observer(self.now)
        for host in self.hosts:
            due = host.stack.next_timeout()
            if due is not None and due <= self.now:
                host.step(self.now)


def _at_once() -> bool:
    return True
