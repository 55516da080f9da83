"""`rawproto traceroute`: what it says to wrong calls. What it finds on real wires is in tests/netns."""

from __future__ import annotations

import pytest

from rawproto.cli import main
from rawproto.errors import PrivilegeError

WRONG = {
    "no host": (),
    "a name that is none": ("no-such-host.invalid",),
    "both versions": ("127.0.0.1", "-4", "-6"),
    "--method": ("127.0.0.1", "--method", "pigeon"),
    "--port": ("127.0.0.1", "--port", "65536"),
    "--port with icmp": ("127.0.0.1", "--method", "icmp", "--port", "7"),
    "--max-hops": ("127.0.0.1", "--max-hops", "256"),
    "--queries": ("127.0.0.1", "--queries", "11"),
    "--timeout": ("127.0.0.1", "--timeout", "0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_call_is_status_2_and_one_line(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traceroute", *WRONG[case]]) == 2
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

    monkeypatch.setattr("rawproto.cli.traceroute.open_raw", refuse)
    assert main(["traceroute", "127.0.0.1"]) == 2
    assert capsys.readouterr() == ("", "rawproto: a raw IP socket needs CAP_NET_RAW: run as root\n")


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["traceroute", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "sudo rawproto traceroute example.org --method tcp --port 443" in text
    assert "!H" in text
