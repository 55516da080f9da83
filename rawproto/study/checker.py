"""The checker: did a transport keep its promises in this run? Judged from outside, by what two applications saw.

It reads accounts (what was handed over, what came out, when each call returned) and the datagrams on the link, never a
buffer, a variable or a trace of the engine. docs/guarantees.md says what each guarantee means, and what can't be
promised by anybody. A run in which nothing was delivered, or in which an event did not happen, shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rawproto.link.script import Event, Sent
from rawproto.sim.applications import Account
from rawproto.sim.scenario import LEAST_MTU, Scenario
from rawproto.sim.world import Run
from rawproto.study.damage import find_damage
from rawproto.study.onlink import LinkView

__all__ = ["GUARANTEES", "Verdict", "Violation", "check"]

GUARANTEES = (
    "integrity",
    "order",
    "no_duplication",
    "no_creation",
    "complete",
    "honest_end",
    "freshness",
    "two_way",
    "connection",
    "boundaries",
    "flow_control",
    "restraint",
)
UNTOLD = ("", "timeout")
"""Errors that say nothing of what has arrived and ended; a reset is judged by itself."""


WAITING = {
    "": "to go on",
    "connect": "to be connected",
    "write": "for room to write",
    "read": "for something to read",
    "flush": "to hear that its end has arrived",
}
"""What an account waits for, in words."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A guarantee that was broken, when, and by which datagram, if one is to blame."""

    guarantee: str
    time_ns: int
    text: str
    packet: Sent | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run shows. `idle` are the events that did not happen."""

    violations: tuple[Violation, ...]
    delivered: int
    """Octets that were read by the applications."""
    idle: tuple[Event, ...]

    @property
    def broken(self) -> frozenset[str]:
        """The guarantees that were."""
        return frozenset(violation.guarantee for violation in self.violations)

    @property
    def passed(self) -> bool:
        """Nothing was broken, something was delivered, and every event happened."""
        return not self.violations and self.delivered > 0 and not self.idle


def check(run: Run, view: LinkView | None = None) -> Verdict:
    """Judge `run`: all violations, in the order of time. `view` reads links that carry something else than RDT."""
    checker = Checker(run, view)
    violations = sorted(checker.violations(), key=lambda violation: violation.time_ns)
    delivered = sum(len(data) for account in run.accounts for _, data in account.got)
    return Verdict(tuple(violations), delivered, tuple(run.idle))


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of a connection: what `sender` handed over, held against what `receiver` got."""

    sender: Account
    receiver: Account


