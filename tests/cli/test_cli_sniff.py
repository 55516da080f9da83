"""`rawproto sniff`, over a link in memory: what is told, when it ends, and what is said then.

What it does on a real interface is in test_netns_cli_sniff.py.
"""

from __future__ import annotations

import errno
import json
import re
import signal
import time
from pathlib import Path

import pytest

from rawproto.capture import open_capture
from rawproto.cli import _interfaces, main, sniff
from rawproto.cli._signals import stop_signals
from rawproto.errors import LinkError, PrivilegeError
from rawproto.link.bpf import FilteringLink, compile_filter
from rawproto.link.memory import MemoryLink, memory_pair
from rawproto.wire.expression import parse_expression
from rawproto.wire.frame import Frame

PACKET = bytes(parse_expression('Ethernet() / IPv4(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=9) / b"hello"'))
LINE = "IP 10.0.0.1.0 > 10.0.0.2.9: UDP, length 5"


class Stamping(MemoryLink):
    """Gives its frames the time of arrival, as real links do."""

    def receive(self, now: int) -> list[Frame]:
        return [frame._replace(time_ns=time.time_ns() - 10**9) for frame in super().receive(now)]


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> MemoryLink:
    """The far end of the link that is sniffed."""
    near, far = memory_pair()
    near.__class__ = Stamping
    monkeypatch.setattr(sniff, "_open", lambda *_, **__: near)
    return far


def sniffed(capsys: pytest.CaptureFixture[str], *arguments: str, status: int = 0) -> tuple[list[str], list[str]]:
    """What it prints on standard output, and on standard error."""
    assert main(["sniff", *arguments]) == status
    captured = capsys.readouterr()
    return captured.out.splitlines(), captured.err.splitlines()


