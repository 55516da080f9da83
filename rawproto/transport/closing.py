"""The end of a connection: FIN in each direction, TIME-WAIT, and the ways in which it ends early.

TIME-WAIT is there for two reasons (RFC 9293 §3.6.1): the last acknowledgement may be lost, and the peer's FIN must then
be acknowledged again; and old segments must have died before the same addresses and ports are used again. So resets
don't end it (RFC 1337), and only a SYN from beyond the old stream may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rawproto.transport.segment import ACK, RST
from rawproto.transport.state import Event, State

if TYPE_CHECKING:
    from rawproto.transport.connection import Connection

__all__ = ["on_deadline", "on_fin_acked", "refuse", "start_fin", "wait"]


def start_fin(connection: Connection, now: int) -> None:
    """Send no more than what was handed over: a FIN goes behind it (RFC 9293 §3.10.4)."""
    connection.sender.finish()
    connection.advance(Event.SHUTDOWN, now)


def on_fin_acked(connection: Connection, now: int) -> str:
    """The peer has all of our stream (RFC 9293 §3.10.7.4, fifth); says so if that was the end of the connection."""
    if connection.state is State.LAST_ACK:
        connection.finish(Event.FIN_ACKED, "closed", "both sides have closed", now)
        return "our FIN is acknowledged: closed (RFC 9293 §3.10.7.4, fifth)"
    if connection.state is State.CLOSING:
        connection.advance(Event.FIN_ACKED, now)
        wait(connection, now)
    elif connection.state is State.FIN_WAIT_1:
        connection.advance(Event.FIN_ACKED, now)
        if connection.closed_by_application:
            connection.deadline = now + connection.config.user_timeout
    return ""


def wait(connection: Connection, now: int) -> None:
    """Start the timer of TIME-WAIT, or start it anew. Without the mechanism it is over at once."""
    connection.deadline = now + (2 * connection.config.msl if connection.config.time_wait else 0)


def on_deadline(connection: Connection, now: int) -> None:
    """TIME-WAIT is over, or nobody has closed the other side of a connection that no application holds any more."""
    if connection.state is State.TIME_WAIT:
        connection.finish(Event.EXPIRE, "closed", "both sides have closed", now)
    else:
        connection.reset = connection.segment(RST | ACK, connection.sender.snd_nxt, now)
        connection.finish(Event.GIVE_UP, "timeout", "the peer did not close its side", now)


def refuse(connection: Connection, cause: str, text: str, now: int) -> None:
    """End the connection and tell the peer so."""
    connection.reset = connection.segment(RST | ACK, connection.sender.snd_nxt, now)
    connection.finish(Event.ABORT, cause, text, now)
