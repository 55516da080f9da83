"""Both sides open the same connection at once (RFC 9293 §3.5, figure 7): a scenario of two hosts that both call."""

from __future__ import annotations

from dataclasses import dataclass

from rawproto.sim.applications import PORT, Account
from rawproto.sim.network import HostCondition, Task
from rawproto.sim.scenario import Scenario
from rawproto.sim.stream import sleep
from rawproto.sim.world import CLIENT, Run, World, run_scenario

__all__ = ["Meeting", "play"]


@dataclass(frozen=True, slots=True)
class Meeting(Scenario):
    """A scenario in which the server calls the client too, from the port it listens on, in the talks `crossing`."""

    crossing: tuple[int, ...] = ()


class MeetingWorld(World):
    """Two hosts that both call."""

    def __init__(self, scenario: Meeting, seed: int, *, traced: bool = False) -> None:
        super().__init__(scenario, seed, traced=traced)
        for number in scenario.crossing:
            self.server.spawn(self._call(number))

    def _call(self, number: int) -> Task:
        host, applications = self.server, self.applications
        talk = self.scenario.talks[number]
        if talk.start_ns:
            yield from sleep(host, talk.start_ns)
        connection = host.stack.connect(CLIENT, talk.client_port, host.now, PORT)
        yield HostCondition(lambda: connection.established or connection.end is not None)
        account = Account("server", number, talk.kind, host.simulation.now, port=talk.client_port)
        applications.accounts.append(account)
        applications._matched[number] = account
        if connection.end is not None:
            account.fail(host.simulation.now, connection.end.cause, str(connection.end))
            return
        applications._open(host, connection, account, talk.server, number)


def play(scenario: Scenario, seed: int, *, traced: bool = False) -> Run:
    """As `rawproto.sim.world.run_scenario`, whoever calls."""
    if isinstance(scenario, Meeting):
        return MeetingWorld(scenario, seed, traced=traced).play()
    return run_scenario(scenario, seed, traced=traced)
