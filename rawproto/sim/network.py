"""A simulated network: hosts, the wires between them, and virtual time that jumps to the next thing to happen.

The hosts run the stack, the engine and the link wrappers that run on a real wire; only the innermost link and the
clock are of memory. A run is a function of what was set up and of the seed: nothing here draws a random number
or looks at a clock.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import NamedTuple, Protocol

from rawproto.errors import RawprotoError
from rawproto.transport.stack import Stack

__all__ = ["Action", "Condition", "Host", "HostCondition", "Simulation", "StalledError", "Task", "Wire"]

Condition = Callable[[], bool]
"""What a task waits for: called again whenever something has happened, until it says True."""

Task = Generator[Condition, None, None]
"""An application: a generator that yields what it waits for."""

Action = Callable[[], object]
"""What is done at a certain time."""


class StalledError(RawprotoError):
    """Applications wait, and nothing is ever going to happen."""


class Wire(Protocol):
    """The innermost link of a host, as far as the simulation looks at it."""

    @property
    def waiting(self) -> int:
        """How many frames have come and were not received yet."""


@dataclass(eq=False, slots=True)
class HostCondition:
    """A condition on what only its own host changes: called again only after something has happened there."""

    check: Condition

    def __call__(self) -> bool:
        """Whether the task can go on."""
        return self.check()


class Waiting(NamedTuple):
    """An application, and what it waits for."""

    task: Task
    check: Condition
    elsewhere: bool
    """It may go on by what happens on other hosts."""


@dataclass(eq=False)
class Host:
    """One machine on the network: its stack, its end of the wire, and the applications that run on it."""

    name: str
    stack: Stack
    wire: Wire
    simulation: Simulation
    tasks: list[Waiting] = field(default_factory=list)
    more: bool = False
    fresh: bool = False
    """An application was started that has not run yet: it may listen for what has already come."""
    _deadline: int | None = None
    _deadline_of: int = -2
    """The stack's time when its deadline was asked for. Each of its calls has a time of its own."""
    _tasks_at: int = -2
    """The stack's time when the tasks were last looked at; -2 if they must be looked at again in any case."""
    _looks_elsewhere: bool = False
    """A task may go on by what happens on other hosts."""

    @property
    def now(self) -> int:
        """The time at this host, in ns."""
        return self.simulation.now

    def spawn(self, task: Task) -> None:
        """Start an application on this host; it runs up to its first wait when the simulation next runs."""
        self.tasks.append(Waiting(task, _at_once, False))
        self.fresh = True

    @property
    def busy(self) -> bool:
        """There is something to do without waiting for time to pass."""
        return self.more or self.wire.waiting > 0 or self.stack.endpoint.pending

    def step(self, now: int) -> None:
        """One iteration of the stack, then of the applications that can go on."""
        self.more = self.stack.step(now)

    def run_tasks(self) -> bool:
        """Let the applications go on that no longer have to wait; tell whether any did."""
        tasks = self.tasks
        self._tasks_at = self.stack.now
        self.fresh = False
        ready = [number for number, waiting in enumerate(tasks) if waiting[1]()]
        if not ready:
            return False
        self.tasks = []
        done = 0
        for number in ready:
            self.tasks += tasks[done:number]
            self._go_on(tasks[number])
            done = number + 1
        self.tasks += tasks[done:]
        self._looks_elsewhere = any(waiting.elsewhere for waiting in self.tasks)
        self._tasks_at = -2
        return True

    def _go_on(self, waiting: Waiting) -> None:
        # Asked again, because another application may have taken meanwhile what this one waited for.
        if not waiting.check():
            self.tasks.append(waiting)
            return
        with suppress(StopIteration):
            condition = next(waiting.task)
            if isinstance(condition, HostCondition):
                self.tasks.append(Waiting(waiting.task, condition.check, False))
            else:
                self.tasks.append(Waiting(waiting.task, condition, True))

    @property
    def may_go_on(self) -> bool:
        """Something may have happened that an application waits for."""
        return bool(self.tasks) and (self._looks_elsewhere or self.stack.now != self._tasks_at)

    def deadline(self) -> int | None:
        """When the stack wants to be called, whatever comes; None for never."""
        if self.stack.now != self._deadline_of:
            self._deadline_of = self.stack.now
            self._deadline = self.stack.next_timeout()
        return self._deadline

    def forget(self) -> None:
        """Something outside may have changed the host: ask and look anew."""
        self._deadline_of = self._tasks_at = -2


class Simulation:
    """Runs hosts in virtual time, which begins at `start` ns."""

    def __init__(self, start: int = 0) -> None:
        self.now = start
        self.hosts: list[Host] = []
        self.observers: list[Callable[[int], None]] = []
        """Called with the time whenever it has moved: for progress bars."""
        self._events: list[tuple[int, int, Action]] = []
        self._serial = 0

    def add(self, name: str, stack: Stack, wire: Wire) -> Host:
        """Put a host on the network. `wire` is the memory link that its stack's links end in."""
        host = Host(name, stack, wire, self)
        self.hosts.append(host)
        return host

    def at(self, time_ns: int, action: Action) -> None:
        """Call `action` at virtual time `time_ns`, before the hosts do anything at that time; at once if it is past.

        Actions of one time are called in the order in which they were given. An action may do anything, such as call a
        host's stack, change a port, or give further actions.
        """

        def act() -> None:
            action()
            self._forget()

        self.schedule(time_ns, act)

    def schedule(self, time_ns: int, action: Action) -> None:
        """As `at`, for the network's own parts: `action` calls no stack."""
        heappush(self._events, (time_ns, self._serial, action))
        self._serial += 1

    def run(self, until: int | None = None) -> None:
        """Run until all applications are done, or until virtual time `until`, in ns.

        Raises StalledError when applications wait for what can't happen any more.
        """
        self._forget()
        while any(host.tasks for host in self.hosts):
            if not self._settle(until):
                return

    def run_idle(self, until: int | None = None) -> None:
        """Run until nothing is left to happen (timers and actions included), or until virtual time `until`, in ns."""
        self._forget()
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
        if not any(host.tasks for host in self.hosts):
            return True
        deadline = self._next_timeout()
        if deadline is None:
            waiting = [host.name for host in self.hosts if host.tasks]
            raise StalledError(f"at {self.now} ns nothing is left to happen, but applications wait on {waiting}")
        if until is not None and deadline > until:
            self.now = until
            return False
        self._advance(deadline)
        return True

    def _step(self) -> bool:
        """One round of all hosts; tell whether anything was done."""
        progress = bool(self._events) and self._act()
        for host in self.hosts:
            if host.fresh and host.run_tasks():
                progress = True
            if host.busy:
                host.step(self.now)
                progress = True
            if host.may_go_on and host.run_tasks():
                progress = True
        return progress

    def _act(self) -> bool:
        """Do what is due of the events; tell whether any was."""
        events, acted = self._events, False
        while events and events[0][0] <= self.now:
            heappop(events)[2]()
            acted = True
        return acted

    def _next_timeout(self) -> int | None:
        soonest = self._events[0][0] if self._events else None
        for host in self.hosts:
            deadline = host.deadline()
            if deadline is not None and (soonest is None or deadline < soonest):
                soonest = deadline
        return soonest

    def _advance(self, deadline: int) -> None:
        self.now = max(self.now, deadline)
        for observer in self.observers:
            observer(self.now)
        if self._events:
            self._act()
        for host in self.hosts:
            due = host.deadline()
            if due is not None and due <= self.now:
                host.step(self.now)

    def _forget(self) -> None:
        for host in self.hosts:
            host.forget()


def _at_once() -> bool:
    return True
