"""Records and datagrams of simulated applications, in virtual time, recorded and replayed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rawproto.capture import PcapngWriter
from rawproto.errors import ProtocolError
from rawproto.link.chance import derive_rng
from rawproto.link.impairment import Impairment
from rawproto.sim.lan import Lan
from rawproto.sim.network import Condition, Host
from rawproto.sim.stream import (
    ConnectionEndedError,
    DatagramsRefusedError,
    accept,
    connect,
    listen,
    open_datagrams,
    wait_closed,
)
from rawproto.testing.replay import Replay, replay
from rawproto.transport.config import MILLISECOND as MS
from rawproto.transport.config import SECOND, Config

Wait = Iterator[Condition]
FAULTY = Impairment(
    loss=0.1, reorder=0.1, reorder_delay_ns=3 * MS, duplicate=0.05, corrupt=0.05, delay_ns=5 * MS, jitter_ns=MS
)
SMALL = Config(send_buffer=20_000, receive_buffer=20_000, max_record=15_000)


class Two:
    """Two hosts on one segment."""

    def __init__(
        self, impairment: Impairment = Impairment.none, config: Config | None = None, folder: Path | None = None
    ) -> None:
        self.lan = Lan(3)
        self.writers: list[PcapngWriter] = []
        self.client, self.server = (
            self.host(name, address, impairment, config or Config(), folder)
            for name, address in (("client", "10.0.0.1"), ("server", "10.0.0.2"))
        )

    def host(self, name: str, address: str, impairment: Impairment, config: Config, folder: Path | None) -> Host:
        if folder is not None:
            comment = self.lan.setup(name, address, config).comment()
            self.writers.append(PcapngWriter(folder / f"{name}.pcapng", comment=comment))
        recording = self.writers[-1] if self.writers else None
        return self.lan.host(name, address, config=config, impairment=impairment, recording=recording)

    def run(self) -> None:
        self.lan.simulation.run(until=600 * SECOND)
        self.lan.simulation.run_idle(until=900 * SECOND)
        for writer in self.writers:
            writer.close()


def send_records(two: Two, records: list[bytes]) -> list[tuple[bytes, int]]:
    """Send them from the client; give what the server has taken, each cut to 10,000 bytes."""
    taken: list[tuple[bytes, int]] = []

    def send() -> Wait:
        stream = yield from connect(two.client, "10.0.0.2", 80, records=True)
        stream.set_option("delayed_ack", False)
        for record in records:
            yield from stream.send_record(record)
        stream.shutdown()
        yield from wait_closed(stream)

    def take() -> Wait:
        stream = yield from accept(two.server, listen(two.server, 80, records=True))
        while (record := (yield from stream.recv_record(10_000)))[1]:
            taken.append(record)
        stream.close()

    two.client.spawn(send())
    two.server.spawn(take())
    two.run()
    return taken


def test_records_come_whole_and_in_order_through_any_faults() -> None:
    rng = derive_rng(5, "records")
    records = [rng.randbytes(rng.choice([1, 700, 1440, 3000, 15_000])) for _ in range(50)]
    assert send_records(Two(FAULTY, SMALL), records) == [(record[:10_000], len(record)) for record in records]


def test_a_recording_of_records_can_be_replayed(tmp_path: Path) -> None:
    records = [bytes([number]) * 9000 for number in range(20)]
    assert len(send_records(Two(FAULTY, SMALL, tmp_path), records)) == 20
    for name in ("client", "server"):
        replay(tmp_path / f"{name}.pcapng")


def test_a_record_that_fits_no_frame_of_a_capture_is_replayed_all_the_same(tmp_path: Path) -> None:
    record = derive_rng(6, "record").randbytes(700_000)
    assert send_records(Two(config=Config(max_record=1 << 20), folder=tmp_path), [record]) == [
        (record[:10_000], 700_000)
    ]
    replay(tmp_path / "client.pcapng")


def test_a_record_that_is_too_long_is_refused() -> None:
    with pytest.raises(ProtocolError, match="15000 at most"):
        send_records(Two(config=SMALL), [bytes(15_001)])


def test_a_stream_of_bytes_is_no_stream_of_records() -> None:
    two, ends = Two(), []

    def call() -> Wait:
        try:
            yield from connect(two.client, "10.0.0.2", 80)
        except ConnectionEndedError as error:
            ends.append(error.end.cause)

    listen(two.server, 80, records=True)
    two.client.spawn(call())
    two.run()
    assert ends == ["refused"]


def exchange(two: Two) -> list[bytes]:
    """The client asks three times; give the answers."""
    answers = []

    def ask() -> Wait:
        port = open_datagrams(two.client, 5000)
        port.connect(("10.0.0.2", 53))
        for question in (b"one", b"two", b""):
            assert port.send(question)
            message = yield from port.recv()
            answers.append(message.data)

    def answer() -> Wait:
        port = open_datagrams(two.server, 53)
        for _ in range(3):
            message = yield from port.recv()
            port.send(message.data[::-1] + b"!", (message.peer, message.port))
        port.close()

    two.server.spawn(answer())
    two.client.spawn(ask())
    two.run()
    return answers


def test_datagrams_go_there_and_back() -> None:
    assert exchange(Two()) == [b"eno!", b"owt!", b"!"]


def test_a_recording_of_datagrams_can_be_replayed(tmp_path: Path) -> None:
    exchange(Two(folder=tmp_path))
    for name, port in (("client", 5000), ("server", 53)):
        player = Replay(tmp_path / f"{name}.pcapng")
        player.run()
        assert player.counts.sent >= 3
        assert player.datagrams[port].received == 3
        assert not player.datagrams[port].queue


def test_a_refusal_is_told_to_the_one_who_waits_for_an_answer() -> None:
    two, told = Two(), []

    def ask() -> Wait:
        port = open_datagrams(two.client, 5000)
        port.connect(("10.0.0.2", 53))
        port.send(b"is anybody there?")
        try:
            yield from port.recv()
        except DatagramsRefusedError as error:
            told.append(str(error))

    two.client.spawn(ask())
    two.run()
    assert told == ["nobody takes datagrams at ('10.0.0.2', 53)"]


def test_a_datagram_without_an_address_is_refused() -> None:
    with pytest.raises(ProtocolError, match="no address"):
        open_datagrams(Two().client, 5000).send(b"x")
