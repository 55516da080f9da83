"""The connection's states, and every transition between them, in one table.

A connection is in one state and changes it by one event at a time. The table is RFC 9293 §3.3.2, figure 5, with
the resets and timeouts that the figure leaves out. Nothing else in the package assigns a state: `advance` looks
the event up, and an event that the table does not have for a state is a fault of the engine, not of the peer, so
it raises. The documentation draws its diagram from the table and the tests walk it.

A shutdown before the connection is established waits until it is (RFC 9293 §3.10.4 allows that for SYN-RECEIVED).
A FIN in SYN-RECEIVED comes with an acknowledgement, which is processed first, so it finds ESTABLISHED.

A listening socket is not a connection (it has no peer): LISTEN belongs to the endpoint, which makes a connection
in SYN_RECEIVED for each valid SYN.
"""

from __future__ import annotations

from enum import StrEnum

from rawproto.errors import ProtocolError

__all__ = ["RECEIVING", "SENDING", "SYNCHRONIZED", "SYNCHRONIZING", "TRANSITIONS", "Event", "State", "advance"]


class State(StrEnum):
    """RFC 9293 §3.3.2."""

    CLOSED = "CLOSED"
    SYN_SENT = "SYN-SENT"
    SYN_RECEIVED = "SYN-RECEIVED"
    ESTABLISHED = "ESTABLISHED"
    FIN_WAIT_1 = "FIN-WAIT-1"
    FIN_WAIT_2 = "FIN-WAIT-2"
    CLOSE_WAIT = "CLOSE-WAIT"
    CLOSING = "CLOSING"
    LAST_ACK = "LAST-ACK"
    TIME_WAIT = "TIME-WAIT"


class Event(StrEnum):
    """What can move a connection from one state to another."""

    OPEN = "the application connects"
    ACCEPT_SYN = "a SYN comes to a listener"
    SYN = "a SYN comes without an acknowledgement of ours"
    SYN_ACK = "a SYN comes that acknowledges ours"
    SYN_ACKED = "our SYN is acknowledged"
    SHUTDOWN = "the application has no more to send"
    FIN = "the peer has no more to send"
    FIN_ACKED = "our FIN is acknowledged"
    EXPIRE = "twice the maximum segment lifetime has passed"
    RESET = "the peer resets"
    ABORT = "the application aborts"
    GIVE_UP = "the peer has not answered for too long"


_S, _E = State, Event
_ENDS = {_E.RESET: _S.CLOSED, _E.ABORT: _S.CLOSED, _E.GIVE_UP: _S.CLOSED}

TRANSITIONS: dict[State, dict[Event, State]] = {
    _S.CLOSED: {_E.OPEN: _S.SYN_SENT, _E.ACCEPT_SYN: _S.SYN_RECEIVED},
    _S.SYN_SENT: {_E.SYN_ACK: _S.ESTABLISHED, _E.SYN: _S.SYN_RECEIVED, **_ENDS},
    _S.SYN_RECEIVED: {_E.SYN_ACKED: _S.ESTABLISHED, **_ENDS},
    _S.ESTABLISHED: {_E.SHUTDOWN: _S.FIN_WAIT_1, _E.FIN: _S.CLOSE_WAIT, **_ENDS},
    _S.FIN_WAIT_1: {_E.FIN_ACKED: _S.FIN_WAIT_2, _E.FIN: _S.CLOSING, **_ENDS},
    _S.FIN_WAIT_2: {_E.FIN: _S.TIME_WAIT, **_ENDS},
    _S.CLOSE_WAIT: {_E.SHUTDOWN: _S.LAST_ACK, **_ENDS},
    _S.CLOSING: {_E.FIN_ACKED: _S.TIME_WAIT, **_ENDS},
    _S.LAST_ACK: {_E.FIN_ACKED: _S.CLOSED, **_ENDS},
    _S.TIME_WAIT: {_E.EXPIRE: _S.CLOSED, **_ENDS},
}


SYNCHRONIZING = frozenset((_S.SYN_SENT, _S.SYN_RECEIVED))
"""The handshake is not done."""
SENDING = frozenset((_S.ESTABLISHED, _S.CLOSE_WAIT))
"""The application may hand over more."""
SYNCHRONIZED = frozenset(State) - SYNCHRONIZING - {_S.CLOSED}
"""The handshake is done, and the connection is not over."""
RECEIVING = frozenset((_S.ESTABLISHED, _S.FIN_WAIT_1, _S.FIN_WAIT_2))
"""The peer may have more to send."""


def advance(state: State, event: Event) -> State:
    """Give the state that follows. Raises ProtocolError for an event that `state` has no transition for."""
    try:
        return TRANSITIONS[state][event]
    except KeyError:
        raise ProtocolError(f"no transition from {state} when {event}") from None
