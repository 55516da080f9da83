"""Seeded bugs of the sending half: its buffer, its scoreboard, its timers, and what holds it back."""

from __future__ import annotations

from mutation.seeded_base import bug

__all__ = ["BUGS"]

BUGS = (
    # -- buffer --------------------------------------------------------------------------------------------------------
    bug(
        "buffer-is-freed-by-sack",
        "feedback",
        "sender.buffer.release(segment.ack)",
        "sender.buffer.release(max(segment.ack, segment.sack[-1][1] if segment.sack else 0))",
        "what lies below the last SACK range is forgotten before it is acknowledged",
    ),
    bug(
        "block-half-acknowledged-is-freed",
        "sendbuffer",
        "keep = bisect_right(self._starts, self.start) - 1",
        "keep = bisect_right(self._starts, self.start)",
        "a block goes when its first octet is acknowledged",
    ),
    bug(
        "read-across-blocks-goes-too-far",
        "sendbuffer",
        "left = end - start - len(pieces[0])",
        "left = end - start",
        "a segment that spans two blocks is longer than it says",
    ),
    # -- scoreboard ----------------------------------------------------------------------------------------------------
    bug(
        "rest-of-a-chunk-is-dropped",
        "scoreboard",
        "            self._chunks.insert(index + 1, chunk.part(end, chunk.end))\n"
        "            chunk.end = end\n        chunk.burst = burst",
        "            chunk.end = end\n        chunk.burst = burst",
        "of a chunk that is sent again in part, the other part leaves the scoreboard",
    ),
    bug(
        "sack-drops-what-is-behind",
        "scoreboard",
        "for a, b in ((chunk.start, low), (high, chunk.end)) if a < b]",
        "for a, b in ((chunk.start, low),) if a < b]",
        "what lies behind a SACK range in the same chunk counts as arrived",
    ),
    bug(
        "half-acknowledged-chunk-is-dropped",
        "scoreboard",
        "                chunk.start = una\n                break\n",
        "                pass\n",
        "a chunk that is acknowledged in part leaves the scoreboard whole",
    ),
    bug(
        "hint-of-the-lowest-loss-stays",
        "scoreboard",
        "        self._lost_from = 0\n        self.lost += self.in_flight",
        "        self.lost += self.in_flight",
        "after a timeout the search for what is lost begins where it last ended",
    ),
    bug(
        "repetition-is-not-marked-lost",
        "scoreboard",
        "            if not chunk.lost:\n                chunk.lost = True",
        "            if not chunk.lost and chunk.repetition is None:\n                chunk.lost = True",
        "what was sent again once is not sent a second time by the timeout",
    ),
    # -- timers --------------------------------------------------------------------------------------------------------
    bug(
        "timeout-sends-nothing",
        "timers",
        "    sender.resend_all(reason)\n",
        "",
        "the retransmission timeout only counts",
    ),
    bug(
        "timer-is-not-restarted",
        "sender",
        "self.rto_deadline = now + self.rtt.rto if self.scoreboard and self.config.retransmission else None",
        "self.rto_deadline = None",
        "after an acknowledgement of a part, no timer watches over the rest",
    ),
    bug(
        "timer-is-left-out",
        "timers",
        "    earliest = sender.rto_deadline\n",
        "    earliest: int | None = None\n",
        "the retransmission timer is not among those that are waited for",
    ),
    bug(
        "timeout-is-never-longer",
        "rtt",
        "self.backoffs += 1",
        "pass",
        "the retransmission timeout does not double",
    ),
    bug(
        "timeout-doubles-once",
        "rtt",
        "self.backoffs += 1",
        "self.backoffs = 1",
        "the retransmission timeout doubles once and stays",
    ),
    bug(
        "timers-wake-nobody",
        "endpoint",
        "            connection.handle_timeout(now)\n            self._dirty[connection] = None",
        "            connection.handle_timeout(now)\n            self._dirty.pop(connection, None)",
        "what a timer wants to send waits until something else happens",
    ),
    bug(
        "user-timeout-never",
        "connection",
        "return since + self.config.user_timeout",
        "return None",
        "a peer that acknowledges nothing is waited for without end",
    ),
    bug(
        "connect-timeout-never",
        "connection",
        "        if self.state in SYNCHRONIZING:\n            return opening",
        "        if self.state in SYNCHRONIZING:\n            return None",
        "a SYN that nobody answers is repeated without end",
    ),
    # -- flow control --------------------------------------------------------------------------------------------------
    bug(
        "window-probe-is-never-sent",
        "persist",
        "        due, self.due = self.due, False\n",
        "        due, self.due = False, False\n",
        "the persist timer runs, and nothing is asked",
    ),
    bug(
        "persist-is-never-started",
        "sender",
        "                self.persist.start(now, self.rtt.rto)",
        "                pass",
        "a closed window is waited for in silence",
    ),
    bug(
        "window-update-needs-data",
        "arrival",
        "    take_ack(sender, segment, now)\n    take_window(sender, segment, now)\n",
        "    take_ack(sender, segment, now)\n    if sender.scoreboard:\n        take_window(sender, segment, now)\n",
        "a window update that comes when nothing is outstanding is ignored",
    ),
    bug(
        "window-off-by-one",
        "sendwindow",
        "return self.edge - snd_nxt",
        "return self.edge - snd_nxt + 1",
        "one octet more than the window is sent",
    ),
    bug(
        "window-counts-from-what-was-sent",
        "sendwindow",
        "        return self.edge - snd_nxt\n",
        "        return self.largest if self.edge > snd_nxt else 0\n",
        "what is on its way is not taken off the window",
    ),
    bug(
        "window-is-ignored",
        "sendwindow",
        "return self.edge - snd_nxt",
        "return unsent",
        "the peer's window holds nobody back",
    ),
    bug(
        "old-window-counts-as-new",
        "sendwindow",
        "self.edge = max(self.edge, segment.ack + segment.wnd)",
        "self.edge = max(self.edge, segment.ack) + segment.wnd",
        "each segment opens the window once more",
    ),
    bug(
        "tail-probe-ignores-the-window",
        "sender",
        "length = min(self.unsent, most, self.window.usable(self.snd_nxt, self.unsent, self.fin))",
        "length = min(self.unsent, most)",
        "a tail loss probe sends new data into a closed window",
    ),
    # -- restraint -----------------------------------------------------------------------------------------------------
    bug(
        "cwnd-is-ignored",
        "sender",
        "if room < min(self.mss, unsent) and board.in_flight:",
        "if room < 0 and not board.in_flight:",
        "the congestion window holds nobody back",
    ),
    bug(
        "first-window-is-tenfold",
        "sender",
        "segments = self.config.initial_window\n",
        "segments = self.config.initial_window * 10\n",
        "a connection begins with a hundred segments",
    ),
    bug(
        "slow-start-is-tenfold",
        "congestion/reno",
        "        self.cwnd += used\n",
        "        self.cwnd += 10 * used\n",
        "each octet acknowledged opens the window by ten",
    ),
    bug(
        "slow-start-counts-acks-as-windows",
        "congestion/reno",
        "        self.cwnd += used\n",
        "        self.cwnd += self.cwnd\n",
        "the window doubles with each acknowledgement, not with each round trip",
    ),
    bug(
        "timeout-keeps-the-window",
        "congestion/reno",
        "            self.ssthresh = max(self._reduced(in_flight), 2 * self.mss)\n        self.cwnd = self.mss\n",
        "            self.ssthresh = max(self._reduced(in_flight), 2 * self.mss)\n",
        "after a timeout the whole window is sent again at once",
    ),
    bug(
        "loss-keeps-the-window",
        "congestion/reno",
        "self.cwnd = min(self.cwnd, max(reduced, self.mss) if marked else self.ssthresh)",
        "self.ssthresh = None",
        "a loss changes nothing: slow start for ever",
    ),
    bug(
        "acked-octets-stay-in-flight",
        "scoreboard",
        "        else:\n            self.in_flight -= octets\n",
        "        else:\n            self.in_flight -= octets // 2\n",
        "half of what was acknowledged counts as in flight for ever",
    ),
    bug(
        "nagle-waits-for-ever",
        "nagle",
        "self._small_end > snd_una",
        "self._small_end >= snd_una",
        "a small segment waits for one that was acknowledged long ago",
    ),
    # -- path MTU ------------------------------------------------------------------------------------------------------
    bug(
        "black-hole-is-never-seen",
        "pmtud",
        "        size = self.size\n        self._falls += 1\n",
        "        size = self.size\n        return False\n",
        "datagrams that are too large for the path are sent again and again",
    ),
    bug(
        "new-size-is-not-used",
        "sender",
        "            self.trace.add(PathChanged(now, self.identity, self.path.size, why))\n        self._take_size()\n",
        "            self.trace.add(PathChanged(now, self.identity, self.path.size, why))\n",
        "the path is found to be narrower, and segments stay as they were",
    ),
    # -- the end of the stream -----------------------------------------------------------------------------------------
    bug(
        "fin-counts-as-acknowledged-with-the-data",
        "arrival",
        "sender.snd_una > sender.fin",
        "sender.snd_una >= sender.fin",
        "the acknowledgement of the last octet is taken for that of the FIN",
    ),
    bug(
        "sent-counts-as-arrived",
        "connection",
        "not (self.sender.unsent or self.sender.scoreboard)",
        "not self.sender.unsent",
        "the application is told that all has arrived when all was sent",
    ),
)
