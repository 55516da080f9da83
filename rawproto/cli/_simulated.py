"""What `rawproto simulate` says of a run: as tables for people, as one line, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rawproto.link.script import Event, Sent
from rawproto.sim.applications import Account
from rawproto.sim.scenario_toml import event_keys
from rawproto.sim.world import Run
from rawproto.study.checker import GUARANTEES, Verdict, Violation
from rawproto.transport.trace import Record, as_dict
from rawproto.wire.rdt_format import Flags

__all__ = ["as_object", "show", "show_line", "show_trace", "to_json", "why_not"]

NARROWEST, WIDEST = 72, 140
NOT_A_TERMINAL = 120
"""Columns of output that goes to a file or a pipe."""
NOTHING_OF_IT = "never struck: this run shows nothing of it"


def why_not(run: Run, verdict: Verdict) -> str:
    """Why the status is not 0, in one line."""
    if verdict.violations:
        first = verdict.violations[0]
        return f"{first.guarantee} was broken at {_seconds(first.time_ns)}{_by(first.packet)}: {first.text}"
    if verdict.idle:
        said = "; ".join(_event(event) for event in verdict.idle)
        return f"the run shows nothing: it never came to this: {said}"
    return "the run shows nothing: not one octet was delivered"


def show(run: Run, verdict: Verdict, capture: str | None) -> None:
    """Print all of it on stdout, in colours if that is a terminal."""
    console = _console()
    scenario = run.scenario
    console.print(Text(scenario.name, style="bold"))
    if scenario.text:
        console.print(Text(scenario.text), soft_wrap=True)
    for table in (_applications(run), _faults(run), _guarantees(verdict)):
        console.print()
        console.print(table)
    console.print(
        f"\n{verdict.delivered:,} octets delivered in {len(run.log.sent):,} datagrams; "
        f"{_seconds(run.end_ns)} of virtual time; seed {run.seed}."
    )
    console.print(f"Fingerprint (trace hash): {run.fingerprint()}")
    if capture is not None:
        console.print(f"Capture: {escape(capture)}", soft_wrap=True)


def show_line(run: Run, verdict: Verdict) -> None:
    """Print one line."""
    said = "held"
    if verdict.violations:
        said = f"BROKEN: {', '.join(name for name in GUARANTEES if name in verdict.broken)}"
    elif not verdict.passed:
        said = "shows nothing"
    struck = ", ".join(f"{kind} {count}" for kind, count in sorted(run.fired.items())) or "no faults"
    print(f"seed {run.seed}: {said}; {verdict.delivered} octets; {struck}; {run.fingerprint()}", flush=True)


def show_trace(run: Run) -> None:
    """Print what the engines of both hosts noted, a line each."""
    for side, record in _records(run):
        print(f"{record.time_ns / 1e9:14.9f} {side} {_noted(as_dict(record))}")
    print()


def as_object(run: Run, verdict: Verdict, *, with_trace: bool = False) -> dict[str, Any]:
    """The same for programs. Times in ns of virtual time, -1 for never."""
    first: dict[str, Violation] = {}
    for violation in verdict.violations:
        first.setdefault(violation.guarantee, violation)
    told: dict[str, Any] = {
        "scenario": run.scenario.name,
        "seed": run.seed,
        "passed": verdict.passed,
        "delivered": verdict.delivered,
        "datagrams": len(run.log.sent),
        "end_ns": run.end_ns,
        "fingerprint": run.fingerprint(),
        "applications": [_account(account) for account in run.accounts],
        "faults": dict(sorted(run.fired.items())),
        "events": [{**event.as_dict(), "struck": count} for event, count in run.struck.items()],
        "guarantees": {
            name: {"held": name not in first, "first": _violation(first[name]) if name in first else None}
            for name in GUARANTEES
        },
        "violations": [_violation(violation) for violation in verdict.violations],
    }
    if with_trace:
        told["trace"] = [{"side": side, **as_dict(record)} for side, record in _records(run)]
    return told


def to_json(told: Mapping[str, Any], indent: int | None = None) -> str:
    """`told` as JSON; what is named in the engine by a name."""
    return json.dumps(told, indent=indent, default=lambda value: value.name if isinstance(value, Enum) else str(value))


# -- for people --------------------------------------------------------------------------------------------------------


def _console() -> Console:
    console = Console(highlight=False)
    width = min(max(console.width, NARROWEST), WIDEST) if console.is_terminal else NOT_A_TERMINAL
    return Console(highlight=False, width=width)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, expand=True)


def _applications(run: Run) -> Table:
    table = _table("What the applications saw")
    table.add_column("connection", no_wrap=True)
    table.add_column("side", no_wrap=True)
    table.add_column("handed over", justify="right", no_wrap=True)
    table.add_column("read", justify="right", no_wrap=True)
    table.add_column("and", ratio=1)
    for account in sorted(run.accounts, key=lambda account: (account.talk < 0, account.talk, account.side)):
        name = f"{account.talk + 1} {account.kind}" if account.talk >= 0 else f"? {account.kind}"
        sent = sum(len(data) for _, data in account.sent)
        table.add_row(name, account.side, f"{sent:,}", f"{account.read:,}", "; ".join(_told(account)) or "nothing")
    return table


def _told(account: Account) -> Iterator[str]:
    """What else it was told, in the order of time."""
    seen = [
        (account.open_ns, "connected" if account.side == "client" else "was given it"),
        (account.eof_ns, "was told the end"),
        (account.flushed_ns, "was told that all has arrived"),
        (account.aborted_ns, "ended it by force"),
        (account.error_ns, f"was told: {account.error_text}"),
        (account.gone_ns, "lost its memory"),
        (account.closed_ns, "closed"),
    ]
    if account.kind == "datagrams":
        seen = [(account.open_ns, "opened its port")]
    for time_ns, what in sorted(seen, key=lambda row: row[0]):
        if time_ns >= 0:
            yield f"{what} at {_seconds(time_ns)}"
    if not account.over and account.waits_for:
        yield f"still waits to {account.waits_for}"


def _faults(run: Run) -> Table:
    table = _table("Faults")
    table.add_column("kind", no_wrap=True)
    table.add_column("struck", ratio=1)
    for kind, count in sorted(run.fired.items()):
        table.add_row(kind, f"{count:,}" if count else Text(NOTHING_OF_IT, style="yellow"))
    for event in run.idle:
        if run.fired[event.kind]:
            table.add_row(event.kind, Text(f"{_event(event)}: {NOTHING_OF_IT}", style="yellow"))
    if not run.fired:
        table.add_row("none", "")
    return table


def _guarantees(verdict: Verdict) -> Table:
    table = _table("Guarantees")
    table.add_column("guarantee", no_wrap=True)
    table.add_column("held", no_wrap=True)
    table.add_column("at", justify="right", no_wrap=True)
    table.add_column("datagram", no_wrap=True)
    table.add_column("what", ratio=1)
    for name in GUARANTEES:
        found = [violation for violation in verdict.violations if violation.guarantee == name]
        if not found:
            table.add_row(name, Text("held", style="green") if verdict.delivered else "not shown", "", "", "")
        for violation in found:
            mark = Text("BROKEN", style="bold red")
            packet = _packet(violation.packet) if violation.packet is not None else ""
            table.add_row(name, mark, _seconds(violation.time_ns), packet, escape(violation.text))
    return table


def _packet(sent: Sent) -> str:
    return f"{sent.side} {sent.number}" if sent.number else f"forged for {sent.side}"


def _by(sent: Sent | None) -> str:
    if sent is None:
        return ""
    return f" by datagram {sent.number} of the {sent.side}" if sent.number else f" by one forged for the {sent.side}"


def _event(event: Event) -> str:
    return ", ".join(str(value) if name == "kind" else f"{name} {value}" for name, value in event_keys(event).items())


def _seconds(time_ns: int) -> str:
    return f"{time_ns / 1e9:.6f} s"


def _noted(fields: dict[str, Any]) -> str:
    del fields["time_ns"]
    kind, connection = fields.pop("kind"), fields.pop("connection")
    if "flags" in fields:
        fields["flags"] = _flags(fields["flags"])
    said = " ".join(
        f"{name}={value.name if isinstance(value, Enum) else repr(value) if ' ' in str(value) else value}"
        for name, value in fields.items()
    )
    return f"#{connection} {kind}: {said}"


def _flags(flags: int) -> str:
    return "|".join(flag.name or "" for flag in Flags if flag & flags) or "none"


# -- for programs ------------------------------------------------------------------------------------------------------


def _records(run: Run) -> list[tuple[str, Record]]:
    rows = [(side, record) for side, trace in run.traces.items() for record in trace.records]
    return sorted(rows, key=lambda row: row[1].time_ns)


def _account(account: Account) -> dict[str, Any]:
    told: dict[str, Any] = {
        "connection": account.talk + 1 if account.talk >= 0 else None,
        "kind": account.kind,
        "side": account.side,
        "port": account.port,
        "sent": sum(len(data) for _, data in account.sent),
        "read": account.read,
    }
    for name in ("began", "open", "shutdown", "aborted", "eof", "flushed", "closed", "error", "gone"):
        told[f"{name}_ns"] = getattr(account, f"{name}_ns")
    return {**told, "error": account.error, "error_text": account.error_text, "waits_for": account.waits_for}


def _violation(violation: Violation) -> dict[str, Any]:
    packet = violation.packet
    return {
        "guarantee": violation.guarantee,
        "time_ns": violation.time_ns,
        "text": violation.text,
        "datagram": None if packet is None else {"side": packet.side, "number": packet.number, "fate": packet.fate},
    }
