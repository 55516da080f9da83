"""Replay: a fresh stack is put through a recording, and must answer as the recorded one did.

    replay("pcaps/fast_retransmit/client.pcapng")

Everything the recorded stack was told it is told again, at the recorded times and with the recorded seed: datagrams,
its application's calls, the moments at which it looked. Every frame that it sends is held against the recorded one,
byte for byte, in the step of the same nanosecond; every timer against the time for which it was set. So it makes no
difference whether the recording is of virtual time or of a real wire.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from rawproto.capture.compare import difference
from rawproto.capture.journal import Call, joined
from rawproto.capture.recording import Recording, Setup, Step
from rawproto.errors import CaptureError, ConfigError, ProtocolError, ReplayMismatchError
from rawproto.link.base import Link
from rawproto.link.carrier import DatagramCarrier, IpCarrier
from rawproto.link.chance import derive_rng
from rawproto.transport.config import Config
from rawproto.transport.connection import Connection, End
from rawproto.transport.datagram import DatagramPort
from rawproto.transport.endpoint import Endpoint, Listener
from rawproto.transport.stack import Stack
from rawproto.transport.trace import Trace
from rawproto.wire.address import ip_text
from rawproto.wire.frame import Frame, LinkType

__all__ = ["Replay", "replay"]

DAMAGE = (ArithmeticError, AttributeError, ConfigError, LookupError, TypeError, ValueError, struct.error)
"""What a call with the wrong arguments raises somewhere below."""
OWN_CALLS = ("timeout", "poll")
"""What a stack notes by itself; all other calls come from the application."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What a replay went through."""

    steps: int
    calls: int
    received: int
    sent: int


def replay(path: str | os.PathLike[str], **changes: Any) -> Replay:
    """Replay the recording at `path` to its end. `changes` are settings to change, to see it fail.

    Raises ReplayMismatchError at the first difference, CaptureError for what is not a recording.
    """
    player = Replay(path, **changes)
    player.run()
    return player


class Replay:
    """One replay; `trace` tells what the fresh engine did and why."""

    def __init__(self, path: str | os.PathLike[str], **changes: Any) -> None:
        self.recording = Recording(path)
        self.trace = Trace()
        self.link = ReplayLink(self.recording.setup)
        self.journal = Notes()
        self.stack = build(self.recording.setup, self.link, self.journal, self.trace, changes)
        self.connections: dict[int, Connection] = {}
        self.listeners: dict[int, Listener] = {}
        self.datagrams: dict[int, DatagramPort] = {}
        self.counts = Counts(0, 0, 0, 0)

    def run(self) -> None:
        """Go through all steps. Raises ReplayMismatchError at the first difference."""
        for step in self.recording:
            self.play(step)
        if not self.counts.steps:
            raise CaptureError(f"{self.recording.path} holds no steps: there is nothing to replay")

    def play(self, step: Step) -> None:
        """Go through one step and compare."""
        self.link.inbound = [self.link.strip(frame) for frame in step.inbound]
        self.link.sent.clear()
        self.journal.calls.clear()
        asked: Call | None = None
        try:
            asked = next((call for call in joined(step.calls) if call.name not in OWN_CALLS), None)
            if asked is None:
                self.stack.step(step.time_ns)
            else:
                # What the application was told it has been told again by the same exception.
                with suppress(End, ProtocolError):
                    self._perform(asked)
        except DAMAGE as error:
            what = "an iteration" if asked is None else f"the call {asked.name!r}"
            where = f"{self.recording.path}: {what} at {step.time_ns} ns"
            raise CaptureError(f"{where} can't be repeated, the recording is damaged: {error!r}") from error
        self.connections.update({each.identity: each for each in self.stack.endpoint.connections.values()})
        self._compare(step)
        counts = self.counts
        self.counts = Counts(
            counts.steps + 1,
            counts.calls + len(step.calls),
            counts.received + len(step.inbound),
            counts.sent + len(step.outbound),
        )

    def _perform(self, call: Call) -> None:
        stack, now, arguments = self.stack, call.time_ns, call.arguments
        if call.name == "listen":
            listener = stack.listen(arguments["port"], arguments["backlog"], now, records=arguments["records"])
            self.listeners[arguments["port"]] = listener
        elif call.name == "connect":
            peer, port, local_port = (arguments[key] for key in ("peer", "port", "local_port"))
            stack.connect(peer, port, now, local_port, records=arguments["records"])
        elif call.name == "accept":
            stack.accept(self.listeners[arguments["port"]], now)
        elif call.name == "unlisten":
            stack.unlisten(self.listeners[arguments["port"]], now)
        elif call.name.endswith(("_datagram", "_datagrams")):
            self._perform_on_datagrams(call)
        else:
            self._perform_on_connection(call)

    def _perform_on_connection(self, call: Call) -> None:
        stack, now, arguments = self.stack, call.time_ns, call.arguments
        connection = self.connections[arguments["connection"]]
        if call.name == "send":
            stack.send(connection, arguments["data"], now)
        elif call.name in ("recv", "recv_record"):
            getattr(stack, call.name)(connection, arguments["limit"], now)
        elif call.name == "set_option":
            stack.set_option(connection, arguments["option"], arguments["value"], now)
        elif call.name in ("shutdown", "close", "abort"):
            getattr(stack, call.name)(connection, now)
        else:
            self._refuse(call)

    def _perform_on_datagrams(self, call: Call) -> None:
        stack, now, arguments = self.stack, call.time_ns, call.arguments
        if call.name == "open_datagrams":
            self.datagrams[arguments["port"]] = stack.open_datagrams(arguments["port"], now)
            return
        port = self.datagrams[arguments["port"]]
        if call.name == "send_datagram":
            stack.send_datagram(port, arguments["peer"], arguments["peer_port"], arguments["data"], now)
        elif call.name == "recv_datagram":
            stack.recv_datagram(port, now)
        elif call.name == "connect_datagrams":
            remote = (arguments["peer"], arguments["peer_port"]) if arguments["peer_port"] else None
            stack.connect_datagrams(port, remote, now)
        elif call.name == "close_datagrams":
            stack.close_datagrams(port, now)
        else:
            self._refuse(call)

    def _refuse(self, call: Call) -> None:
        raise CaptureError(f"{self.recording.path}: a call {call.name!r} at {call.time_ns} ns is not known")

    def _compare(self, step: Step) -> None:
        recorded = [(call.name, call.arguments.get("deadline")) for call in step.calls if call.name in OWN_CALLS]
        replayed = [(name, arguments.get("deadline")) for name, arguments in self.journal.calls if name in OWN_CALLS]
        if recorded != replayed:
            self._fail(step, f"recorded: {_timers(recorded)}\nreplayed: {_timers(replayed)}")
        expected, actual = [self.link.strip(frame).data for frame in step.outbound], self.link.sent
        for one, other in zip(expected, actual, strict=False):
            found = difference(one, other, self.link.linktype)
            if found:
                self._fail(step, found)
        if len(expected) != len(actual):
            kind, extra = ("recorded", expected) if len(expected) > len(actual) else ("replayed", actual)
            frame = extra[min(len(expected), len(actual))]
            other_kind = "replayed" if kind == "recorded" else "recorded"
            self._fail(
                step, f"{other_kind}: nothing more\n" + difference(frame, b"", self.link.linktype).split("\n")[0]
            )

    def _fail(self, step: Step, text: str) -> None:
        where = f"{self.recording.path}: step {self.counts.steps} at {step.time_ns} ns differs"
        raise ReplayMismatchError(f"{where}\n{text}")