class Checker:
    """Judges one run."""

    def __init__(self, run: Run, view: LinkView | None = None) -> None:
        self.run = run
        self.scenario: Scenario = run.scenario
        self.view = LinkView(run) if view is None else view
        self.pairs = _pairs(run.accounts)
        self._excused = _excused(run)
        self._patience = self.scenario.config().connect_timeout

    def violations(self) -> Iterator[Violation]:
        """All of them, in no particular order."""
        for client, server in self.pairs:
            if server is not None:
                for way in (Way(client, server), Way(server, client)):
                    yield from self._judge(way)
            if client.kind != "datagrams":
                yield from self._agreement(client, server)
        for account in self.run.accounts:
            if account.talk < 0:
                yield self._ghost(account)
        yield from (Violation(*found) for found in self.view.violations())

    # -- one direction -----------------------------------------------------------------------------------------------

    def _judge(self, way: Way) -> Iterator[Violation]:
        if way.sender.kind == "datagrams":
            yield from self._datagrams(way)
            return
        damaged = list(self._content(way))
        yield from damaged
        yield from self._honest(way)
        if not damaged:
            yield from self._arrival(way)
        if way.sender.kind == "records" and not damaged:
            yield from self._boundaries(way)

    def _content(self, way: Way) -> Iterator[Violation]:
        """Integrity, order, no duplication, no creation, freshness: a prefix of what was sent, byte for byte."""
        got = way.receiver.all_got()
        earlier = [
            account.all_sent()
            for account in self.run.accounts
            if account.talk != way.sender.talk and account.sent and account.kind != "datagrams"
        ]
        for damage in find_damage(way.sender.all_sent(), got, earlier):
            time_ns = _time_of(way.receiver, damage.offset)
            text = f"the {way.receiver.side} read {len(got)} octets, and {damage.text}"
            yield Violation(damage.guarantee, time_ns, text, self.view.last_data(way.receiver, time_ns))

    def _honest(self, way: Way) -> Iterator[Violation]:
        """End of stream only after the last byte; success never reported for what was not delivered."""
        sender, receiver = way.sender, way.receiver
        sent, got = len(sender.all_sent()), len(receiver.all_got())
        if receiver.eof_ns >= 0 and (got < sent or sender.shutdown_ns < 0 or sender.shutdown_ns > receiver.eof_ns):
            when = "" if sender.shutdown_ns >= 0 else f", and the {sender.side} has not ended it"
            text = f"the {receiver.side} was told the end of the stream after {got} of {sent} octets{when}"
            yield Violation("honest_end", receiver.eof_ns, text, self.view.last_arrival(receiver, receiver.eof_ns))
        if sender.flushed_ns >= 0 and got < sent and not self._may_lack(receiver):
            text = (
                f"the {sender.side} was told that all its {sent} octets have arrived; "
                f"the {receiver.side} could read {got} of them"
            )
            yield Violation("honest_end", sender.flushed_ns, text, self.view.struck_last(sender.side))

    def _may_lack(self, receiver: Account) -> bool:
        """It has itself to thank: it did not read to the end, ended the connection, or lost its memory."""
        talk = self.scenario.talks[receiver.talk]
        party = talk.client if receiver.side == "client" else talk.server
        return receiver.aborted_ns >= 0 or receiver.gone_ns >= 0 or "read all" not in party.reads

    def _arrival(self, way: Way) -> Iterator[Violation]:
        """Nothing lost: all of it arrives in time, or both learn that it did not; each direction ends by itself."""
        sender, receiver = way.sender, way.receiver
        if self._may_lack(receiver) or sender.aborted_ns >= 0:
            return
        sent, got = len(sender.all_sent()), len(receiver.all_got())
        at = self.run.end_ns
        if self._excused:
            return
        unsent = sender.waits_for == "write"
        if got < sent or unsent:
            how = self._how(way)
            text = f"{got} of {sent} octets of the {sender.side} had arrived at the end{how}"
            if got == sent:
                text = f"the {sender.side} never came to the end of what it had to send{how}"
            yield Violation("complete", at, text, self.view.struck_last(sender.side))
            if receiver.shutdown_ns >= 0 and receiver.flushed_ns >= 0 and sent:
                text = f"after the {receiver.side} had ended its direction, the other one stopped{how}"
                yield Violation("two_way", at, text, self.view.struck_last(sender.side))
        elif sender.shutdown_ns >= 0 and receiver.eof_ns < 0 and receiver.error in UNTOLD:
            text = f"the {sender.side} has ended its direction, and the {receiver.side} was {_told(receiver)}"
            yield Violation("two_way", at, text, self.view.struck_last(sender.side))
        elif sender.shutdown_ns >= 0 and sender.flushed_ns < 0 and sender.error in UNTOLD:
            text = f"all octets of the {sender.side} have arrived, and it was {_told(sender)}"
            yield Violation("complete", at, text, self.view.struck_last(receiver.side))

    def _how(self, way: Way) -> str:
        told = [
            f"the {account.side} was told: {account.error_text}"
            if account.error
            else f"the {account.side} waits {_what_for(account)}"
            for account in (way.sender, way.receiver)
            if account.error or account.waits_for
        ]
        return f" ({'; '.join(told)})" if told else ""

    def _boundaries(self, way: Way) -> Iterator[Violation]:
        sent = [data for _, data in way.sender.sent]
        for number, (time_ns, record) in enumerate(way.receiver.got):
            if number >= len(sent) or record != sent[number]:
                wanted = f"{len(sent[number])} octets" if number < len(sent) else "none"
                text = f"record {number} that the {way.receiver.side} read has {len(record)} octets, that sent {wanted}"
                yield Violation("boundaries", time_ns, text, self.view.last_data(way.receiver, time_ns))
                return

    def _datagrams(self, way: Way) -> Iterator[Violation]:
        """Of a datagram it is promised that it comes whole and undamaged, or not at all."""
        sent = {data for _, data in way.sender.sent}
        for time_ns, data in way.receiver.got:
            if data in sent:
                continue
            part = any(data in other or other in data for other in sent)
            text = f"the {way.receiver.side} took a datagram of {len(data)} octets that nobody had sent"
            packet = self.view.last_data(way.receiver, time_ns)
            yield Violation("boundaries" if part else "integrity", time_ns, text, packet)

    # -- both ends ---------------------------------------------------------------------------------------------------

    def _ghost(self, account: Account) -> Violation:
        text = f"the server was given a connection from port {account.port} that no client had opened, or not again"
        return Violation("connection", account.began_ns, text, self.view.last_arrival(account, account.began_ns))

    def _agreement(self, client: Account, server: Account | None) -> Iterator[Violation]:
        """No data before both sides agreed; an end that a side wanted, and that both learn of."""
        if server is not None and server.began_ns < client.began_ns:
            text = "the server was given the connection before the client called connect"
            yield Violation("connection", server.began_ns, text, self.view.last_arrival(server, server.began_ns))
        if server is not None and server.got and (client.open_ns < 0 or server.got[0][0] < client.open_ns):
            time_ns = server.got[0][0]
            text = "the server read data before the client was connected"
            yield Violation("connection", time_ns, text, self.view.last_data(server, time_ns))
        accounts = [client] if server is None else [client, server]
        if self._excused and server is not None and not any(account.aborted_ns >= 0 for account in accounts):
            yield from self._forgotten(accounts)
        waited = self.run.end_ns - client.began_ns
        if server is None and client.began_ns >= 0 and not client.over and waited > self._patience:
            text = "the client still waits for its call of connect, and was told nothing"
            yield Violation("connection", self.run.end_ns, text, self.view.struck_last(""))
        forced = any(account.aborted_ns >= 0 or account.gone_ns >= 0 or _left(account) for account in accounts)
        if forced or self._excused:
            return
        for account in accounts:
            if account.error in ("reset", "refused"):
                text = f"the {account.side} was told {account.error_text!r}, and nobody had reset the connection"
                yield Violation("connection", account.error_ns, text, self.view.last_arrival(account, account.error_ns))
        if server is None and not client.error and client.began_ns >= 0:
            text = "the client called connect, and the server was never given a connection"
            yield Violation("connection", self.run.end_ns, text, self.view.struck_last("client"))

    def _forgotten(self, accounts: list[Account]) -> Iterator[Violation]:
        """Who was cut off from the other for good was told so, if it still wants something."""
        for account in accounts:
            if not account.over:
                text = f"the {account.side} still waits {_what_for(account)} at the end, and was told nothing"
                yield Violation("connection", self.run.end_ns, text, self.view.struck_last(""))