def test_one_line_a_packet_and_the_numbers_at_the_end(sender: MemoryLink, capsys: pytest.CaptureFixture[str]) -> None:
    sender.send([PACKET] * 3, 0)
    lines, errors = sniffed(capsys, "--count", "2", "--time", "none", "--iface", "some0")
    assert lines == [f"     1  {LINE}", f"     2  {LINE}"]
    assert errors == ["rawproto: listening on some0; Ctrl-C to end", "rawproto: 2 packets, 0 dropped by the kernel"]


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [((), r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"), (("--time", "relative"), r"0\.0{9}"), (("--time", "none"), "IP")],
)
def test_times_are_those_of_the_day_unless_said_otherwise(
    arguments: tuple[str, ...], pattern: str, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    sender.send([PACKET], 0)
    lines, _ = sniffed(capsys, "--count", "1", *arguments)
    assert re.fullmatch(pattern, lines[0].split()[1])


def test_it_ends_after_its_time(sender: MemoryLink, capsys: pytest.CaptureFixture[str]) -> None:
    sender.send([PACKET], 0)
    lines, errors = sniffed(capsys, "--seconds", "0.05")
    assert len(lines) == 1
    assert errors[-1] == "rawproto: 1 packet, 0 dropped by the kernel"


def test_what_came_before_the_end_is_told_and_no_more(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    later = time.monotonic() + 0.1
    batches = [[Frame(PACKET, 1), Frame(PACKET, 1 << 62)], [Frame(PACKET, 1)]]

    def receive(_: object, now: int) -> list[Frame]:
        return batches.pop(0) if batches and time.monotonic() > later else []

    monkeypatch.setattr(Stamping, "receive", receive)
    sender.send([PACKET], 0)  # never taken, so that there always seems to be something
    lines, errors = sniffed(capsys, "--seconds", "0.05")
    assert len(lines) == 1
    assert errors[-1] == "rawproto: 1 packet, 0 dropped by the kernel"


def test_a_link_that_never_runs_dry_does_not_keep_it(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sniff, "LAST_SECONDS", 0.05)
    monkeypatch.setattr(Stamping, "receive", lambda *_: [])  # as if a filter let nothing through
    sender.send([PACKET], 0)
    assert sniffed(capsys, "--seconds", "0.01")[1][-1] == "rawproto: 0 packets, 0 dropped by the kernel"


def test_json_is_an_object_a_line(sender: MemoryLink, capsys: pytest.CaptureFixture[str]) -> None:
    sender.send([PACKET] * 2, 0)
    lines, _ = sniffed(capsys, "--count", "2", "--json")
    assert [json.loads(line)["number"] for line in lines] == [1, 2]
    assert [layer["name"] for layer in json.loads(lines[0])["layers"]] == ["ethernet", "ipv4", "udp"]


def test_verbose_tells_all_layers(sender: MemoryLink, capsys: pytest.CaptureFixture[str]) -> None:
    sender.send([PACKET], 0)
    lines, _ = sniffed(capsys, "--count", "1", "-v")
    assert any(line.startswith("        UDP: sport 0, dport 9 (discard)") for line in lines)


@pytest.mark.parametrize("name", ["out.pcapng", "out.pcap"])
def test_packets_are_written_as_well(
    name: str, sender: MemoryLink, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / name
    sender.send([PACKET] * 3, 0)
    lines, errors = sniffed(capsys, "--count", "3", "-w", str(out))
    assert len(lines) == 3
    assert errors[-1] == f"rawproto: 3 packets, 3 written to {out}, 0 dropped by the kernel"
    with open_capture(out) as reader:
        assert [frame.data for frame in reader] == [PACKET] * 3


def test_quiet_prints_only_the_numbers(sender: MemoryLink, capsys: pytest.CaptureFixture[str]) -> None:
    sender.send([PACKET] * 3, 0)
    lines, errors = sniffed(capsys, "--count", "3", "--quiet")
    assert lines == []
    assert errors[-1] == "rawproto: 3 packets, 0 dropped by the kernel"


def test_what_can_not_be_shown_after_ctrl_c_is_written_and_counted(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = sniff.Lines.of

    def interrupt(lines: sniff.Lines, frame: Frame, number: int) -> str:
        if number == 10:
            signal.raise_signal(signal.SIGINT)
        return tell(lines, frame, number)

    monkeypatch.setattr(sniff, "LAST_SECONDS", 0.0)
    monkeypatch.setattr(sniff.Lines, "of", interrupt)
    sender.send([PACKET] * 200, 0)
    lines, errors = sniffed(capsys, "-w", str(tmp_path / "out.pcap"))
    assert len(lines) == sniff.AT_ONCE
    assert "200 packets, the last 136 not shown, 200 written to " in errors[-1]


def test_all_that_was_asked_for_is_shown(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sniff, "LAST_SECONDS", 0.0)
    sender.send([PACKET] * 200, 0)
    assert len(sniffed(capsys, "--count", "200")[0]) == 200


def test_more_than_fits_the_memory_stays_in_the_ring(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sniff, "MOST_WAITING", 100 * (sniff.OVERHEAD + len(PACKET)))
    sender.send([PACKET] * 1000, 0)
    lines, _ = sniffed(capsys, "--count", "1000", "--time", "none")
    assert [int(line.split()[0]) for line in lines] == list(range(1, 1001))


def test_a_filter_that_the_kernel_can_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    near, far = memory_pair()
    near.__class__ = Stamping
    matches = compile_filter("udp port 7")
    monkeypatch.setattr(sniff, "_open", lambda *_, **__: FilteringLink(near, matches))
    far.send([PACKET, PACKET.replace(b"\0\x09", b"\0\x07", 1), PACKET], 0)
    lines, _ = sniffed(capsys, "--seconds", "0.05", "--time", "none", "--filter", "udp port 7")
    assert lines == [f"     1  {LINE.replace('.9:', '.7:')}"]


def test_an_interface_that_fails_is_status_1_after_the_numbers(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object, now: int) -> list[Frame]:
        raise LinkError(errno.ENETDOWN, "interface some0 went down: ip link set some0 up")

    monkeypatch.setattr(Stamping, "receive", fail)
    sender.send([PACKET], 0)
    _, errors = sniffed(capsys, "--iface", "some0", status=1)
    assert errors[1:] == [
        "rawproto: 0 packets, 0 dropped by the kernel",
        "rawproto: interface some0 went down: ip link set some0 up",
    ]


def test_the_first_signal_asks_and_the_second_one_ends() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_signals() as stop:
        assert not stop.asked
        signal.raise_signal(signal.SIGINT)
        assert stop.asked
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is before


# -- which interface ---------------------------------------------------------------------------------------------------

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth1\t00000000\t0102000A\t0003\t0\t0\t200\t00000000\t0\t0\t0
wlan0\t00000000\t0102000A\t0003\t0\t0\t100\t00000000\t0\t0\t0
down0\t00000000\t0102000A\t0002\t0\t0\t1\t00000000\t0\t0\t0
eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
"""


@pytest.mark.parametrize(
    ("text", "name"), [(ROUTES, "wlan0"), (ROUTES.splitlines()[0], "lo"), ("", "lo"), (None, "lo")]
)
def test_the_interface_of_the_default_route(
    text: str | None, name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "route"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(_interfaces, "ROUTES", path)
    assert _interfaces.default_interface() == name


def test_the_chosen_interface_is_told(
    monkeypatch: pytest.MonkeyPatch, sender: MemoryLink, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sniff, "default_interface", lambda: "chosen0")
    _, errors = sniffed(capsys, "--seconds", "0.01", "--filter", "udp")
    assert errors[0] == "rawproto: listening on chosen0, udp; Ctrl-C to end"


# -- wrong calls -------------------------------------------------------------------------------------------------------

WRONG: dict[str, list[str]] = {
    "no interface 'nowhere0'; there are: ": ["--iface", "nowhere0"],
    "--filter: filter 'udpp': can't parse filter expression: syntax error": ["--filter", "udpp"],
    "--count: '0' is not a count": ["--count", "0"],
    "--seconds: 'soon' is not a time": ["--seconds", "soon"],
    "--time": ["--time", "sometimes"],
    "unexpected argument": ["eth0"],
    "unknown option: --jsn": ["--jsn"],
}


@pytest.mark.parametrize("line", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sniff", *WRONG[line]]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert line in captured.err
    assert captured.err.count("\n") == 1


def test_a_file_that_can_not_be_written(sender: MemoryLink, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sniff", "-w", "/no/such/file"]) == 2
    assert "-w: can't write /no/such/file: No such file or directory" in capsys.readouterr().err


def test_without_the_privilege(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PrivilegeError(errno.EPERM, "receiving raw frames on lo needs CAP_NET_RAW: run as root")

    monkeypatch.setattr(sniff, "PacketLink", refuse)
    assert main(["sniff", "--iface", "lo"]) == 2
    assert capsys.readouterr().err == "rawproto: receiving raw frames on lo needs CAP_NET_RAW: run as root\n"


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sniff", "--help"]) == 0
    assert "sudo rawproto sniff --iface eth0" in " ".join(capsys.readouterr().out.split())
