"""Runs a sender and a receiver over a wire that does what it is told, in virtual time, and has the checker judge them.

The sender is the scripted link's "client" and the receiver its "server". What comes of it is a `Run`, as of the real
transport, so that the same checker reads it. Once the sender says that it is done, its program ends: it is never called
again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.memory import memory_pair
from rawproto.link.script import Event, ScriptedLink, WireLog
from rawproto.sim.applications import Account, content
from rawproto.sim.scenario import Party, Road, Scenario, Talk
from rawproto.sim.world import Run
from rawproto.study.checker import Violation, check
from rawproto.study.textbook.guard import Guarded, MachineError
from rawproto.study.textbook.machine import MS, Receiver, Sender, Settings
from rawproto.study.textbook.onlink import PacketView
from rawproto.study.textbook.packet import decode, show
from rawproto.wire.frame import LinkType

__all__ = ["CONTRACT", "DELAY_NS", "Played", "Trial", "judge", "play"]

DELAY_NS = 10 * MS
"""From one end to the other."""
UNTIL_NS = 20_000 * MS
"""When everything must have come true."""
PATIENCE = 80
"""Timeouts in which nothing is read, with no outage, after which nothing will be: with doubling ones that is six."""
AFTERWARDS_NS = 500 * MS
"""How long it goes on when both are done: copies come late."""
MOST_AT_ONCE = 300
"""Datagrams and timeouts of one machine in one instant."""
MOST_CALLS = 5_000
"""Datagrams and timeouts of one machine in all."""
MTU = 1500
DEFAULTS = Settings()
CONTRACT = "contract"
"""What is broken by a machine that does not keep to the interface."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is played: `pieces` chunks of `settings.mss` octets go from `sender` to `receiver`. A value."""

    sender: type[Sender]
    receiver: type[Receiver]
    settings: Settings = DEFAULTS
    pieces: int = 16
    events: tuple[Event, ...] = ()
    impairment: Impairment = Impairment.none
    """Of both directions, beside the events; its delay is added to `DELAY_NS`."""
    seed: int = 0
    own_format: bool = False
    """The datagrams may be of another format than `packet`'s: both machines are of one's own."""

    @property
    def octets(self) -> int:
        """How many are sent."""
        return self.pieces * self.settings.mss


@dataclass(frozen=True, slots=True)
class Played:
    """What came of it. `fault` tells how a machine broke the interface, which ended the run; "" if none did."""

    trial: Trial
    run: Run
    fault: str = ""


def play(trial: Trial) -> Played:
    """Play `trial`: the same for the same trial, always. Raises whatever `Settings` and `Event` do not allow."""
    bench = Bench(trial)
    fault = ""
    try:
        bench.play()
    except MachineError as error:
        fault = str(error)
    return Played(trial, bench.told(), fault)


def judge(played: Played) -> tuple[Violation, ...]:
    """What was broken, in the order of time; of a run that a machine has ended by breaking the interface, just that."""
    run = played.run
    if played.fault:
        return (Violation(CONTRACT, run.end_ns, played.fault),)
    found = check(run, PacketView(run, played.trial.settings)).violations
    return tuple(map(_in_these_words, found))


def _in_these_words(violation: Violation) -> Violation:
    """There is but one direction, so that an end that was never told is part of what has not arrived."""
    guarantee = "complete" if violation.guarantee == "two_way" else violation.guarantee
    text = violation.text.replace("the client", "the sender").replace("the server", "the receiver")
    return replace(violation, guarantee=guarantee, text=text)


class End:
    """One end of the wire: a machine and its link."""

    def __init__(self, machine: Guarded, link: ScriptedLink, strict: str) -> None:
        self._acknowledged = link.side == "client"
        self.machine = machine
        self.link = link
        self.gone = False
        """Its program has ended."""
        self._strict = strict
        """The checksum that datagrams must have; "" if they may be anything."""
        self._fresh = True
        """The application has handed over something."""
        self._calls = self._at_once = 0
        self._last_ns = -1
        self._due_ns: int | None = None
        """When the machine wants to be called; it has no reason to think otherwise between two calls."""

    def next_timeout(self) -> int | None:
        """When the machine or the link wants to be called."""
        link_ns, due_ns = self.link.next_timeout(), self._due_ns
        if link_ns is None or due_ns is None:
            return due_ns if link_ns is None else link_ns
        return min(link_ns, due_ns)

    def step(self, now: int) -> bool:
        """Do what there is to be done at `now`; tell whether there was anything."""
        self.machine.now = now
        frames = self.link.receive(now)
        if self.gone:
            return bool(frames)
        for frame in frames:
            on = f", given {show(frame.data, self._acknowledged)}"
            self.machine.call("receive", frame.data, now, on=on)
        if frames:
            self._due_ns = self._machines_due()
        if timeout := self._due_ns is not None and self._due_ns <= now:
            self.machine.call("handle_timeout", now)
        if not (frames or timeout or self._fresh):
            return False
        self._fresh = False
        packets = self._transmitted(now)
        self._due_ns = self._machines_due()
        self._count(now, len(packets) + timeout)
        if packets:
            self.link.send(packets, now)
        return bool(frames or timeout or packets)

    def leave(self) -> None:
        """Its program ends."""
        self.gone, self._due_ns = True, None

    def _machines_due(self) -> int | None:
        due_ns = self.machine.call("next_timeout")
        if due_ns is not None and not isinstance(due_ns, (int, float)):
            raise self.machine.fault(f"gave {due_ns!r} in next_timeout(): give an int of ns, or None")
        return None if due_ns is None else int(due_ns)

    def _transmitted(self, now: int) -> list[bytes]:
        given: Any = self.machine.call("poll_transmit", now)
        if not isinstance(given, Sequence) or not all(isinstance(data, (bytes, bytearray)) for data in given):
            raise self.machine.fault(f"gave {given!r} in poll_transmit(): give a list of bytes")
        for data in given:
            if not 0 < len(data) <= MTU:
                raise self.machine.fault(f"sent a datagram of {len(data)} octets; the link takes 1 to {MTU}")
            if self._strict and decode(bytes(data), self._strict) is None:
                raise self.machine.fault(f"sent {len(data)} octets that are no packet: send what transmit() makes")
        return [bytes(data) for data in given]

    def _count(self, now: int, calls: int) -> None:
        """Stop a machine that would go on for ever."""
        self._at_once = calls + (self._at_once if now == self._last_ns else 0)
        self._last_ns = now
        self._calls += calls
        if self._at_once > MOST_AT_ONCE:
            raise self.machine.fault(
                f"lets no time pass: more than {MOST_AT_ONCE:,} datagrams and timeouts in one instant (after a "
                "timeout, next_timeout() must be later than now, or None)"
            )
        if self._calls > MOST_CALLS:
            raise self.machine.fault(f"has had more than {MOST_CALLS:,} datagrams and timeouts, and goes on")


