"""A simulated network: hosts, the wires between them, and virtual time that jumps to the next thing to happen.

The hosts run the stack, the engine and the link wrappers that run on a real wire; only the innermost link and the
clock are of memory. A run is a function of what was set up and of the seed: nothing here draws a random number
or looks at a clock, and whoever does so inside a run is told (`rawproto.sim.guard`).

There is one time for the network, `Simulation.now`, in which wires and actions work, and one for each host, `Host.now`,
in which its stack and its applications work. They are the same until a host's clock jumps.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from heapq import heappop, heappush
from typing import Protocol

from rawproto.errors import RawprotoError
from rawproto.link.chance import derive_rng
from rawproto.sim.clock import UntimedLink
from rawproto.sim.guard import Guard, Lifted
from rawproto.transport.connection import Connection
from rawproto.transport.endpoint import Endpoint
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
    """A condition on what only its own host changes: called again only after something has happened there.

    With a `connection` it is on the state of that alone, and called again only after something has happened to it.
    """

    check: Condition
    connection: Connection | None = None

    def __call__(self) -> bool:
        """Whether the task can go on."""
        return self.check()


@dataclass(eq=False, slots=True)
class Waiting:
    """An application, and what it waits for."""

    task: Task
    check: Condition
    elsewhere: bool = False
    """It may go on by what happens on other hosts."""
    connection: Connection | None = None
    """It can go on only by what happens to this one."""
    polls: int = -1
    """The connection's count when the condition was called last."""


@dataclass(eq=False)
class Host:
    """One machine on the network: its stack, its end of the wire, its clock, and the applications that run on it."""

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
    _forgotten: bool = True
    """No task can rely on what its connection tells of itself."""
    _looks_elsewhere: bool = False
    """A task may go on by what happens on other hosts."""
    boot: int = 0
    """How often it was restarted."""
    _offset: int = 0
    _floor: int = 0
    """What its clock has shown when it was put back: it shows no less afterwards."""
    _untimed: UntimedLink | None = None
    """Keeps its wire in the network's time; None as long as there is no other."""

    @property
    def now(self) -> int:
        """The time by this host's clock, in ns: it never goes back."""
        now = self.simulation.now + self._offset
        return max(now, self._floor)

    @property
    def offset(self) -> int:
        """What has been added to the network's time by `jump`, in ns; `now` may be later yet, while it stands still."""
        return self._offset

    def jump(self, by_ns: int) -> None:
        """Put the host's clock forward, or back if `by_ns` is negative. What is on the wire does not notice.

        Forward: the timers that are then due by the host's clock go off at once, as after a suspended machine wakes.

        Back: nothing in a stack may see time go back, which is why a real one runs by a clock that doesn't
        (CLOCK_MONOTONIC; `rawproto.sockets.driver` has such a one). So `now` stands still until as much time has passed
        as it was put back by, and the timers with it: nothing is sent again, probed or given up meanwhile. What arrives
        is answered all the same, each call of the stack a nanosecond after the one before.
        """
        if self._untimed is None:
            self._untimed = UntimedLink.below(self.stack, self.simulation)
        self._floor = max(self._floor, self.now) if by_ns < 0 else self._floor
        self._offset += by_ns
        self.forget()

    def restart(self, seed: int) -> None:
        """Lose all memory: a new stack on the same interface, with the same settings and trace; no applications.

        Those are closed where they wait, and what they then do to their connections reaches nobody. The new stack's
        chance comes from `seed`, the host's name and the number of this restart, so no two choose the same initial
        sequence numbers. The calls of new applications are in no recording: one can be replayed up to here.
        """
        old = self.stack
        self.boot += 1
        endpoint = Endpoint(
            old.endpoint.config,
            derive_rng(seed, self.name, "endpoint", f"boot {self.boot}"),
            old.carrier.datagram_size,
            old.endpoint.trace,
        )
        self.stack = Stack(old.carrier, endpoint)
        self.stack.now = old.now
        self.more = self.fresh = self._looks_elsewhere = False
        self.tasks.clear()
        self.forget()

    def spawn(self, task: Task) -> None:
        """Start an application on this host; it runs up to its first wait when the simulation next runs."""
        self.tasks.append(Waiting(task, _at_once))
        self.fresh = True

    def settle(self, now: int) -> bool:
        """Do once what can be done without waiting for time to pass; tell whether there was anything."""
        progress = self.fresh and self.run_tasks()
        if self.more or self.wire.waiting or self.stack.endpoint.pending:
            self.step(now)
            progress = True
        if not self.tasks or (self.stack.now == self._tasks_at and not self._looks_elsewhere):
            return progress  # nothing has happened that an application waits for
        return self.run_tasks() or progress

    def step(self, now: int) -> None:
        """One iteration of the stack, at the network's time `now`."""
        self.more = self.stack.step(now if self._untimed is None else self.now)

    def run_tasks(self) -> bool:
        """Let the applications go on that no longer have to wait; tell whether any did."""
        tasks, boot = self.tasks, self.boot
        self._tasks_at = self.stack.now
        self.fresh = False
        ready = self._ready()
        if not ready:
            return False
        self.tasks = []
        done = 0
        for number in ready:
            self.tasks += tasks[done:number]
            self._go_on(tasks[number])
            if self.boot != boot:
                return True  # what has just run has restarted the host: it and all others are gone
            done = number + 1
        self.tasks += tasks[done:]
        self._looks_elsewhere = any(waiting.elsewhere for waiting in self.tasks)
        self._tasks_at = -2
        return True

    def _ready(self) -> list[int]:
        """Which of the tasks no longer have to wait."""
        anew, self._forgotten = self._forgotten, False
        ready = []
        for number, waiting in enumerate(self.tasks):
            connection = waiting.connection
            if connection is not None:
                if connection.polls == waiting.polls and not anew:
                    continue
                waiting.polls = connection.polls
            if waiting.check():
                ready.append(number)
        return ready

    def _go_on(self, waiting: Waiting) -> None:
        # Asked again, because another application may have taken meanwhile what this one waited for.
        if not waiting.check():
            self.tasks.append(waiting)
            return
        boot = self.boot
        condition = next(waiting.task, None)
        if condition is None or self.boot != boot:
            return  # it has ended, or has restarted its host
        if isinstance(condition, HostCondition):
            waiting.check, waiting.connection, waiting.elsewhere = condition.check, condition.connection, False
        else:
            waiting.check, waiting.connection, waiting.elsewhere = condition, None, True
        waiting.polls = -1
        self.tasks.append(waiting)

    def deadline(self) -> int | None:
        """When the stack wants to be called, whatever comes, in the network's time; None for never."""
        if self.stack.now != self._deadline_of:
            self._deadline_of = self.stack.now
            due = self.stack.next_timeout()
            self._deadline = due if self._untimed is None else self._in_network_time(due, self._untimed.due())
        return self._deadline

    def _in_network_time(self, due: int | None, wire: int | None) -> int | None:
        """The sooner of `due`, by the host's clock, and `wire`, by the network's."""
        if due is None:
            return wire
        due = self.simulation.now if due <= self.now else due - self._offset
        return due if wire is None else min(due, wire)

    def forget(self) -> None:
        """Something outside may have changed the host: ask and look anew."""
        self._deadline_of = self._tasks_at = -2
        self._forgotten = True


