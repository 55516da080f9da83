"""`rawproto send`: what goes out, how often, at which times, and all for which nothing goes out.

Over a link in memory, and over UDP on the loopback. That real frames leave is in test_netns_cli_send.py.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rawproto.capture import PcapngWriter, PcapWriter
from rawproto.cli import main, send
from rawproto.cli._options import parse_count_or_endless
from rawproto.cli._rates import Rate, parse_pace, parse_speed
from rawproto.cli._vary import Variation, Varied, parse_variation
from rawproto.errors import LinkError, PrivilegeError
from rawproto.link.memory import MemoryLink, Segment
from rawproto.wire.expression import parse_expression
from rawproto.wire.frame import Frame, LinkType
from rawproto.wire.ipv4 import IPv4
from rawproto.wire.packet import Packet
from rawproto.wire.udp import UDP

RESET = str(Path(__file__).parents[2] / "pcaps" / "reset.pcapng")
EXPRESSION = 'Ethernet() / IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(sport=7, dport=9) / b"hello"'
PACKET = parse_expression(EXPRESSION)
MILLISECOND = 1_000_000


class Wire:
    """What stands in for the link, and for the clock: nothing waits, and what was sent is there to be read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.now = 0
        self.times: list[int] = []
        self.join(LinkType.ETHERNET)
        monkeypatch.setattr(send, "open_link", lambda *_: self.link)
        original = send.transmit
        monkeypatch.setattr(
            send, "transmit", lambda *args, **options: original(*args, **options, clock=self.clock, sleep=self.sleep)
        )

    def join(self, linktype: LinkType) -> None:
        segment = Segment(linktype, queue_frames=1 << 20)
        self.link = Noting(segment, "wire", self)
        segment._links = (self.link,)
        self.other = segment.attach("other")

    def clock(self) -> int:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1e9)

    @property
    def sent(self) -> list[bytes]:
        frames: list[bytes] = []
        while got := self.other.receive(0):
            frames += [frame.data for frame in got]
        return frames


class Noting(MemoryLink):
    """Notes when it was called, and can be used again."""

    def __init__(self, segment: Segment, name: str, wire: Wire) -> None:
        super().__init__(segment, name)
        self.wire = wire

    def send(self, frames: Sequence[bytes], now: int, peer: str = "") -> None:
        self.wire.times += [now] * len(frames)
        super().send(frames, now, peer)

    def close(self) -> None:
        """Stay open."""


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    return Wire(monkeypatch)


@pytest.fixture
def capture(tmp_path: Path) -> str:
    """Three frames, a millisecond and then two apart."""
    path = tmp_path / "three.pcap"
    with PcapWriter(path) as writer:
        for number, time in enumerate((0, 1, 3)):
            writer.write(Frame(bytes(PACKET.replace(UDP, sport=number)), 10**18 + time * MILLISECOND))
    return str(path)


