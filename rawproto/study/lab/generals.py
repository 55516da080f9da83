"""The two generals: what no protocol mends, shown on one that has everything.

Two armies must attack together, and talk through messengers that may be caught. Whoever sends the last message of any
agreement can't know whether it came; if it was needed, nothing was agreed without it, and if it was not, it may be left
out, and the one before it is the last. So no number of messages is enough (Akkoyunlu, Ekanadham and Huber 1975, "Some
constraints and tradeoffs in the design of network communications"; Gray 1978, "Notes on data base operating systems").

Here the road is cut for good after each datagram of a conversation in turn. What a transport can promise is that nobody
is told a success that was none: not that both are told the same. The checker knows that, and excuses such a cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text

from rawproto.link.script import Event, Sent
from rawproto.sim.applications import Account
from rawproto.sim.quantities import time_text
from rawproto.sim.scenario import Party, Scenario, Talk
from rawproto.sim.world import Run, run_scenario
from rawproto.study.checker import Verdict, check
from rawproto.study.lab.drawing import draw_timeline
from rawproto.study.lab.grounds import WATCHFUL
from rawproto.study.lab.packets import read_datagrams
from rawproto.study.lab.timeline import timeline
from rawproto.transport.config import MILLISECOND, SECOND

__all__ = ["ORDER", "PARAGRAPHS", "Cut", "Generals", "Outcome", "cut_everywhere"]

ORDER = Talk(Party(("send 100",)), Party(("await end", "send 100")))
"""One sends an order and ends, the other confirms it and ends."""
FOREVER_NS = 100_000 * SECOND
UNTIL_NS = 600 * SECOND
"""Long enough for every timeout of either side."""
ROWS = 44

PARAGRAPHS = (
    "Whichever datagram the road is cut behind, one of the two was the last to speak, and does not know whether it was "
    "heard. Here the server's last FIN reaches the client, which has all it wanted: its octets are acknowledged, the "
    "answer and its end are there. It closes with success in hand. Its last acknowledgement dies on the road, and the "
    "server, all of whose octets were read, is told a timeout. A further message would mend that, and would be the "
    "last one itself.",
    "What a transport can promise is less, and it keeps it after every cut: nobody is told a success that was none. An "
    "end that was told success has had all its octets taken; one that was told a failure knows only that it does not "
    "know (RFC 9293 §3.8.3). And each that knows of the connection is told something, in the end. Who needs more must "
    "be able to ask again, and to bear the same order twice: that is for applications, not for transports (Saltzer, "
    "Reed and Clark 1984, “End-to-end arguments in system design”).",
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one end was told: `kind` is "success", "failure", "waiting" or "nothing", and when, in ns."""

    kind: str
    text: str
    time_ns: int = -1
    read: int = 0
    """Octets that it got."""
    confirmed: bool = False
    """It was told that all its octets have arrived."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The road is cut after `passed` datagrams, of which `last` was the last one."""

    passed: int
    last: str
    client: Outcome
    server: Outcome
    false_success: bool
    """Somebody was told a success that was none."""
    scenario: Scenario

    @property
    def agree(self) -> bool:
        """Both were told the same."""
        return self.client.kind == self.server.kind

    @property
    def split(self) -> bool:
        """One has success in hand, and the other has not."""
        return not self.agree and "success" in (self.client.kind, self.server.kind)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "passed": self.passed,
            "last": self.last,
            "client": self.client.kind,
            "server": self.server.kind,
            "agree": self.agree,
            "false_success": self.false_success,
        }


@dataclass(frozen=True, slots=True)
class Generals:
    """A conversation that was cut after each of its datagrams."""

    seed: int
    cuts: tuple[Cut, ...]

    @property
    def split(self) -> tuple[Cut, ...]:
        """The cuts that leave success with one end only."""
        return tuple(cut for cut in self.cuts if cut.split)

    @property
    def false_successes(self) -> int:
        """After how many cuts somebody was told a success that was none."""
        return sum(cut.false_success for cut in self.cuts)

    @property
    def best(self) -> Cut:
        """The last cut that splits them: all but the very last message came. The last one of all if there is none."""
        return (self.split or self.cuts)[-1]

    def ladder(self, width: int = 100, most: int = ROWS) -> Text:
        """The best case, datagram by datagram."""
        run = run_scenario(self.best.scenario, self.seed)
        return draw_timeline(timeline(run, check(run), "", most), width)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "seed": self.seed,
            "cuts": [cut.as_dict() for cut in self.cuts],
            "false_successes": self.false_successes,
            "disagree": [cut.passed for cut in self.cuts if not cut.agree],
            "split": [cut.passed for cut in self.split],
            "ladder": self.ladder().plain,
        }


def cut_everywhere(seed: int = 1, talk: Talk = ORDER, settings: Mapping[str, Any] = WATCHFUL) -> Generals:
    """Hold the conversation `talk` once in peace, then once for each of its datagrams, with the road cut behind it."""
    scenario = Scenario("two generals", (talk,), (), dict(settings), until_ns=UNTIL_NS)
    peace = run_scenario(scenario, seed)
    sent = [datagram.sent for datagram in read_datagrams(peace)]
    names = ["nothing", *(f"{datagram.sent.side}: {datagram.text}" for datagram in read_datagrams(peace))]
    cuts = []
    for passed, name in enumerate(names):
        cut = replace(scenario, events=_cut_behind(sent, passed))
        run = run_scenario(cut, seed)
        ends = [_outcome(run, side) for side in ("client", "server")]
        cuts.append(Cut(passed, name, ends[0], ends[1], _is_false(check(run), ends), cut))
    return Generals(seed, tuple(cuts))


def _cut_behind(sent: Sequence[Sent], passed: int) -> tuple[Event, ...]:
    """Nothing arrives but the first `passed` of `sent`; what was sent together with the last of them is lost singly."""
    at = sent[passed - 1].time_ns if passed else -1
    singly = tuple(Event("drop", late.side, packet=late.number) for late in sent[passed:] if late.time_ns == at)
    dark = tuple(Event("outage", side, start_ns=at + 1, for_ns=FOREVER_NS) for side in ("client", "server"))
    return singly + dark


def _outcome(run: Run, side: str) -> Outcome:
    account = next((account for account in run.accounts if account.side == side), None)
    if account is None:
        return Outcome("nothing", "knows of no connection")
    confirmed = account.flushed_ns >= 0
    kind, text, time_ns = _told(account)
    return Outcome(kind, text, time_ns, account.read, confirmed)


def _told(account: Account) -> tuple[str, str, int]:
    if account.error:
        return "failure", f"{account.error} after {_about(account.error_ns)}", account.error_ns
    if account.closed_ns >= 0:
        return "success", f"success after {_about(account.closed_ns)}", account.closed_ns
    return "waiting", f"waits to {account.waits_for}", -1


def _about(time_ns: int) -> str:
    unit = MILLISECOND if time_ns < SECOND else SECOND // 10
    return time_text(round(time_ns / unit) * unit)


def _is_false(verdict: Verdict, ends: Sequence[Outcome]) -> bool:
    """Somebody was told that all has arrived, or that this was the end, and it was not so."""
    wrong = "honest_end" in verdict.broken
    return wrong or any(end.kind == "success" and not end.confirmed for end in ends)