def _what_for(account: Account) -> str:
    return WAITING.get(account.waits_for, f"to {account.waits_for}")


def _told(account: Account) -> str:
    return f"told: {account.error_text}" if account.error else "never told"


def _pairs(accounts: list[Account]) -> list[tuple[Account, Account | None]]:
    """Client and server of each talk."""
    servers = {account.talk: account for account in accounts if account.side == "server" and account.talk >= 0}
    return [(account, servers.get(account.talk)) for account in accounts if account.side == "client"]


def _left(account: Account) -> bool:
    """It closed before it knew of the peer's end: what still comes is refused with a reset (RFC 2525 §2.17)."""
    return account.closed_ns >= 0 and account.eof_ns < 0


def _excused(run: Run) -> bool:
    """Faults that no transport gets over: a host that forgets, an address that changes, a way that is cut too long."""
    config = run.scenario.config()
    return any(
        event.kind in ("restart", "rebind")
        or (event.kind == "shrink_mtu" and event.at < LEAST_MTU)
        or (event.kind == "outage" and event.for_ns >= config.user_timeout // 2)
        or (event.kind == "jump" and abs(event.for_ns) >= config.user_timeout // 2)
        for event in run.scenario.events
    )


def _time_of(account: Account, offset: int) -> int:
    """When the octet at `offset` was read."""
    at = 0
    for time_ns, data in account.got:
        at += len(data)
        if at > offset:
            return time_ns
    return account.got[-1][0] if account.got else 0