def report(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> dict[str, Any]:
    assert main(["send", *arguments, "--json"]) == status
    captured = capsys.readouterr()
    if not status:
        assert captured.err == ""
    found: dict[str, Any] = json.loads(captured.out)
    return found


def told(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 2) -> str:
    assert main(["send", *arguments]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    return captured.err


def ports(frames: list[bytes]) -> list[int]:
    return [Packet.parse(frame)[UDP].sport for frame in frames]


# -- packets -----------------------------------------------------------------------------------------------------------


def test_one_packet(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", EXPRESSION]) == 0
    assert capsys.readouterr().out == "sent through wire: 1 frame, 47 bytes\n"
    assert wire.sent == [bytes(PACKET)]


@pytest.mark.parametrize("words", [[bytes(PACKET).hex()], bytes(PACKET).hex(" ").split()])
def test_bytes_go_out_as_they_are(words: list[str], wire: Wire) -> None:
    assert main(["send", *words, "--count", "3"]) == 0
    assert wire.sent == [bytes(PACKET)] * 3


def test_numbers_are_sent_exactly_as_given(wire: Wire) -> None:
    assert main(["send", 'Ethernet() / IPv4(total_length=7, checksum=1) / UDP(length=3, checksum=2) / b"x"']) == 0
    packet = Packet.parse(wire.sent[0])
    assert (packet[IPv4].total_length, packet[IPv4].checksum) == (7, 1)


def test_a_field_varies_and_its_checksums_follow(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, EXPRESSION, "--vary", "udp.sport=1000-1002,7")
    frames = wire.sent
    assert ports(frames) == [1000, 1001, 1002, 7]
    assert all(Packet.parse(frame).checksums == {"IPv4": "ok", "UDP": "ok"} for frame in frames)
    assert found["frames"] == 4


def test_several_fields_vary_in_all_combinations(wire: Wire) -> None:
    assert main(["send", EXPRESSION, "--vary", "udp.sport=1-2", "--vary", "ipv4.src=10.0.0.8/31"]) == 0
    found = [(packet[UDP].sport, packet[IPv4].src) for packet in map(Packet.parse, wire.sent)]
    assert found == [(1, "10.0.0.8"), (1, "10.0.0.9"), (2, "10.0.0.8"), (2, "10.0.0.9")]


@pytest.mark.parametrize(("count", "expected"), [("2", [1, 2]), ("7", [1, 2, 3, 1, 2, 3, 1])])
def test_count_stops_or_goes_round(count: str, expected: list[int], wire: Wire) -> None:
    assert main(["send", EXPRESSION, "--vary", "udp.sport=1-3", "--count", count]) == 0
    assert ports(wire.sent) == expected


def test_of_given_bytes_right_checksums_follow_and_wrong_ones_stay(wire: Wire) -> None:
    wrong = PACKET.computed().replace(UDP, checksum=0xBAD)
    assert main(["send", bytes(wrong).hex(), "--vary", "ipv4.id=1-2"]) == 0
    for packet in map(Packet.parse, wire.sent):
        assert packet.checksums == {"IPv4": "ok", "UDP": "bad"}
        assert packet[UDP].checksum == 0xBAD


def test_a_packet_of_a_capture(wire: Wire, capture: str) -> None:
    assert main(["send", f"{capture}:2", "--vary", "udp.dport=5"]) == 0
    packet = Packet.parse(wire.sent[0])
    assert (packet[UDP].sport, packet[UDP].dport) == (1, 5)


# -- when --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "gap"),
    [
        (["--rate", "1000/s"], MILLISECOND),
        (["--rate", "2k/s"], MILLISECOND // 2),
        (["--interval", "1ms"], MILLISECOND),
        (["--interval", "2"], 2000 * MILLISECOND),
        (["--rate", "376kbit"], MILLISECOND),  # 47 bytes are 376 bits
        ([], 0),
        (["--topspeed"], 0),
    ],
)
def test_frames_leave_at_their_times(arguments: list[str], gap: int, wire: Wire) -> None:
    assert main(["send", EXPRESSION, "--count", "4", *arguments]) == 0
    assert wire.times == [0, gap, 2 * gap, 3 * gap]


def test_a_capture_goes_out_in_its_own_rhythm(wire: Wire, capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, capture)
    assert ports(wire.sent) == [0, 1, 2]
    assert wire.times == [0, MILLISECOND, 3 * MILLISECOND]
    assert (found["unit"], found["requested"], found["achieved"]) == ("x", 1.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "times"),
    [
        (["--speed", "2x"], [0, 0.5, 1.5]),
        (["--speed", "0.5"], [0, 2, 6]),
        (["--topspeed"], [0, 0, 0]),
        (["--rate", "100/s"], [0, 10, 20]),
        (["--loop", "2"], [0, 1, 3, 4.5, 5.5, 7.5]),  # a round follows as the frames do on average
        (["--loop", "3", "--count", "4"], [0, 1, 3, 4.5]),
        (["--loop", "0", "--count", "4"], [0, 1, 3, 4.5]),
        (["--count", "2"], [0, 1]),
        (["--count", "0"], [0, 1, 3]),
    ],
)
def test_a_capture_at_other_times(arguments: list[str], times: list[float], wire: Wire, capture: str) -> None:
    assert main(["send", capture, *arguments]) == 0
    assert wire.times == [time * MILLISECOND for time in times]
    assert ports(wire.sent) == [number % 3 for number in range(len(times))]


def test_a_capture_too_large_to_be_kept_is_read_again(
    monkeypatch: pytest.MonkeyPatch, wire: Wire, capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rawproto.cli._outgoing.KEPT_BYTES", 60)
    assert report(capsys, capture, "--loop", "2")["frames"] == 6
    assert ports(wire.sent) == [0, 1, 2] * 2
    assert wire.times[3:] == [time * MILLISECOND // 2 for time in (9, 11, 15)]


def test_a_capture_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, wire: Wire, capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def give() -> None:
        file = io.BufferedReader(io.BytesIO(Path(capture).read_bytes()))  # type: ignore[arg-type]
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))

    give()
    assert report(capsys, "-")["frames"] == 3
    assert wire.times == [0, MILLISECOND, 3 * MILLISECOND]
    give()
    assert "can be read only once" in told(capsys, "-", "--loop", "2")


# -- what does not go out ----------------------------------------------------------------------------------------------


def test_frames_that_the_link_can_not_send_are_left_out_and_counted(
    tmp_path: Path, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mixed.pcapng"
    with PcapngWriter(path) as writer:
        writer.write(Frame(bytes(PACKET), MILLISECOND))
        writer.write(Frame(bytes(PACKET)[14:], 2 * MILLISECOND, LinkType.RAW))
        writer.write(Frame(bytes(PACKET)[:40], 3 * MILLISECOND, original_length=47))
        writer.write(Frame(bytes(5), 4 * MILLISECOND))
        writer.write(Frame(bytes(PACKET), 5 * MILLISECOND))
    found = report(capsys, str(path))
    assert wire.sent == [bytes(PACKET)] * 2
    assert found["left_out"] == {
        "of another link type": 1,
        "cut by the recorder": 1,
        "shorter than an Ethernet header": 1,
    }
    assert main(["send", str(path)]) == 0
    assert "left out: 1 of another link type, 1 cut by the recorder" in capsys.readouterr().out


LARGE = EXPRESSION + " * 600"


def test_a_frame_over_the_mtu_is_an_error_before_anything_is_sent(
    wire: Wire, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "a frame of 3042 bytes is over the MTU, 1514 bytes at most" in told(capsys, LARGE, "--count", "2")
    path = tmp_path / "large.pcap"
    with PcapWriter(path) as writer:
        writer.write(Frame(bytes(PACKET)))
        writer.write(Frame(bytes(parse_expression(LARGE))))
    assert "over the MTU" in told(capsys, str(path))
    assert wire.sent == []


def test_a_frame_over_the_mtu_is_skipped_or_cut_into_fragments_as_asked(
    wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    found = report(capsys, LARGE, "--oversize", "skip")
    assert (wire.sent, found["skipped"], found["wire_frames"]) == ([], 1, 0)
    found = report(capsys, LARGE, "--oversize", "fragment")
    frames = wire.sent
    assert len(frames) == 3
    assert (found["fragmented"], found["wire_frames"], found["wire_bytes"]) == (1, 3, sum(map(len, frames)))
    assert main(["send", LARGE, "--oversize", "fragment"]) == 0
    text = capsys.readouterr().out
    assert "3 frames, 3110 bytes on the wire, for 1 frame, 3042 bytes" in text
    assert "sent in fragments: 1" in text


# -- rehearsing --------------------------------------------------------------------------------------------------------


def test_a_dry_run_shows_the_first_packets_and_sends_none(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", EXPRESSION, "--vary", "udp.sport=1-20", "--rate", "10/s", "--dry-run"]) == 0
    text = capsys.readouterr().out.splitlines()
    assert text[0] == "would send 20 frames through wire, at 10 frames/s:"
    assert text[10] == "    10  47 bytes  IP 10.0.0.1.10 > 10.0.0.2.9: UDP, length 5"
    assert text[11:] == ["what becomes of the first:", "        sent as it is"]
    assert wire.sent == []


def test_a_dry_run_as_an_object(wire: Wire, capture: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = report(capsys, capture, "--dry-run", "--loop", "0")
    assert (found["dry_run"], found["frames"], found["unit"], found["requested"]) == (True, None, "x", 1.0)
    assert [one["hex"] for one in found["first"]][:3] == [
        bytes(PACKET.replace(UDP, sport=port)).hex() for port in range(3)
    ]
    assert found["kernel"] == {"changes": [], "refused": "", "dropped": "", "notes": []}
    assert wire.sent == []


def refuse(*_: object) -> None:
    raise PrivilegeError(errno.EPERM, "raw frames need CAP_NET_RAW: run as root")


def test_without_the_privilege(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(send, "open_link", refuse)
    assert "CAP_NET_RAW" in told(capsys, EXPRESSION, "--iface", "lo")
    assert main(["send", EXPRESSION, "--iface", "lo", "--dry-run"]) == 0  # all but what needs the link
    captured = capsys.readouterr()
    assert "can't be said without the privilege" in captured.out
    assert captured.err == ""


# -- what goes wrong on the way ----------------------------------------------------------------------------------------


def test_a_link_that_fails_is_status_1_with_what_was_sent(
    monkeypatch: pytest.MonkeyPatch, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(frames: Sequence[bytes], now: int, peer: str = "") -> None:
        if now >= 2 * MILLISECOND:
            raise LinkError(errno.ENETDOWN, "interface wire went down")

    monkeypatch.setattr(wire.link, "send", fail)
    line = told(capsys, EXPRESSION, "--count", "5", "--rate", "1000/s", status=1)
    assert "interface wire went down; sent before: 2 frames" in line


def test_a_damaged_capture_sends_nothing(
    tmp_path: Path, wire: Wire, capture: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "cut.pcap"
    path.write_bytes(Path(capture).read_bytes()[:-5])
    assert "the file was cut off" in told(capsys, str(path), status=1)
    assert wire.sent == []


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_gives_the_report_and_status_130(
    times: int, monkeypatch: pytest.MonkeyPatch, wire: Wire, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        if wire.now >= 300 * MILLISECOND:
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
        wire.now += round(seconds * 1e9)

    monkeypatch.setattr(wire, "sleep", interrupt)
    assert main(["send", EXPRESSION, "--count", "0", "--interval", "100ms", "--json"]) == 130
    captured = capsys.readouterr()
    found = json.loads(captured.out)
    assert (found["frames"], found["stopped"]) == (4, True)
    assert len(wire.sent) == 4
    assert captured.err == "rawproto: interrupted\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- by UDP ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def receiver() -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def test_the_payload_goes_where_its_headers_say(receiver: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    port = receiver.getsockname()[1]
    packet = f'IPv4(dst="127.0.0.1") / UDP(dport={port}) / b"datagram 0"'
    found = report(capsys, packet, "--link", "udp", "--vary", "payload[9:10]=0x30-0x32")
    assert [receiver.recv(100) for _ in range(3)] == [b"datagram 0", b"datagram 1", b"datagram 2"]
    assert (found["frames"], found["bytes"]) == (3, 30)


def test_bare_bytes_go_where_to_says(receiver: socket.socket, capsys: pytest.CaptureFixture[str]) -> None:
    port = receiver.getsockname()[1]
    report(capsys, "RDT(sport=3)", "--link", "udp", "--to", f"127.0.0.1:{port}")
    assert receiver.recv(100) == bytes(parse_expression("RDT(sport=3)"))


def test_the_source_port_is_that_of_the_packet(receiver: socket.socket) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        sport = free.getsockname()[1]
    port = receiver.getsockname()[1]
    packet = f'IPv4(dst="127.0.0.1") / UDP(sport={sport}, dport={port}) / b"x"'
    assert main(["send", packet, "--link", "udp"]) == 0
    assert receiver.recvfrom(10) == (b"x", ("127.0.0.1", sport))


# -- wrong calls -------------------------------------------------------------------------------------------------------

WRONG: dict[str, list[str]] = {
    "nothing was given": [],
    "column 5: TCP has no field dprot; did you mean dport?": ["TCP(dprot=1)"],
    "--link packet needs --iface: say through which interface; there are: ": [EXPRESSION],
    "no interface 'nowhere0'; there are: ": [EXPRESSION, "--iface", "nowhere0"],
    "the packet begins with IPv4, and --link packet sends whole Ethernet frames": ["IPv4() / UDP()", "--iface", "lo"],
    "the packet begins with Ethernet, and --link rawip sends IP packets": [EXPRESSION, "--link", "rawip"],
    "4 bytes are shorter than an Ethernet header": ["deadbeef", "--iface", "lo"],
    "the bytes are no IP packet": ["deadbeef", "--link", "rawip"],
    "--iface lo: with --link rawip the kernel's routes choose": ['IPv4(dst="127.0.0.1") / UDP()', "--link", "rawip",
                                                                 "--iface", "lo"],
    "--link udp: say where to": ["RDT()", "--link", "udp"],
    "--to nowhere: give an address and a port": ["RDT()", "--link", "udp", "--to", "nowhere"],
    "--to 1.2.3.4:5: the packet says itself where it goes, 127.0.0.1": [
        'IPv4(dst="127.0.0.1") / UDP()', "--link", "udp", "--to", "1.2.3.4:5"],
    "--to 1.2.3.4:5 is for --link udp": [EXPRESSION, "--iface", "lo", "--to", "1.2.3.4:5"],
    "--link udp sends the bytes of a packet": [RESET, "--link", "udp"],
    "of another link type": [RESET, "--iface", "lo"],
    "--vary is for a packet": [RESET, "--vary", "udp.sport=1-2"],
    "--loop 2 is for a capture": [EXPRESSION, "--loop", "2"],
    "--speed 2x is for a capture": [EXPRESSION, "--speed", "2x"],
    "--rate, --interval, --speed and --topspeed exclude": [RESET, "--link", "rawip", "--rate", "1/s", "--topspeed"],
    "--vary: UDP has no field sprot": [EXPRESSION, "--vary", "udp.sprot=1-2"],
    "--vary: tcp.sport: no layer tcp": [EXPRESSION, "--vary", "tcp.sport=1-2"],
    "--vary: udp.sport: 70000 is not in 0..65535": [EXPRESSION, "--vary", "udp.sport=1-70000"],
    "--vary: udp.length: lengths can't change": [EXPRESSION, "--vary", "udp.length=1-2"],
    "--vary: 'udp.sport' varies nothing": [EXPRESSION, "--vary", "udp.sport"],
    "--rate: '10' is not a rate": [EXPRESSION, "--rate", "10"],
    "--interval: '1h' is not a time": [EXPRESSION, "--interval", "1h"],
    "--count: '-1' is not a count": [EXPRESSION, "--count", "-1"],
    "--link": [EXPRESSION, "--link", "pigeon"],
    "--oversize": [EXPRESSION, "--oversize", "cut"],
    "unknown option: --dryrun. See `rawproto send --help`.": [EXPRESSION, "--dryrun"],
    "has no packet 300": [f"{RESET}:300"],
}  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert line in told(capsys, *WRONG[line])


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["send", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "--vary tcp.sport=1000-2000" in text
    assert "--rate.value" not in text


# -- values ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("tcp.sport=1000-1003", [1000, 1001, 1002, 1003]),
        ("tcp.sport=0-10/4", [0, 4, 8]),
        ("tcp.sport=1, 0x10 ,7-8", [1, 16, 7, 8]),
        ("ipv4.src=10.0.0.0/30", [0x0A000000, 0x0A000001, 0x0A000002, 0x0A000003]),
        ("ipv4.src=10.0.0.1-10.0.0.5/2", [0x0A000001, 0x0A000003, 0x0A000005]),
        ("ipv6.src=::1-::3,fe80::", [1, 2, 3, 0xFE80 << 112]),
        ("ethernet.src=02:00:00:00:00:fe-02:00:00:00:01:00", [0x0200000000FE, 0x0200000000FF, 0x020000000100]),
        ("ipv4#2.ttl=1", [1]),
        ("payload[0:4]=5", [5]),
    ],
)
def test_variations(text: str, values: list[int]) -> None:
    found = parse_variation(text)
    assert list(found) == values
    assert found.count == len(values)
    assert found.extremes == (min(values), max(values))
    assert found.field == text.partition("=")[0]


@pytest.mark.parametrize(
    "text", ["", "x", "=1", "a=", "a=,", "a=5-1", "a=1-5/0", "a=one", "a=1/2", "a b=1", "a=1-", "a=10.0.0.0/99"]
)
def test_bad_variations(text: str) -> None:
    with pytest.raises(ValueError, match=r"varies nothing|is no "):
        parse_variation(text)


def test_endless_ranges_cost_no_memory() -> None:
    everything = parse_variation("ipv6.src=::/0")
    assert everything.count == 1 << 128
    packet = parse_expression("IPv6() / UDP()")
    frames = iter(Varied(packet, [everything, parse_variation("ipv6.dst=::/0")]))
    assert [Packet.parse(next(frames), LinkType.RAW).layers[0].raw("dst")[-1] for _ in range(3)] == [0, 1, 2]


def test_more_combinations_than_a_counter_holds(wire: Wire, capsys: pytest.CaptureFixture[str]) -> None:
    packet = "Ethernet() / IPv6() / UDP()"
    assert main(["send", packet, "--vary", "ipv6.src=::/0", "--vary", "ipv6.dst=::/0", "--dry-run"]) == 0
    assert f"would send {1 << 256} frames" in capsys.readouterr().out


def test_variations_are_values() -> None:
    assert parse_variation("a=1-2") == Variation("a", (range(1, 3),))


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("1000/s", Rate(Fraction(1000), "frames")),
        ("0.5/s", Rate(Fraction(1, 2), "frames")),
        ("10k/s", Rate(Fraction(10_000), "frames")),
        ("10kpps", Rate(Fraction(10_000), "frames")),
        ("10mbit", Rate(Fraction(10**7), "bits")),
        ("1.5 Gbit/s", Rate(Fraction(1_500_000_000), "bits")),
    ],
)
def test_rates(text: str, rate: Rate) -> None:
    assert parse_pace(text) == rate


@pytest.mark.parametrize("text", ["", "10", "x", "0/s", "-1/s", "10mb", "1e3/s", "9999gbit"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate: give frames a second, such as 1000/s"):
        parse_pace(text)


def test_speeds_and_counts() -> None:
    assert [parse_speed(text) for text in ("2x", "0.5", "10 X")] == [2, Fraction(1, 2), 10]
    assert [parse_count_or_endless(text) for text in ("0", "12")] == [0, 12]
    for text in ("0x", "fast", "-1", ""):
        with pytest.raises(ValueError, match="is not a speed"):
            parse_speed(text)


# -- completion --------------------------------------------------------------------------------------------------------


def test_the_shell_completes_interfaces_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["__complete", "send", "--iface", ""]) == 0
    assert "lo" in capsys.readouterr().out.splitlines()
    assert main(["__complete", "dump", f"{RESET[:-5]}"]) == 0
    assert RESET in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_completion_script_is_installed(shell: str, tmp_path: Path) -> None:
    out = tmp_path / "script"
    command = [sys.executable, "-m", "rawproto", "--install-completion", "--shell", shell, "--output", str(out)]
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert str(out) in done.stdout
    assert "--vary" in out.read_text() or "-l vary" in out.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["script"]  # and no startup file is changed
