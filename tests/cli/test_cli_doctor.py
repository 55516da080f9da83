"""`rawproto doctor`: what it makes of what it finds. What it finds as root and as nobody is in tests/netns."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from rawproto.cli import _checks, main
from rawproto.cli._checks import Check, Status, interface_checks, setting_checks, software_checks
from rawproto.cli.doctor import raw_frames
from rawproto.errors import LinkError

SETTINGS = {
    "net/core/rmem_max": "33554432",
    "net/core/wmem_max": "33554432",
    "net/ipv4/ip_forward": "0",
    "net/ipv4/ping_group_range": "1\t0",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "1",
    "net/ipv4/conf/lo/rp_filter": "1",
    "net/ipv4/conf/eth0/rp_filter": "0",
    "net/ipv6/conf/all/disable_ipv6": "0",
    "user/max_user_namespaces": "1000",
}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Check]]:
    """The checks of a machine with these settings; None takes one away."""

    def look(changes: dict[str, str | None], *, beyond_limits: bool = False) -> dict[str, Check]:
        for name, value in {**SETTINGS, **changes}.items():
            if value is not None:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).write_text(value + "\n")
        monkeypatch.setattr(_checks, "SYSCTL", tmp_path)
        return {check.name: check for check in setting_checks(beyond_limits=beyond_limits)}

    return look


def test_a_machine_that_is_set_up_well_is_ok(settings: Callable[..., dict[str, Check]]) -> None:
    checks = settings({})
    assert {check.status for check in checks.values()} == {"ok"}
    assert checks["net.ipv4.ping_group_range"].found.startswith("1 0: ")


@pytest.mark.parametrize(
    ("name", "path", "value", "status", "fix"),
    [
        ("net.core.rmem_max", None, "212992", "limited", "sudo sysctl -w net.core.rmem_max=33554432"),
        ("net.core.wmem_max", None, "212992", "limited", "sudo sysctl -w net.core.wmem_max=33554432"),
        ("net.core.rmem_max", None, None, "unknown", ""),
        ("net.ipv4.ip_forward", None, "1", "ok", ""),
        (
            "net.ipv4.conf.*.rp_filter",
            "net/ipv4/conf/eth0/rp_filter",
            "1",
            "limited",
            "sudo sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        ),
        (
            "net.ipv4.conf.*.rp_filter",
            "net/ipv4/conf/all/rp_filter",
            "1",
            "limited",
            "sudo sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        ),
        (
            "net.ipv6.conf.all.disable_ipv6",
            None,
            "1",
            "limited",
            "sudo sysctl -w net.ipv6.conf.all.disable_ipv6=0",
        ),
        ("net.ipv6.conf.all.disable_ipv6", None, None, "missing", ""),
        ("user.max_user_namespaces", None, "0", "limited", "sudo sysctl -w user.max_user_namespaces=10000"),
        (
            "kernel.unprivileged_userns_clone",
            None,
            "0",
            "limited",
            "sudo sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        ("kernel.unprivileged_userns_clone", None, "1", "ok", ""),
        (
            "kernel.apparmor_restrict_unprivileged_userns",
            None,
            "1",
            "limited",
            "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    ],
)
def test_a_setting_that_limits_is_told_with_its_remedy(
    name: str, path: str | None, value: str | None, status: str, fix: str, settings: Callable[..., dict[str, Check]]
) -> None:
    check = settings({path or name.replace(".", "/"): value})[name]
    assert (check.status, check.fix) == (status, fix)


def test_with_the_privilege_small_buffers_do_not_limit(settings: Callable[..., dict[str, Check]]) -> None:
    check = settings({"net/core/rmem_max": "212992"}, beyond_limits=True)["net.core.rmem_max"]
    assert check.status == "ok"


def test_settings_that_only_some_have_are_not_told_where_they_are_not(
    settings: Callable[..., dict[str, Check]],
) -> None:
    assert not any(name.startswith("kernel.") for name in settings({}))


class FakeRoute:
    """Two interfaces: the loopback, and one with an MTU that is given."""

    mtu = 1500

    def __enter__(self) -> FakeRoute:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_links(self) -> list[object]:
        return [self.link("lo", 65_536, 0x49), self.link("eth0", self.mtu, 0x1043)]

    @staticmethod
    def link(name: str, mtu: int, flags: int) -> object:
        class Link(dict[str, int]):
            def get_attr(self, what: str) -> object:
                return {"IFLA_IFNAME": name, "IFLA_MTU": mtu}[what]

        return Link(flags=flags)


def features(**on: bool) -> Callable[[], object]:
    values = {name.replace("_", "-"): SimpleNamespace(enable=enable) for name, enable in on.items()}
    return lambda: SimpleNamespace(get_features=lambda _: SimpleNamespace(features=values), close=lambda: None)


@pytest.mark.parametrize(
    ("on", "status", "fix"),
    [
        ({"tx_checksum_ip_generic": True, "rx_checksum": True, "rx_gro": False}, "ok", ""),
        ({"rx_gro": True}, "limited", "sudo ethtool -K eth0 gro off"),
        ({"tx_tcp6_segmentation": True, "rx_lro": True}, "limited", "sudo ethtool -K eth0 tso off lro off"),
    ],
)
def test_offloads_that_join_frames_limit_what_is_seen(
    on: dict[str, bool], status: Status, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_checks, "IPRoute", FakeRoute)
    monkeypatch.setattr(_checks, "Ethtool", features(**on))
    loopback, ethernet = interface_checks()
    assert (loopback.name, loopback.status) == ("lo", "ok")
    assert (ethernet.name, ethernet.status, ethernet.fix) == ("eth0", status, fix)
    assert ethernet.found.startswith("up, MTU 1500, offloads: ")


def test_an_mtu_that_is_too_small_for_ipv6_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeRoute, "mtu", 1000)
    monkeypatch.setattr(_checks, "IPRoute", FakeRoute)
    monkeypatch.setattr(_checks, "Ethtool", features())
    check = list(interface_checks())[1]
    assert (check.status, check.fix) == ("limited", "sudo ip link set eth0 mtu 1280")


def test_offloads_that_can_t_be_seen_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise PermissionError

    monkeypatch.setattr(_checks, "IPRoute", FakeRoute)
    monkeypatch.setattr(_checks, "Ethtool", refuse)
    assert {check.status for check in interface_checks()} == {"unknown"}


def test_programs_and_libraries_that_are_missing_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise LinkError(0, "no libpcap here")

    (tmp_path / "tshark").write_text("#!/bin/sh\necho TShark 9.9\n")
    (tmp_path / "tshark").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) + os.pathsep + "/nonexistent")
    monkeypatch.setattr(_checks, "libpcap_version", refuse)
    checks = {check.name: check for check in software_checks()}
    assert (checks["tshark"].status, checks["tshark"].found) == ("ok", "TShark 9.9")
    assert (checks["tcpdump"].status, checks["tcpdump"].fix) == ("missing", "sudo apt install tcpdump")
    assert checks["libpcap"].status == "missing"
    assert checks["libpcap"].found.startswith("no libpcap here")
    assert checks["Python"].status == "ok"


@pytest.mark.parametrize(
    ("packet", "namespace", "road"),
    [
        ("ok", "missing", "directly"),
        ("missing", "ok", "in a user namespace"),
        ("missing", "missing", "no"),
        ("missing", "unknown", "no"),
    ],
)
def test_real_frames_take_a_socket_or_a_namespace(packet: Status, namespace: Status, road: str) -> None:
    checks = [Check("attempts", "AF_PACKET", packet, ""), Check("attempts", "user namespace", namespace, "")]
    assert raw_frames(checks) == road


def test_without_any_way_to_real_frames_it_is_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("attempts", "AF_PACKET", "missing", "needs CAP_NET_RAW", "run as root")]
    monkeypatch.setattr("rawproto.cli._attempts.attempt_checks", lambda: checks)
    assert main(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "Real frames can't be sent." in captured.out
    assert captured.err.startswith("rawproto: no real frame can be sent")
    assert captured.err.count("\n") == 1


def test_a_remedy_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    checks = [Check("attempts", name, "missing", "x", "do the same thing") for name in ("AF_PACKET", "SOCK_RAW")]
    monkeypatch.setattr("rawproto.cli._attempts.attempt_checks", lambda: checks)
    main(["doctor"])
    assert capsys.readouterr().out.count("do the same thing") == 1
    main(["doctor", "--json"])
    assert capsys.readouterr().out.count("do the same thing") == 2


def test_it_runs_on_this_machine_whoever_asks(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == (1 if report["raw_frames"] == "no" else 0)
    names = {check["name"] for check in report["checks"]}
    assert names >= {"CAP_NET_RAW", "AF_PACKET", "receive ring", "user namespace", "nftables", "lo", "libpcap"}
    assert {check["status"] for check in report["checks"]} <= {"ok", "limited", "missing", "unknown"}
    assert all(check["found"] for check in report["checks"])


def test_a_wrong_call_is_status_2_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "who"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "rawproto doctor --json | jq" in text
    assert "Exit status" in text