class Bench:
    """Both ends, the wire between them, and what their applications see."""

    def __init__(self, trial: Trial) -> None:
        self.trial = trial
        self.now = 0
        self._outages_end_ns = max((event.end_ns for event in trial.events), default=0)
        parties = Party((f"send {trial.octets}", "shutdown")), Party((), ("read all",))
        scenario = Scenario("textbook", (Talk(*parties),), trial.events, road=Road(delay_ns=DELAY_NS))
        self.sends = Account("client", 0, began_ns=0, open_ns=0, waits_for="send")
        self.reads = Account("server", 0, began_ns=0, open_ns=0, waits_for="read")
        self.run = Run(scenario, trial.seed, [self.sends, self.reads], WireLog())
        impairment = replace(trial.impairment, delay_ns=trial.impairment.delay_ns + DELAY_NS)
        self.links = [
            ScriptedLink(
                ImpairedLink(wire, impairment, partial(derive_rng, trial.seed, side)), side, trial.events, self.run.log
            )
            for side, wire in zip(("client", "server"), memory_pair(linktype=LinkType.USER0, mtu=MTU), strict=True)
        ]

    def play(self) -> None:
        """Let both machines run. Raises MachineError."""
        trial, settings = self.trial, self.trial.settings
        strict = "" if trial.own_format else settings.checksum
        sender = Guarded(trial.sender, settings, "sender")
        receiver = Guarded(trial.receiver, settings, "receiver")
        ends = [End(machine, link, strict) for machine, link in zip((sender, receiver), self.links, strict=True)]
        data = content(trial.seed, "client", 0, trial.octets)
        for at in range(0, len(data), settings.mss):
            piece = data[at : at + settings.mss]
            sender.call("send", piece)
            self.sends.sent.append((0, piece))
        sender.call("finish")
        self.sends.shutdown_ns = 0
        self.sends.waits_for = "be told that all has arrived"
        while True:
            for link in self.links:
                link.handle_timeout(self.now)
            while sum(end.step(self.now) for end in ends):
                self._look_at_receiver(receiver)
                if not ends[0].gone and sender.says("done"):
                    self.sends.flushed_ns, self.sends.waits_for = self.now, ""
                    ends[0].leave()
            due_ns = min((due for end in ends if (due := end.next_timeout()) is not None), default=None)
            if due_ns is None or due_ns > self._until():
                return
            self.now = max(self.now, due_ns)

    def _until(self) -> int:
        """Behind this time nothing will happen any more that is worth waiting for."""
        latest = max([self.sends.flushed_ns, self.reads.eof_ns, *(time_ns for time_ns, _ in self.reads.got[-1:]), 0])
        if self.sends.flushed_ns >= 0 and self.reads.eof_ns >= 0:
            return latest + AFTERWARDS_NS
        return min(UNTIL_NS, max(latest, self._outages_end_ns) + PATIENCE * self.trial.settings.timeout_ns)

    def _look_at_receiver(self, receiver: Guarded) -> None:
        """What does its application see now?"""
        octets = receiver.call("read")
        if not isinstance(octets, (bytes, bytearray)):
            raise receiver.fault(f"gave {octets!r} in read(): give bytes")
        if octets:
            self.reads.got.append((self.now, bytes(octets)))
            self.reads.read += len(octets)
        if self.reads.eof_ns < 0 and receiver.says("at_end"):
            self.reads.eof_ns, self.reads.waits_for = self.now, ""

    def told(self) -> Run:
        """All that there is to be said of it."""
        run = self.run
        run.end_ns = self.now
        for link in self.links:
            run.struck.update(link.fired)
        for event, count in run.struck.items():
            run.fired[event.kind] += count
        return run