class ReplayLink(Link):
    """Gives the inbound frames of the step that is being played, and keeps what is sent."""

    def __init__(self, setup: Setup) -> None:
        self.linktype = setup.linktype
        self.mtu = setup.mtu
        self.address = setup.address
        self.inbound: list[Frame] = []
        self.sent: list[bytes] = []

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        """Keep `frames`."""
        self.sent.extend(frames)

    def receive(self, now: int) -> list[Frame]:
        """Give the frames of the step, once."""
        frames, self.inbound = self.inbound, []
        return frames

    def strip(self, frame: Frame) -> Frame:
        """The frame as the recorded link gave it: without the headers that `on_wire` put in front of a datagram."""
        if self.linktype is not LinkType.USER0 or frame.linktype is not LinkType.RAW:
            return frame
        if len(frame.data) < 48:
            frame = frame._replace(data=frame.data.ljust(48, b"\0"))
        if frame.data[0] >> 4 == 4:
            source, port, start = ip_text(frame.data[12:16]), frame.data[20:22], 28
        else:
            source, port, start = f"[{ip_text(frame.data[8:24])}]", frame.data[40:42], 48
        return frame._replace(data=frame.data[start:], peer=f"{source}:{int.from_bytes(port, 'big')}")


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def call(self, now: int, name: str, **arguments: Any) -> None:
        """Keep the call."""
        self.calls.append((name, arguments))


def build(setup: Setup, link: Link, journal: Notes, trace: Trace, changes: dict[str, Any]) -> Stack:
    """A stack made as the recorded one was. Raises CaptureError if its settings are not known here."""
    try:
        config = replace(Config(**setup.config), **changes)
        carrier = (
            DatagramCarrier(link, setup.address)
            if link.linktype is LinkType.USER0
            else IpCarrier(link, setup.address, setup.mac)
        )
        endpoint = Endpoint(config, derive_rng(setup.seed, setup.name, "endpoint"), carrier.datagram_size, trace)
    except DAMAGE as error:
        raise CaptureError(f"the recorded settings can't be used: {error}") from error
    return Stack(carrier, endpoint, journal)


def _timers(calls: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} set for {at} ns" if at is not None else name for name, at in calls) or "no timer ran out"
