"""`rawproto ping` on a link in memory: what it prints, and what it says to wrong calls. On real wires: tests/netns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence

import pytest

from rawproto.cli import main
from rawproto.errors import PrivilegeError
from rawproto.link.base import Link
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.icmp import ICMPEcho, ICMPError
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet

FAST = ["ping", "127.0.0.1", "-W", "100ms"]
OFTEN = ["-i", "1ms"]
HERE, ROUTER = "127.0.0.1", "10.0.0.254"

Answer = Callable[[Packet], Sequence[Packet]]


def reply(request: Packet, **changes: int) -> Packet:
    echo = request[ICMPEcho]
    fields = {"type": 0, "id": echo.id, "seq": echo.seq, **changes}
    return IPv4(src=HERE, dst=HERE, ttl=61) / ICMPEcho(**fields) / request.payload


class FakeLink(Link):
    """Answers what is sent with whatever `answer` makes of it."""

    linktype = LinkType.RAW
    mtu = 1500

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.queue: list[Frame] = []
        self.bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        for frame in frames:
            answers = self.answer(Packet.parse(frame, LinkType.RAW))
            self.queue += [Frame(bytes(packet), 0, LinkType.RAW) for packet in answers]
        os.eventfd_write(self.bell, 1)

    def receive(self, now: int) -> list[Frame]:
        if self.queue:
            os.eventfd_read(self.bell)
        frames, self.queue = self.queue, []
        return frames

    def fileno(self) -> int:
        return self.bell

    def close(self) -> None:
        os.close(self.bell)


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """Have ping speak to a link that answers so."""
    return lambda answer: monkeypatch.setattr("rawproto.cli.ping.open_raw", lambda *_: FakeLink(answer))


def test_one_line_a_reply_and_the_sum_of_all(
    answering: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answering(lambda request: [reply(request)])
    assert main([*FAST, *OFTEN, "-c", "3"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "PING 127.0.0.1 from 127.0.0.1: 56 data bytes"
    for number, line in enumerate(lines[:3], 1):
        assert line.startswith(f"64 bytes from 127.0.0.1: icmp_seq={number} ttl=61 time=")
    assert lines[4] == "--- 127.0.0.1 ping statistics ---"
    assert lines[5].startswith("3 packets transmitted, 3 received, 0% packet loss, time ")
    assert lines[6].startswith("rtt min/avg/max/mdev = ")


def test_what_is_unusual_is_said(answering: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]) -> None:
    held: list[Packet] = []

    def answer(request: Packet) -> list[Packet]:
        if request[ICMPEcho].seq == 1:
            held.append(reply(request))
            return []
        if request[ICMPEcho].seq == 2:
            return [reply(request), *held, reply(request)]
        return [IPv4(src=ROUTER, dst=HERE) / ICMPError(type=3, code=1) / bytes(request)[:28]]

    answering(answer)
    assert main([*FAST, *OFTEN, "-c", "3"]) == 0
    text = capsys.readouterr().out
    for part in (
        "icmp_seq=2 ttl=61 ",
        " ms (out of order)\n",
        " ms (duplicate)\n",
        "10.0.0.254: host unreachable (icmp_seq=3)\n",
        "3 packets transmitted, 2 received, +1 duplicates, 1 out of order, +1 errors, 33.33% packet loss",
    ):
        assert part in text


def test_silence_is_status_1_and_said(answering: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]) -> None:
    answering(lambda _: [])
    assert main([*FAST, *OFTEN, "-c", "1"]) == 1
    captured = capsys.readouterr()
    assert "icmp_seq=1: no answer within 100 ms\n" in captured.out
    assert "1 packets transmitted, 0 received, 100% packet loss" in captured.out
    assert "rtt" not in captured.out
    assert captured.err == "rawproto: 127.0.0.1 did not answer\n"


def test_json_is_one_object(answering: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]) -> None:
    answering(lambda request: [reply(request)] if request[ICMPEcho].seq == 1 else [])
    assert main([*FAST, *OFTEN, "-c", "2", "--json", "--size", "10"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    report = json.loads(captured.out)
    assert (report["host"], report["address"], report["source"]) == ("127.0.0.1", "127.0.0.1", "127.0.0.1")
    assert (report["transmitted"], report["received"], report["loss"], report["data_bytes"]) == (2, 1, 0.5, 10)
    assert set(report["rtt_ns"]) == {"min", "avg", "max", "mdev"}
    got, lost = report["events"]
    assert (got["event"], got["seq"], got["from"], got["bytes"], got["ttl"]) == ("reply", 1, "127.0.0.1", 18, 61)
    assert isinstance(got["rtt_ns"], int)
    assert lost == {"event": "lost", "seq": 2}


def test_without_a_reply_there_is_no_round_trip(
    answering: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    answering(lambda _: [])
    assert main([*FAST, *OFTEN, "-c", "1", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["rtt_ns"] is None


@pytest.mark.parametrize("answered", [True, False])
def test_ctrl_c_ends_it_with_the_sum(
    answered: bool, answering: Callable[[Answer], None], capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: Packet) -> list[Packet]:
        if request[ICMPEcho].seq == 3:
            raise KeyboardInterrupt
        return [reply(request)] if answered else []

    answering(answer)
    assert main([*FAST, "-i", "20ms"]) == (0 if answered else 1)
    assert f"2 packets transmitted, {2 if answered else 0} received" in capsys.readouterr().out


def test_what_is_asked_for_is_sent(answering: Callable[[Answer], None]) -> None:
    seen: list[Packet] = []

    def answer(request: Packet) -> list[Packet]:
        seen.append(request)
        return [reply(request)]

    answering(answer)
    assert main([*FAST, *OFTEN, "-c", "1", "--size", "100", "--ttl", "7", "--dscp", "EF", "--df"]) == 0
    ip = seen[0][IPv4]
    assert (ip.ttl, ip.dscp, ip.flags, len(seen[0].payload)) == (7, 46, 2, 100)


def test_without_privilege_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PrivilegeError(1, "a raw IP socket needs CAP_NET_RAW: run as root")

    monkeypatch.setattr("rawproto.cli.ping.open_raw", refuse)
    assert main([*FAST, "-c", "1"]) == 2
    assert capsys.readouterr() == ("", "rawproto: a raw IP socket needs CAP_NET_RAW: run as root\n")


WRONG = {
    "no host": (),
    "two hosts": ("127.0.0.1", "extra"),
    "a name that is none": ("no-such-host.invalid",),
    "an empty name": ("",),
    "a link-local address without its wire": ("fe80::1",),
    "no address": ("0.0.0.0",),
    "both versions": ("127.0.0.1", "-4", "-6"),
    "IPv6 only": ("127.0.0.1", "-6"),
    "--count": ("127.0.0.1", "--count", "0"),
    "-c": ("127.0.0.1", "-c", "-1"),
    "--interval": ("127.0.0.1", "--interval", "0"),
    "--size": ("127.0.0.1", "--size", "65508"),
    "--ttl": ("127.0.0.1", "--ttl", "256"),
    "--timeout": ("127.0.0.1", "--timeout", "soon"),
    "--dscp": ("127.0.0.1", "--dscp", "64"),
    "an unknown option": ("127.0.0.1", "--flood"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", *WRONG[case]]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    if case.startswith("-"):
        assert case in captured.err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ping", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "sudo rawproto ping 192.0.2.1 --size 1472 --df --dscp EF" in text
    assert "Exit status" in text
