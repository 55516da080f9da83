"""The command behind scripts/record_pcaps: real runs over a veth pair, each recorded by the side it is about.

Two hosts with real links in two network namespaces, each in a thread of its own, in real time. What a run is to show is
checked by replaying the new recording before it takes the place of the old one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from rawproto.capture.pcapng import PcapngWriter
from rawproto.capture.recording import Setup
from rawproto.errors import ReplayMismatchError
from rawproto.link.base import Link, LinkWrapper
from rawproto.link.chance import derive_rng
from rawproto.link.impair import ImpairedLink
from rawproto.link.impairment import Impairment
from rawproto.link.netns import Lab, Namespace
from rawproto.link.packet import PacketLink
from rawproto.link.udp import UdpLink
from rawproto.sockets.host import Host
from rawproto.sockets.socket import Socket
from rawproto.testing.expectations import check, load
from rawproto.transport.config import Config

PORT = 7
ATTEMPTS = 10
MILLISECOND = 1_000_000
QUICK = Config(msl=20 * MILLISECOND)
"""TIME-WAIT of 40 ms, so that a recording can hold it to its end."""

Application = Callable[[Socket], None]


class DropChosen(LinkWrapper):
    """Loses the frames whose turn is in `chosen`, counting from 0 those of at least `least` bytes."""

    def __init__(self, inner: Link, chosen: Sequence[int], least: int) -> None:
        super().__init__(inner)
        self._chosen = set(chosen)
        self._least = least
        self._turn = 0

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        kept = []
        for frame in frames:
            if len(frame) >= self._least:
                turn, self._turn = self._turn, self._turn + 1
                if turn in self._chosen:
                    continue
            kept.append(frame)
        self.inner.send(kept, now, peer)


@dataclass(frozen=True)
class Scenario:
    """One recording: who is recorded, what the applications do, what the wire does, what a replay must show."""

    title: str
    description: str
    client: Application
    server: Application
    shows: list[str]
    """Beginnings of reasons and outcomes, each of which the trace of a replay must hold."""
    changes: dict[str, int | bool]
    """Constants of the engine; with any of them changed to this value a replay must fail."""
    recorded: str = "client"
    road: str = "packet"
    ipv6: bool = False
    kind: int = socket.SOCK_STREAM
    client_config: Config = QUICK
    server_config: Config = QUICK
    impair: Callable[[Link, str], Link] = field(default=lambda link, _: link)


def payload(size: int) -> bytes:
    return derive_rng(1, "recording").randbytes(size)


def send_and_close(size: int, connection: Socket) -> None:
    connection.sendall(payload(size))
    connection.shutdown(socket.SHUT_WR)
    while connection.recv(4096):
        pass
    connection.close()


def send_and_wait(size: int, connection: Socket) -> None:
    connection.sendall(payload(size))
    connection.recv(1)
    connection.close()


def answer_and_close(size: int, connection: Socket) -> None:
    while size:
        size -= len(connection.recv(size))
    connection.sendall(b"!")
    connection.recv(1)
    connection.close()


def read_and_close(connection: Socket, *, pause: float = 0.0, answer: bytes = b"") -> None:
    if pause:
        threading.Event().wait(pause)
    while connection.recv(4096):
        pass
    if answer:
        connection.sendall(answer)
    connection.close()


def send_until_reset(connection: Socket) -> None:
    try:
        while True:
            connection.sendall(payload(4096))
    except ConnectionResetError:
        connection.close()


def close_unread(connection: Socket) -> None:
    connection.recv(1)
    connection.close()  # the rest was not read, so this is a reset


RECORDS = (3, 9000, 70)


def send_records(connection: Socket) -> None:
    for size in RECORDS:
        connection.sendall(payload(size))
    connection.shutdown(socket.SHUT_WR)
    connection.recv(1)
    connection.close()


def read_records(connection: Socket) -> None:
    sizes = []
    while record := connection.recv(1 << 16):
        sizes.append(len(record))
    if tuple(sizes) != RECORDS:
        raise ReplayMismatchError(f"records of {sizes} bytes came, not of {RECORDS}")
    connection.close()


class DropLarge(LinkWrapper):
    """Loses frames of more than `most` bytes, as a path with a smaller MTU does that nobody tells of."""

    def __init__(self, inner: Link, most: int) -> None:
        super().__init__(inner)
        self._most = most

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        self.inner.send([frame for frame in frames if len(frame) <= self._most], now, peer)


def narrow(link: Link, name: str) -> Link:
    return DropLarge(link, 14 + 1400)


def drop(chosen: Sequence[int], least: int, link: Link, name: str) -> Link:
    return DropChosen(link, chosen, least) if name == "client" else link


def disturb(link: Link, name: str) -> Link:
    faults = Impairment(
        reorder=0.15, reorder_delay_ns=3 * MILLISECOND, duplicate=0.15, delay_ns=MILLISECOND, rate_bps=50_000_000
    )
    return ImpairedLink(link, faults, partial(derive_rng, 4, name))


SCENARIOS = {
    "handshake_and_close": Scenario(
        "Handshake, one exchange, close",
        "A client connects, sends 100 bytes, ends its direction, reads the answer, and waits out TIME-WAIT.",
        partial(send_and_close, 100),
        partial(read_and_close, answer=b"goodbye"),
        ["handshake", "new data", "handshake complete", "FIN: the peer has no more to send"],
        {"msl": 21 * MILLISECOND, "receive_buffer": (4 << 20) - 1},
    ),
    "fast_retransmit": Scenario(
        "A loss repaired by fast retransmit",
        "The wire loses the fourth full datagram; those behind it arrive, so its absence is seen at once.",
        partial(send_and_close, 60_000),
        read_and_close,
        ["fast retransmit: packet"],
        {"packet_threshold": 30, "initial_window": 9},
        impair=partial(drop, [3], 1400),
    ),
    "timeout": Scenario(
        "A loss that only a timeout repairs",
        "The wire loses the last datagram; nothing arrives behind it that could give the loss away, and the sender "
        "does not probe.",
        partial(send_and_wait, 2800),
        partial(answer_and_close, 2800),
        ["RTO after"],
        {"min_rto": 199 * MILLISECOND, "tail_loss_probe": True},
        client_config=Config(msl=20 * MILLISECOND, tail_loss_probe=False),
        impair=partial(drop, [2], 100),
    ),
    "tail_loss_probe": Scenario(
        "A loss at the end, found by a probe",
        "The wire loses the last datagrams; the sender repeats the last one long before the timeout, and the answer "
        "gives the loss away.",
        partial(send_and_wait, 2800),
        partial(answer_and_close, 2800),
        ["tail loss probe"],
        {"tail_loss_probe": False, "ack_delay": 30 * MILLISECOND},
        impair=partial(drop, [2], 100),
    ),
    "path_mtu": Scenario(
        "A path that takes less than its ends",
        "The wire loses every datagram of more than 1,400 bytes; the sender falls back to what works nearly everywhere "
        "and finds with probes how much more does.",
        partial(send_and_close, 60_000),
        read_and_close,
        ["path probe of", "RTO after"],
        {"path_mtu_discovery": False, "base_mtu": 1100},
        impair=narrow,
    ),
    "records": Scenario(
        "Records that keep their boundaries",
        "Three records cross, of 3, 9,000 and 70 bytes, each whole; the second takes several datagrams. Over UDP.",
        send_records,
        read_records,
        ["FIN: no more to send", "data in order", "FIN: the peer has no more to send"],
        {"max_record": 100, "receive_buffer": (4 << 20) - 1},
        recorded="server",
        road="udp",
        kind=socket.SOCK_SEQPACKET,
    ),
    "reordering_and_duplicates": Scenario(
        "Datagrams that overtake each other and arrive twice",
        "The wire holds every seventh datagram back and repeats as many. Recorded by the receiver, over IPv6.",
        partial(send_and_close, 60_000),
        partial(read_and_close, answer=b"all there"),
        ["ACK of data out of order", "data fills a gap", "duplicate or outside the window"],
        {"max_ranges": 1, "receive_buffer": (4 << 20) + 1},
        recorded="server",
        ipv6=True,
        impair=disturb,
    ),
    "reset": Scenario(
        "A reset in mid-transfer",
        "The server closes with data unread, which RFC 2525 §2.17 makes a reset. Recorded by the client, over UDP.",
        send_until_reset,
        close_unread,
        ["reset (RFC 9293"],
        {"keyed_isn": False, "receive_buffer": 2 << 20},
        road="udp",
        client_config=Config(msl=20 * MILLISECOND, send_buffer=32 << 10),
    ),
    "zero_window": Scenario(
        "A window that closes, is probed, and opens again",
        "The server reads nothing for 700 ms; its buffer of 16 KiB fills, and the client probes.",
        partial(send_and_close, 50_000),
        partial(read_and_close, pause=0.7),
        ["window probe"],
        {"min_rto": 210 * MILLISECOND, "receive_buffer": 2 << 20},
        server_config=Config(msl=20 * MILLISECOND, receive_buffer=16 << 10),
    ),
}


class Side(threading.Thread):
    """One of the two hosts with its application."""

    def __init__(
        self, name: str, namespace: Namespace, addresses: tuple[str, str], scenario: Scenario, path: Path
    ) -> None:
        super().__init__(name=name)
        self.error: Exception | None = None
        self.ready = threading.Event()
        self.overheard = threading.Event()
        self._application = scenario.client if name == "client" else scenario.server
        self._peer = addresses[1]
        self._kind = scenario.kind
        config = scenario.client_config if name == "client" else scenario.server_config
        with namespace.entered():
            link: Link = UdpLink(addresses[0]) if scenario.road == "udp" else PacketLink("veth0")
        address = str(getattr(link, "address", "")) if scenario.road == "udp" else addresses[0]
        mac = "" if scenario.road == "udp" else str(getattr(link, "address", ""))
        link = scenario.impair(link, name)
        setup = Setup(name, address, mac, link.mtu, link.linktype, 1, asdict(config))
        self.writer = PcapngWriter(path, comment=setup.comment()) if name == scenario.recorded else None
        self.host = Host(link, address, mac=mac, name=name, config=config, seed=1, recording=self.writer)

    def run(self) -> None:
        try:
            plain = self.host.socket(self._kind)
            plain.settimeout(10)
            if self.name == "client":
                plain.connect((self._peer, PORT))
                self._application(plain)
            else:
                plain.bind(("", PORT))
                plain.listen()
                self.ready.set()
                connection, _ = plain.accept()
                connection.settimeout(10)
                self._application(connection)
                plain.close()
        except Exception as error:
            self.error = error
        finally:
            self.ready.set()

    def finish(self) -> None:
        """Wait until every connection is over, TIME-WAIT included, and give everything back."""
        with self.host.driver.lock:
            self.host.driver.wait(lambda: not self.host.stack.endpoint.connections, 5_000_000_000)

    def close(self) -> None:
        self.host.close(linger=0)
        if self.writer is not None:
            self.writer.close()


def record(scenario: Scenario, path: Path) -> None:
    """Run `scenario` in namespaces of its own and leave the recording at `path`."""
    left, right = ("fd00::1", "fd00::2") if scenario.ipv6 else ("10.0.0.1", "10.0.0.2")
    length = 64 if scenario.ipv6 else 24
    owned = [(f"{left}/{length}", f"{right}/{length}")] if scenario.road == "udp" else []
    with Lab(addresses=owned, offloads=False) as lab:
        server = Side("server", lab.right, (right, left), scenario, path)
        client = Side("client", lab.left, (left, right), scenario, path)
        try:
            server.start()
            server.ready.wait()
            client.start()
            for side in (client, server):
                side.join()
                if side.error is not None:
                    raise side.error
            for side in (client, server):
                side.finish()
        finally:
            client.close()
            server.close()


def describe(name: str, scenario: Scenario) -> str:
    """The .toml beside the capture, but for the counts."""
    road = {"packet": "handmade Ethernet and IP headers over AF_PACKET", "udp": "an ordinary UDP socket"}
    lines = [
        f'title = "{scenario.title}"',
        f'description = "{scenario.description}"',
        f'made_by = "scripts/record_pcaps {name}"',
        f'road = "{road[scenario.road]}, on a veth pair, IPv{6 if scenario.ipv6 else 4}"',
        f'recorded_by = "{scenario.recorded}"',
        "",
        "# Each must begin a reason or an outcome in the trace of a replay.",
        f"shows = [{', '.join(chr(34) + text + chr(34) for text in scenario.shows)}]",
        "",
        "# With any one of these settings changed to this value, a replay must fail.",
        "[changes]",
    ]
    return "\n".join([*lines, *(f"{key} = {str(value).lower()}" for key, value in scenario.changes.items())]) + "\n"


def make(name: str, out: Path) -> None:
    """Record one scenario, check it, and put capture and .toml into `out`."""
    with tempfile.TemporaryDirectory() as work:
        capture, notes = Path(work) / f"{name}.pcapng", Path(work) / f"{name}.toml"
        record(SCENARIOS[name], capture)
        notes.write_text(describe(name, SCENARIOS[name]))
        player = check(load(notes))
        counts: dict[str, Any] = asdict(player.counts)
        with notes.open("a") as file:
            file.write("\n[counts]\n" + "".join(f"{key} = {value}\n" for key, value in counts.items()))
        check(load(notes))
        shutil.copy(capture, out)
        shutil.copy(notes, out)
    print(f"{name}: {counts}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/record_pcaps", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(SCENARIOS)} (default: all)")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2] / "pcaps")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in SCENARIOS]
    if unknown:
        parser.error(f"no scenario is called {unknown[0]!r}; there are: {', '.join(SCENARIOS)}")
    if os.geteuid() != 0:
        print("record_pcaps: this needs root, to make network namespaces", file=sys.stderr)
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    return max(make_until_shown(name, options.out) for name in options.names or SCENARIOS)


def make_until_shown(name: str, out: Path) -> int:
    """Record `name` until it shows what it should: in real time a scheduler may have it happen otherwise."""
    for _ in range(ATTEMPTS):
        try:
            make(name, out)
        except ReplayMismatchError as error:
            print(f"record_pcaps: once more, {name} did not show what it should: {error}", file=sys.stderr)
        else:
            return 0
    print(f"record_pcaps: {name} did not show what it should in {ATTEMPTS} runs", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
