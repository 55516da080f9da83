"""`rawproto scan`: what it takes for a target, what it refuses, and how it shows what was found."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from rawproto.cli import UsageError, main
from rawproto.cli._hosts import LocalNetwork
from rawproto.cli._quantities import parse_dscp, parse_ports, parse_rate_per_second, time_within, whole_within
from rawproto.cli._scanned import Scan, as_json, as_text, vendor
from rawproto.cli._sweeping import Stage
from rawproto.cli._targets import Target, expand_targets, foreign, network_of
from rawproto.errors import PrivilegeError
from rawproto.sockets.sweep import Finding

ANY = socket.AF_UNSPEC
INTEL = "00:1b:21:00:00:01"


def local(network: str, address: str, interface: str = "eth0", mac: str = "02:00:00:00:00:01") -> LocalNetwork:
    return LocalNetwork(ipaddress.ip_network(network), interface, ipaddress.ip_address(address), mac)


NETWORKS = [
    local("10.0.0.0/24", "10.0.0.1"),
    local("fe80::/64", "fe80::1"),
    local("10.0.0.0/8", "10.9.9.9", "eth1"),
]


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("10.0.0.5", ["10.0.0.5"]),
        ("10.0.0.0/30", ["10.0.0.1", "10.0.0.2"]),
        ("10.0.0.9/30", ["10.0.0.9", "10.0.0.10"]),
        ("10.0.0.4/31", ["10.0.0.4", "10.0.0.5"]),
        ("10.0.0.5/32", ["10.0.0.5"]),
        ("10.0.0.9-11", ["10.0.0.9", "10.0.0.10", "10.0.0.11"]),
        ("10.0.0.255-10.0.1.1", ["10.0.0.255", "10.0.1.0", "10.0.1.1"]),
        ("fd00::/126", ["fd00::1", "fd00::2", "fd00::3"]),
        ("fd00::1-fd00::2", ["fd00::1", "fd00::2"]),
        ("::ffff:10.0.0.1", ["10.0.0.1"]),
    ],
)
def test_targets_are_addresses_and_ranges(text: str, addresses: list[str]) -> None:
    targets = expand_targets([text], ANY)
    assert [target.address for target in targets] == addresses
    assert all(target.named == (len(addresses) == 1) for target in targets)


@pytest.mark.parametrize("texts", [["10.0.0.0/30", "10.0.0.2"], ["10.0.0.2", "10.0.0.0/30"]])
def test_a_target_given_twice_is_scanned_once_and_keeps_its_name(texts: list[str]) -> None:
    targets = expand_targets(texts, ANY)
    assert {(target.address, target.named) for target in targets} == {("10.0.0.1", False), ("10.0.0.2", True)}
    assert len(targets) == 2


@pytest.mark.parametrize(
    "text",
    [
        "10.0.0.0/33",
        "10.0.0.3-1",
        "10.0.0.0/8",
        "fd00::/64",
        "1-2",
        "no-such-host.invalid",
        "224.0.0.1",
        "255.255.255.255",
        "0.0.0.0",
        "fe80::1",
        "",
    ],
)
def test_what_is_no_target_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=text.split("/", maxsplit=1)[0].replace(".", r"\.") or "''"):
        expand_targets([text], ANY)


def test_a_range_of_the_other_version_is_refused() -> None:
    with pytest.raises(UsageError, match="is IPv4: leave out -6"):
        expand_targets(["10.0.0.0/24"], socket.AF_INET6)


def test_too_many_in_all_are_refused() -> None:
    with pytest.raises(UsageError, match="more than 65,536 addresses"):
        expand_targets([f"10.{number}.0.0/17" for number in range(3)], ANY)


@pytest.mark.parametrize(
    ("target", "interface"),
    [
        (Target("10.0.0.7"), "eth0"),
        (Target("10.5.5.5"), "eth1"),
        (Target("fe80::7", "eth0"), "eth0"),
        (Target("fe80::7", "eth1"), None),
        (Target("11.0.0.1"), None),
    ],
)
def test_a_target_is_on_the_narrowest_network_that_has_it(target: Target, interface: str | None) -> None:
    network = network_of(target, NETWORKS)
    assert (network.interface if network else None) == interface


def test_what_is_on_none_of_our_networks_is_foreign() -> None:
    ours = [Target("10.0.0.7"), Target("127.0.0.5"), Target("::1")]
    assert foreign(ours, NETWORKS) is None
    assert foreign([*ours, Target("192.0.2.1")], NETWORKS) == Target("192.0.2.1")


@pytest.mark.parametrize("options", [(), ("--icmp",), ("--syn", "80"), ("--json",)])
def test_beyond_our_networks_it_does_nothing_unless_allowed(
    options: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rawproto.cli.scan.local_networks", lambda: NETWORKS)
    monkeypatch.setattr("rawproto.cli.scan._run", lambda *_, **__: pytest.fail("it has begun"))
    assert main(["scan", "10.0.0.1", "192.0.2.1", *options]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rawproto: 192.0.2.1 is on no network of this machine")
    assert "--i-am-allowed" in captured.err
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("targets", "options", "methods"),
    [
        (["10.0.0.0/29"], [], (True, False)),
        (["10.0.0.1", "127.0.0.1"], [], (False, True)),
        (["192.0.2.1"], ["--i-am-allowed"], (False, True)),
        (["10.0.0.1"], ["--icmp"], (False, True)),
        (["10.0.0.1"], ["--syn", "80"], (False, False)),
        (["10.0.0.1"], ["--arp", "--icmp"], (True, True)),
    ],
)
def test_arp_is_the_default_where_it_can_be(
    targets: list[str], options: list[str], methods: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[Scan] = []
    monkeypatch.setattr("rawproto.cli.scan.local_networks", lambda: NETWORKS)
    monkeypatch.setattr("rawproto.cli.scan._run", lambda scan, *_, **__: begun.append(scan))
    main(["scan", *targets, *options])
    assert [(scan.arp, scan.icmp) for scan in begun] == [methods]


WRONG = {
    "no target": (),
    "--syn": ("127.0.0.1", "--syn", "0"),
    "--syn with a bad range": ("127.0.0.1", "--syn", "80-70"),
    "--rate": ("127.0.0.1", "--rate", "0"),
    "--retries": ("127.0.0.1", "--retries", "11"),
    "--timeout": ("127.0.0.1", "--timeout", "1h"),
    "both versions": ("127.0.0.1", "-4", "-6"),
    "ARP on the loopback": ("127.0.0.1", "--arp"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", *WRONG[case]]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("rawproto: ")
    assert captured.err.count("\n") == 1
    if case.startswith("-"):
        assert case.split(maxsplit=1)[0] in captured.err


def test_without_privilege_it_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise PrivilegeError(1, "a raw IP socket needs CAP_NET_RAW: run as root")

    monkeypatch.setattr("rawproto.cli._sweeping.open_raw", refuse)
    assert main(["scan", "127.0.0.1"]) == 2
    assert capsys.readouterr() == ("", "rawproto: a raw IP socket needs CAP_NET_RAW: run as root\n")


def scanned(*, ports: int = 2) -> Scan:
    """Three of a range, of which the second answers, and one that was named and does not."""
    targets = [Target(f"10.0.0.{number}", named=number == 4) for number in range(1, 5)]
    scan = Scan(targets, arp=True, icmp=False, ports=range(80, 80 + ports), elapsed_ns=1_500_000_000)
    found = [Finding(target=target.address) for target in targets]
    found[1] = Finding(target="10.0.0.2", state="up", reason="ARP reply", by="10.0.0.2", rtt_ns=34_000, macs=[INTEL])
    scan.add(Stage(found))
    if ports:
        states = [Finding(target="10.0.0.2", port=80, state="open", reason="SYN-ACK", by="10.0.0.2", rtt_ns=60_000)]
        states += [
            Finding(target="10.0.0.2", port=port, state="filtered", reason="host prohibited", by="10.0.0.9")
            for port in range(81, 80 + ports)
        ]
        scan.add_ports(Stage(states))
    return scan


def test_hosts_that_answered_and_those_that_were_named_are_shown() -> None:
    assert as_text(scanned()).splitlines() == [
        f"10.0.0.2  ARP reply in 0.034 ms  {INTEL}  Intel Corporate",
        "  80/tcp  open      http  SYN-ACK in 0.060 ms",
        "  81/tcp  filtered        host prohibited by 10.0.0.9",
        "10.0.0.4  no answer",
        "",
        "1 of 4 addresses answered, in 1.50 s. Ports: 1 open, 0 closed, 1 filtered.",
    ]


def test_of_many_ports_only_the_open_ones_have_a_line() -> None:
    lines = as_text(scanned(ports=30)).splitlines()
    assert lines[1:3] == ["  80/tcp  open  http  SYN-ACK in 0.060 ms", "  not shown: 29 filtered"]
    assert len(as_json(scanned(ports=30))["hosts"][0]["ports"]) == 30


def test_an_address_that_two_have_is_a_warning() -> None:
    scan = scanned(ports=0)
    scan.hosts["10.0.0.2"].macs.append("02:00:00:00:00:0a")
    assert "  warning: 02:00:00:00:00:0a says that it has this address as well" in as_text(scan).splitlines()


def test_the_object_has_all_of_it() -> None:
    report = as_json(scanned())
    assert (report["asked"], report["answered"], report["methods"]) == (4, 1, ["arp", "syn"])
    up, silent = report["hosts"]
    assert (up["address"], up["up"], up["rtt_ns"]) == ("10.0.0.2", True, 34_000)
    assert up["macs"] == [{"mac": INTEL, "vendor": "Intel Corporate"}]
    assert [(port["port"], port["state"], port["service"], port["by"]) for port in up["ports"]] == [
        (80, "open", "http", "10.0.0.2"),
        (81, "filtered", "", "10.0.0.9"),
    ]
    assert (silent["address"], silent["up"], silent["reason"]) == ("10.0.0.4", False, "no answer")


def test_an_interrupted_scan_says_so() -> None:
    scan = scanned()
    scan.add_ports(Stage(interrupted=True))
    assert as_text(scan).endswith("Interrupted: that is not all.")
    assert as_json(scan)["interrupted"] is True


def test_a_card_that_ieee_does_not_know_has_no_vendor() -> None:
    assert vendor(INTEL) == "Intel Corporate"
    assert vendor("02:00:00:00:00:01") == ""


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scan", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "sudo rawproto scan 192.168.1.0/24 --arp --syn 22,80,8000-8010" in text
    assert "--i-am-allowed" in text


@pytest.mark.parametrize(
    ("text", "ports"), [("22", (22,)), ("22,80,8000-8002", (22, 80, 8000, 8001, 8002)), ("80, 80-81", (80, 81))]
)
def test_ports(text: str, ports: tuple[int, ...]) -> None:
    assert parse_ports(text) == ports


@pytest.mark.parametrize("text", ["", "0", "65536", "80-", "-80", "90-80", "http", "80,,81"])
def test_bad_ports(text: str) -> None:
    with pytest.raises(ValueError, match="is not a port"):
        parse_ports(text)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("46", 46), ("EF", 46), ("af41", 34), ("CS6", 48)])
def test_code_points(text: str, value: int) -> None:
    assert parse_dscp(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("2", 2 * 10**9), (".5", 5 * 10**8), ("200ms", 2 * 10**8), ("1min", 60 * 10**9)]
)
def test_times(text: str, value: int) -> None:
    assert time_within(1, 10**12)(text) == value


@pytest.mark.parametrize("text", ["", "-1", "1h", "0", "soon", "1e3"])
def test_bad_times(text: str) -> None:
    with pytest.raises(ValueError, match=r"200ms|out of range"):
        time_within(1, 10**12)(text)


@pytest.mark.parametrize(("text", "value"), [("200", 200), ("0.5", 0.5), ("1000/s", 1000), ("2k/s", 2000)])
def test_rates(text: str, value: float) -> None:
    assert parse_rate_per_second(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "100001", "fast", "1e9", "nan", "1.2.3", "10mbit"])
def test_bad_rates(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate_per_second(text)


def test_whole_numbers_have_bounds() -> None:
    parse = whole_within(1, 255, "a TTL")
    assert (parse("1"), parse("255")) == (1, 255)
    for text in ("0", "256", "x", "1.5", "٣"):
        with pytest.raises(ValueError, match="is not a TTL: give a whole number from 1 to 255"):
            parse(text)
