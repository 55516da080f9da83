"""The table of states, walked."""

from __future__ import annotations

import pytest

from rawproto.errors import ProtocolError
from rawproto.transport.state import TRANSITIONS, Event, State, advance

LEGAL = [(state, event, after) for state, events in TRANSITIONS.items() for event, after in events.items()]
ILLEGAL = [(state, event) for state in State for event in Event if event not in TRANSITIONS[state]]


@pytest.mark.parametrize(("state", "event", "after"), LEGAL)
def test_a_transition_of_the_table_is_taken(state: State, event: Event, after: State) -> None:
    assert advance(state, event) is after


@pytest.mark.parametrize(("state", "event"), ILLEGAL)
def test_any_other_event_raises(state: State, event: Event) -> None:
    with pytest.raises(ProtocolError, match="no transition"):
        advance(state, event)


def reachable(start: State) -> set[State]:
    found, queue = {start}, [start]
    while queue:
        for after in TRANSITIONS[queue.pop()].values():
            if after not in found:
                found.add(after)
                queue.append(after)
    return found


def test_every_state_is_in_the_table_and_reached() -> None:
    assert set(TRANSITIONS) == set(State) == reachable(State.CLOSED)


@pytest.mark.parametrize("state", State)
def test_every_state_leads_back_to_closed(state: State) -> None:
    assert State.CLOSED in reachable(state)


def test_every_event_is_used() -> None:
    assert {event for _, event, _ in LEGAL} == set(Event)


def test_the_paths_of_rfc_9293_figure_5() -> None:
    """Orderly ends only; the table adds resets, aborts and timeouts from everywhere."""
    ends = {Event.RESET, Event.ABORT, Event.GIVE_UP}
    arrows = {(state.value, after.value) for state, event, after in LEGAL if event not in ends}
    assert arrows == {
        ("CLOSED", "SYN-SENT"),
        ("CLOSED", "SYN-RECEIVED"),  # figure 5: LISTEN, which belongs to the endpoint here
        ("SYN-SENT", "SYN-RECEIVED"),
        ("SYN-SENT", "ESTABLISHED"),
        ("SYN-RECEIVED", "ESTABLISHED"),
        ("ESTABLISHED", "FIN-WAIT-1"),
        ("ESTABLISHED", "CLOSE-WAIT"),
        ("FIN-WAIT-1", "FIN-WAIT-2"),
        ("FIN-WAIT-1", "CLOSING"),
        ("FIN-WAIT-2", "TIME-WAIT"),
        ("CLOSE-WAIT", "LAST-ACK"),
        ("CLOSING", "TIME-WAIT"),
        ("LAST-ACK", "CLOSED"),
        ("TIME-WAIT", "CLOSED"),
    }