class Simulation:
    """Runs hosts in virtual time, which begins at `start` ns."""

    def __init__(self, start: int = 0) -> None:
        self.now = start
        self.hosts: list[Host] = []
        self.observers: list[Callable[[int], None]] = []
        """Called with the time whenever it has moved: for progress bars. They may look at a real clock."""
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

    def run(self, until: int | None = None, done: Condition | None = None) -> None:
        """Run until all applications are done, or as soon as `done` says so, or until virtual time `until`, in ns.

        Raises StalledError when applications wait for what can't happen any more, and RealClockError from where one
        asks the real machine for the time or for chance.
        """
        self._guarded(partial(self._run, done=self._all_done if done is None else done), until)

    def run_idle(self, until: int | None = None) -> None:
        """Run until nothing is left to happen (timers and actions included), or until virtual time `until`, in ns."""
        self._guarded(self._run_idle, until)

    def _guarded(self, run: Callable[[int | None], None], until: int | None) -> None:
        guard = Guard()
        try:
            guard.enter()
            run(until)
        finally:
            guard.leave()

    def _run(self, until: int | None, done: Condition) -> None:
        self._forget()
        while not done():
            if not self._settle(until, done):
                return

    def _all_done(self) -> bool:
        return not any(host.tasks for host in self.hosts)

    def _run_idle(self, until: int | None) -> None:
        self._forget()
        while self._step():
            pass
        while (deadline := self._next_timeout()) is not None and (until is None or deadline <= until):
            self._advance(deadline)
            while self._step():
                pass

    def _settle(self, until: int | None, done: Condition) -> bool:
        """Do all that can be done now, then let time pass; False once `until` has come."""
        while self._step():
            pass
        if done():
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
        progress = bool(self._events) and self._events[0][0] <= self.now and self._act()
        for host in self.hosts:
            if host.settle(self.now):
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
        if self.observers:
            with Lifted():
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
