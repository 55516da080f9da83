"""Seeded bugs of connections: opening, closing, ports, cookies, and what is believed of those who may be forgers."""

from __future__ import annotations

from mutation.seeded_base import bug

__all__ = ["BUGS"]

BUGS = (
    # -- opening -------------------------------------------------------------------------------------------------------
    bug(
        "isn-is-constant",
        "isn",
        "if not self._keyed:",
        "if self._keyed:",
        "every connection begins with the same sequence number",
    ),
    bug(
        "isn-has-no-secret",
        "isn",
        'return (int.from_bytes(keyed, "big") + now',
        "return (now",
        "the initial sequence number is the time alone",
    ),
    bug(
        "isn-has-no-clock",
        "isn",
        " + now // CLOCK_TICK_NS) & ISN_MASK",
        ") & ISN_MASK",
        "the same ports begin with the same sequence number each time",
    ),
    bug(
        "listener-remembers-every-syn",
        "endpoint",
        "if self.config.cookies and self.config.handshake:",
        "if self.config.cookies and not self.config.handshake:",
        "a SYN with a forged source makes a half-open connection, whose answer is repeated",
    ),
    bug(
        "backlog-leaks",
        "endpoint",
        "        listener = self._half_open.pop(connection)\n        listener.half_open -= 1\n",
        "        listener = self._half_open.pop(connection)\n",
        "a connection that was accepted counts as half open for ever",
    ),
    bug(
        "cookie-is-not-repeated",
        "handshake",
        "        self._interval, self._most = rto, MOST_TIMEOUTS * rto\n        self.deadline = now + rto\n",
        "        self._interval, self._most = rto, MOST_TIMEOUTS * rto\n",
        "a client that has nothing to say sends its cookie once",
    ),
    bug(
        "cookie-rides-on-the-first-alone",
        "handshake",
        "        sender.reserved = len(segment.cookie) + 5 & ~3\n",
        "",
        "of a burst only the first datagram has the cookie; one that overtakes it is refused",
    ),
    bug(
        "cookie-expires-in-milliseconds",
        "cookie",
        "if not 0 <= now - (tick << _TICK) <= self._lifetime_ns:",
        "if not 0 <= now - (tick << _TICK) <= self._lifetime_ns // 1000:",
        "the lifetime is read in the wrong unit",
    ),
    bug(
        "cookie-never-expires",
        "cookie",
        "if not 0 <= now - (tick << _TICK) <= self._lifetime_ns:",
        "if now < 0:",
        "a cookie is good for ever, also when it was forgotten that it was used",
    ),
    bug(
        "cookie-is-good-twice",
        "cookie",
        "if tick < self._oldest or digest in self._spent:",
        "if tick < self._oldest:",
        "a copy of the last packet of the handshake opens a second connection",
    ),
    bug(
        "cookie-digest-is-not-checked",
        "cookie",
        "if not hmac.compare_digest(digest, self._digest(body, local_port, peer, peer_port, iss)):",
        "if len(digest) != _DIGEST:",
        "anything that looks like a cookie is one",
    ),
    bug(
        "cookie-used-is-not-noted",
        "endpoint",
        "            self._jar.spend(segment.cookie, now)\n",
        "",
        "nobody remembers which cookies have made a connection",
    ),
    bug(
        "client-takes-any-syn-ack",
        "handshake",
        "if flags & ACK and not sender.iss < segment.ack <= sender.snd_nxt:",
        "if flags & ACK and not segment.ack:",
        "a SYN with ACK that answers an older SYN opens the connection",
    ),
    # -- who may be a forger -------------------------------------------------------------------------------------------
    bug(
        "reset-needs-only-the-window",
        "arrival",
        "if segment.seq != connection.receiver.rcv_nxt and connection.config.challenge_ack:",
        "if segment.seq < connection.receiver.rcv_nxt and connection.config.challenge_ack:",
        "any reset inside the window ends the connection",
    ),
    bug(
        "syn-in-the-window-resets",
        "arrival",
        "if not connection.config.challenge_ack:\n        closing.refuse",
        "if connection.config.challenge_ack:\n        closing.refuse",
        "a SYN inside the window ends the connection",
    ),
    # -- closing -------------------------------------------------------------------------------------------------------
    bug(
        "time-wait-is-short",
        "closing",
        "(2 * connection.config.msl if connection.config.time_wait else 0)",
        "connection.config.msl // 300",
        "TIME-WAIT lasts a tenth of a second",
    ),
    bug(
        "time-wait-is-over-at-once",
        "closing",
        "(2 * connection.config.msl if connection.config.time_wait else 0)",
        "(0 if connection.config.time_wait else 2 * connection.config.msl)",
        "who closes first forgets the connection at once",
    ),
    bug(
        "time-wait-keeps-new-ones-out",
        "endpoint",
        "        if not segment.cookie:\n            return False\n",
        "        if segment.cookie:\n            return False\n",
        "a new connection on the ports of one in TIME-WAIT is swallowed by that",
    ),
    bug(
        "old-one-takes-the-new-one-along",
        "endpoint",
        "        if self.connections.get(key) is not connection:\n            return\n",
        "        if key not in self.connections:\n            return\n",
        "the end of a connection that was replaced removes the one in its place",
    ),
    bug(
        "half-closed-can-not-send",
        "state",
        "SENDING = frozenset((_S.ESTABLISHED, _S.CLOSE_WAIT))",
        "SENDING = frozenset((_S.ESTABLISHED,))",
        "the peer's FIN ends this side's direction too",
    ),
    bug(
        "abort-without-reset",
        "connection",
        "            self.reset = self.segment(RST | ACK, self.sender.snd_nxt, now)\n"
        '        self.finish(Event.ABORT, "aborted", "the connection was aborted',
        '            pass\n        self.finish(Event.ABORT, "aborted", "the connection was aborted',
        "who ends a connection by force does not tell the peer",
    ),
    # -- a peer that is gone -------------------------------------------------------------------------------------------
    bug(
        "keep-alive-never-gives-up",
        "keepalive",
        "if self.unanswered >= self._count:",
        "if self.unanswered < 0:",
        "a peer that is gone is asked for ever",
    ),
    bug(
        "keep-alive-counts-answered-questions",
        "keepalive",
        "        self._heard = now\n        self.unanswered = 0\n",
        "        self._heard = now\n",
        "a peer that answers every question is given up after some",
    ),
    bug(
        "keep-alive-is-never-asked",
        "connection",
        "            self._probe_due = True\n",
        "            self._probe_due = False\n",
        "no question goes out, and the peer is given up for not answering",
    ),
    # -- datagrams -----------------------------------------------------------------------------------------------------
    bug(
        "datagram-is-cut",
        "datagram",
        "bytes(segment.payload)))",
        "bytes(segment.payload[:256])))",
        "a datagram is cut to the size of a buffer, and nobody is told",
    ),
)
