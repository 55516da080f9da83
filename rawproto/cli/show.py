"""What `rawproto demo` shows people once a transfer is over: two ladders, the guarantees, the captures."""

from __future__ import annotations

import shlex
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from rawproto.study.draw import draw_ladder
from rawproto.study.guarantees import Verdict
from rawproto.study.ladder import first_loss, handshake
from rawproto.study.options import DemoOptions
from rawproto.study.report import whole
from rawproto.study.transfer import Outcome

__all__ = ["show_outcome"]

NARROWEST, WIDEST = 72, 120
NOT_A_TERMINAL = 100
"""Columns of output that goes to a file or a pipe."""


def show_outcome(options: DemoOptions, outcome: Outcome, verdicts: list[Verdict], *, raw: bool) -> None:
    """Print all of it on stdout, in colours if that is a terminal."""
    console = Console(highlight=False)
    width = min(max(console.width, NARROWEST), WIDEST) if console.is_terminal else NOT_A_TERMINAL
    console = Console(highlight=False, width=width)
    loss = first_loss(outcome)
    for ladder in (handshake(outcome), loss):
        if ladder is not None:
            console.print(draw_ladder(ladder, width), end="\n\n")
    if outcome.server.established_ns is not None and loss is None:
        console.print("Nothing was lost that had to be sent again.", end="\n\n")
    console.print(_guarantees(verdicts), end="\n\n")
    _summary(console, options, outcome, raw=raw)
    _captures(console, [side.capture for side in (outcome.client, outcome.server) if side.capture is not None])


def _guarantees(verdicts: list[Verdict]) -> Table:
    table = Table(title="Guarantees", title_justify="left", title_style="bold", box=SIMPLE_HEAD, expand=True)
    table.add_column("guarantee", no_wrap=True)
    table.add_column("held", justify="center", no_wrap=True)
    table.add_column("faults thrown at it", ratio=2)
    table.add_column("observed", ratio=3)
    for verdict in verdicts:
        mark = Text("yes", style="green") if verdict.held else Text("NO", style="bold red")
        faults = ", ".join(f"{kind} {count:,}" for kind, count in verdict.faults.items() if count) or "none"
        table.add_row(verdict.title, mark, faults, verdict.observed)
    return table


def _summary(console: Console, options: DemoOptions, outcome: Outcome, *, raw: bool) -> None:
    clock = "by the wall clock of the hosts" if raw else f"of virtual time, {outcome.wall_time_s:.2f} s of yours"
    took = outcome.time_ns / 1e9
    console.print(
        f"{len(outcome.server.received):,} bytes in {took:.3f} s {clock}; seed {outcome.seed}; "
        f"{outcome.client.totals.sent + outcome.server.totals.sent:,} datagrams, "
        f"{outcome.client.totals.retransmitted + outcome.server.totals.retransmitted:,} of them sent again."
    )
    verdict = "is that of what was sent" if whole(outcome) else "[bold red]is not that of what was sent[/]"
    console.print(f"The SHA-256 of what arrived {verdict}.")


def _captures(console: Console, captures: list[Path]) -> None:
    if not captures:
        return
    console.print("\nCaptures, each with the calls of its application in between:")
    for path in captures:
        console.print(f"  {escape(str(path))}", soft_wrap=True)
    console.print(f"Open one: wireshark {escape(shlex.quote(str(captures[0])))}, or tshark -r.", soft_wrap=True)
